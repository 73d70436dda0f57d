"""The track record: what issued forecasts came to, beside the random walk issued from the same origins.

Live forecasts and backfilled ones are never mixed: a backfill was made when what it is about was known.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forecaster.contract import LEVELS, Floats
from forecaster.hac import bandwidth, standard_error
from forecaster.scores import INTERVALS
from forecaster.store.ledger import IssueKind
from forecaster.store.scores import Matured

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


def record(matured: Sequence[Matured], kind: IssueKind = "live") -> tuple[Line, ...]:
    """The track record by horizon.

    Arguments:
        matured: Steps of one target, of one symbol or of all, scored or not.
        kind: Which forecasts.
    """
    mine = [one for one in matured if one.entry.kind == kind]
    horizons = sorted({one.entry.horizon for one in mine})
    return tuple(_line(horizon, [one for one in mine if one.entry.horizon == horizon]) for horizon in horizons)


def _line(horizon: int, steps: Sequence[Matured]) -> Line:
    scored = [one for one in steps if one.score is not None]
    days = sorted({one.entry.origin for one in scored})
    skill, error = _skill(horizon, scored)
    return Line(horizon, len(days), len(steps) - len(scored), skill, error, _coverage(scored))


def _skill(horizon: int, scored: Sequence[Matured]) -> tuple[float | None, float | None]:
    """Skill and its standard error by the delta method, symbols averaged by session first."""
    losses: dict[object, list[tuple[float, float]]] = {}
    for one in scored:
        if one.score is not None and one.score.crps_walk is not None:
            losses.setdefault(one.entry.origin, []).append((one.score.crps, one.score.crps_walk))
    if not losses:
        return None, None
    daily: Floats = np.array([np.mean(losses[day], axis=0) for day in sorted(losses, key=str)])
    ours, walk = daily.T
    if walk.mean() == 0:
        return None, None
    ratio, lag = ours.mean() / walk.mean(), bandwidth(len(daily), horizon)
    if len(daily) < _LEAST * lag:
        return float(1 - ratio), None
    return float(1 - ratio), standard_error((ours - ratio * walk) / walk.mean(), lag)


def _coverage(scored: Sequence[Matured]) -> dict[float, float]:
    below = np.array([one.score.below for one in scored if one.score is not None], dtype=bool)
    if not below.size:
        return {}
    places = {
        interval: [LEVELS.index(round(0.5 + side * interval / 2, 3)) for side in (-1, 1)] for interval in INTERVALS
    }
    return {interval: float((below[:, high] & ~below[:, low]).mean()) for interval, (low, high) in places.items()}
