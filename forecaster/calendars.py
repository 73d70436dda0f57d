"""Sessions of a venue: the only room that imports exchange_calendars.

A session is a naive date; an instant is UTC. A session's *cut-off* is the moment from which its bar counts as settled
and known: the close plus `SETTLE`, half days included. Forecasts from origin t use what was known at t's cut-off.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Self

import exchange_calendars
import numpy as np
from exchange_calendars.errors import InvalidCalendarName

from forecaster.contract import Dates
from forecaster.errors import ConfigError

SETTLE = np.timedelta64(30, "m")
"""Time after the close until a bar is taken as settled."""


@dataclass(frozen=True)
class Calendar:
    """Sessions of one venue in a stated span; construction costs 0.2 s, so one is built a run and passed on."""

    venue: str
    sessions: Dates
    """[T] datetime64[D], ascending."""
    opens: Dates
    """[T] datetime64[us], UTC: when trading begins."""
    closes: Dates
    """[T] datetime64[us], UTC: when trading ends, half days included."""

    @classmethod
    def of(cls, venue: str, start: date, end: date) -> Self:
        """Sessions of `venue` (ISO 10383 code) from `start` to `end`, both included.

        Where the holidays of the last years are not announced yet, the sessions end with the year before them.

        Raises:
            ConfigError: exchange_calendars has no such venue, or does not reach back that far.
        """
        try:
            calendar = _build(venue, start, end)
        except InvalidCalendarName as error:
            raise ConfigError("venue", f"{venue!r} is not a venue that exchange_calendars knows") from error
        except (ValueError, NotImplementedError) as error:  # the library's own words can run to thousands of characters
            problem = f"exchange_calendars cannot give the sessions of {venue} from {start} to {end}; start later"
            raise ConfigError("venue", problem) from error
        sessions = calendar.closes.index.to_numpy().astype("datetime64[D]")
        opens, closes = (
            instants.dt.tz_convert(None).to_numpy().astype("datetime64[us]")
            for instants in (calendar.opens, calendar.closes)
        )
        return cls(venue, sessions, opens, closes)

    @property
    def cutoffs(self) -> Dates:
        """[T] datetime64[us], UTC: from when a session's bar counts as settled."""
        return self.closes + SETTLE

    def between(self, first: np.datetime64, last: np.datetime64) -> Self:
        """The part from session `first` to session `last`, both included."""
        inside = (self.sessions >= first) & (self.sessions <= last)
        return type(self)(self.venue, self.sessions[inside], self.opens[inside], self.closes[inside])

    def after(self, session: np.datetime64, count: int) -> Dates:
        """The next `count` sessions after `session` [count].

        Raises:
            ConfigError: The calendar's span ends too early.
        """
        ahead = self.sessions[self.sessions > session][:count]
        if len(ahead) < count:
            raise ConfigError("calendar", f"{self.venue} sessions are only loaded up to {self.sessions[-1]}")
        return ahead


def _build(venue: str, start: date, end: date) -> exchange_calendars.ExchangeCalendar:
    # Explicit bounds: the library's default is a rolling window that ends next year and begins 20 years ago.
    try:
        return exchange_calendars.get_calendar(venue, start=start.isoformat(), end=end.isoformat())
    except ValueError:
        # Some venues announce holidays for a year or two; a caller asks for at most two more.
        for year in (end.year - 1, end.year - 2):
            if date(year, 12, 31) > start:
                with suppress(ValueError):
                    return exchange_calendars.get_calendar(venue, start=start.isoformat(), end=f"{year}-12-31")
        raise
