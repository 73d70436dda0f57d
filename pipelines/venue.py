"""The sessions of a run's venue around what is known of a symbol."""

from datetime import timedelta
from typing import Protocol

import numpy as np

from forecaster.calendars import trading_calendar
from forecaster.contract import Target, WindowSpec
from forecaster.errors import NoHistory
from forecaster.facts import Facts
from forecaster.sessions import Calendar
from pipelines.plugins import FeaturesConfig

_AHEAD = timedelta(days=400)  # sessions that a calendar must know beyond the last bar


class Reads(Protocol):
    """How facts are read: what of a run decides its windows."""

    @property
    def target(self) -> Target: ...

    @property
    def window(self) -> WindowSpec: ...

    @property
    def features(self) -> FeaturesConfig: ...


def calendar_of(facts: Facts, config: Reads, symbol: str) -> Calendar:
    """The target's venue, from a symbol's first row to a year past its last.

    Raises:
        NoHistory: The symbol has no rows.
    """
    dates = facts.about(symbol).date
    if not len(dates):
        raise NoHistory(symbol)
    first, last = (np.datetime64(edge, "D").astype(object) for edge in (dates.min(), dates.max()))
    return trading_calendar(config.target.venue, first - timedelta(days=7), last + _AHEAD)
