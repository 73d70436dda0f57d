"""How much was traded. A session without volume (an index, a currency) carries no news: 0, not a log of zero."""

import numpy as np

from forecaster.contract import Floats
from forecaster.features.base import feature, lagged, last, log_ratio
from forecaster.panel import Panel

QUARTER = 63


@feature(unit="log ratio", warm_up=1)
def volume_change(panel: Panel, subject: str) -> Floats:
    """log(volume_t / volume_{t-1}); 0 where one of them is zero, which carries no news."""
    volume = panel.column(subject, "volume")
    before = lagged(volume)
    known = np.isfinite(volume) & np.isfinite(before)
    return np.where(known, np.nan_to_num(log_ratio(volume, before)), np.nan)


@feature(unit="log ratio", warm_up=QUARTER - 1)
def volume_level(panel: Panel, subject: str) -> Floats:
    """log(volume_t) minus its mean over the last 63 sessions that had volume; 0 in a session without."""
    volume = panel.column(subject, "volume")
    window = last(volume, QUARTER)
    traded = window > 0
    mean = np.log(np.where(traded, window, 1.0)).sum(axis=1) / np.maximum(traded.sum(axis=1), 1)
    level = np.where(volume > 0, np.log(np.where(volume > 0, volume, 1.0)) - mean, 0.0)
    return np.where(np.isfinite(window).all(axis=1), level, np.nan)
