"""Issue: the champion's forecast from the last settled session, written into the ledger once."""

import logging
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Engine

from forecaster.contract import LEVELS, Target
from forecaster.errors import ConfigError, Delisted, MissingSessions, UnknownSymbol
from forecaster.features import subjects
from forecaster.runtime import Runtime
from forecaster.store.artifacts import load_artifact
from forecaster.store.champions import require_champion
from forecaster.store.history import find_instrument, read_facts
from forecaster.store.ledger import Entry, add_entries, issued
from forecaster.store.visits import Visit, is_delisted, last_visit
from pipelines.config import RunConfig
from pipelines.snapshot import calendar_of, windows_of

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
    """[H, Q] cumulative log return from the origin's close; change since the origin at a level target."""
    price_quantiles: list[list[float]]
    """[H, Q] in the symbol's currency, or the series' unit."""
    issued_at: str
    digest: str
    version: int
    fresh: bool
    """False where it had been issued before."""
    stale_since: str | None
    """First settled session that the store lacks after the origin, as of the last visit to the source."""

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def issue(engine: Engine, config: RunConfig, symbol: str, now: datetime) -> Issued:
    """Issue the champion's forecast of `symbol` from what is known at `now`.

    A forecast from the same origin by the same artifact is issued once: a second call answers what stands.

    Raises:
        UnknownSymbol: The store has never heard of it, or the run is about another symbol.
        NoChampion: Nothing has been promoted.
        Delisted: Its source has not known it for several sessions.
        MissingSessions: The context has a hole.
        ConfigError: The user's own features are not those it was trained with.
    """
    target = config.target
    if target.kind == "return":
        find_instrument(engine, symbol)
    if symbol not in target.symbols:
        raise UnknownSymbol(symbol, target.symbols)
    visit = last_visit(engine, symbol)
    gone = is_delisted(engine, symbol)
    if gone is not None:
        raise Delisted(symbol, str(gone.stale_since))
    champion = require_champion(engine, target.key)
    runtime = Runtime(load_artifact(engine, champion.digest))
    window = runtime.manifest.window
    if runtime.manifest.features != config.features.digest:
        raise ConfigError("[features] modules", "they changed since the champion was trained; train and promote again")
    facts = read_facts(engine, now, {symbol, *subjects(window.features, config.features.table, target.symbols)})
    windows = windows_of(facts, config.model_copy(update={"window": window}), symbol, _seen(engine, symbol, now))
    last = len(windows.sessions) - 1
    if not windows.whole[last]:
        seen = slice(max(0, last + 1 - window.context - windows.warm_up), last + 1)
        raise MissingSessions(symbol, [str(day) for day in windows.sessions[seen][np.isnan(windows.close[seen])]])
    origin = windows.sessions[last]
    ahead = calendar_of(facts, config, symbol).after(origin, target.horizon)
    quantiles = runtime.quantiles(windows.contexts(np.array([last])))[0]
    entries = [
        Entry(
            target=target.key,
            symbol=symbol,
            origin=origin.item(),
            horizon=step + 1,
            session=session.item(),
            digest=champion.digest,
            version=champion.version,
            origin_close=float(windows.close[last]),
            quantiles=[float(value) for value in quantiles[step]],
            issued_at=now,
        )
        for step, session in enumerate(ahead)
    ]
    added = add_entries(engine, entries)
    log.info("issued", extra={"symbol": symbol, "origin": str(origin), "rows": added})
    return _issued(target, issued(engine, target.key, symbol, origin.item(), champion.digest), added > 0, visit)


def _seen(engine: Engine, symbol: str, now: datetime) -> np.datetime64 | None:
    """When the symbol's source last answered: a series had nothing new until then. An older answer says less."""
    answered = last_visit(engine, symbol, ("ok", "overtaken"), until=now)
    return None if answered is None else np.datetime64(min(answered.asked_at, now).replace(tzinfo=None), "us")


def _issued(target: Target, entries: list[Entry], fresh: bool, visit: Visit | None) -> Issued:
    first = entries[0]
    prices = target.outcome(first.origin_close, np.array([entry.quantiles for entry in entries]))
    return Issued(
        symbol=first.symbol,
        origin=first.origin.isoformat(),
        origin_close=first.origin_close,
        sessions=[entry.session.isoformat() for entry in entries],
        levels=list(LEVELS),
        return_quantiles=[entry.quantiles for entry in entries],
        price_quantiles=prices.tolist(),
        issued_at=first.issued_at.isoformat(),
        digest=first.digest,
        version=first.version,
        fresh=fresh,
        stale_since=None if visit is None or visit.stale_since is None else str(visit.stale_since),
    )
