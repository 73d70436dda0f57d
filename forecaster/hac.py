"""Standard errors of means over time, robust to heteroskedasticity and autocorrelation (HAC); numpy alone."""

import math

from forecaster.contract import Floats


def bandwidth(count: int, horizon: int) -> int:
    """HAC lag: n^(1/3), and at least 2H so that overlapping targets (MA of order H - 1) are weighed in."""
    return max(2 * horizon, math.ceil(round(math.cbrt(count), 9)))


def standard_error(series: Floats, lag: int) -> float:
    """Standard error of a mean, robust to heteroskedasticity and autocorrelation up to `lag` (Bartlett weights).

    Arguments:
        series: [N].
    References:
        W. Newey, K. West, A simple, positive semi-definite, heteroskedasticity and autocorrelation consistent
        covariance matrix, Econometrica 55 (1987), p. 704.
    """
    count = len(series)
    centred = series - series.mean()
    variance = float(centred @ centred) / count
    for k in range(1, min(lag, count - 1) + 1):
        variance += 2 * (1 - k / (lag + 1)) * float(centred[k:] @ centred[:-k]) / count
    return math.sqrt(max(variance, 0.0) / count)
