"""Whether a reply rewrites what is stored in a way that cannot be right."""

import numpy as np
import pandas as pd

from forecaster.errors import ReplyRefused
from pipelines.quality.rows import days_of
from pipelines.quality.splits import Splits

SAME = 1e-3
"""|log| under which two closes, or two ratios of closes, are the same: vendors round to a cent or a tick."""

FARTHEST = np.log(2.0)
"""Widest |log| factor, exclusive, by which a vendor may restate a history: hardly a dividend is half the price."""

_TERMS = [(3, 2), (4, 3), (5, 4), (6, 5), (11, 10), (21, 20)]
SPLIT_LIKE = np.log(np.array([p / q for p, q in _TERMS]))
"""Log ratios of splits short of 2:1. A dividend factor that happens to be within 1e-4 of one is refused too."""


def refuse_rescaled(symbol: str, bars: pd.DataFrame, splits: Splits, stored: pd.DataFrame) -> None:
    """Compare as-traded closes with the stored ones of the same sessions.

    As traded, neither a split nor a dividend moves the past, so a Yahoo reply agrees but for corrected bars. A file
    that its vendor has adjusted for dividends moves as a whole by the dividend's share (NVDA .9999, Samsung .997 in the
    recorded downloads). That is a restatement: new revisions from now on, the view as of before unchanged. It is told
    from a wrong history by its size and by not being a split's ratio; a rescaling by 2, by 100 or by 3/2 is a unit or a
    split that was never listed, and nothing of such a reply is stored.

    Raises:
        ReplyRefused: Most of the common sessions are rescaled so, or those before a listed split are off by its ratio.
    """
    both = bars[["session", "close"]].merge(stored[["session", "close"]], on="session", suffixes=("", "_stored"))
    moved = np.log(both["close"].to_numpy(float) / both["close_stored"].to_numpy(float))
    days = days_of(both)
    if not len(moved):
        return
    for day, log in zip(splits.days, splits.logs, strict=True):
        earlier = moved[days < day]
        if abs(log) > 10 * SAME and len(earlier) and float(np.mean(np.abs(earlier - log) <= SAME)) > 0.5:
            problem = f"the split of {day} is in its list but the prices stored before do not show it"
            raise ReplyRefused("quality", symbol, problem)
    factor = float(np.median(moved))
    alike = float(np.mean(np.abs(moved - factor) <= SAME)) > 0.5
    if abs(factor) > FARTHEST - SAME or (alike and np.abs(abs(factor) - SPLIT_LIKE).min() <= 1e-4):
        raise ReplyRefused(
            "quality", symbol, f"its prices are {np.exp(factor):.4g} times the stored ones, and no split says so"
        )
