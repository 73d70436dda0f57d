"""Faults that a row shows by itself or beside its neighbour."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecaster.contract import Dates, Floats

Text = NDArray[np.object_]
"""[N] why a row is not believed; empty where it is."""

SAME = 1e-6
"""Relative slack of high and low around open and close: vendors keep single precision. In files adjusted for dividends
48 rows miss by 4e-16, the multiplication's rounding; real faults begin at a tick."""

WIDEST = 4.0
"""Largest believable high / low of one session. The widest real ones seen are 2.8 (^VIX, 2024-08-05), 1.6 (CL=F,
2020-04-22) and 3, of a price rounded to whole euros; a bad tick is off by 10 or 100."""

SMALLEST, LARGEST = 1e-9, 1e12
"""No price of a share lies outside these, nor a volume above a thousand times the larger: what does is a marker of a
missing value (1e300), and would overflow further on."""

TRADES = 0.99
"""Share of sessions with volume from which a symbol counts as one that trades every day: on its frozen bars nothing
was traded, they fill a hole. For a thin one (AGFS: 7 % of sessions) or one without volume (^VIX) they are genuine."""
LONG = 100
"""Rows from which on a reply can tell whether a symbol trades every day; `fetch` asks for as many."""


def collapse(rows: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The rows by session, those that say the same once."""
    return rows[columns].drop_duplicates().sort_values("session", kind="stable").reset_index(drop=True)


def days_of(rows: pd.DataFrame) -> Dates:
    """The `session` column as dates [N]."""
    return rows["session"].to_numpy().astype("datetime64[D]")


def first_fault(*faults: Text) -> Text:
    """Of several verdicts on the same rows [N], the first that finds fault."""
    found = np.full(len(faults[0]), "", dtype=object)
    for verdict in faults:
        found[found == ""] = verdict[found == ""]
    return found


def row_faults(bars: pd.DataFrame, is_session: NDArray[np.bool_]) -> Text:
    """Why a row cannot be the bar of a session [N].

    Arguments:
        bars: BAR_COLUMNS, ascending, without identical rows.
    """
    open_, high, low, close, volume = (
        bars[name].to_numpy(float) for name in ("open", "high", "low", "close", "volume")
    )
    lowest = np.minimum.reduce([open_, high, low, close])
    highest = np.maximum.reduce([open_, high, low, close])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        outside = (high * (1.0 + SAME) < np.maximum(open_, close)) | (low > np.minimum(open_, close) * (1.0 + SAME))
        rules = {
            "not finite": ~np.isfinite(np.column_stack([open_, high, low, close, volume])).all(axis=1),
            "price not positive": lowest <= 0.0,
            "price or volume beyond belief": (lowest < SMALLEST) | (highest > LARGEST) | (volume > 1000.0 * LARGEST),
            "high below low": high < low,
            "high and low do not hold open and close": outside,
            "volume negative": volume < 0.0,
            "not a session of the venue": ~is_session,
            "session given twice": bars["session"].duplicated(keep=False).to_numpy(),
            "range of the session beyond belief": high / low > WIDEST,
        }
    faults = np.full(len(bars), "", dtype=object)
    for reason, broken in rules.items():
        faults[broken & (faults == "")] = reason
    fine = np.flatnonzero(faults == "")
    faults[fine] = _repeats(*(column[fine] for column in (open_, high, low, close, volume)))
    return faults


def _repeats(open_: Floats, high: Floats, low: Floats, close: Floats, volume: Floats) -> Text:
    """Rows that repeat the one before instead of telling of a session [N]."""
    faults = np.full(len(close), "", dtype=object)
    rows = np.column_stack([open_, high, low, close, volume])
    again = np.flatnonzero((rows[1:] == rows[:-1]).all(axis=1) & (volume[1:] > 0.0) & (high[1:] > low[1:])) + 1
    faults[again] = "the bar before, repeated"
    untraded = volume == 0.0
    if len(close) >= LONG and untraded.sum() <= max(1.0, (1.0 - TRADES) * len(close)):
        still = (low[1:] == high[1:]) & (close[1:] == close[:-1]) & untraded[1:]
        faults[np.flatnonzero(still) + 1] = "frozen: the close before, and no volume"
    return faults
