"""The sessions of a run's venue around what is known of a symbol."""

from datetime import date, timedelta
from typing import Protocol

import numpy as np
from sqlalchemy import Engine

from forecaster.contract import Target, WindowSpec
from forecaster.errors import NoHistory
from forecaster.facts import Facts
from forecaster.rules import rules_of
from forecaster.sessions import Calendar
from forecaster.store.calendars import Rules, find_calendar, keep_calendar
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
    from forecaster.calendars import trading_calendar

    return trading_calendar(config.target.venue, *_span(facts, symbol))


def kept_calendar(engine: Engine, facts: Facts, config: Reads, symbol: str) -> Calendar:
    """The same from the store, where it was worked out by what would work it out now; else it is, and is kept.

    To the end of its last year, so that a new bar is no reason to work it out again.

    Raises:
        NoHistory: The symbol has no rows.
    """
    venue, (start, end) = config.target.venue, _span(facts, symbol)
    kept = find_calendar(engine, venue, start, end)
    if kept is not None:
        return kept
    from forecaster.calendars import time_zone, trading_calendar  # with pandas a third of the time of a forecast

    until, zone = date(end.year, 12, 31), time_zone(venue)
    calendar = trading_calendar(venue, start, until)
    keep_calendar(engine, calendar, Rules(start, until, zone, rules_of(zone)))
    return calendar.between(np.datetime64(start), np.datetime64(end))


def _span(facts: Facts, symbol: str) -> tuple[date, date]:
    dates = facts.about(symbol).date
    if not len(dates):
        raise NoHistory(symbol)
    first, last = (np.datetime64(edge, "D").astype(object) for edge in (dates.min(), dates.max()))
    return first - timedelta(days=7), last + _AHEAD
