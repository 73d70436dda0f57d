"""The track record: what issued forecasts came to, beside the random walk issued from the same origins.

Live forecasts and backfilled ones are never mixed: a backfill was made when what it is about was known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forecaster.contract import LEVELS
from forecaster.hac import bandwidth, standard_error
from forecaster.scores import INTERVALS
from forecaster.store.ledger import IssueKind
from forecaster.store.scores import Result

TRAILING = 252
"""Scored sessions that the trailing record looks back: a year of trading."""
_LEAST = 4  # sessions, in lags of the standard error, below which that error is far too small to be shown


@dataclass(frozen=True)
class Line:
    """The record at one horizon."""

    horizon: int
    n: int
    """Sessions of origin that were scored; those of several symbols count once."""
    waiting: int
    """Steps issued and not scored yet."""
    skill: float | None
    """1 - mean CRPS / mean CRPS of the random walk; None while nothing was scored beside it."""
    error: float | None
    """Its HAC standard error; None where there are too few sessions to tell."""
    coverage: dict[float, float]
    """Central interval to the share of outcomes inside; empty while nothing was scored."""


def record(results: Sequence[Result], kind: IssueKind = "live") -> tuple[Line, ...]:
    """The track record by horizon.

    Arguments:
        results: Of one target, of one symbol or of all, matured or not.
        kind: Of which forecasts.
    """
    by_horizon: dict[int, list[Result]] = {}
    for one in results:
        if one.kind == kind:
            by_horizon.setdefault(one.horizon, []).append(one)
    return tuple(_line(horizon, mine) for horizon, mine in sorted(by_horizon.items()))


def trailing(results: Sequence[Result], horizon: int, sessions: int = TRAILING) -> tuple[Line, ...]:
    """The live record over the newest scored sessions, a line for every horizon: n = 0 where nothing was scored.

    Arguments:
        results: Of one target, of one symbol or of all, matured or not.
        horizon: H of the target.
        sessions: How many, of each horizon; those of several symbols count once.
    """
    by_horizon: dict[int, list[Result]] = {step: [] for step in range(1, horizon + 1)}
    for one in results:
        if one.kind == "live" and one.crps is not None and one.horizon in by_horizon:
            by_horizon[one.horizon].append(one)
    return tuple(_line(step, _newest(mine, sessions)) for step, mine in by_horizon.items())


def _newest(scored: Sequence[Result], sessions: int) -> list[Result]:
    days = set(sorted({one.origin for one in scored})[-sessions:])
    return [one for one in scored if one.origin in days]


def _line(horizon: int, steps: Sequence[Result]) -> Line:
    scored = [one for one in steps if one.crps is not None]
    days = {one.origin for one in scored}
    skill, error = _skill(horizon, scored)
    return Line(horizon, len(days), len(steps) - len(scored), skill, error, _coverage(scored))


def _skill(horizon: int, scored: Sequence[Result]) -> tuple[float | None, float | None]:
    """Skill and its standard error by the delta method, symbols averaged by session first."""
    beside = [(one.origin.toordinal(), one.crps, one.crps_walk) for one in scored if one.crps_walk is not None]
    if not beside:
        return None, None
    days, *losses = np.array(beside, dtype=np.float64).T
    _, place, symbols = np.unique(days, return_inverse=True, return_counts=True)
    ours, walk = (np.bincount(place, loss) / symbols for loss in losses)
    if walk.mean() == 0:
        return None, None
    ratio, lag = ours.mean() / walk.mean(), bandwidth(len(ours), horizon)
    if len(ours) < _LEAST * lag:
        return float(1 - ratio), None
    return float(1 - ratio), standard_error((ours - ratio * walk) / walk.mean(), lag)


def _coverage(scored: Sequence[Result]) -> dict[float, float]:
    below = np.array([one.below for one in scored], dtype=bool)
    if not below.size:
        return {}
    places = {
        interval: [LEVELS.index(round(0.5 + side * interval / 2, 3)) for side in (-1, 1)] for interval in INTERVALS
    }
    return {interval: float((below[:, high] & ~below[:, low]).mean()) for interval, (low, high) in places.items()}
