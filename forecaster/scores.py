"""Scores of quantile forecasts against what happened, per origin and horizon. Losses are in percent log return."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from forecaster.contract import LEVELS, MEDIAN, Floats

INTERVALS = (0.5, 0.8, 0.95)
"""Central intervals whose coverage is reported."""
_PERCENT = 100.0


def pinball(quantiles: Floats, outcomes: Floats) -> Floats:
    """Pinball loss of each level.

    Arguments:
        quantiles: [N, H, Q] log return.
        outcomes: [N, H] log return.
    Returns:
        [N, H, Q] percent log return.
    References:
        R. Koenker, G. Bassett, Regression quantiles, Econometrica 46 (1978), p. 38.
    """
    levels = np.array(LEVELS)
    miss = outcomes[..., None] - quantiles
    return _PERCENT * np.maximum(levels * miss, (levels - 1) * miss)


def crps(quantiles: Floats, outcomes: Floats) -> Floats:
    """Continuous ranked probability score: the trapezoid of twice the pinball loss over the levels.

    Arguments:
        quantiles: [N, H, Q] log return.
        outcomes: [N, H] log return.
    Returns:
        [N, H] percent log return; for a single point it would be the absolute error.
    References:
        T. Gneiting, R. Ranjan, Comparing density forecasts using threshold- and quantile-weighted scoring rules,
        J. Business & Economic Statistics 29 (2011), p. 413.
    """
    return np.asarray(np.trapezoid(2 * pinball(quantiles, outcomes), np.array(LEVELS), axis=-1))


def covered(quantiles: Floats, outcomes: Floats, interval: float) -> Floats:
    """1 where the outcome lies in the central interval, else 0 [N, H]."""
    low, high = (_level(round(0.5 + side * interval / 2, 3)) for side in (-1, 1))
    inside = (quantiles[..., low] <= outcomes) & (outcomes <= quantiles[..., high])
    return inside.astype(np.float64)


def _level(level: float) -> int:
    return LEVELS.index(level)


@dataclass(frozen=True)
class Scores:
    """All scores of one model on the same origins as every other model it is compared with."""

    crps: Floats
    """[N, H]."""
    pinball: Floats
    """[N, H, Q]."""
    absolute_error: Floats
    """[N, H] of the median."""
    hits: dict[float, Floats]
    """Interval to [N, H] of 0 and 1."""
    below: Floats
    """[Q] share of outcomes at or below each quantile, over origins and horizons: the reliability curve."""

    @classmethod
    def of(cls, quantiles: Floats, outcomes: Floats) -> Self:
        """Scores of quantiles [N, H, Q] against outcomes [N, H], both log return."""
        return cls(
            crps=crps(quantiles, outcomes),
            pinball=pinball(quantiles, outcomes),
            absolute_error=_PERCENT * np.abs(outcomes - quantiles[..., MEDIAN]),
            hits={interval: covered(quantiles, outcomes, interval) for interval in INTERVALS},
            below=(outcomes[..., None] <= quantiles).mean(axis=(0, 1)),
        )
