"""Actions as listed, the factors of the splits among them, and whether the prices bear a split out."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from forecaster.contract import Dates, Floats
from pipelines.quality.levels import Levels
from pipelines.quality.rows import LARGEST, collapse, days_of
from pipelines.sources.base import ACTION_COLUMNS, Reply

VISIBLE = np.log(1.2)
"""Smallest |log ratio| of a split that prices of single days can bear out; stock dividends of a few per cent cannot."""

CLEAR = 8.0
"""Times the daily spread a step must have to be told from a move of the market."""

NEAR = 0.35
"""Share of a split's |log ratio| by which a step may miss it: the market moves on that day too."""

WIDEST_RATIO = 1e5
"""No split is wider: the widest seen is ALPHA.PA's of 1:10,000."""


@dataclass(frozen=True)
class Splits:
    """Splits of one symbol by ex-date."""

    days: Dates
    """[S] ex-dates, ascending."""
    logs: Floats
    """[S] log of new shares for one old."""

    @classmethod
    def of(cls, actions: pd.DataFrame) -> Self:
        """The believed ones among `known_actions`."""
        mine = actions[(actions["kind"] == "split") & (actions["fault"] == "")]
        return cls(days_of(mine), np.log(mine["value"].to_numpy(float)))

    def factor(self, days: Dates) -> Floats:
        """Product of the ratios of splits after each day [N]: price as traded then / the same in today's shares."""
        later = np.append(np.cumsum(self.logs[::-1])[::-1], 0.0)
        factor: Floats = np.exp(later[np.searchsorted(self.days, days, side="right")])
        return factor


@dataclass(frozen=True)
class Doubt:
    """What the prices contradict."""

    before: np.datetime64
    """Prices of sessions before this one are in unknown shares."""
    wrong: Dates
    """Ex-dates of splits that did not happen so."""


def known_actions(reply: Reply) -> pd.DataFrame:
    """ACTION_COLUMNS of the reply's actions, ascending.

    Further columns: `fault`, why it is not believed so far; `traded` and `even`, the value in shares as traded on the
    ex-date and in shares of the newest session.
    """
    actions = collapse(reply.actions, list(ACTION_COLUMNS))
    value, kind = actions["value"].to_numpy(float), actions["kind"].to_numpy(dtype=object)
    fault = np.full(len(actions), "", dtype=object)
    fault[actions.duplicated(["session", "kind"], keep=False).to_numpy()] = ": given twice"
    most = np.where(kind == "split", WIDEST_RATIO, LARGEST)
    fault[~((value < most) & (value > 1.0 / most))] = ": value beyond belief"
    fault[~(np.isfinite(value) & (value > 0.0))] = ": not a positive number"
    fault[fault != ""] = kind[fault != ""] + fault[fault != ""]
    actions = actions.assign(fault=fault)
    value = np.where(fault == "", value, np.nan)
    shares = np.where(kind == "dividend", Splits.of(actions).factor(days_of(actions)), 1.0)
    traded, even = (value * shares, value) if reply.split_adjusted else (value, value / shares)
    return actions.assign(traded=traded, even=even)


def split_faults(levels: Levels, splits: Splits, stored: pd.DataFrame | None) -> Doubt:
    """Which splits the prices contradict, and from when on prices are in the shares they are said to be in.

    In the shares of the newest session there is no step at an ex-date. A step down by the ratio: the split is listed
    but not yet applied; it is real, and the prices before are in other shares than said. A step up by it: it was
    applied twice, or was none and applied all the same. Which of the two, only what was stored before can tell; without
    it, the split falls along with all prices before it.
    """
    before, wrong = np.datetime64("0001-01-01"), []
    for day, log in zip(splits.days, splits.logs, strict=True):
        (at,) = np.searchsorted(levels.days, [day])
        if not 0 < at < len(levels.days) or abs(log) < max(VISIBLE, CLEAR * levels.spread):
            continue
        step = levels.steps[at]
        if abs(step + log) <= NEAR * abs(log):
            before = day
        elif abs(step - log) <= NEAR * abs(log):
            before = day
            if not _was_seen(levels, int(at), log, splits, stored):
                wrong.append(day)
    return Doubt(before, np.array(wrong, dtype="datetime64[D]"))


def _was_seen(levels: Levels, at: int, log: float, splits: Splits, stored: pd.DataFrame | None) -> bool:
    """Whether the price as traded fell by the split's ratio since the last session stored before it."""
    if stored is None:
        return False
    days = days_of(stored)
    earlier = np.flatnonzero(days < levels.days[at])
    if not len(earlier):
        return False
    now = levels.closes[at] + np.log(splits.factor(levels.days[at : at + 1])[0])
    fell = np.log(float(stored["close"].iloc[earlier[-1]])) - now
    return bool(abs(fell - log) <= NEAR * abs(log))
