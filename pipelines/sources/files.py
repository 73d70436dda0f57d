"""Bars from a folder of files, one a symbol: `SYMBOL.csv`, `SYMBOL.csv.gz` or `SYMBOL.parquet`.

Columns `Date, Open, High, Low, Close, Volume` in any case and order; others are left alone. Prices are taken as traded.
The folder says nothing about venues, so all its symbols are taken to trade at the target's.
"""

from pathlib import Path

import pandas as pd

from forecaster.contract import SYMBOL
from forecaster.errors import ConfigError, UnknownSymbol
from forecaster.facts import BAR_FIELDS
from pipelines.sources.base import Listing, Publication

_ENDINGS = (".csv", ".csv.gz", ".parquet")


class Files:
    """A folder of bars."""

    name = "files"

    def __init__(self, folder: Path, venue: str) -> None:
        self._folder, self._venue = folder, venue

    def listing(self, symbol: str) -> Listing:
        self._path(symbol)
        return Listing(symbol, self._venue, "unknown")

    def publication(self, series: str) -> Publication:
        raise UnknownSymbol(series, ())

    def bars(self, symbol: str) -> pd.DataFrame:
        path = self._path(symbol)
        frame = pd.read_parquet(path).reset_index() if path.suffix == ".parquet" else pd.read_csv(path)
        frame = frame.rename(columns=lambda column: str(column).strip().lower())
        missing = {"date", *BAR_FIELDS} - set(frame.columns)
        if missing:
            raise ConfigError(path, f"has no column {', '.join(sorted(missing))}; it has {', '.join(frame.columns)}")
        frame["session"] = pd.to_datetime(frame["date"]).dt.tz_localize(None).dt.normalize()
        twice = frame["session"].duplicated()
        if twice.any():
            raise ConfigError(path, f"has {frame.loc[twice, 'session'].iloc[0].date()} twice")
        return frame[["session", *BAR_FIELDS]].astype(dict.fromkeys(BAR_FIELDS, float)).sort_values("session")

    def observations(self, series: str) -> pd.DataFrame:
        raise UnknownSymbol(series, ())

    def _path(self, symbol: str) -> Path:
        known = {path.name.removesuffix(end): path for end in _ENDINGS for path in self._folder.glob(f"*{end}")}
        if not SYMBOL.fullmatch(symbol) or symbol not in known:
            raise UnknownSymbol(symbol, known)
        return known[symbol]
