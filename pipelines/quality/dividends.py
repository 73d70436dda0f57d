"""Whether prices bear a dividend out: on the ex-date a share opens lower by it."""

import numpy as np

from forecaster.contract import Dates, Floats
from pipelines.quality.levels import Levels
from pipelines.quality.rows import Text, first_fault
from pipelines.quality.splits import Splits

BORNE_OUT = 0.5
"""Share of a dividend that the open has to give back. Taxed dividends give back less than all (KMR.L: a half)."""

CLEAR = 3.0
"""Spreads by which a drop must fall short before a single dividend is doubted."""

NEIGHBOURS = 7
"""Days within which no company pays the same amount twice: the vendor has it on two ex-dates, and none is guessed."""

UNIT, SAME_UNIT = 100.0, 0.02
"""Hundred minor units (pence, agorot, cents) to the major one, and how near a ratio to the next dividend must be to it.
Funds' true year-end payouts come to within 12 % of it (EWG .009 beside .792)."""

SPLIT_SLACK = 0.3
"""On a split's ex-date, a dividend still in old shares is off from its neighbours by the ratio, to this relative error:
the dividend itself may have been raised (4063.T: 275 beside 45 and 50, split 5:1)."""

POOLED, POOLED_CLEAR = 30.0, 3.0
"""Mean drop over mean dividend, of all that are too small to judge alone, and its distance from 1 in standard errors,
from which the unit of all is wrong by 100."""

LEAST_OVERNIGHT = 0.004
"""Least spread from close to open: many vendors' opens repeat the close before."""


def dividend_faults(levels: Levels, days: Dates, cash: Floats, splits: Splits, held: Dates) -> Text:
    """Why a dividend is not believed [D].

    Arguments:
        levels: Believed prices.
        days: Ex-dates, ascending [D].
        cash: In the shares of the newest session [D].
        held: Sessions whose prices are on a wrong level.
    """
    at = np.searchsorted(levels.days, days)
    inside = (at > 0) & (at < len(levels.days))
    share, drop = np.full(len(days), np.nan), np.full(len(days), np.nan)
    before = levels.closes[at[inside] - 1]
    share[inside] = cash[inside] / np.exp(before)
    drop[inside] = -np.expm1(levels.opens[at[inside]] - before)
    alone = np.full(len(days), "", dtype=object)
    alone[np.isin(days, held)] = "dividend: the price level of its session is in doubt"
    with np.errstate(invalid="ignore"):
        alone[(alone == "") & (share >= 1.0)] = "dividend: not less than the price before it"
        alone[(alone == "") & (BORNE_OUT * share - drop > CLEAR * levels.spread)] = (
            "dividend: the prices do not show it"
        )
    faults = first_fault(alone, _beside_others(days, cash, splits))
    small = (faults == "") & (share < levels.spread)
    if _unit_is_wrong(share[small], drop[small], _overnight(levels)):
        faults[small] = "dividend: far less than the prices show"
    return faults


def _beside_others(days: Dates, cash: Floats, splits: Splits) -> Text:
    """Why a dividend cannot stand beside its neighbours [D]."""
    faults = np.full(len(days), "", dtype=object)
    if len(days) < 2:
        return faults
    near = np.diff(days).astype(int) < NEIGHBOURS
    twice = np.flatnonzero(near & np.isclose(cash[1:], cash[:-1], rtol=SAME_UNIT, atol=0.0))
    faults[twice] = faults[twice + 1] = "dividend: given on two ex-dates"
    for at in np.flatnonzero(faults == ""):
        others = np.delete(cash, at)
        beside = cash[[other for other in (at - 1, at + 1) if 0 <= other < len(cash)]]
        usual, next_ = cash[at] / np.median(others), cash[at] / beside
        if len(cash) > 2 and (np.abs(next_ * UNIT - 1.0) < SAME_UNIT).any() and usual < 10.0 / UNIT:
            faults[at] = "dividend: a hundredth of the one beside it"
        if len(cash) > 2 and (np.abs(next_ / UNIT - 1.0) < SAME_UNIT).any() and usual > UNIT / 10.0:
            faults[at] = "dividend: a hundred times the one beside it"
        ratios = np.exp(splits.logs[splits.days == days[at]])
        ratios = ratios[np.abs(np.log(ratios)) > np.log(2.0) - SAME_UNIT]
        if (np.abs(np.median(beside) * ratios / cash[at] - 1.0) < SPLIT_SLACK).any():
            faults[at] = "dividend: in the shares of before the split of its ex-date"
    return faults


def _unit_is_wrong(share: Floats, drop: Floats, spread: float) -> bool:
    """Whether dividends too small to be seen one by one were seen together: the slope of drop on share."""
    if not len(share):
        return False
    slope = float(share @ drop / (share @ share))
    error = spread / float(np.sqrt(share @ share))
    return slope > POOLED and slope - 1.0 > POOLED_CLEAR * error


def _overnight(levels: Levels) -> float:
    """Robust standard deviation of the moves from close to open."""
    moves = np.abs(levels.opens[1:] - levels.closes[:-1])
    moves = moves[moves > 0.0]
    return max(float(np.median(moves)) / 0.6745, LEAST_OVERNIGHT) if len(moves) else LEAST_OVERNIGHT
