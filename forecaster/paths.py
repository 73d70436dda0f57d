"""Sample paths (one to many): whole futures whose marginals are the forecast's quantiles.

A forecast gives the distribution of each horizon by itself. Paths join them by a Gaussian copula with the dependence of
a random walk: cumulative changes that share their first h of k steps are correlated by sqrt(h / k). Increments of a
price are nearly uncorrelated whatever their volatility does, and the copula leaves the marginals as they are.

References:
    P. Glasserman, Monte Carlo methods in financial engineering (2003), section 3.1 (the walk).
    R. Nelsen, An introduction to copulas, 2nd ed. (2006), section 2.3 (Sklar).
"""

import math

import numpy as np

from forecaster import curve
from forecaster.contract import Floats

_erfc = np.frompyfunc(math.erfc, 1, 1)


def sample(quantiles: Floats, count: int, seed: int) -> Floats:
    """Draw paths from one forecast.

    Arguments:
        quantiles: [H, Q] of the cumulative return, or of the level's change.
        count: N.
    Returns:
        [N, H] in the same unit; the same seed gives the same paths.
    """
    horizon = len(quantiles)
    steps = np.random.default_rng(seed).standard_normal((count, horizon))
    walk = np.cumsum(steps, axis=1) / np.sqrt(np.arange(1, horizon + 1))
    return np.column_stack([curve.inverse(row, _normal(walk[:, step])) for step, row in enumerate(quantiles)])


def _normal(values: Floats) -> Floats:
    """Probability of a standard normal up to each value, exact in the far tail too; scipy is not for the service."""
    return np.asarray(0.5 * _erfc(-values / math.sqrt(2)), dtype=np.float64)
