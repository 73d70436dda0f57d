"""What is believed of a source's reply. A bad row is put into quarantine with the reason; nothing is repaired.

In turn: rows that cannot be a bar of a settled session (`rows`), splits that the prices contradict (`splits`),
stretches on another price level than the rest (`levels`), dividends that the prices contradict (`dividends`), and a
history that contradicts what is stored (`stored`). Each judges what the one before it has left, so that a wild row does
not condemn its neighbours. What stays is brought to prices as traded, so that a later split restates nothing.

Seen on 96 clean files of daily bars (290,000 rows, `benchmarks.faults`): no false alarm on a price level; CL=F on
2020-04-20 and -21, when oil really traded below zero, is held back for want of a positive price, and 30 frozen bars are
(AMD, Samsung). AAPL's -52 % on 2000-09-29, NFLX's -35 % of 2011 and 2022 and META's -26 % pass: the volume of those
days bears them out. What no rule can see: an error within the usual range of a day, a dividend that is wrong by a few
times itself, and at a first fetch a split that is listed, was not, and left the prices alone (returns are right all the
same).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd

from forecaster.contract import Dates, Floats
from forecaster.sessions import Calendar
from forecaster.store.history import Rejected
from pipelines.quality.dividends import dividend_drops, dividend_faults
from pipelines.quality.levels import Levels, level_faults
from pipelines.quality.rows import Text, collapse, days_of, first_fault, row_faults
from pipelines.quality.splits import Splits, known_actions, split_faults
from pipelines.quality.stored import refuse_rescaled
from pipelines.sources.base import ACTION_COLUMNS, BAR_COLUMNS, Reply

_ROUNDED = 0.51  # shares: half of one, and room for the arithmetic
_PRICES = ["open", "high", "low", "close"]


@dataclass(frozen=True)
class Checked:
    """What is believed of a reply, and what is not."""

    bars: pd.DataFrame
    """BAR_COLUMNS as traded: one row a settled session, ascending."""
    grain: Floats
    """[N] how far each volume may be off because the source rounded it in shares of after a split."""
    actions: pd.DataFrame
    """ACTION_COLUMNS, ascending, in effect by now; dividends in cash a share as traded on the ex-date."""
    rejected: tuple[Rejected, ...]
    """Rows that are not believed, as the source gave them."""
    missing: tuple[date, ...]
    """Sessions between the first and the last settled one of the reply that have no believed bar."""


def check(reply: Reply, calendar: Calendar, now: datetime, stored: pd.DataFrame | None) -> Checked:
    """What is believed of `reply` at `now`.

    Arguments:
        calendar: Of the symbol's venue; covers the reply's span.
        now: Aware instant.
        stored: BAR_COLUMNS as traded of what is stored for the sessions the reply covers; None at a first fetch.

    Raises:
        ReplyRefused: It rewrites what is stored in a way that cannot be right.
    """
    instant = np.datetime64(now.astimezone(UTC).replace(tzinfo=None), "us")
    bars = _settled(collapse(reply.bars, list(BAR_COLUMNS)), calendar, instant)
    actions = known_actions(reply)
    days, splits = days_of(bars), Splits.of(actions)
    shares = splits.factor(days)
    even, traded = (bars, _in_shares(bars, shares)) if reply.split_adjusted else (_in_shares(bars, 1.0 / shares), bars)

    faults = row_faults(bars, np.isin(days, calendar.sessions))
    levels = Levels.of(days, even[[*_PRICES, "volume"]].to_numpy(float), faults == "")
    doubt = split_faults(levels, splits, stored)
    known = None if stored is None else _disagreement(days, traded["close"].to_numpy(float), stored)[faults == ""]
    cash = actions[(actions["kind"] == "dividend") & (actions["fault"] == "")]
    drops = dividend_drops(levels, days_of(cash), cash["even"].to_numpy(float))
    uneven = first_fault(
        np.where(levels.days < doubt.before, "prices before a split do not fit it", "").astype(object),
        level_faults(levels, splits.logs, drops, doubt.before, known),
    )
    faults[faults == ""] = uneven
    kept = traded[faults == ""].reset_index(drop=True)
    if stored is not None:
        refuse_rescaled(reply.listing.symbol, kept, splits, stored)

    actions = _judge_actions(actions, splits, doubt.wrong, levels, uneven)
    believed = actions[(actions["fault"] == "") & (days_of(actions) <= _last_begun(calendar, instant))]
    return Checked(
        kept,
        np.where(shares == 1.0, 0.0, _ROUNDED / shares)[faults == ""] if reply.split_adjusted else np.zeros(len(kept)),
        believed.assign(value=believed["traded"])[list(ACTION_COLUMNS)].reset_index(drop=True),
        (*_rejected(bars.assign(fault=faults), BAR_COLUMNS), *_rejected(actions, ACTION_COLUMNS)),
        _missing(calendar, days, days_of(kept)),
    )


def _judge_actions(actions: pd.DataFrame, splits: Splits, wrong: Dates, levels: Levels, uneven: Text) -> pd.DataFrame:
    """`known_actions` with the faults that the prices show."""
    fault, days = actions["fault"].to_numpy(dtype=object, copy=True), days_of(actions)
    is_cash = (actions["kind"] == "dividend").to_numpy()
    fault[~is_cash & np.isin(days, wrong) & (fault == "")] = "split: the prices do not show it"
    cash = is_cash & (fault == "")
    even, traded = (actions.loc[cash, name].to_numpy(float) for name in ("even", "traded"))
    straight, held = levels.only(uneven == ""), levels.days[uneven != ""]
    fault[cash] = dividend_faults(straight, days[cash], even, traded, splits, held)
    return actions.assign(fault=fault)


def _in_shares(bars: pd.DataFrame, factor: Floats) -> pd.DataFrame:
    """The bars with prices times `factor` [N] and volumes over it."""
    scaled = {name: bars[name] * factor for name in _PRICES}
    return bars.assign(**scaled, volume=bars["volume"] / factor)


def _settled(bars: pd.DataFrame, calendar: Calendar, instant: np.datetime64) -> pd.DataFrame:
    """The rows but those of sessions that are not settled: their bar can still change."""
    still_open = np.isin(days_of(bars), calendar.sessions[calendar.cutoffs > instant])
    return bars[~still_open].reset_index(drop=True)


def _last_begun(calendar: Calendar, instant: np.datetime64) -> np.datetime64:
    """The last session that has opened; an action takes effect with the opening of its ex-date."""
    begun = calendar.sessions[calendar.opens <= instant]
    last: np.datetime64 = begun[-1] if len(begun) else calendar.sessions[0] - np.timedelta64(1, "D")
    return last


def _missing(calendar: Calendar, days: Dates, kept: Dates) -> tuple[date, ...]:
    inside = np.intersect1d(days, calendar.sessions)
    if not len(inside):
        return ()
    expected = calendar.between(inside[0], inside[-1]).sessions
    return tuple(np.setdiff1d(expected, kept).tolist())


def _disagreement(days: Dates, closes: Floats, stored: pd.DataFrame) -> Floats:
    """|log(close as traded / stored close)| [N]; NaN where nothing is stored."""
    known = pd.Series(stored["close"].to_numpy(float), index=pd.DatetimeIndex(stored["session"]))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        apart: Floats = np.abs(np.log(closes / known.reindex(pd.DatetimeIndex(days)).to_numpy(float)))
    return apart


def _rejected(rows: pd.DataFrame, columns: Sequence[str]) -> list[Rejected]:
    bad = rows[rows["fault"] != ""]
    told = bad[list(columns[1:])].itertuples(index=False)
    return [
        Rejected(day, str(fault), {name: _say(value) for name, value in zip(columns[1:], row, strict=True)})
        for day, fault, row in zip(days_of(bad).tolist(), bad["fault"], told, strict=True)
    ]


def _say(value: str | float) -> str:
    return value if isinstance(value, str) else repr(float(value))
