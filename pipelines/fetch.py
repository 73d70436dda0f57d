"""Fetch: source -> what is believed -> store. Idempotent: a second fetch of the same data adds no row to it.

Each subject is one transaction with its line in the log of visits, so a fetch may stop anywhere and the next one goes
on: what has been asked since there can be news is not asked again.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Engine

from forecaster.contract import SYMBOL
from forecaster.errors import (
    ConfigError,
    EmptyRange,
    FetchIncomplete,
    LeftAlone,
    NotListed,
    RateLimited,
    ReplyRefused,
    SourceError,
    SourceTemporary,
    UnknownSymbol,
)
from forecaster.facts import ACTIONS, BAR_FIELDS
from forecaster.sessions import Calendar
from forecaster.store import history, visits
from forecaster.store.database import reading
from forecaster.store.history import Instrument, Row
from forecaster.store.visits import Status, Visit
from pipelines.coverage import Coverage, calendar_around, coverage
from pipelines.quality import Checked, check
from pipelines.sources.base import BAR_COLUMNS, BarSource, Published, Reply, SeriesSource

log = logging.getLogger(__name__)

OVERLAP = timedelta(days=200)
"""How far before the newest stored bar a source is asked again: vendors still correct, and a reply of some hundred bars
shows what is usual for the symbol, which `quality` judges by. It is one request all the same."""

_STATUS: dict[type[SourceError], Status] = {
    NotListed: "unknown",
    EmptyRange: "empty",
    SourceTemporary: "temporary",
    RateLimited: "deferred",
    ReplyRefused: "refused",
}
_PASSING = ("temporary", "deferred", "behind")
"""What becomes well by itself."""
_NEUTRAL = {"split": 1.0, "dividend": 0.0}  # what is left of an action that its source has taken back


@dataclass(frozen=True)
class Fetched:
    """What a fetch did to one symbol or series."""

    subject: str
    status: Status
    inserted: int = 0
    revised: int = 0
    quarantined: int = 0
    missing_sessions: list[str] = field(default_factory=list)
    """Sessions of the venue, between the first and the last stored bar, that have none."""
    stale_since: str | None = None
    """First settled session that the store lacks after its newest bar."""
    first: str | None = None
    last: str | None = None
    problem: str | None = None
    doubts: dict[str, int] = field(default_factory=dict)
    """Rows that are not believed, by the reason, those of earlier fetches included."""

    @property
    def failed(self) -> bool:
        """Whether it was not answered, or with nothing that can be believed."""
        return self.status not in ("ok", "overtaken")

    @property
    def says(self) -> str:
        """What a person has to know beyond the figures; empty where there is nothing."""
        if self.problem is not None:
            return self.problem
        return f"{self.subject}: not believed, left out: {_tell(self)}; mend or ignore them" if self.doubts else ""


def require_fetched(found: Iterable[Fetched]) -> None:
    """Check that every subject was fetched.

    Raises:
        FetchIncomplete: Some were not.
    """
    failed = {one.subject: (one.status in _PASSING, one.says) for one in found if one.failed}
    if failed:
        raise FetchIncomplete(failed)


@dataclass(frozen=True)
class Fetcher:
    """Who is asked, where it is written, what time it is."""

    engine: Engine
    bars: BarSource
    macro: SeriesSource
    clock: Callable[[], datetime]
    full: bool = False
    """Ask for everything, even where nothing new can be known."""

    def fetch(self, symbols: Iterable[str], series: Iterable[str]) -> Iterator[Fetched]:
        """Bring the store up to what the sources know, subject by subject; one that fails does not stop the others.

        Raises:
            UnknownSymbol: Something that cannot be a symbol is among them; nothing has been asked.
        """
        symbols = list(symbols)
        for symbol in symbols:
            if not SYMBOL.fullmatch(symbol):
                raise UnknownSymbol(symbol, ())
        for symbol in symbols:
            yield _told(self._symbol(symbol))
        for name in series:
            yield _told(self._series(name))

    def _symbol(self, symbol: str) -> Fetched:
        now, instrument = self.clock(), history.all_instruments(self.engine).get(symbol)
        stored = None
        if instrument is not None:
            with reading(self.engine).connect() as connection:
                stored = coverage(connection, instrument, now)
        complete = stored is not None and stored.stale_since is None
        if stored is not None and complete and self._is_answered(self.bars, symbol, stored.settled_at):
            return _report(symbol, "ok", stored)
        try:
            self._may_ask(self.bars, symbol, now)
            again = stored is None or self.full or not self.bars.remote
            since = None if again or stored is None else stored.dates[-1] - OVERLAP
            return self._keep_bars(self.bars.bars(symbol, since, now), instrument, now)
        except SourceError as error:
            return self._failed(self.bars, symbol, error, stored, now)
        except ConfigError as error:  # a venue or a file that cannot be read is one subject's trouble
            return self._failed(self.bars, symbol, ReplyRefused(self.bars.name, symbol, str(error)), stored, now)

    def _series(self, series: str) -> Fetched:
        now = self.clock()
        midnight = datetime.combine(now.date(), time(), UTC)
        if self._is_answered(self.macro, series, midnight):  # what is published today counts from tomorrow
            return Fetched(series, "ok")
        try:
            self._may_ask(self.macro, series, now)
            return self._keep_observations(self.macro.observations(series, now), now)
        except SourceError as error:
            return self._failed(self.macro, series, error, None, now)
        except ConfigError as error:
            return self._failed(self.macro, series, ReplyRefused(self.macro.name, series, str(error)), None, now)

    def _is_answered(self, source: BarSource | SeriesSource, subject: str, since: datetime) -> bool:
        """Whether the source has answered about a subject since there can be news of it."""
        if self.full or not source.remote:
            return False
        done = visits.last_visit(self.engine, subject, ("ok",), source.name)
        return done is not None and done.asked_at >= since

    def _may_ask(self, source: BarSource | SeriesSource, subject: str, now: datetime) -> None:
        if source.remote and visits.is_open(self.engine, source.name, now):
            raise LeftAlone(source.name, subject, f"not asked after {visits.FAILURES} failures in a row; try later")

    def _keep_bars(self, reply: Reply, instrument: Instrument | None, now: datetime) -> Fetched:
        symbol, sessions = reply.listing.symbol, reply.bars["session"]
        entry = Instrument(symbol, reply.listing.venue, reply.listing.currency, self.bars.name)
        _require_same(entry, instrument)
        if sessions.empty:
            raise EmptyRange(self.bars.name, symbol, "no bars in the range asked for")
        first, last = sessions.min().date(), sessions.max().date()
        calendar = calendar_around(entry.venue, first, max(last, now.date()))
        kept = history.bars_of(symbol)
        with self.engine.begin() as connection:
            history.lock(connection, symbol)
            if visits.overtaken(connection, symbol, now):
                return Fetched(symbol, "overtaken", problem="a later question was answered first")
            checked = check(reply, calendar, now, _frame(history.latest_rows(connection, kept, first)))
            written = self.clock()  # a change counts from now: whoever looked since we asked did not see it
            history.add_instrument(connection, entry)
            inserted, revised = history.add_rows(connection, kept, _bar_rows(checked, calendar), written)
            _add_actions(connection, symbol, checked, calendar, (first, last), written)
            quarantined = history.add_rejected(connection, symbol, checked.rejected, written)
            held = coverage(connection, entry, now)
            done = _report(symbol, "ok", held)
            done = replace(done, inserted=inserted, revised=revised, quarantined=quarantined)
            done = replace(done, doubts=dict(Counter(row.reason for row in checked.rejected)))
            if held is None:
                problem = f"{self.bars.name}: {symbol}: none of its {len(sessions)} rows can be believed: {_tell(done)}"
                done = replace(done, status="refused", problem=f"{problem}; look at the data")
            elif self.bars.remote and held.stale_since is not None:
                done = replace(done, status="behind", problem=f"{symbol}: answered, but not with {done.stale_since}")
            _log(connection, self.bars.name, done, now)
        return done

    def _keep_observations(self, found: Published, now: datetime) -> Fetched:
        table = found.observations
        triples = zip(table["period"], table["known_at"], table["value"], strict=True)
        rows = [Row(period.date(), known_at.to_pydatetime(), (float(value),)) for period, known_at, value in triples]
        kept = history.observations_of(found.series)
        with self.engine.begin() as connection:
            history.lock(connection, found.series)
            if visits.overtaken(connection, found.series, now):
                return Fetched(found.series, "overtaken", problem="a later question was answered first")
            add = history.add_archive if found.recorded else history.add_rows
            inserted, revised = add(connection, kept, rows, self.clock())
            dates = history.dates(connection, kept)
            first, last = (str(dates[0]), str(dates[-1])) if dates else (None, None)
            done = Fetched(found.series, "ok", inserted, revised, first=first, last=last)
            _log(connection, self.macro.name, done, now)
        return done

    def _failed(
        self,
        source: BarSource | SeriesSource,
        subject: str,
        error: SourceError,
        stored: Coverage | None,
        now: datetime,
    ) -> Fetched:
        """Write down that there was no answer; what is stored stays as it is."""
        status = next(status for kind, status in _STATUS.items() if isinstance(error, kind))
        if status == "unknown" and stored is not None:  # a live symbol can be unknown once
            instants = [*visits.unknown_at(self.engine, subject), now]
            status = "delisted" if stored.sessions_among(instants) >= visits.DELISTED_AFTER else status
        done = replace(_report(subject, status, stored), problem=str(error))
        if stored is None:
            answered = visits.last_visit(self.engine, subject, ("ok",))
            weekday = None if answered is None else _next_weekday(answered.asked_at.date())
            if weekday is not None and weekday <= now.date():
                done = replace(done, stale_since=str(weekday))
        with self.engine.begin() as connection:
            _log(connection, source.name, done, now, asked=not isinstance(error, LeftAlone))
        return done


def _next_weekday(day: date) -> date:
    """The next day on which statistics are published."""
    return day + timedelta(days=max(1, 7 - day.weekday()) if day.weekday() >= 4 else 1)


def _require_same(entry: Instrument, known: Instrument | None) -> None:
    """A symbol keeps its currency and venue: pence for pounds is another series of numbers.

    Raises:
        ReplyRefused: It does not.
    """
    for what in ("currency", "venue"):
        if known is not None and getattr(entry, what) != getattr(known, what):
            change = f"{what} was {getattr(known, what)} and is {getattr(entry, what)} now"
            raise ReplyRefused(
                entry.source,
                entry.symbol,
                f"{change}; nothing was stored; name it as it was, or begin anew with another --home",
            )


def _bar_rows(checked: Checked, calendar: Calendar) -> list[Row]:
    """Believed bars, each known from its session's cut-off."""
    known_at = dict(zip(calendar.sessions.tolist(), calendar.cutoffs.tolist(), strict=True))
    days = checked.bars["session"].dt.date
    values = checked.bars[list(BAR_FIELDS)].to_numpy(dtype=float).tolist()
    return [
        Row(day, known_at[day].replace(tzinfo=UTC), tuple(row), grain)
        for day, row, grain in zip(days, values, checked.grain.tolist(), strict=True)
    ]


def _add_actions(
    connection: Connection, symbol: str, checked: Checked, calendar: Calendar, span: tuple[date, date], now: datetime
) -> None:
    """Believed actions, known with their ex-date's bar; what the source no longer tells of the span is taken back."""
    doubted = {(row.date, row.row.get("kind")) for row in checked.rejected}
    for kind in ACTIONS:
        kept = history.actions_of(symbol, kind)
        told = checked.actions[checked.actions["kind"] == kind]
        values = dict(zip(pd.to_datetime(told["session"]).dt.date, told["value"].astype(float), strict=True))
        for row in history.latest_rows(connection, kept, span[0]):
            if row.date <= span[1] and row.date not in values and (row.date, kind) not in doubted:
                values[row.date] = _NEUTRAL[kind]
        days = sorted(values)
        known_at = calendar.cutoffs[np.searchsorted(calendar.sessions, np.array(days, dtype="datetime64[D]"))].tolist()
        rows = [Row(day, at.replace(tzinfo=UTC), (values[day],)) for day, at in zip(days, known_at, strict=True)]
        history.add_rows(connection, kept, rows, now)


def _frame(rows: list[Row]) -> pd.DataFrame | None:
    """Stored bars as a source would give them; None where there are none."""
    if not rows:
        return None
    table = [(pd.Timestamp(row.date), *row.values) for row in rows]
    return pd.DataFrame(table, columns=list(BAR_COLUMNS))


def _report(subject: str, status: Status, stored: Coverage | None) -> Fetched:
    if stored is None:
        return Fetched(subject, status)
    return Fetched(
        subject,
        status,
        missing_sessions=[str(session) for session in stored.missing],
        stale_since=None if stored.stale_since is None else str(stored.stale_since),
        first=str(stored.dates[0]),
        last=str(stored.dates[-1]),
    )


def _tell(done: Fetched) -> str:
    """What is not believed, by the reason."""
    return ", ".join(f"{reason} ({rows})" for reason, rows in done.doubts.items())


def _log(connection: Connection, source: str, done: Fetched, now: datetime, asked: bool = True) -> None:
    stale = None if done.stale_since is None else date.fromisoformat(done.stale_since)
    visits.add_visit(connection, Visit(done.subject, source, now, asked, done.status, done.problem, stale))


def _told(done: Fetched) -> Fetched:
    log.info("fetched", extra={"subject": done.subject, "status": done.status, "inserted": done.inserted,
                               "revised": done.revised, "quarantined": done.quarantined})  # fmt: skip
    return done
