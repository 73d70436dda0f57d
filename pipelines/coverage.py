"""Coverage: what the store holds of a symbol, held against its venue's calendar."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache

import numpy as np
from sqlalchemy import Connection

from forecaster.calendars import trading_calendar
from forecaster.sessions import Calendar
from forecaster.store import history
from forecaster.store.history import Instrument

_MARGIN = timedelta(days=10)  # how far the calendar must see past the last row


@dataclass(frozen=True)
class Coverage:
    """The stored sessions of a symbol, and those there could be."""

    dates: list[date]
    """Sessions with a bar, ascending; at least one."""
    calendar: Calendar
    """From before the first to a little past `now`."""
    now: datetime

    @cached_property
    def settled(self) -> list[date]:
        """Sessions whose bars the world can know by now, from the first stored one on."""
        known = self.calendar.cutoffs <= np.datetime64(naive(self.now))
        sessions: list[date] = self.calendar.sessions[known].tolist()
        return [session for session in sessions if session >= self.dates[0]]

    @property
    def settled_at(self) -> datetime:
        """Cut-off of the last settled session."""
        last = self.calendar.cutoffs <= np.datetime64(naive(self.now))
        cutoff: datetime = self.calendar.cutoffs[last][-1].item()
        return cutoff.replace(tzinfo=UTC)

    @property
    def missing(self) -> list[date]:
        """Sessions between the first and the last stored bar that have none."""
        there = set(self.dates)
        return [session for session in self.settled if session < self.dates[-1] and session not in there]

    @property
    def stale_since(self) -> date | None:
        """The first settled session after the last stored bar."""
        return next((session for session in self.settled if session > self.dates[-1]), None)

    def sessions_among(self, instants: list[datetime]) -> int:
        """How many different sessions were the last settled one at these instants."""
        naives = np.array([naive(instant) for instant in instants], dtype="datetime64[us]")
        return len(set(np.searchsorted(self.calendar.cutoffs, naives, side="right").tolist()))


def coverage(connection: Connection, instrument: Instrument, now: datetime) -> Coverage | None:
    """The coverage of a symbol; None where no bar is stored."""
    dates = history.dates(connection, history.bars_of(instrument.symbol))
    if not dates:
        return None
    return Coverage(dates, calendar_around(instrument.venue, dates[0], max(dates[-1], now.date())), now)


def calendar_around(venue: str, first: date, last: date) -> Calendar:
    """The venue's sessions over the years of a span, and a little past it."""
    return _years(venue, first.year, (last + _MARGIN).year)


@lru_cache(maxsize=64)
def _years(venue: str, first: int, last: int) -> Calendar:
    # Whole years, so that symbols of one venue share it: building a calendar costs more than storing a symbol.
    return trading_calendar(venue, date(first, 1, 1), date(last, 12, 31))


def naive(instant: datetime) -> datetime:
    """UTC without saying so, as NumPy wants it."""
    return instant.astimezone(UTC).replace(tzinfo=None)
