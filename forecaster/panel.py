"""A panel: aligned columns on the sessions of a venue, each cell as it was known at its own session's cut-off.

Row t holds, for every subject, the newest row by date among those with known_at <= cut-off of t, in the revision that
was newest then. A revision that came later therefore never reaches back into row t, and every window cut from a
panel is free of the future for every origin at once, in O(T log T).

Prices are adjusted for splits *forward*: from an ex-date on they are multiplied by the ratio, so a later split changes
no row before it, and returns across it are right. (The usual adjustment, backward, rewrites the past with each split.)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forecaster.contract import Dates, Floats
from forecaster.errors import NoHistory
from forecaster.facts import FIELDS, Facts, action_subject
from forecaster.sessions import Calendar
from forecaster.spelling import guess

_VOLUME, _VALUE = FIELDS.index("volume"), FIELDS.index("value")


def _numbered(name: str) -> int:
    if name not in FIELDS:
        raise ValueError(f"a panel has no column {name!r}{guess(name, FIELDS) or ';'} it has {', '.join(FIELDS)}")
    return FIELDS.index(name)


@dataclass(frozen=True)
class Panel:
    """Columns on sessions for one target symbol. Arrays are read-only."""

    symbol: str
    sessions: Dates
    """[T] datetime64[D]."""
    subjects: Mapping[str, Floats]
    """Subject to [T, 6] as traded, columns as in FIELDS; NaN before the subject's first known row, and for the target
    on a session whose bar was not known by its cut-off."""
    factors: Mapping[str, Floats] = field(default_factory=dict)
    """Subject to [T]: shares that one of row 0 has become; absent where there was no split."""
    payouts: Mapping[str, Floats] = field(default_factory=dict)
    """Subject to [T]: cash that went ex since the row before, a share as traded; absent where there was none."""

    def column(self, subject: str, name: str) -> Floats:
        """One column [T], adjusted for splits.

        Raises:
            NoHistory: The panel was built without that subject.
            ValueError: There is no such column.
        """
        number = _numbered(name)
        column = self._of(subject)[:, number]
        factor = self.factors.get(subject)
        if factor is None or number == _VALUE:
            return column
        return column / factor if number == _VOLUME else column * factor

    def traded(self, name: str) -> Floats:
        """One column [T] of the target as it was traded."""
        return self._of(self.symbol)[:, _numbered(name)]

    def dividends(self, subject: str) -> Floats:
        """Cash that went ex since the row before [T], a share adjusted like prices; 0 on most days."""
        none = np.zeros(len(self.sessions))
        self._of(subject)
        return self.payouts.get(subject, none) * self.factors.get(subject, 1.0)

    @property
    def measure(self) -> str:
        """The column that is forecast: a bar's close, or the value of a series."""
        return "value" if np.isnan(self.traded("close")).all() else "close"

    @property
    def holes(self) -> NDArray[np.bool_]:
        """[T] sessions on which the target has no bar."""
        return np.isnan(self.traded(self.measure))

    def _of(self, subject: str) -> Floats:
        if subject not in self.subjects:
            raise NoHistory(subject)
        return self.subjects[subject]


def build_panel(
    facts: Facts, symbol: str, others: Iterable[str], calendar: Calendar, seen: np.datetime64 | None = None
) -> Panel:
    """The panel of `symbol` on its venue's sessions, from its first to its last known bar.

    A session of the target without a bar stays a hole; another subject's last known row stands until it has a newer.
    A target that is a series has no bars: its last known value stands too, up to the last session that was settled by
    the moment to which the facts reach.

    Arguments:
        seen: UTC, when all sources were last asked: a series may have had nothing to say since its last value.

    Raises:
        NoHistory: A subject has no rows.
    """
    span = _span(facts, symbol, calendar, seen)
    subjects, factors, payouts = {}, {}, {}
    for subject in (symbol, *sorted(set(others) - {symbol})):
        rows = facts.about(subject)
        if not len(rows):
            raise NoHistory(subject)
        newest = as_known(rows, span.cutoffs)
        dates = np.where(newest < 0, np.datetime64("0000-01-01"), rows.date[newest])
        stands = subject != symbol or np.isnan(rows.column("close")).all()
        there = newest >= 0 if stands else dates == span.sessions
        subjects[subject] = _frozen(np.where(there[:, None], rows.values[newest], np.nan))
        splits = _actions(facts, subject, "split", dates, span.cutoffs)
        if splits:
            factors[subject] = _factor(splits, len(dates))
        cash = _actions(facts, subject, "dividend", dates, span.cutoffs)
        if cash:
            payouts[subject] = _payout(cash, len(dates))
    views = (MappingProxyType(each) for each in (subjects, factors, payouts))
    return Panel(symbol, _frozen(span.sessions), *views)


def _span(facts: Facts, symbol: str, calendar: Calendar, seen: np.datetime64 | None) -> Calendar:
    own = facts.about(symbol)
    if not len(own):
        raise NoHistory(symbol)
    last = own.date.max()
    if np.isnan(own.column("close")).all():  # a series is dated by its period, long before it is known
        reached = facts.known_at.max() if seen is None else max(seen, facts.known_at.max())
        last = calendar.sessions[calendar.cutoffs <= reached].max(initial=own.date.min())
    return calendar.between(own.date.min(), last)


def _actions(facts: Facts, subject: str, kind: str, dates: Dates, cutoffs: Dates) -> list[tuple[int, float]]:
    """(row, value) of each action: the first row whose bar is of its ex-date or later, and what was known of it there.

    An action that became known only later is not applied: what the row said then cannot be unsaid.
    """
    rows = facts.about(action_subject(subject, kind))
    found = []
    for day in np.unique(rows.date):
        row = int(np.searchsorted(dates, day))
        if 0 < row < len(dates):
            known = rows.values[(rows.date == day) & (rows.known_at <= cutoffs[row]), _VALUE]
            found += [(row, float(known[-1]))] if len(known) else []  # by known_at: the last is the newest
    return found


def _factor(splits: list[tuple[int, float]], count: int) -> Floats:
    steps = np.ones(count)
    for row, ratio in splits:
        steps[row] *= ratio
    return _frozen(np.cumprod(steps))


def _payout(cash: list[tuple[int, float]], count: int) -> Floats:
    paid = np.zeros(count)
    for row, value in cash:
        paid[row] += value
    return _frozen(paid)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


def as_known(rows: Facts, cutoffs: Dates) -> NDArray[np.intp]:
    """Index of the newest row of one subject at each cut-off [T]; -1 where nothing was known yet.

    Newest means: the latest date, and of that date the latest revision, among the rows with known_at <= cut-off.
    """
    order = np.lexsort((rows.date, rows.known_at))
    dates = rows.date[order].astype(np.int64)
    # Read in the order of becoming known, a row counts only if no later date was known before it.
    leading = dates >= np.maximum.accumulate(dates)
    order = order[leading]
    position = np.searchsorted(rows.known_at[order], cutoffs, side="right") - 1
    return np.where(position < 0, -1, order[np.maximum(position, 0)])
