"""Sessions of a venue, as numbers: what a panel stands on.

A session is a naive date; an instant is UTC. A session's *cut-off* is the moment from which its bar counts as settled
and known: the close plus `SETTLE`, half days included. Forecasts from origin t use what was known at t's cut-off.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

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
