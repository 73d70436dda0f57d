"""Issue: the champion's forecast from the last settled session, written into the ledger once."""

import logging
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from forecaster.calibration import State
from forecaster.contract import LEVELS, Floats, Target
from forecaster.errors import ConfigError, Delisted, NoHistory, UnknownSymbol
from forecaster.features import subjects
from forecaster.outlook import Outlook
from forecaster.runtime import Runtime
from forecaster.sessions import Calendar
from forecaster.store.artifacts import load_artifact
from forecaster.store.calibrations import state_at
from forecaster.store.champions import Champion, require_champion
from forecaster.store.history import all_instruments, read_facts
from forecaster.store.ledger import Entry, IssueKind, add_entries, issued
from forecaster.store.visits import Visit, is_delisted, last_heard, last_visit
from pipelines.venue import Reads, kept_calendar

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Issued:
    """A forecast as it stands in the ledger."""

    symbol: str
    origin: str
    origin_close: float
    sessions: list[str]
    levels: list[float]
    return_quantiles: list[list[float]]
    """[H, Q] cumulative log return from the origin's close, calibrated; change since the origin at a level target."""
    price_quantiles: list[list[float]]
    """[H, Q] in the symbol's currency, or the series' unit."""
    raw_quantiles: list[list[float]]
    """[H, Q] before calibration, as the graph gave them."""
    walk_quantiles: list[list[float]] | None
    """[H, Q] the random walk's from the same context; None where the promotion is from before it named one."""
    calibration: str | None
    """Digest of the state that moved them."""
    issued_at: str
    digest: str
    version: int
    kind: IssueKind
    """A backfill was made when what it is about could be known."""
    fresh: bool
    """False where it had been issued before."""
    stale_since: str | None
    """First settled session that the store lacks after the origin, as of the last visit to the source."""

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def issue(engine: Engine, config: Reads, symbol: str, now: datetime) -> Issued:
    """Issue the champion's forecast of `symbol` from what is known at `now`.

    A forecast from the same origin by the same artifact is issued once: a second call answers what stands. It is live
    where it is made before the first session it is about has closed; later it is a backfill.

    Raises:
        UnknownSymbol: The run is about another symbol.
        NoHistory: Nothing is stored of it.
        NoChampion: Nothing has been promoted.
        Delisted: Its source has not known it for several sessions.
        MissingSessions: The context has a hole.
        ConfigError: The user's own features are not those it was trained with.
    """
    _require_listed(engine, config.target, symbol)
    return issue_as_of(engine, config, symbol, require_champion(engine, config.target.key), now, now)


def issue_as_of(
    engine: Engine, config: Reads, symbol: str, champion: Champion, known_by: datetime, now: datetime
) -> Issued:
    """Issue what a champion says of `symbol` from what could be known by a moment that may be past.

    Arguments:
        champion: Who was in charge then.
        now: When it is issued.
    """
    target, visit = config.target, last_visit(engine, symbol)
    runtime = Runtime(load_artifact(engine, champion.digest), single=True)
    window = runtime.manifest.window
    if runtime.manifest.features != config.features.digest:
        raise ConfigError("[features] modules", "they changed since the champion was trained; train and promote again")
    facts = read_facts(engine, known_by, {symbol, *subjects(window.features, config.features.table, target.symbols)})
    calendar = kept_calendar(engine, facts, config, symbol)  # the service, too, reads what this keeps
    seen = last_heard(engine, symbol, known_by)
    outlook = Outlook.of(facts, calendar, runtime, symbol, config.features.table, seen)
    state = state_at(engine, target, symbol, champion, outlook.sessions, known_by)
    walk = _walk(engine, champion, outlook.context)
    kind: IssueKind = "live" if now < _closes(calendar, outlook.ahead[0]) else "backfill"
    entries = [replace(entry, kind=kind) for entry in _entries(symbol, champion, outlook, state, walk, now)]
    added = add_entries(engine, entries)
    log.info("issued", extra={"symbol": symbol, "origin": str(outlook.origin), "kind": kind, "rows": added})
    return _issued(target, issued(engine, target.key, symbol, outlook.origin, champion.digest), added > 0, visit)


def _require_listed(engine: Engine, target: Target, symbol: str) -> None:
    if symbol not in target.symbols:
        raise UnknownSymbol(symbol, target.symbols)
    if target.kind == "return" and symbol not in all_instruments(engine):
        visit = last_visit(engine, symbol)
        raise NoHistory(symbol, problem=None if visit is None else visit.problem)
    gone = is_delisted(engine, symbol)
    if gone is not None:
        raise Delisted(symbol, str(gone.stale_since))


def _closes(calendar: Calendar, session: np.datetime64) -> datetime:
    """When a session's price is known."""
    close: datetime = calendar.closes[np.searchsorted(calendar.sessions, session)].item()
    return close.replace(tzinfo=UTC)


def _entries(
    symbol: str, champion: Champion, outlook: Outlook, state: State, walk: Floats | None, now: datetime
) -> list[Entry]:
    calibrated = state.apply(outlook.quantiles)
    return [
        Entry(
            target=champion.target,
            symbol=symbol,
            origin=outlook.origin,
            horizon=step + 1,
            session=session.item(),
            digest=champion.digest,
            version=champion.version,
            origin_close=outlook.close,
            quantiles=outlook.quantiles[step].tolist(),
            issued_at=now,
            calibrated=calibrated[step].tolist(),
            calibration=state.digest,
            walk=None if walk is None else walk[step].tolist(),
        )
        for step, session in enumerate(outlook.ahead)
    ]


def _walk(engine: Engine, champion: Champion, context: NDArray[np.float32]) -> Floats | None:
    """Quantiles [H, Q] of the random walk that the promotion names; None where it is from before it named one."""
    digest = champion.decision.get("walk")
    return None if digest is None else Runtime(load_artifact(engine, digest), single=True).quantiles(context)[0]


def _issued(target: Target, entries: list[Entry], fresh: bool, visit: Visit | None) -> Issued:
    first = entries[0]
    prices = target.outcome(first.origin_close, np.array([entry.stated for entry in entries]))
    return Issued(
        symbol=first.symbol,
        origin=first.origin.isoformat(),
        origin_close=first.origin_close,
        sessions=[entry.session.isoformat() for entry in entries],
        levels=list(LEVELS),
        return_quantiles=[entry.stated for entry in entries],
        raw_quantiles=[entry.quantiles for entry in entries],
        walk_quantiles=None if first.walk is None else [entry.walk for entry in entries if entry.walk is not None],
        calibration=first.calibration,
        price_quantiles=prices.tolist(),
        issued_at=first.issued_at.isoformat(),
        digest=first.digest,
        version=first.version,
        kind=first.kind,
        fresh=fresh,
        stale_since=None if visit is None or visit.stale_since is None else str(visit.stale_since),
    )
