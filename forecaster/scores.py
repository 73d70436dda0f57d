"""Scores of quantile forecasts against what happened, per origin and horizon."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from forecaster import curve
from forecaster.contract import LEVELS, MEDIAN, Floats

INTERVALS = (0.5, 0.8, 0.9, 0.95)
"""Central intervals whose coverage is reported."""
TAILS = (0.01, 0.05, 0.95, 0.99)
"""Levels whose pinball loss is reported by itself: how well large losses and gains are known."""
PERCENT = 100.0
"""Losses of log returns are in percent."""
_AT_ONCE = 4096  # origins whose losses are summed at once: bounds the memory of scoring
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
    over = levels * miss
    return np.asarray(np.maximum(over, np.multiply(levels - 1, miss, out=miss), out=over))


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
    area = np.empty(outcomes.shape)
    for begin in range(0, len(outcomes), _AT_ONCE):
        part = slice(begin, begin + _AT_ONCE)
        area[part] = np.trapezoid(2 * pinball(quantiles[part], outcomes[part]), np.array(LEVELS), axis=-1)
    return area


def covered(quantiles: Floats, outcomes: Floats, interval: float) -> Floats:
    """1 where the outcome lies in the central interval, else 0 [N, H]."""
    low, high = _ends(quantiles, interval)
    return ((low <= outcomes) & (outcomes <= high)).astype(np.float64)


def interval_score(quantiles: Floats, outcomes: Floats, interval: float) -> Floats:
    """Width of the central interval, and a fine for an outcome outside: 2 / alpha times how far outside it lies.

    Arguments:
        quantiles: [N, H, Q] in the target's unit.
        outcomes: [N, H].
        interval: 1 - alpha.
    Returns:
        [N, H] in the target's unit, lower is better.
    References:
        T. Gneiting, A. Raftery, Strictly proper scoring rules, prediction, and estimation, JASA 102 (2007), p. 370,
        eq. 43.
    """
    low, high = _ends(quantiles, interval)
    outside = np.maximum(low - outcomes, 0) + np.maximum(outcomes - high, 0)
    return np.asarray(high - low + 2 / (1 - interval) * outside)


def _ends(quantiles: Floats, interval: float) -> tuple[Floats, Floats]:
    """Lower and upper end of a central interval, each [N, H]."""
    low, high = (LEVELS.index(round(0.5 + side * interval / 2, 3)) for side in (-1, 1))
    return quantiles[..., low], quantiles[..., high]


def tails(losses: Floats) -> dict[float, Floats]:
    """Tail scores: level to [N, H], out of the pinball losses [N, H, Q]."""
    return {level: losses[..., LEVELS.index(level)].copy() for level in TAILS}


def direction(quantiles: Floats, outcomes: Floats) -> Floats:
    """1 where median and outcome have the same sign, 0 where opposite ones, a half where either is zero [N, H]."""
    return np.asarray((1 + np.sign(quantiles[..., MEDIAN]) * np.sign(outcomes)) / 2)


def expected(quantiles: Floats) -> Floats:
    """Mean of the distribution that the quantiles stand for, tails included (`forecaster.curve`).

    Arguments:
        quantiles: [..., Q].
    Returns:
        [...] in the same unit.
    """
    levels = np.array(LEVELS)
    steps = np.diff(levels)
    beyond = np.array([levels[0], 1 - levels[-1]])
    weights = (np.append(steps, 0) + np.insert(steps, 0, 0)) / 2  # between two levels probability is even
    # An exponential tail has its mean as far beyond the outermost quantile as its scale: gap * beyond / step.
    reach = beyond**2 / steps[[0, -1]]
    weights[[0, -1]] += beyond + reach
    weights[[1, -2]] -= reach
    return np.asarray(quantiles @ weights)


def mase(absolute_error: Floats, scale: Floats) -> Floats:
    """Absolute errors in units of what the forecast "no change" missed in training; below 1 is better than that.

    Arguments:
        absolute_error: [N, H].
        scale: [H] mean absolute change over h sessions (`scale`), in the unit of the errors and above zero.
    Returns:
        [N, H]; its mean is the score.
    References:
        R. Hyndman, A. Koehler, Another look at measures of forecast accuracy, Int. J. Forecasting 22 (2006), p. 685;
        each horizon is scaled by its own change.
    """
    return np.asarray(absolute_error / scale)


def scale(outcomes: Floats, unit: float = PERCENT) -> Floats:
    """Mean absolute change over h = 1 ... H sessions [H], of the training outcomes [N, H], in the unit of losses."""
    return np.asarray(unit * np.abs(outcomes).mean(axis=0))


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
    pinball: float
    """Mean over origins, horizons and levels."""
    tails: dict[float, Floats]
    """Pinball losses of the levels `TAILS`, each [N, H]."""
    absolute_error: Floats
    """[N, H] of the median."""
    squared_error: Floats
    """[N, H] of the median, in squared units; the root of its mean is the RMSE."""
    direction: Floats
    """[N, H] 1 where the median has the outcome's sign, 0 where the other one, a half where either is zero."""
    interval_score: dict[float, Floats]
    """Central interval to [N, H]: its width, and fines for outcomes outside."""
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
        error, losses = unit * np.abs(outcomes - quantiles[..., MEDIAN]), unit * pinball(quantiles, outcomes)
        return cls(
            crps=unit * crps(quantiles, outcomes),
            pinball=float(losses.mean()),
            tails=tails(losses),
            absolute_error=error,
            squared_error=error**2,
            direction=direction(quantiles, outcomes),
            interval_score={each: unit * interval_score(quantiles, outcomes, each) for each in INTERVALS},
            hits={interval: covered(quantiles, outcomes, interval) for interval in INTERVALS},
            below=(outcomes[..., None] <= quantiles).mean(axis=(0, 1)),
            log_score=None if log_density is None else np.log(unit) - log_density,
        )
