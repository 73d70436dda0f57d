"""What issued forecasts came to: the history of a symbol, page by page, and the track record."""

from collections.abc import Sequence
from datetime import date

import numpy as np
from sqlalchemy import Engine

from forecaster.artifact import Manifest
from forecaster.contract import Target
from forecaster.errors import ForecastMissing, OutputInvalid, SeveralChampions
from forecaster.store import ledger, scores
from forecaster.store.artifacts import load_manifest
from forecaster.store.history import find_instrument
from forecaster.store.ledger import Entry
from forecaster.store.scores import Matured
from forecaster.track import Line, record
from serving.schemas.record import History, Outcome, Past, RecordLine, TrackRecord

_NOTHING = "nothing issued has matured yet"


def past_forecasts(
    store: Engine, symbol: str, limit: int, before: int | None = None, target: str | None = None
) -> History:
    """A page of the forecasts of a symbol for one target, the newest first.

    Raises:
        UnknownSymbol: The store has never heard of it.
        ForecastMissing: It has, but nothing was issued.
        SeveralChampions: It was forecast for more than one target; the question does not say for which.
        OutputInvalid: What was issued is no forecast.
    """
    issued_for = ledger.targets(store, symbol)
    if not issued_for:
        find_instrument(store, symbol)
    if target is None and len(issued_for) > 1:
        raise SeveralChampions(issued_for)
    if not issued_for or target not in (None, *issued_for):
        raise ForecastMissing(symbol)
    page = scores.history(store, symbol, limit + 1, before, target)
    shown = page[:limit]
    further = str(shown[-1][0].id) if len(page) > limit else None
    manifests = {digest: load_manifest(store, digest) for digest in {steps[0].entry.digest for steps in shown}}
    past = [_past(steps, manifests[steps[0].entry.digest]) for steps in shown]
    return History(symbol=symbol, forecasts=past, next=further)


def _past(steps: Sequence[Matured], manifest: Manifest) -> Past:
    first = steps[0].entry
    return Past(
        target=first.target,
        origin=first.origin,
        origin_close=first.origin_close,
        issued_at=first.issued_at,
        kind=first.kind,
        version=first.version,
        digest=first.digest,
        levels=list(manifest.levels),
        steps=[_outcome(one, manifest.target) for one in steps],
    )


def _outcome(one: Matured, target: Target) -> Outcome:
    entry, score = one.entry, one.score
    came = None if score is None else _prices(target, entry, [score.outcome])[0]
    return Outcome(
        horizon=entry.horizon,
        session=entry.session,
        price_quantiles=_prices(target, entry, entry.stated),
        walk_price_quantiles=None if entry.walk is None else _prices(target, entry, entry.walk),
        price=came,
        crps=None if score is None else score.crps,
        crps_walk=None if score is None else score.crps_walk,
    )


def _prices(target: Target, entry: Entry, ahead: Sequence[float]) -> list[float]:
    with np.errstate(over="ignore", invalid="ignore"):
        prices = target.outcome(entry.origin_close, np.array(ahead))
    if not np.isfinite(prices).all():
        raise OutputInvalid(entry.digest, "a price is not finite")
    said: list[float] = prices.tolist()
    return said


def track_record(store: Engine, target: str, symbol: str | None, today: date) -> TrackRecord:
    """The live record of a target, and the backfilled one apart."""
    results = scores.results(store, target, symbol)
    live, filled = (record(results, kind) for kind in ("live", "backfill"))
    said = None if any(line.n for line in live) else _NOTHING
    return TrackRecord(
        target=target,
        symbol=symbol,
        until=today,
        live=[_line(line) for line in live],
        backfilled=[_line(line) for line in filled],
        remark=said,
    )


def _line(line: Line) -> RecordLine:
    return RecordLine(
        horizon=line.horizon,
        n=line.n,
        waiting=line.waiting,
        skill=line.skill,
        skill_se=line.error,
        coverage={f"{interval:.0%}": share for interval, share in line.coverage.items()},
    )
