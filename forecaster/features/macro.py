"""A macro series as it stood at each session: the newest published period, in its newest revision."""

import numpy as np

from forecaster.contract import Floats
from forecaster.features.base import feature, lagged, log_ratio
from forecaster.panel import Panel

YEAR = 252


@feature(unit="unit of the series", warm_up=0)
def level(panel: Panel, subject: str) -> Floats:
    """The value."""
    return panel.column(subject, "value")


@feature(unit="unit of the series", warm_up=1)
def change(panel: Panel, subject: str) -> Floats:
    """Change of a macro value since the session before, as published; 0 on most days of a monthly series."""
    value = panel.column(subject, "value")
    return value - lagged(value)


@feature(unit="log ratio", warm_up=1)
def log_change(panel: Panel, subject: str) -> Floats:
    """log(value_t / value_{t-1}), for a series that grows; NaN where one is not positive."""
    value = panel.column(subject, "value")
    return log_ratio(value, lagged(value))


@feature(unit="unit of the series", warm_up=YEAR)
def change_252(panel: Panel, subject: str) -> Floats:
    """Change of the value over the last 252 sessions, each as it stood then."""
    value = panel.column(subject, "value")
    return value - lagged(value, YEAR)


@feature(unit="sessions", warm_up=0)
def age(panel: Panel, subject: str) -> Floats:
    """Sessions since the value last changed: 0 on the session that first knew it."""
    value = panel.column(subject, "value")
    rows = np.arange(len(value))
    changed = np.maximum.accumulate(np.where(value != lagged(value), rows, 0))
    return np.where(np.isfinite(value), rows - changed, np.nan)
