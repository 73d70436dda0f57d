"""Momentum: how far the close has come in one, three, six and twelve months less one, of 21 sessions each."""

from forecaster.contract import Floats
from forecaster.features.base import feature, lagged, log_ratio
from forecaster.panel import Panel

MONTH, YEAR = 21, 252


def _since(panel: Panel, subject: str, first: int, until: int = 0) -> Floats:
    """log(close_{t-until} / close_{t-first})."""
    close = panel.column(subject, "close")
    return log_ratio(lagged(close, until), lagged(close, first))


@feature(unit="log return", warm_up=MONTH)
def momentum_1m(panel: Panel, subject: str) -> Floats:
    """log(close_t / close_{t-21})."""
    return _since(panel, subject, MONTH)


@feature(unit="log return", warm_up=3 * MONTH)
def momentum_3m(panel: Panel, subject: str) -> Floats:
    """log(close_t / close_{t-63})."""
    return _since(panel, subject, 3 * MONTH)


@feature(unit="log return", warm_up=6 * MONTH)
def momentum_6m(panel: Panel, subject: str) -> Floats:
    """log(close_t / close_{t-126})."""
    return _since(panel, subject, 6 * MONTH)


@feature(unit="log return", warm_up=YEAR)
def momentum_12_1(panel: Panel, subject: str) -> Floats:
    """log(close_{t-21} / close_{t-252}): a year without its last month, which tends to reverse.

    Jegadeesh and Titman, "Returns to Buying Winners and Selling Losers", Journal of Finance 48 (1993).
    """
    return _since(panel, subject, YEAR, MONTH)
