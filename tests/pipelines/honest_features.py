"""Features as a user might write them, looking much like leaks, and free of the future."""

import numpy as np
import pandas as pd

from forecaster.features import feature
from forecaster.features.price import log_return

_seen = {}


@feature(unit="standard deviations", warm_up=21)
def z_so_far(panel, subject):
    back = pd.Series(log_return(panel, subject))
    return ((back - back.expanding(20).mean()) / back.expanding(20).std()).to_numpy()


@feature(unit="0 to 1", warm_up=62)
def rank_in_quarter(panel, subject):
    return pd.Series(panel.column(subject, "close")).rolling(63).rank(pct=True).to_numpy()


@feature(unit="log return", warm_up=1)
def smoothed(panel, subject):
    return pd.Series(log_return(panel, subject)).ewm(span=10).mean().to_numpy()


@feature(unit="sessions", warm_up=0)
def session_number(panel, _subject):
    return np.arange(len(panel.sessions), dtype=float)


@feature(unit="price", warm_up=0)
def carried(panel, subject):
    return pd.Series(panel.column(subject, "close")).ffill().to_numpy()


@feature(unit="log return", warm_up=1)
def remembered_well(panel, subject):
    key = subject, panel.column(subject, "close").tobytes()
    if key not in _seen:
        _seen[key] = log_return(panel, subject)
    return _seen[key]


@feature(unit="none", warm_up=0)
def seeded(panel, _subject):
    return np.random.default_rng(0).normal(size=len(panel.sessions))


@feature(unit="price", warm_up=0)
def highest_so_far(panel, subject):
    return np.fmax.accumulate(panel.column(subject, "high"))
