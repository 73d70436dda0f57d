"""Real daily data that ships inside the `arch` package: works offline, ends in December 2018.

S&P 500 and NASDAQ Composite 1999-2018 (OHLCV), WTI spot 1986-2019, VIX 2014-2019, core CPI 1957-2018 and Moody's AAA
and BAA yields 1919-2018. The macro series are the latest vintage, so their publication dates are *stated*, not
recorded: the lags below are on the late side of what the agencies keep to.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Literal

import pandas as pd

from forecaster.contract import Frozen
from forecaster.errors import NotListed
from forecaster.spelling import guess
from pipelines.sources.base import (
    ACTION_COLUMNS,
    BAR_COLUMNS,
    OBSERVATION_COLUMNS,
    Listing,
    Publication,
    Published,
    Reply,
    Surroundings,
)

_LISTINGS: Mapping[str, Listing] = MappingProxyType(
    {"^GSPC": Listing("^GSPC", "XNYS", "USD"), "^IXIC": Listing("^IXIC", "XNAS", "USD")}
)
_PUBLICATIONS: Mapping[str, Publication] = MappingProxyType(
    {
        # EIA releases on Wednesdays the days up to Monday.
        "DCOILWTICO": Publication("DCOILWTICO", "D", 9),
        # The next business day: the Tuesday after a long weekend is four days after its Friday.
        "VIXCLS": Publication("VIXCLS", "D", 4),
        # BLS: 10th to 20th of the following month.
        "CPILFESL": Publication("CPILFESL", "M", 21),
        # Moody's monthly averages: first days of the following month.
        "AAA": Publication("AAA", "M", 7),
        "BAA": Publication("BAA", "M", 7),
    }
)


def _bars(symbol: str) -> pd.DataFrame:
    from arch.data import nasdaq, sp500  # costs a second, which only a fetch needs to pay

    table: pd.DataFrame = {"^GSPC": sp500, "^IXIC": nasdaq}[symbol].load()
    return table


def _values(series: str) -> "pd.Series[float]":
    from arch.data import core_cpi, default, vix, wti

    modules = {"DCOILWTICO": wti, "VIXCLS": vix, "CPILFESL": core_cpi, "AAA": default, "BAA": default}
    column: pd.Series[float] = modules[series].load()[{"VIXCLS": "vix"}.get(series, series)]
    return column


class SampleSource(Frozen):
    """`source = "sample"`."""

    source: Literal["sample"] = "sample"

    def open(self, around: Surroundings) -> "Sample":
        return Sample()


class Sample:
    """The offline default source."""

    name = "sample"
    remote = False

    def bars(self, symbol: str, since: date | None, now: datetime) -> Reply:
        if symbol not in _LISTINGS:
            raise NotListed(self.name, symbol, f"no such symbol{_instead(symbol, _LISTINGS)}")
        frame = _bars(symbol).rename(columns=str.lower).rename_axis("session").reset_index()
        frame = frame[list(BAR_COLUMNS)].astype({"volume": float})
        if since is not None:
            frame = frame[frame["session"] >= pd.Timestamp(since)]
        return Reply(_LISTINGS[symbol], frame, pd.DataFrame(columns=list(ACTION_COLUMNS)), split_adjusted=False)

    def observations(self, series: str, now: datetime) -> Published:
        if series not in _PUBLICATIONS:
            raise NotListed(self.name, series, f"no such series{_instead(series, _PUBLICATIONS)}")
        frame = _values(series).rename("value").rename_axis("period").reset_index().dropna().reset_index(drop=True)
        frame["known_at"] = _PUBLICATIONS[series].known_at(frame["period"])
        return Published(series, frame[list(OBSERVATION_COLUMNS)], recorded=False)


def _instead(name: str, known: Iterable[str]) -> str:
    near = guess(name, known) or ";"
    return f"{near} it has {', '.join(sorted(known))}; write one of these, or another source in [data]"
