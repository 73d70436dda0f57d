"""What every source gives: raw rows in fixed columns, and when they became known.

A source tells what its vendor said, faults included; `pipelines.quality` decides what is believed. It raises a
`SourceError` of the kind that fits, never a client library's own exception, and puts no key or URL into a message.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

import pandas as pd

BAR_COLUMNS = ("session", "open", "high", "low", "close", "volume")
ACTION_COLUMNS = ("session", "kind", "value")
OBSERVATION_COLUMNS = ("period", "known_at", "value")


@dataclass(frozen=True)
class Listing:
    """Where a symbol trades, as the source's own reply says."""

    symbol: str
    venue: str
    """ISO 10383 code that exchange_calendars knows."""
    currency: str
    """As the source writes it (GBp is not GBP); `NO_CURRENCY` where it does not say."""


@dataclass(frozen=True)
class Reply:
    """What a source said about one symbol."""

    listing: Listing
    bars: pd.DataFrame
    """BAR_COLUMNS: naive midnights and floats, in the source's order; NaN and repeated sessions are left in."""
    actions: pd.DataFrame
    """ACTION_COLUMNS: ex-date, "split" (new shares for one old) or "dividend" (cash a share)."""
    split_adjusted: bool
    """Whether prices, volumes and dividends before a split of this reply are already in shares of after it."""


@dataclass(frozen=True)
class Published:
    """What a source said about one macro series."""

    series: str
    observations: pd.DataFrame
    """OBSERVATION_COLUMNS: first day of the period, UTC instant from which the value counts, value. Missing values are
    left out. A period appears once for each value it has had, with the instant each became known."""
    recorded: bool
    """Whether `known_at` comes from an archive of what was published when; else it is assumed from a stated lag."""


class BarSource(Protocol):
    """A place that knows bars of symbols."""

    name: str
    remote: bool
    """Whether asking costs a request over a network."""

    def bars(self, symbol: str, since: date | None, now: datetime) -> Reply:
        """Bars and actions from `since` (None: from the first there is) up to `now`.

        Raises:
            SourceError: Of the kind that fits.
        """


class SeriesSource(Protocol):
    """A place that knows observations of macro series."""

    name: str
    remote: bool

    def observations(self, series: str, now: datetime) -> Published:
        """Every observation there is at `now`, all periods: statistics offices revise years back.

        One that by its rule counts only later is given as well. If it is revised until then, the store has seen it, and
        the revision counts right after what it replaces.

        Raises:
            SourceError: Of the kind that fits.
        """


@dataclass(frozen=True)
class Surroundings:
    """What a source may need that does not belong into a run file."""

    venue: str
    """Of the run's target: where symbols trade of which a source cannot say it."""
    cache: Path
    """Private folder for what a client keeps between calls (cookies, time zones); made when needed."""
    environment: Mapping[str, str]
    """Where secrets come from: NAME, or NAME_FILE for a file that holds it."""


@dataclass(frozen=True)
class Publication:
    """When a macro value becomes known: `days` after the last day of its period, from the following midnight UTC.

    A publication date is only known to the day, so a value counts from the session after it.
    """

    series: str
    frequency: str
    """pandas period alias: "D", "W-SAT", "M" or "Q"."""
    days: int

    def known_at(self, periods: "pd.Series[pd.Timestamp]") -> "pd.Series[pd.Timestamp]":
        """UTC instant from which each period's value counts [N]."""
        ends = periods.dt.to_period(self.frequency).dt.end_time.dt.normalize()
        return (ends + pd.Timedelta(days=self.days + 1)).dt.tz_localize("UTC")
