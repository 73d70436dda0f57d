"""Where outcomes fall within their forecasts: the probability integral transform, flat where forecasts are calibrated.

A hump in the middle: intervals too wide. A bowl: too narrow. A slope: outcomes lie on one side.

References:
    F. Diebold, T. Gunther, A. Tay, Evaluating density forecasts, International Economic Review 39 (1998), p. 863.
    T. Gneiting, F. Balabdaoui, A. Raftery, Probabilistic forecasts, calibration and sharpness, JRSS B 69 (2007),
    p. 243.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from forecaster.contract import LEVELS, Floats

BINS = 20
"""Bins of 5 % each; their edges are quantile levels of the grid, so that nothing is interpolated."""
_EDGES = [LEVELS.index(round(k / BINS, 2)) for k in range(1, BINS)]


@dataclass(frozen=True)
class Pit:
    """A PIT histogram with the band in which all of its bars lie together if the forecasts are calibrated."""

    shares: Floats
    """[20] share of the outcomes in each bin; 0.05 is right."""
    low: float
    high: float
    """Edges of the band, in the same shares."""

    @property
    def holds(self) -> bool:
        """Whether every bar lies in the band."""
        return bool(((self.low <= self.shares) & (self.shares <= self.high)).all())


def pit(quantiles: Floats, outcomes: Floats, horizon: int = 1, confidence: float = 0.95) -> Pit:
    """The PIT histogram of one horizon.

    The band is the normal approximation of the binomial, widened for looking at 20 bars at once (Bonferroni). Forecasts
    of h sessions overlap; they count as one in h.

    Arguments:
        quantiles: [N, H, Q].
        outcomes: [N, H].
        horizon: Sessions ahead, from 1.
        confidence: With which calibrated forecasts keep all bars inside.
    """
    within = (outcomes[:, horizon - 1, None] > quantiles[:, horizon - 1, _EDGES]).sum(axis=1)  # [N] of 0 ... 19
    shares = np.bincount(within, minlength=BINS) / len(within)
    expected, independent = 1 / BINS, len(within) / horizon
    reach = float(ndtri(1 - (1 - confidence) / (2 * BINS))) * np.sqrt(expected * (1 - expected) / independent)
    return Pit(shares, max(0.0, expected - reach), expected + reach)
