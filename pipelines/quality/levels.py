"""Stretches of a price history on another level than the rest: wrong units, wrong splits, spikes that revert.

Only a step that leaves a gap counts, where the ranges of two sessions do not touch; and one that the market may have
made is believed when its volume bears it out: a split or a unit that changes in a file brings no buyers and sellers.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from forecaster.contract import Dates, Floats
from pipelines.quality.rows import Text

IMPOSSIBLE = np.log(7.5)
"""No gap this wide is believed. The widest real one in the clean files is a factor of 1.66 (AAPL, 2000-09-29)."""

USUAL = np.log(np.array([1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0]))
"""Log ratios of the splits that companies make; a wider step is impossible anyhow."""

SPIKE = np.log(1.3)
"""Narrowest gap of a spike that reverts within `BRIEF` sessions; real ones of 1.3 do not come back at once."""

BRIEF = 5
"""Sessions in a week: the longest spike, and the shortest stretch at the end that counts as the level of today."""

LEAST_SPREAD, MOST_SPREAD = 0.01, 0.06
"""Bounds of the daily spread: below, prices are too coarse to measure it (a penny stock that does not move); above, the
faults themselves have spread it (short replies). ^VIX has .059."""

CLEAR = 8.0
"""Times the spread a gap must have to be told from a move of the market."""

NEAR = 4.0
"""Times the spread by which a step may miss the ratio that explains it."""

SURPRISE = 2.5
"""Volume, in shares and in money, over its median of `MONTH` sessions, from which a gap is the market's. Of the 12 gaps
above 1.22 in the clean files the least has 3.6 (NFLX 2011-10-25); a split missed leaves one of the two at about 1."""

MONTH = 20


@dataclass(frozen=True)
class Levels:
    """A price history in shares of its newest session, in logs: without splits it has no steps but the market's."""

    days: Dates
    """[N] ascending."""
    opens: Floats
    highs: Floats
    lows: Floats
    closes: Floats
    volume: Floats
    """[N] shares; the others [N] log price."""

    @classmethod
    def of(cls, days: Dates, rows: Floats, believed: NDArray[np.bool_]) -> Self:
        """From open, high, low, close, volume [N, 5], of the rows believed (positive ones)."""
        kept = rows[believed]
        opens, highs, lows, closes = np.log(kept[:, :4]).T
        return cls(days[believed], opens, highs, lows, closes, kept[:, 4])

    def only(self, kept: NDArray[np.bool_]) -> Self:
        """Without the other rows."""
        prices = (part[kept] for part in (self.opens, self.highs, self.lows, self.closes, self.volume))
        return type(self)(self.days[kept], *prices)

    @property
    def spread(self) -> float:
        """Robust standard deviation of the daily moves, sessions without one aside."""
        moves = np.abs(np.diff(self.closes))
        moves = moves[moves > 0.0]
        return float(np.clip(np.median(moves) / 0.6745, LEAST_SPREAD, MOST_SPREAD)) if len(moves) else LEAST_SPREAD

    @property
    def steps(self) -> Floats:
        """[N] from the middle of the session before to this one's; 0 at the first."""
        middle = (self.opens + self.highs + self.lows + self.closes) / 4.0
        return np.diff(middle, prepend=middle[:1])

    @property
    def gaps(self) -> Floats:
        """[N] how far the ranges of this session and the one before lie apart; not above 0 where they touch."""
        apart = np.maximum(self.lows[1:] - self.highs[:-1], self.lows[:-1] - self.highs[1:])
        return np.concatenate([np.zeros(min(1, len(self.days))), apart])

    @property
    def surprises(self) -> Floats:
        """[N] volume over its usual, in shares or in money, whichever is less; NaN where neither is known."""
        surprise = np.full(len(self.days), np.nan)
        for at in np.flatnonzero(self.gaps > SPIKE / 2.0):  # of interest only there
            usual = np.median(self.volume[max(0, at - MONTH) : at])
            if usual > 0.0:
                shares = self.volume[at] / usual
                surprise[at] = min(shares, shares * np.exp(self.closes[at] - self.closes[at - 1]))
        return surprise


def level_faults(
    levels: Levels, listed: Floats, drops: Floats, first: np.datetime64, disagreement: Floats | None
) -> Text:
    """Why a price is not on the level of the rest [N].

    Which stretch is right: the one that agrees with what is stored; at a first fetch the newest of at least a week,
    for a vendor's newest prices are the ones that are looked at.

    Arguments:
        listed: Log ratios of the splits in the reply.
        drops: Log drop that the dividends of a session explain [N].
        first: The right stretch begins on or after this day.
        disagreement: |log(close as traded / stored close)| [N], NaN where none is stored; None at a first fetch.
    """
    faults = np.full(len(levels.days), "", dtype=object)
    steps, broken = levels.steps, _breaks(levels, listed, drops)
    if not broken.any():
        return faults
    stretch = np.cumsum(broken, dtype=np.intp)
    height = np.cumsum(np.where(broken, steps, 0.0))
    right = _right_stretch(levels.days, stretch, first, disagreement)
    off = np.abs(height - height[stretch == right][0])
    slack = np.abs(steps[broken]).min() / 2.0
    faults[off > slack] = "price level off, as by a wrong split or a bad tick"
    faults[off > IMPOSSIBLE] = "price level off, as by a wrong unit"
    return faults


def _breaks(levels: Levels, listed: Floats, drops: Floats) -> NDArray[np.bool_]:
    """Where a session's price level does not follow from the one before [N]."""
    spread, steps, gaps = levels.spread, levels.steps, levels.gaps
    with np.errstate(invalid="ignore"):
        unborne = ~(levels.surprises >= SURPRISE)
    ratios = np.concatenate([USUAL, np.abs(listed)])
    ratios = ratios[ratios >= CLEAR * spread]
    miss = np.abs(np.abs(steps)[:, None] - ratios)
    like_split = ((miss <= max(NEAR * spread, 0.1 * SPIKE)) & (gaps[:, None] >= 0.5 * ratios)).any(axis=1)
    broken: NDArray[np.bool_] = (gaps >= IMPOSSIBLE) | (like_split & unborne)
    wide = np.flatnonzero(gaps >= max(SPIKE, CLEAR * spread))
    for there, back in pairwise(wide):
        brief = back - there <= BRIEF
        if brief and abs(steps[there] + steps[back]) <= min(abs(steps[there]), abs(steps[back])) / 2.0:
            broken[[there, back]] = True
    explained = (drops > 0.0) & (np.abs(steps + drops) <= NEAR * spread)
    return broken & ~explained


def _right_stretch(days: Dates, stretch: NDArray[np.intp], first: np.datetime64, disagreement: Floats | None) -> int:
    numbers = np.unique(stretch)
    if disagreement is not None:
        disagreement = np.where(days >= first, disagreement, np.nan)
        medians = {
            number: np.median(disagreement[known])
            for number in numbers.tolist()
            if (known := (stretch == number) & np.isfinite(disagreement)).any()
        }
        closest = min(medians, key=lambda number: medians[number], default=None)
        if closest is not None and medians[closest] < SPIKE:
            return int(closest)
    lengths = np.array([((stretch == number) & (days >= first)).sum() for number in numbers])
    long = np.flatnonzero(lengths >= BRIEF)
    return int(numbers[long[-1] if len(long) else lengths.argmax()])
