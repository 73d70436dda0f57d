"""What every source gives: raw rows in fixed columns, and the rule by which they became known."""

from dataclasses import dataclass
from typing import Protocol

import pandas as pd


@dataclass(frozen=True)
class Listing:
    """Where a symbol trades."""

    symbol: str
    venue: str
    """ISO 10383 code that exchange_calendars knows."""
    currency: str


@dataclass(frozen=True)
class Publication:
    """When a macro value becomes known: `days` after the last day of its period, from the following midnight UTC.

    A publication date is only known to the day, so a value counts from the session after it.
    """

    series: str
    frequency: str
    """pandas period alias: "D" or "M"."""
    days: int

    def known_at(self, periods: "pd.Series[pd.Timestamp]") -> "pd.Series[pd.Timestamp]":
        """UTC instant from which each period's value counts [N]."""
        ends = periods.dt.to_period(self.frequency).dt.end_time.dt.normalize()
        return (ends + pd.Timedelta(days=self.days + 1)).dt.tz_localize("UTC")


class Source(Protocol):
    """A place that knows bars of symbols and observations of series."""

    name: str

    def listing(self, symbol: str) -> Listing:
        """Raises UnknownSymbol."""

    def publication(self, series: str) -> Publication:
        """Raises UnknownSymbol."""

    def bars(self, symbol: str) -> pd.DataFrame:
        """Columns `session, open, high, low, close, volume`, prices as traded. Raises UnknownSymbol."""

    def observations(self, series: str) -> pd.DataFrame:
        """Columns `period, value`; missing values left out. Raises UnknownSymbol."""
