"""Real daily data that ships inside the `arch` package: works offline, ends in December 2018.

S&P 500 and NASDAQ Composite 1999-2018 (OHLCV), WTI spot 1986-2019, VIX 2014-2019, core CPI 1957-2018 and Moody's AAA
and BAA yields 1919-2018. The macro series are the latest vintage, so their publication dates are *stated*, not
recorded: the lags below are on the late side of what the agencies keep to.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import pandas as pd
from arch.data import core_cpi, default, nasdaq, sp500, vix, wti

from forecaster.errors import UnknownSymbol
from pipelines.sources.base import Listing, Publication

_BARS: Mapping[str, Callable[[], pd.DataFrame]] = MappingProxyType({"^GSPC": sp500.load, "^IXIC": nasdaq.load})
_LISTINGS: Mapping[str, Listing] = MappingProxyType(
    {"^GSPC": Listing("^GSPC", "XNYS", "USD"), "^IXIC": Listing("^IXIC", "XNAS", "USD")}
)
# series: (loader, its column, publication)
_SERIES: Mapping[str, tuple[Callable[[], pd.DataFrame], str, Publication]] = MappingProxyType(
    {
        # EIA releases on Wednesdays the days up to Monday.
        "DCOILWTICO": (wti.load, "DCOILWTICO", Publication("DCOILWTICO", "D", 9)),
        "VIXCLS": (vix.load, "vix", Publication("VIXCLS", "D", 1)),
        # BLS: 10th to 20th of the following month.
        "CPILFESL": (core_cpi.load, "CPILFESL", Publication("CPILFESL", "M", 21)),
        # Moody's monthly averages: first days of the following month.
        "AAA": (default.load, "AAA", Publication("AAA", "M", 7)),
        "BAA": (default.load, "BAA", Publication("BAA", "M", 7)),
    }
)


class Sample:
    """The offline default source."""

    name = "sample"

    def listing(self, symbol: str) -> Listing:
        if symbol not in _LISTINGS:
            raise UnknownSymbol(symbol, _LISTINGS)
        return _LISTINGS[symbol]

    def publication(self, series: str) -> Publication:
        if series not in _SERIES:
            raise UnknownSymbol(series, _SERIES)
        return _SERIES[series][2]

    def bars(self, symbol: str) -> pd.DataFrame:
        self.listing(symbol)
        frame = _BARS[symbol]().rename(columns=str.lower).rename_axis("session").reset_index()
        return frame[["session", "open", "high", "low", "close", "volume"]].astype({"volume": float})

    def observations(self, series: str) -> pd.DataFrame:
        self.publication(series)
        load, column, _ = _SERIES[series]
        frame = load()[column].rename("value").rename_axis("period").reset_index()
        return frame.dropna().reset_index(drop=True)
