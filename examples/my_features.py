"""A feature of your own; custom_feature.toml names this module."""

import numpy as np

from forecaster.features import feature


@feature(unit="log ratio", warm_up=20)
def below_high(panel, subject):
    """How far the close is below its highest of 21 sessions."""
    close = panel.column(subject, "close")
    high = np.array([np.nan] * 20 + [close[t - 20 : t + 1].max() for t in range(20, len(close))])
    return np.log(close / high)
