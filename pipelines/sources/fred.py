"""FRED and its archive ALFRED: macro series, with a key as they looked on every day, without one as they look now.

With a key every value comes with the day it was first published (`realtime_start`), so revisions are seen when they
were made. An archive begins later than its series (DGS10 reaches back to 1962, its vintages do not): what had been
published before counts from the archive's first day, late rather than early.

Without a key there is only the newest value of each period, and the lag table below. Values that were revised since are
then seen too early, and a release that a shutdown put off is too: `recorded` is false.

References:
    https://fred.stlouisfed.org/docs/api/fred/series_observations.html
    https://fred.stlouisfed.org/docs/api/fred/series_vintagedates.html
"""

import csv
import io
import logging
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal

import pandas as pd
import requests
from pydantic import SecretStr

from forecaster.contract import Frozen
from forecaster.errors import (
    EmptyRange,
    NotListed,
    RateLimited,
    ReplyRefused,
    SourceTemporary,
)
from forecaster.hidden import secret
from pipelines.sources.base import OBSERVATION_COLUMNS, Publication, Published, Surroundings
from pipelines.sources.patience import Limits, Patience, no_way

log = logging.getLogger(__name__)

LIMITS = Limits(per_minute=60, deadline=180.0, attempts=4, first_wait=2.0)
"""Half of the 120 requests a minute that FRED allows a key."""

PUBLICATIONS: Mapping[str, Publication] = MappingProxyType(
    {
        name: Publication(name, frequency, days)
        for names, frequency, days in (
            # The next business day: the Tuesday after a long weekend is four days after its Friday.
            ("DGS10 DGS2 T10Y2Y VIXCLS BAMLH0A0HYM2", "D", 4),
            ("SP500", "D", 1),
            # H.10 brings a week on the Monday after, on Tuesday where that is a holiday.
            ("DTWEXBGS", "D", 8),
            # EIA releases on Wednesdays, or a day later, the days up to Monday.
            ("DCOILWTICO", "D", 9),
            # The Thursday after the Saturday that ends the week.
            ("ICSA", "W-SAT", 7),
            ("FEDFUNDS AAA BAA", "M", 7),
            ("UNRATE PAYEMS", "M", 14),
            ("CPIAUCSL CPILFESL INDPRO", "M", 21),
            # The last Tuesday of the second month after.
            ("CSUSHPINSA", "M", 62),
            # First estimates took 25 to 32 days; 38, 54 and 59 around the shutdowns of 2013, 1995/96 and 2018/19.
            ("GDP GDPC1", "Q", 35),
        )
        for name in names.split()
    }
)
"""When a value is in FRED at the latest, shutdowns aside; for series of which no vintages can be read."""

_SERIES = re.compile(r"[A-Z0-9_]{1,40}")
_MOST_VINTAGES = 2000
"""What one request may span; a daily series has some five thousand."""
_PAGE = 100_000
_MOST_DATES = 10_000
_MISSING = "."
_ARCHIVED = ("period", "published", "value")
_NEWEST = ("period", "value")


class FredSource(Frozen):
    """Macro series of the Federal Reserve Bank of St. Louis."""

    source: Literal["fred"] = "fred"
    start: date = date(1990, 1, 1)
    """First period asked for."""

    def open(self, around: Surroundings) -> "Fred":
        """The source, with the key of FRED_API_KEY or of the file that FRED_API_KEY_FILE names, if there is one."""
        return Fred(self.start, secret(around.environment, "FRED_API_KEY"), Patience(LIMITS))


class Fred:
    """FRED over HTTP; see the module for what a key changes."""

    name = "fred"
    remote = True

    def __init__(
        self,
        start: date,
        key: str | None,
        patience: Patience,
        session: requests.Session | None = None,
        api: str = "https://api.stlouisfed.org",
        graph: str = "https://fred.stlouisfed.org",
    ) -> None:
        self._start, self._patience, self._api, self._graph = start, patience, api, graph
        self._key = SecretStr(key) if key else None
        self._session = session or requests.Session()
        self._warned: set[str] = set()
        if self._key:
            _hide_keys()

    def observations(self, series: str, now: datetime) -> Published:
        """Every value there is at `now` of periods from the source's start on; with a key, every one there has been.

        Raises:
            NotListed: FRED has no such series, or nothing says when its values became known.
            EmptyRange: No value since the source's start was known at `now`.
            RateLimited, ReplyRefused, SourceTemporary: As FRED's answer says; a refused key is the second.
        """
        if not _SERIES.fullmatch(series):
            raise NotListed(self.name, series, "is not the name of a series")
        if self._key is None:
            self._require_lag(series)
        return self._patience.call(self.name, series, lambda: self._published(series, now))

    def _published(self, series: str, now: datetime) -> Published:
        recorded = False
        if self._key is None:
            frame = _lagged(PUBLICATIONS[series], self._newest_keyless(series))
        else:
            try:
                frame, recorded = self._archived(series, now), True
            except _NoVintages:
                newest = self._newest(series)  # asked first: it tells a series that does not exist at all
                frame = _lagged(self._stated_lag(series), newest)
        if recorded:
            frame = frame[frame["known_at"] <= pd.Timestamp(now)]
        if frame.empty:
            raise EmptyRange(self.name, series, f"has no value since {self._start} that is known by {now.date()}")
        return Published(series, frame[list(OBSERVATION_COLUMNS)].reset_index(drop=True), recorded)

    def _archived(self, series: str, now: datetime) -> pd.DataFrame:
        """Each value with the day it was first published."""
        dates = self._vintage_dates(series)
        windows = [window for window in _windows(dates) if window[0] <= now.date()]
        parts = []
        for opens, closes in windows:
            span = {"realtime_start": str(opens), "realtime_end": str(closes), "observation_start": str(self._start)}
            parts.append(self._values(series, span))
        frame = _changes([self._frame(series, [], _ARCHIVED), *parts])
        # Only the date of a publication is known: its value counts from the following midnight UTC.
        frame["known_at"] = (frame["published"] + pd.Timedelta(days=1)).dt.tz_localize("UTC")
        # A value withdrawn later ("." after a number) leaves no row: reads go on seeing the last one published, as
        # whoever had read it would. It is stale then, but it is nothing from the future.
        return frame.dropna(subset="value")

    def _vintage_dates(self, series: str) -> list[date]:
        """The days, ascending, on which anything of the series was published or revised."""
        found = self._pages(series, "vintagedates", "vintage_dates", _MOST_DATES)
        if not found:
            raise _NoVintages
        try:
            return sorted(date.fromisoformat(one) for one in found)
        except (ValueError, TypeError):
            raise self._malformed(series) from None

    def _newest(self, series: str) -> pd.DataFrame:
        return self._values(series, {"observation_start": str(self._start)}).dropna(subset="value")

    def _newest_keyless(self, series: str) -> pd.DataFrame:
        """The newest value of each period from the graph's download, which needs no key."""
        reply = self._get(series, f"{self._graph}/graph/fredgraph.csv", {"id": series, "cosd": str(self._start)})
        text = reply.text
        if reply.status_code == requests.codes.not_found:
            raise NotListed(self.name, series, "FRED has no such series")
        if reply.status_code != requests.codes.ok or not text.endswith("\n") or text.lstrip().startswith("<"):
            raise SourceTemporary(self.name, series, f"answered {reply.status_code} without a whole table")
        header = text.partition("\n")[0].strip().split(",")
        if header[1:] != [series]:
            raise ReplyRefused(self.name, series, f"the reply is about {','.join(header[1:])[:40] or 'nothing'}")
        return self._frame(series, list(csv.reader(io.StringIO(text)))[1:], _NEWEST).dropna()

    def _values(self, series: str, span: Mapping[str, str]) -> pd.DataFrame:
        """Columns `period`, `published` and `value` (NaN where missing) of an answer, all its pages."""
        rows = self._pages(series, "observations", "observations", _PAGE, span)
        try:
            triples = [(row["date"], row["realtime_start"], row["value"]) for row in rows]
        except (KeyError, TypeError):
            raise self._malformed(series) from None
        return self._frame(series, triples, _ARCHIVED)

    def _frame(self, series: str, rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> pd.DataFrame:
        """Rows of text as dates and a last column of numbers."""
        try:
            frame = pd.DataFrame(rows, columns=list(columns), dtype=object)
            dates = pd.DataFrame({name: pd.to_datetime(frame[name], format="%Y-%m-%d") for name in columns[:-1]})
            value = pd.to_numeric(frame["value"].replace({_MISSING: None, "": None})).astype(float)
        except (ValueError, TypeError):
            raise self._malformed(series) from None
        if dates.isna().any(axis=None):
            raise self._malformed(series)
        return dates.assign(value=value)

    def _pages(
        self, series: str, path: str, member: str, most: int, span: Mapping[str, str] = MappingProxyType({})
    ) -> list[Any]:
        """All entries of a list that comes in pages of `most`."""
        entries: list[Any] = []
        while True:
            page = self._ask(series, path, {**span, "limit": str(most), "offset": str(len(entries))})
            if not isinstance(page.get(member), list) or not isinstance(page.get("count"), int):
                raise self._malformed(series)
            entries += page[member]
            if len(entries) >= page["count"]:
                return entries
            if not page[member]:
                raise SourceTemporary(self.name, series, "its reply ends before all it announced")

    def _ask(self, series: str, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        """One JSON answer of the API."""
        query = {"series_id": series, "file_type": "json", **params}
        reply = self._get(series, f"{self._api}/fred/series/{path}", query, self._key)
        payload, message = self._told(reply)
        if payload is not None:
            return payload
        if not message:
            raise SourceTemporary(self.name, series, f"answered {reply.status_code} with something that is not JSON")
        if "does not exist in ALFRED" in message:
            raise _NoVintages
        if "series does not exist" in message:
            raise NotListed(self.name, series, "FRED has no such series")
        if "variable api_key" in message.lower():
            problem = "FRED does not accept the API key; set FRED_API_KEY or FRED_API_KEY_FILE to a valid one"
            raise ReplyRefused(self.name, series, problem)
        raise ReplyRefused(self.name, series, f"FRED refused the request: {message[:160]}")

    def _told(self, reply: requests.Response) -> tuple[dict[str, Any] | None, str]:
        """The payload of a good answer; else the error message, without what it repeats of the request."""
        try:
            payload = reply.json()
        except ValueError:
            return None, ""
        if reply.status_code == requests.codes.ok and isinstance(payload, dict):
            return payload, ""
        message = str(payload.get("error_message", "")) if isinstance(payload, dict) else ""
        if self._key:
            message = message.replace(self._key.get_secret_value(), "...")
        return None, re.sub(r"\S*://\S*", "...", message)

    def _get(self, series: str, url: str, query: Mapping[str, str], key: SecretStr | None = None) -> requests.Response:
        """One request. What goes wrong is told in our words: a client's exception holds the address with the key."""
        self._patience.pace()
        try:
            reply = self._session.get(
                url,
                params={**query, "api_key": key.get_secret_value()} if key else query,
                timeout=self._patience.left() or 0.001,
                allow_redirects=False,  # nobody else is to see the key
            )
        except (requests.RequestException, OSError, ValueError) as error:
            failure = type(error).__name__
        else:
            if reply.status_code == requests.codes.too_many_requests:
                raise RateLimited(self.name, series, "FRED asks to be left alone (429); try again later")
            if reply.status_code >= requests.codes.server_error:
                raise SourceTemporary(self.name, series, f"answered {reply.status_code}")
            return reply
        raise SourceTemporary(self.name, series, no_way(failure))  # outside: nothing to chain to

    def _require_lag(self, series: str) -> None:
        """Refuse, before any request, a series whose values cannot be dated without a key."""
        if series not in PUBLICATIONS:
            reason = "no publication lag is stated for it"
            if series == "USREC":
                reason = "recessions are dated many months after they began"
            raise NotListed(self.name, series, f"{reason}; set FRED_API_KEY to read when its values were published")

    def _stated_lag(self, series: str) -> Publication:
        """The lag that stands in for vintages that a series does not have; said once."""
        if series not in PUBLICATIONS:
            raise NotListed(
                self.name, series, "ALFRED keeps no vintages of it, and no publication lag is stated for it"
            )
        if series not in self._warned:
            self._warned.add(series)
            log.warning("no vintages, publication lag assumed", extra={"subject": series})
        return PUBLICATIONS[series]

    def _malformed(self, series: str) -> SourceTemporary:
        return SourceTemporary(self.name, series, "its reply is malformed")


class _NoVintages(Exception):
    """ALFRED does not know the series; FRED may. Never leaves this file."""


def _windows(dates: Sequence[date]) -> list[tuple[date, date]]:
    """Spans of at most 2000 of the ascending vintage dates each, without a gap."""
    opens = dates[::_MOST_VINTAGES]
    return list(zip(opens, [*(day - timedelta(days=1) for day in opens[1:]), date.max], strict=True))


def _changes(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The values of adjacent windows as if asked for at once.

    A window shows a value that is older than itself as published on its own first day. ALFRED lists a value again only
    when it changes, so one that repeats its period's last is such a leftover and not a revision.
    """
    frame = pd.concat(parts, ignore_index=True).sort_values(["period", "published"], kind="stable")
    last = frame.shift()
    repeated = (frame["period"] == last["period"]) & (frame["value"] == last["value"])
    return frame[~repeated].reset_index(drop=True)


def _lagged(publication: Publication, newest: pd.DataFrame) -> pd.DataFrame:
    return newest.assign(known_at=publication.known_at(newest["period"]))


class _KeyHider(logging.Filter):
    """Blots keys out of the addresses that the HTTP client logs when debugging; FRED takes a key nowhere else."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        hidden = re.sub(r"(api_key=)[^&\s'\"]*", r"\1***", message)
        if hidden != message:
            record.msg, record.args = hidden, ()
        return True


def _hide_keys() -> None:
    for name in ("urllib3.connectionpool", "urllib3.util.retry"):
        logger = logging.getLogger(name)
        if not any(isinstance(one, _KeyHider) for one in logger.filters):
            logger.addFilter(_KeyHider())
