"""The distribution that a grid of quantiles stands for; the torch twin is `families.distributions.Grid`.

Between two levels probability is even; beyond the outermost it falls off exponentially, without a jump in density.
"""

import numpy as np

from forecaster.contract import LEVELS, Floats

_LEVELS = np.array(LEVELS)
_LEAST = 1e-12  # width of a step: quantiles may be equal


def cdf(quantiles: Floats, values: Floats) -> Floats:
    """Probability of an outcome up to each value.

    Arguments:
        quantiles: [..., Q].
        values: [..., V], with the same leading axes or some that broadcast.
    Returns:
        [..., V].
    """
    gaps = np.maximum(np.diff(quantiles), _LEAST)  # [..., Q - 1]
    filled = np.clip((values[..., None] - quantiles[..., None, :-1]) / gaps[..., None, :], 0, 1)
    inner = _LEVELS[0] + filled @ np.diff(_LEVELS)
    under = np.minimum(values - quantiles[..., :1], 0) * _fall(gaps[..., :1], 0)
    over = np.minimum(quantiles[..., -1:] - values, 0) * _fall(gaps[..., -1:], -1)
    return np.asarray(inner + _LEVELS[0] * np.expm1(under) - (1 - _LEVELS[-1]) * np.expm1(over))


def inverse(quantiles: Floats, probabilities: Floats) -> Floats:
    """Values with these probabilities below them.

    Arguments:
        quantiles: [Q].
        probabilities: [...] in (0, 1).
    """
    gaps = np.maximum(np.diff(quantiles), _LEAST)
    inner = np.interp(probabilities, _LEVELS, quantiles)
    low = np.log(np.minimum(probabilities / _LEVELS[0], 1)) / _fall(gaps[0], 0)
    high = np.log(np.minimum((1 - probabilities) / (1 - _LEVELS[-1]), 1)) / _fall(gaps[-1], -1)
    return np.asarray(inner + low - high)


def _fall(gap: Floats, side: int) -> Floats:
    """Rate of the tail: density at the outermost quantile over what lies beyond it."""
    step, beyond = (_LEVELS[1] - _LEVELS[0], _LEVELS[0]) if side == 0 else (_LEVELS[-1] - _LEVELS[-2], 1 - _LEVELS[-1])
    return np.asarray(step / gap / beyond)
