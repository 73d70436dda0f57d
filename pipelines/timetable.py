"""Timetable: which sessions somebody has to see to, from the calendar, the time and what was seen to before.

A session is due a while after its cut-off. It is counted by its date, never by the hours since the last run: a clock
that jumps, a change to summer time or a half day neither skips one nor repeats it.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np

from forecaster.sessions import Calendar
from pipelines.config import RunConfig
from pipelines.coverage import calendar_around, naive
from pipelines.work.runs import Policy


@dataclass(frozen=True)
class Timetable:
    """When a venue's sessions are due."""

    calendar: Calendar
    delay: timedelta
    """After the cut-off."""

    def due_at(self, session: date) -> datetime:
        """When a session is due."""
        cutoff: datetime = self.calendar.cutoffs[self._row(session)].item()
        return cutoff.replace(tzinfo=UTC) + self.delay

    def over_at(self, session: date) -> datetime:
        """When the next session closes: what is said of it afterwards is no forecast any more."""
        close: datetime = self.calendar.closes[self._row(session) + 1].item()
        return close.replace(tzinfo=UTC)

    def between(self, first: date, last: date) -> list[date]:
        """Sessions from `first` to `last`, both included."""
        days: list[date] = self.calendar.between(np.datetime64(first), np.datetime64(last)).sessions.tolist()
        return days

    def since(self, before: date, session: date) -> int:
        """How many sessions lie after `before`, up to `session`."""
        days = self.calendar.sessions
        return int(((days > np.datetime64(before)) & (days <= np.datetime64(session))).sum())

    def latest(self, now: datetime) -> date | None:
        """The newest session that is due."""
        due = np.flatnonzero(self.calendar.cutoffs <= np.datetime64(naive(now - self.delay)))
        session: date | None = self.calendar.sessions[due[-1]].item() if len(due) else None
        return session

    def next(self, now: datetime) -> datetime:
        """When the next session is due."""
        return self.due_at(
            self.calendar.sessions[self.calendar.cutoffs > np.datetime64(naive(now - self.delay))][0].item()
        )

    def at(self, moment: datetime) -> date:
        """The newest session that was due at a moment; its day where that lies before all sessions."""
        return self.latest(moment) or moment.date()

    def missed(self, after: date | None, now: datetime, policy: Policy, began: datetime) -> list[date]:
        """Sessions to see to now, in order.

        Arguments:
            after: The newest that was seen to; None where none was.
            policy: Of those that fell due while nobody looked: the latest, all, or none of them.
            began: Since when somebody has looked.
        """
        latest = self.latest(now)
        if latest is None or (after is not None and latest <= after):
            return []
        if policy == "none":
            return [latest] if self.due_at(latest) >= began else []
        if policy == "latest" or after is None:
            return [latest]
        return self.between(after + timedelta(days=1), latest)

    def _row(self, session: date) -> int:
        return int(np.searchsorted(self.calendar.sessions, np.datetime64(session)))


def timetable_of(config: RunConfig, first: date, last: date) -> Timetable:
    """A run's venue over the years of a span, and a little past it.

    Raises:
        ConfigError: exchange_calendars has no such venue, or does not reach back that far.
    """
    return Timetable(calendar_around(config.target.venue, first, last), timedelta(minutes=config.jobs.delay_minutes))
