"""Bars and macro series from a folder of files: `NAME.csv`, `NAME.csv.gz` or `NAME.parquet`.

Bars need a date and `Open, High, Low, Close, Volume`, in any case and order. `Dividends`, `Capital Gains` and
`Stock Splits` become actions, and prices are then taken as already split-adjusted, as Yahoo serves them; without those
columns prices are taken as traded. `Adj Close` and any other column is left alone. The three-line header of yfinance's
`download` is read by its Ticker line; nasdaq.com's dollars, with the month first, are known by its `Close/Last`.
Several bars a day become one a session, of those that start while the venue is open. A series is two columns, date and
value. A folder says nothing of venues, currencies or publication: the first and the last are configured.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from forecaster.calendars import trading_calendar
from forecaster.contract import SYMBOL, Frozen
from forecaster.errors import ConfigError, EmptyRange, NotListed
from forecaster.facts import BAR_FIELDS
from forecaster.spelling import guess
from forecaster.store.history import NO_CURRENCY
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

_ENDINGS = (".csv", ".csv.gz", ".parquet")
_THREE_LINES = ".multiheader"
_NASDAQ = "close/last"
_DATES = ("date", "datetime", "observation_date")
_CASH, _SPLITS = ("dividends", "capital gains"), "stock splits"
_OFFSET = r"(?:Z|[+-]\d\d:?\d\d)$"


class Release(Frozen):
    """When values of a series in a folder become known: `days` after the last day of their period."""

    frequency: Literal["D", "W-SAT", "W-FRI", "M", "Q"]
    """Length of a period, as pandas abbreviates it."""
    days: int = Field(ge=0)
    """From the last day of the period until the value is out; it counts from the following midnight, UTC."""


class FilesSource(Frozen):
    """`source = "files"`."""

    source: Literal["files"] = "files"
    folder: Path
    """Where the files are; a relative path counts from where the command runs."""
    venues: dict[str, str] = Field(default_factory=dict)
    """Symbol: venue, an ISO 10383 code; the others trade where the target does."""
    publications: dict[str, Release] = Field(default_factory=dict)
    """Series: when its values become known."""

    def open(self, around: Surroundings) -> "Files":
        """The folder.

        Raises:
            ConfigError: There is none.
        """
        if not self.folder.is_dir():
            problem = f"there is no folder {str(self.folder)!r} in {Path.cwd()}; make it, or name another one"
            raise ConfigError("[data] folder of source 'files'", problem)
        lags = {name: Publication(name, release.frequency, release.days) for name, release in self.publications.items()}
        return Files(self.folder, around.venue, self.venues, lags)


class Files:
    """A folder of bars and series."""

    name = "files"
    remote = False

    def __init__(
        self, folder: Path, venue: str, venues: Mapping[str, str], publications: Mapping[str, Publication]
    ) -> None:
        self._folder, self._venue, self._venues, self._publications = folder, venue, venues, publications

    def bars(self, symbol: str, since: date | None, now: datetime) -> Reply:
        """Bars and actions of the file, from `since` up to `now`.

        Raises:
            NotListed: No file of that name.
            EmptyRange: The file has no row in that range.
            ConfigError: The file cannot be read, or lacks a column.
        """
        path, venue = self._path(symbol), self._venues.get(symbol, self._venue)
        table = _read(path, symbol)
        _need(path, table, BAR_FIELDS)
        if table.empty:
            raise EmptyRange(self.name, symbol, f"{path} has a header and no row; add some, a session each")
        rows = _numbers(path, table, [*BAR_FIELDS, *(name for name in (*_CASH, _SPLITS) if name in table)])
        rows["session"], instants = _stamps(path, table)
        actions = _actions(rows)
        if instants is not None:
            rows = _by_session(rows.assign(instant=instants), venue)
        first = pd.Timestamp(since or date.min)
        bars, actions = (part[part["session"].between(first, pd.Timestamp(now.date()))] for part in (rows, actions))
        if bars.empty:
            span = f"from {since or 'its start'} to {now.date()}"
            raise EmptyRange(self.name, symbol, f"{path} has no row {span}; add some, a session each")
        return Reply(
            Listing(symbol, venue, NO_CURRENCY),
            bars[list(BAR_COLUMNS)].reset_index(drop=True),
            actions.reset_index(drop=True),
            split_adjusted=_SPLITS in table,
        )

    def observations(self, series: str, now: datetime) -> Published:
        """Values of the file, each with when it counts by the configured lag; blanks and "." are left out.

        Raises:
            NotListed: No file of that name.
            EmptyRange: The file has no value in that range.
            ConfigError: The file cannot be read or is no series, or no publication is configured for it.
        """
        path = self._path(series)
        if series not in self._publications:
            remedy = f'publications.{series} = {{ frequency = "M", days = 14 }}'
            raise ConfigError(path, f"nothing says when its values become known; write e.g. {remedy} beside its folder")
        table = _read(path, series)
        column = next((name for name in ("value", series.lower()) if name in table), "value")
        _need(path, table, [column])
        values = _numbers(path, table, [column])[column]
        periods, _ = _stamps(path, table)
        known_at = self._publications[series].known_at(periods)
        found = pd.DataFrame(dict(zip(OBSERVATION_COLUMNS, (periods, known_at, values), strict=True))).dropna()
        if found.empty:
            raise EmptyRange(self.name, series, f"{path} has no value; add some, a period each")
        return Published(series, found.sort_values("period").reset_index(drop=True), recorded=False)

    def _path(self, name: str) -> Path:
        known = self._listed()
        if not SYMBOL.fullmatch(name) or name not in known:
            shown = ", ".join(sorted(known)[:10]) + (f" and {len(known) - 10} more" if len(known) > 10 else "")
            there = f"{guess(name, known) or ';'} the folder has {shown or 'none'}"
            wanted = f"{name}.csv, {name}.csv.gz or {name}.parquet" if SYMBOL.fullmatch(name) else "of that name"
            problem = f"no file {wanted} in {self._folder}{there}"
            raise NotListed(self.name, name, f"{problem}; name the file as the symbol, in capitals")
        return known[name]

    def _listed(self) -> dict[str, Path]:
        """Path by symbol or series."""
        listed: dict[str, Path] = {}
        for ending in _ENDINGS:
            for path in sorted(one for one in self._folder.glob(f"*{ending}") if one.is_file()):
                stem = path.name.removesuffix(ending)
                names = _tickers(path) if stem.endswith(_THREE_LINES) else [stem]
                listed |= dict.fromkeys(names, path)
        return listed


def _tickers(path: Path) -> list[str]:
    """Symbols of a file with a three-line header, whose own name cannot hold `=` or `^` everywhere."""
    head = pd.read_csv(path, header=None, nrows=2, dtype=str)
    return sorted(set(head.iloc[1, 1:].dropna()))


def _read(path: Path, name: str) -> pd.DataFrame:
    """The table with column names in lower case; of a three-line header, the columns of one symbol."""
    try:
        table = pd.read_parquet(path).reset_index() if path.suffix == ".parquet" else pd.read_csv(path, dtype=str)
    except pd.errors.EmptyDataError as error:
        raise ConfigError(path, "is empty; write a header and a row a session") from error
    except UnicodeDecodeError as error:
        encoding = "utf-16" if path.read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp1252"
        remedy = (
            f"save it as CSV in UTF-8, or read it by pandas.read_csv(..., encoding={encoding!r}) and write it again"
        )
        raise ConfigError(path, f"is no text in UTF-8; {remedy}") from error
    except (OSError, ValueError, EOFError) as error:
        what = "Parquet" if path.suffix == ".parquet" else "a table"
        remedy = "write it again with pandas" if path.suffix == ".parquet" else "mend that line"
        raise ConfigError(path, f"cannot be read as {what}: {str(error).splitlines()[0][:160]}; {remedy}") from error
    if table.columns[0] == "Price" and len(table) > 1 and table.iloc[0, 0] == "Ticker":
        mine = [0, *(np.flatnonzero(table.iloc[0, 1:] == name) + 1)]
        table = table.iloc[2:, mine].rename(columns={"Price": "date"}).reset_index(drop=True)
        table.columns = table.columns.str.replace(r"\.\d+$", "", regex=True)  # several symbols: pandas numbers them
    table.columns = [str(column).strip().lower() for column in table.columns]
    return _of_nasdaq(table) if _NASDAQ in table and "date" in table else table


def _of_nasdaq(table: pd.DataFrame) -> pd.DataFrame:
    """A table as nasdaq.com writes it, with dollar signs and the month first, in our words."""
    cells = pd.DataFrame({name: cells.str.strip().str.removeprefix("$") for name, cells in table.astype(str).items()})
    cells["date"] = cells["date"].str.replace(r"^(\d\d)/(\d\d)/(\d{4})$", r"\3-\1-\2", regex=True)
    return cells.rename(columns={_NASDAQ: "close"})


def _need(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Check that the columns and a date are there; the one place where a file's header is judged."""
    found = ", ".join(map(str, table.columns))
    missing = [column for column in columns if column not in table]
    if not set(_DATES) & set(table):
        missing.insert(0, "date")
    if not missing:
        return
    parted = next((mark for mark in ";\t|" if mark in found), None)
    if parted and len(table.columns) == 1:
        how = f"pandas.read_csv(..., sep={parted!r}{', decimal=' + repr(',') if parted == ';' else ''})"
        problem = f"has its columns parted by {parted!r}, not by commas"
        raise ConfigError(path, f"{problem}; read it by {how} and write it again with to_csv(..., index=False)")
    zero = " (0 where there is none)" if "volume" in missing else ""
    remedy = f"rename or add {'it' if len(missing) == 1 else 'them'} in the file{zero}"
    raise ConfigError(path, f"has no column {', '.join(missing)}; it has {found}; {remedy}")


def _numbers(path: Path, table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The columns as floats; blanks and "." are missing values."""
    cells = table[columns].replace(r"^\s*\.?\s*$", np.nan, regex=True)
    try:
        return cells.astype(float)
    except (ValueError, TypeError) as error:
        for column in columns:
            bad = cells[column][cells[column].notna() & pd.to_numeric(cells[column], errors="coerce").isna()]
            if len(bad):
                where = f"{str(bad.iloc[0])[:32]!r} in column {column}, row {bad.index[0] + 1}"
                remedy = (
                    "write it like 1234.5, with a point and without thousands separators, currency or percent signs"
                )
                raise ConfigError(path, f"has {where}, which is no number; {remedy}") from error
        raise ConfigError(path, f"has something else than a number: {error}; write numbers like 1234.5") from error


def _stamps(path: Path, table: pd.DataFrame) -> "tuple[pd.Series[pd.Timestamp], pd.Series[pd.Timestamp] | None]":
    """The date of each row where the exchange is, and where a date has several times of day, their instants (UTC)."""
    name = next(name for name in _DATES if name in table)
    text = table[name].astype(str).str.strip()
    days = pd.to_datetime(text.str.slice(0, 10), format="%Y-%m-%d", errors="coerce")
    if days.isna().any():
        row = int(days.isna().to_numpy().argmax())
        remedy = "write the year first, as pandas does after pandas.to_datetime(..., dayfirst=True or False)"
        problem = f"has {text.iloc[row][:32]!r} in column {name}, row {row + 1}, and no date like 2024-12-31; {remedy}"
        raise ConfigError(path, problem)
    times = text.str.slice(11, 19)
    if not (days.duplicated() & (times != times.iloc[0])).any():
        return days, None
    if not text.str.contains(_OFFSET, regex=True).all():
        remedy = "write them like 2024-12-31 09:30:00-05:00, or one bar a day"
        raise ConfigError(path, f"has several bars a day and no UTC offset in their times; {remedy}")
    try:
        return days, pd.to_datetime(text, utc=True, format="ISO8601")
    except ValueError as error:
        raise ConfigError(path, "has a time that is not like 2024-12-31 09:30:00-05:00; write it so") from error


def _actions(rows: pd.DataFrame) -> pd.DataFrame:
    """ACTION_COLUMNS of the rows' cash and split columns."""
    none = pd.Series(0.0, index=rows.index)
    kinds = {"dividend": sum((rows[name].fillna(0.0) for name in _CASH if name in rows), none)}
    kinds["split"] = rows[_SPLITS].fillna(0.0) if _SPLITS in rows else none
    parts = [
        rows.loc[value != 0.0, ["session"]].assign(kind=kind, value=value[value != 0.0])
        for kind, value in kinds.items()
    ]
    return pd.concat(parts)[list(ACTION_COLUMNS)].sort_values("session", kind="stable").reset_index(drop=True)


def _by_session(rows: pd.DataFrame, venue: str) -> pd.DataFrame:
    """One bar a session of the bars that start while the venue is open; one that lacks a number lacks it too."""
    rows = rows.sort_values("instant", kind="stable")
    first, last = rows["session"].iloc[0].date(), rows["session"].iloc[-1].date()
    calendar = trading_calendar(venue, first - timedelta(days=7), last + timedelta(days=7))
    starts = rows["instant"].dt.tz_localize(None).to_numpy()
    at = np.searchsorted(calendar.opens, starts, side="right") - 1
    inside = starts < calendar.closes[at]
    rows = rows[inside].assign(session=pd.DatetimeIndex(calendar.sessions[at[inside]].astype("datetime64[s]")))
    grouped = rows.groupby("session")
    bars = grouped.agg(open=("open", "first"), high=("high", "max"), low=("low", "min"),
                       close=("close", "last"), volume=("volume", "sum"))  # fmt: skip
    broken = rows.loc[rows[list(BAR_FIELDS)].isna().any(axis=1), "session"]
    bars.loc[bars.index.isin(broken)] = np.nan
    return bars.reset_index()
