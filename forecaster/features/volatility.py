"""Volatility of a session, in log returns: from its range, which says more than its close, and over a month.

The range-based ones read one session; the square root of each is a volatility of a session, not of a year.
"""

import numpy as np

from forecaster.contract import Floats
from forecaster.features.base import feature, lagged, last, log_ratio
from forecaster.panel import Panel

MONTH = 21


@feature(unit="volatility a session", warm_up=0)
def parkinson(panel: Panel, subject: str) -> Floats:
    """sqrt(u^2 / (4 log 2)) with u = log(high / low).

    Parkinson, "The Extreme Value Method for Estimating the Variance of the Rate of Return", Journal of Business 53
    (1980).
    """
    spread = log_ratio(panel.column(subject, "high"), panel.column(subject, "low"))
    volatility: Floats = np.abs(spread) / np.sqrt(4 * np.log(2))
    return volatility


@feature(unit="volatility a session", warm_up=0)
def garman_klass(panel: Panel, subject: str) -> Floats:
    """sqrt(u^2 / 2 - (2 log 2 - 1) c^2) with u = log(high / low), c = log(close / open); needs no drift.

    Garman and Klass, "On the Estimation of Security Price Volatilities from Historical Data", Journal of Business 53
    (1980). 0 where a bar's open or close lies outside its range and would make it negative.
    """
    spread = log_ratio(panel.column(subject, "high"), panel.column(subject, "low"))
    body = log_ratio(panel.column(subject, "close"), panel.column(subject, "open"))
    variance: Floats = np.maximum(spread**2 / 2 - (2 * np.log(2) - 1) * body**2, 0.0)
    return np.sqrt(variance)


@feature(unit="volatility a session", warm_up=0)
def rogers_satchell(panel: Panel, subject: str) -> Floats:
    """sqrt(u (u - c) + d (d - c)) with u, d, c = log of high, low, close over open; right under any drift.

    Rogers and Satchell, "Estimating Variance from High, Low and Closing Prices", Annals of Applied Probability 1
    (1991).
    """
    return np.sqrt(_rogers_satchell(panel, subject))


@feature(unit="volatility a session", warm_up=MONTH)
def yang_zhang(panel: Panel, subject: str) -> Floats:
    """sqrt(V_o + k V_c + (1 - k) V_rs) over 21 sessions: overnight, open to close, and Rogers-Satchell; k = .34 / (1.34
    + (n + 1) / (n - 1)). Right under drift and overnight jumps.

    Yang and Zhang, "Drift-Independent Volatility Estimation Based on High, Low, Open, and Close Prices", Journal of
    Business 73 (2000).
    """
    open_, close = (panel.column(subject, field) for field in ("open", "close"))
    overnight = last(log_ratio(open_, lagged(close)), MONTH).var(axis=1, ddof=1)
    daytime = last(log_ratio(close, open_), MONTH).var(axis=1, ddof=1)
    within = last(_rogers_satchell(panel, subject), MONTH).mean(axis=1)
    weight = 0.34 / (1.34 + (MONTH + 1) / (MONTH - 1))
    variance: Floats = overnight + weight * daytime + (1 - weight) * within
    return np.sqrt(variance)


@feature(unit="volatility a session", warm_up=MONTH)
def volatility_21(panel: Panel, subject: str) -> Floats:
    """Root mean square of the last 21 log returns."""
    close = panel.column(subject, "close")
    variance: Floats = (last(log_ratio(close, lagged(close)), MONTH) ** 2).mean(axis=1)
    return np.sqrt(variance)


def _rogers_satchell(panel: Panel, subject: str) -> Floats:
    """The variance [T], not below 0."""
    open_ = panel.column(subject, "open")
    up, down, body = (log_ratio(panel.column(subject, field), open_) for field in ("high", "low", "close"))
    return np.maximum(up * (up - body) + down * (down - body), 0.0)
