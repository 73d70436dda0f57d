"""Whether prices bear a dividend out: on the ex-date a share opens lower by it."""

import numpy as np

from forecaster.contract import Dates, Floats
from pipelines.quality.levels import Levels
from pipelines.quality.rows import Text, first_fault
from pipelines.quality.splits import Splits

BORNE_OUT = 0.5
"""Share of a dividend that the open has to give back. Taxed dividends give back less than all (KMR.L: a half)."""

CLEAR = 3.0
"""Daily spreads that a dividend must be worth, and its drop fall short by, before it is doubted."""

NEIGHBOURS = 7
"""Days within which no company pays the same amount twice: the vendor has it on two ex-dates, and none is guessed."""

UNIT, SAME_UNIT = 100.0, 0.02
"""Hundred minor units (pence, agorot, cents) to the major one, and how near a ratio to the next dividend must be to it.
Funds' true year-end payouts come to within 12 % of it (EWG .009 beside .792)."""

SPLIT_SLACK = 0.3
"""On a split's ex-date, a dividend still in old shares is off from its neighbours by the ratio, to this relative error:
the dividend itself may have been raised (4063.T: 275 beside 45 and 50, split 5:1)."""

LEAST_CASH, LEAST_SHARE = 5e-4, 1e-3
"""No company declares less than a twentieth of a cent for a share worth a thousand times that: pence called pounds
twice over (TENT.L: .0001375 of .85). Least genuine ones seen: .002 (EWG)."""


def dividend_faults(levels: Levels, days: Dates, cash: Floats, traded: Floats, splits: Splits, held: Dates) -> Text:
    """Why a dividend is not believed [D].

    Arguments:
        levels: Believed prices.
        days: Ex-dates, ascending [D].
        cash, traded: In shares of the newest session, and as traded on the ex-date [D].
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
        visible = share > CLEAR * levels.spread
        unseen = visible & (BORNE_OUT * share - drop > CLEAR * levels.spread)
        alone[(alone == "") & unseen] = "dividend: the prices do not show it"
        alone[(alone == "") & (traded < LEAST_CASH) & (share < LEAST_SHARE)] = "dividend: too little to be declared"
    return first_fault(alone, _beside_others(days, cash, splits))


def dividend_drops(levels: Levels, days: Dates, cash: Floats) -> Floats:
    """By how much the dividends going ex in a session lower its log price, if they are right [N]."""
    drops = np.zeros(len(levels.days))
    at = np.searchsorted(levels.days, days)
    inside = (at > 0) & (at < len(levels.days))
    share = cash[inside] / np.exp(levels.closes[at[inside] - 1])
    drops[at[inside]] = -np.log1p(-np.minimum(share, 0.99))
    return drops


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
