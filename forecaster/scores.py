"""Scores of quantile forecasts against what happened, per origin and horizon."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from forecaster import curve
from forecaster.contract import LEVELS, MEDIAN, Floats

INTERVALS = (0.5, 0.8, 0.9, 0.95)
"""Central intervals whose coverage is reported."""
PERCENT = 100.0
"""Losses of log returns are in percent."""
_RARE = 1e-6  # least probability of a bin: one outcome that was called impossible does not decide alone


def pinball(quantiles: Floats, outcomes: Floats) -> Floats:
    """Pinball loss of each level.

    Arguments:
        quantiles: [N, H, Q] in the target's unit.
        outcomes: [N, H].
    Returns:
        [N, H, Q] in the target's unit.
    References:
        R. Koenker, G. Bassett, Regression quantiles, Econometrica 46 (1978), p. 38.
    """
    levels = np.array(LEVELS)
    miss = outcomes[..., None] - quantiles
    return np.asarray(np.maximum(levels * miss, (levels - 1) * miss))


def crps(quantiles: Floats, outcomes: Floats) -> Floats:
    """Continuous ranked probability score: the trapezoid of twice the pinball loss over the levels.

    Arguments:
        quantiles: [N, H, Q] in the target's unit.
        outcomes: [N, H].
    Returns:
        [N, H] in the target's unit; for a single point it would be the absolute error.
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


def perplexity(quantiles: Floats, outcomes: Floats, edges: Floats) -> float:
    """How many of the bins a forecast is in doubt about, one session ahead: exp of the mean -log probability [1, inf).

    A forecast that knows nothing of equally filled bins has as many as there are bins.

    Arguments:
        quantiles: [N, H, Q].
        outcomes: [N, H].
        edges: [K - 1] inner edges of the K bins, the same for all that are compared.
    References:
        F. Jelinek et al., Perplexity - a measure of the difficulty of speech recognition tasks, JASA 62 (1977), S63.
    """
    below = curve.cdf(quantiles[:, 0], np.broadcast_to(edges, (len(outcomes), len(edges))))
    shares = np.diff(below, prepend=0.0, append=1.0)  # [N, K]
    hit = np.searchsorted(edges, outcomes[:, 0])
    return float(np.exp(-np.log(np.maximum(shares[np.arange(len(hit)), hit], _RARE)).mean()))


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
    log_score: Floats | None = None
    """[N, H] negative log density, in nats per unit of the losses (lower is better); None without a density."""

    @classmethod
    def of(cls, quantiles: Floats, outcomes: Floats, log_density: Floats | None = None, unit: float = PERCENT) -> Self:
        """Scores of quantiles [N, H, Q] against outcomes [N, H], both in the target's unit.

        Arguments:
            log_density: [N, H] of the outcomes, in nats per unit of the target.
            unit: What losses are multiplied by: a hundred for log returns, one for levels.
        """
        return cls(
            crps=unit * crps(quantiles, outcomes),
            pinball=unit * pinball(quantiles, outcomes),
            absolute_error=unit * np.abs(outcomes - quantiles[..., MEDIAN]),
            hits={interval: covered(quantiles, outcomes, interval) for interval in INTERVALS},
            below=(outcomes[..., None] <= quantiles).mean(axis=(0, 1)),
            log_score=None if log_density is None else np.log(unit) - log_density,
        )
