"""What issued forecasts came to: the history of a symbol, page by page, and the track record."""

from datetime import date

import numpy as np
from sqlalchemy import Engine

from forecaster.artifact import Manifest
from forecaster.errors import ForecastMissing
from forecaster.store import scores
from forecaster.store.artifacts import load_manifest
from forecaster.store.history import find_instrument
from forecaster.store.scores import Matured
from forecaster.track import Line, record
from serving.schemas import History, Outcome, Past, RecordLine, TrackRecord

_NOTHING = "nothing issued has matured yet"


def past_forecasts(store: Engine, symbol: str, limit: int, before: int | None) -> History:
    """A page of the forecasts of a symbol, the newest first.

    Raises:
        UnknownSymbol: The store has never heard of it.
        ForecastMissing: It has, but nothing was issued.
    """
    page = scores.history(store, symbol, limit + 1, before)
    if not page and before is None:
        find_instrument(store, symbol)
        raise ForecastMissing(symbol)
    shown = page[:limit]
    further = str(shown[-1][0].id) if len(page) > limit else None
    return History(symbol=symbol, forecasts=[_past(store, steps) for steps in shown], next=further)


def _past(store: Engine, steps: list[Matured]) -> Past:
    first = steps[0].entry
    manifest = load_manifest(store, first.digest)
    return Past(
        origin=first.origin,
        origin_close=first.origin_close,
        issued_at=first.issued_at,
        kind=first.kind,
        version=first.version,
        digest=first.digest,
        levels=list(manifest.levels),
        steps=[_outcome(one, manifest) for one in steps],
    )


def _outcome(one: Matured, manifest: Manifest) -> Outcome:
    entry, score, outcome = one.entry, one.score, manifest.target.outcome
    came = None if score is None else float(outcome(entry.origin_close, np.array([score.outcome]))[0])
    return Outcome(
        horizon=entry.horizon,
        session=entry.session,
        price_quantiles=outcome(entry.origin_close, np.array(entry.stated)).tolist(),
        price=came,
        crps=None if score is None else score.crps,
        crps_walk=None if score is None else score.crps_walk,
    )


def track_record(store: Engine, target: str, symbol: str | None, today: date) -> TrackRecord:
    """The live record of a target, and the backfilled one apart."""
    steps = scores.track(store, target, symbol)
    live, filled = (record(steps, kind) for kind in ("live", "backfill"))
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
