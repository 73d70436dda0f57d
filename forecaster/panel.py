"""A panel: aligned columns on the sessions of a venue, each cell as it was known at its own session's cut-off.

Row t holds, for every subject, the newest row by date among those with known_at <= cut-off of t, in the revision that
was newest then. A revision that came later therefore never reaches back into row t, and every window cut from a
panel is free of the future for every origin at once, in O(T log T).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forecaster.calendars import Calendar
from forecaster.contract import Dates, Floats
from forecaster.errors import MissingSessions, NoHistory
from forecaster.facts import FIELDS, Facts


@dataclass(frozen=True)
class Panel:
    """Columns on sessions for one target symbol."""

    symbol: str
    sessions: Dates
    """[T] datetime64[D]."""
    subjects: Mapping[str, Floats]
    """Subject to [T, 6], columns as in FIELDS; NaN before the subject's first known row."""

    def column(self, subject: str, field: str) -> Floats:
        """One column [T].

        Raises:
            NoHistory: The panel was built without that subject.
        """
        if subject not in self.subjects:
            raise NoHistory(subject)
        return self.subjects[subject][:, FIELDS.index(field)]


def build_panel(facts: Facts, symbol: str, others: Iterable[str], calendar: Calendar) -> Panel:
    """The panel of `symbol` on its venue's sessions, from its first to its last known bar.

    Raises:
        NoHistory: A subject has no rows.
        MissingSessions: A session between the symbol's first and last bar has none that was known in time.
    """
    own = facts.about(symbol)
    if not len(own):
        raise NoHistory(symbol)
    span = calendar.between(own.date.min(), own.date.max())
    newest = as_known(own, span.cutoffs)
    late = (newest < 0) | (own.date[newest] != span.sessions)
    if late.any():
        raise MissingSessions(symbol, [str(session) for session in span.sessions[late]])
    subjects = {symbol: own.values[newest]}
    for other in sorted(set(others) - {symbol}):
        rows = facts.about(other)
        if not len(rows):
            raise NoHistory(other)
        newest = as_known(rows, span.cutoffs)
        subjects[other] = np.where((newest < 0)[:, None], np.nan, rows.values[newest])
    return Panel(symbol, span.sessions, subjects)


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
