"""Where a session's prices lie, mostly against the close before."""

import numpy as np

from forecaster.contract import Floats
from forecaster.features.base import feature, lagged, log_ratio
from forecaster.panel import Panel


@feature(unit="log return", warm_up=1)
def log_return(panel: Panel, subject: str) -> Floats:
    """log(close_t / close_{t-1})."""
    close = panel.column(subject, "close")
    return log_ratio(close, lagged(close))


@feature(unit="log ratio", warm_up=0)
def log_range(panel: Panel, subject: str) -> Floats:
    """log(high_t / low_t), a volatility estimate from within the session (Parkinson, 1980)."""
    return log_ratio(panel.column(subject, "high"), panel.column(subject, "low"))


@feature(unit="-1 to 1", warm_up=0)
def close_location(panel: Panel, subject: str) -> Floats:
    """Where the close lies between low (-1) and high (+1); 0 in a session without a range."""
    high, low, close = (panel.column(subject, field) for field in ("high", "low", "close"))
    spread = np.where(high == low, 1.0, high - low)
    return (2 * close - high - low) / spread


@feature(unit="log return", warm_up=1)
def open_return(panel: Panel, subject: str) -> Floats:
    """log(open_t / close_{t-1}): what happened overnight."""
    return log_ratio(panel.column(subject, "open"), lagged(panel.column(subject, "close")))


@feature(unit="log return", warm_up=1)
def high_return(panel: Panel, subject: str) -> Floats:
    """log(high_t / close_{t-1})."""
    return log_ratio(panel.column(subject, "high"), lagged(panel.column(subject, "close")))


@feature(unit="log return", warm_up=1)
def low_return(panel: Panel, subject: str) -> Floats:
    """log(low_t / close_{t-1})."""
    return log_ratio(panel.column(subject, "low"), lagged(panel.column(subject, "close")))


@feature(unit="log return", warm_up=1)
def total_return(panel: Panel, subject: str) -> Floats:
    """log((close_t + dividend_t) / close_{t-1}): what the holder got, cash that went ex included."""
    close = panel.column(subject, "close")
    return log_ratio(close + panel.dividends(subject), lagged(close))
