"""Bars, actions and observations at rest: revisions are added, never overwritten; reads see the world as of a date."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Engine, String, Table, func, insert, select, text, type_coerce

from forecaster.contract import Floats
from forecaster.errors import UnknownSymbol
from forecaster.facts import ACTIONS, BAR_FIELDS, FIELDS, Facts, action_subject
from forecaster.store.database import reading
from forecaster.store.schema import action, bar, instrument, observation, quarantine

WITNESSED = timedelta(days=1)
"""A row written this soon after it could be known was seen by us; of an older one we only assume when it was known."""

SAME_PRICE = 1e-6
"""Relative difference under which two prices are the same: vendors keep single precision, and un-splitting rounds."""

NO_CURRENCY = "unknown"
"""Of an instrument whose source does not name its currency."""

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True)
class Instrument:
    """A symbol the store knows."""

    symbol: str
    venue: str
    currency: str
    """`NO_CURRENCY` where its source does not say."""
    source: str


@dataclass(frozen=True)
class Row:
    """One bar, action or observation as a source gave it."""

    date: date
    known_at: datetime
    values: tuple[float, ...]
    grain: float = 0.0
    """How far the last value may be off for having been rounded by its source: a volume in shares of after a split."""


@dataclass(frozen=True)
class Rejected:
    """A row that was not believed, and why."""

    date: date
    reason: str
    row: dict[str, Any]


@dataclass(frozen=True)
class Kept:
    """Where rows of one kind and subject are kept, and when two of them say the same."""

    table: Table
    mine: ColumnElement[bool]
    key: dict[str, str]
    """Values of the key columns but the date."""
    date: str
    """Name of the date column."""
    fields: tuple[str, ...]
    tolerance: float


def bars_of(symbol: str) -> Kept:
    """Bars of a symbol, by session."""
    return Kept(bar, bar.c.symbol == symbol, {"symbol": symbol}, "session", BAR_FIELDS, SAME_PRICE)


def actions_of(symbol: str, kind: str) -> Kept:
    """Actions of a symbol, by ex-date."""
    mine = (action.c.symbol == symbol) & (action.c.kind == kind)
    return Kept(action, mine, {"symbol": symbol, "kind": kind}, "session", ("value",), SAME_PRICE)


def observations_of(series: str) -> Kept:
    """Observations of a series, by period."""
    return Kept(observation, observation.c.series == series, {"series": series}, "period", ("value",), 0.0)


def lock(connection: Connection, subject: str) -> None:
    """Let one transaction at a time add to a subject, until its end."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyhow: see `database.connect`
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:subject))"), {"subject": subject})


def add_instrument(connection: Connection, entry: Instrument) -> None:
    """Make a symbol known; does nothing where it is known already."""
    known = select(instrument.c.symbol).where(instrument.c.symbol == entry.symbol)
    if connection.scalar(known) is None:
        connection.execute(insert(instrument).values(vars(entry)))


def all_instruments(engine: Engine) -> dict[str, Instrument]:
    """Every symbol the store knows."""
    with reading(engine).connect() as connection:
        return {row.symbol: Instrument(*row) for row in connection.execute(select(instrument))}


def find_instrument(engine: Engine, symbol: str) -> Instrument:
    """The instrument of a symbol.

    Raises:
        UnknownSymbol: The store has never heard of it.
    """
    known = all_instruments(engine)
    if symbol not in known:
        raise UnknownSymbol(symbol, known)
    return known[symbol]


def add_rows(connection: Connection, kept: Kept, rows: Sequence[Row], now: datetime) -> tuple[int, int]:
    """Add the rows that are new or say something else than what is stored; (inserted, revised).

    A new row counts from when its source's rule says so; a changed one only since we saw the change.

    Arguments:
        rows: One a date.
    """
    stored = _revisions(connection, kept, rows)
    new, revised = [], 0
    for row in rows:
        latest = stored[row.date][-1] if row.date in stored else None
        if latest is None:
            new.append(_record(kept, row, row.known_at, now, assumed=now - row.known_at > WITNESSED))
        elif not _same(latest.values, row.values, kept.tolerance, row.grain):
            # Never before what it replaces, whatever the clock did in between.
            new.append(_record(kept, row, max(now, latest.known_at + _TICK), now, assumed=False))
            revised += 1
    if new:
        connection.execute(insert(kept.table), new)
    return len(new) - revised, revised


def add_archive(connection: Connection, kept: Kept, rows: Sequence[Row], now: datetime) -> tuple[int, int]:
    """Add rows of an archive that recorded when each value became known; (inserted, revised).

    Where it had been assumed that another value was known by some instant, what the archive saw takes over there.

    Arguments:
        rows: Any number a date, each with the instant that the archive states.
    """
    stored = _revisions(connection, kept, rows)
    told: dict[date, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.known_at):
        told.setdefault(row.date, []).append(row)
    new, inserted = [], 0
    for day, seen in told.items():
        have = {old.known_at: old.values for old in stored.get(day, ())}
        for old in stored.get(day, ()):
            truth = [row for row in seen if row.known_at <= old.known_at]
            if old.assumed and truth and truth[-1].values != old.values:
                seen = [*seen, Row(day, old.known_at + _TICK, truth[-1].values)]
        added = [row for row in seen if row.known_at not in have]
        new += [_record(kept, row, row.known_at, now, assumed=False) for row in added]
        inserted += bool(added) and not have
    if new:
        connection.execute(insert(kept.table), new)
    return inserted, len(new) - inserted


def add_rejected(connection: Connection, subject: str, rows: Iterable[Rejected], now: datetime) -> int:
    """Put rows into quarantine once; how many were new."""
    mine = select(quarantine.c.date, quarantine.c.reason).where(quarantine.c.subject == subject)
    seen = {(row.date, row.reason) for row in connection.execute(mine)}
    new: dict[tuple[date, str], dict[str, Any]] = {}
    for row in rows:
        key = (row.date, row.reason)
        if key in new:  # a session given twice: both are evidence
            new[key]["row"] = {**new[key]["row"], "also": [*new[key]["row"].get("also", []), row.row]}
        elif key not in seen:
            new[key] = {"subject": subject, "recorded_at": now, **vars(row)}
    if new:
        connection.execute(insert(quarantine), list(new.values()))
    return len(new)


def latest_rows(connection: Connection, kept: Kept, first: date | None = None) -> list[Row]:
    """The newest revision of every date from `first` on, by date."""
    table, when = kept.table, kept.table.c[kept.date]
    query = select(when, table.c.known_at, *(table.c[field] for field in kept.fields)).where(kept.mine)
    if first is not None:
        query = query.where(when >= first)
    newest = {
        row[0]: Row(row[0], row[1], tuple(row[2:])) for row in connection.execute(query.order_by(when, "known_at"))
    }
    return list(newest.values())


def dates(connection: Connection, kept: Kept) -> list[date]:
    """Every date that has a row, ascending."""
    when = kept.table.c[kept.date]
    return list(connection.scalars(select(when).where(kept.mine).distinct().order_by(when)))


def read_facts(
    engine: Engine,
    as_of: datetime,
    subjects: Iterable[str] | None = None,
    recorded_only: bool = False,
    recorded_by: datetime | None = None,
) -> Facts:
    """Every revision known at `as_of` of the subjects (None: of all), a symbol's actions with its bars.

    Arguments:
        recorded_only: Leave out rows of which it is only assumed when they could be known.
        recorded_by: Leave out rows that were written later: what a forecast of that moment was made from.
    """
    with reading(engine).connect() as connection:
        wanted = _subjects(connection) if subjects is None else sorted(set(subjects))
        parts = [
            (name, *_columns(connection, kept, as_of, recorded_only, recorded_by))
            for subject in wanted
            for name, kept in _kinds(subject)
        ]
    return Facts.joined(parts)


def count_assumed(engine: Engine, as_of: datetime, subjects: Iterable[str]) -> int:
    """How many of the rows that `read_facts` gives rest on an assumption about when they could be known."""
    total = 0
    with reading(engine).connect() as connection:
        for subject in sorted(set(subjects)):
            for _, kept in _kinds(subject):
                assumed = kept.mine & kept.table.c.assumed & (kept.table.c.known_at <= as_of)
                total += connection.scalar(select(func.count()).select_from(kept.table).where(assumed)) or 0
    return total


def _kinds(subject: str) -> list[tuple[str, Kept]]:
    """What a subject may have, by its name in facts."""
    actions = [(action_subject(subject, kind), actions_of(subject, kind)) for kind in ACTIONS]
    return [(subject, bars_of(subject)), *actions, (subject, observations_of(subject))]


def _subjects(connection: Connection) -> list[str]:
    return sorted({*connection.scalars(select(bar.c.symbol).distinct()),
                   *connection.scalars(select(observation.c.series).distinct())})  # fmt: skip


def _columns(
    connection: Connection, kept: Kept, as_of: datetime, recorded_only: bool, recorded_by: datetime | None
) -> tuple[Any, Any, Floats]:
    table = kept.table
    # As the driver gives them: NumPy reads dates of both databases faster than the ORM's types do.
    plain = (type_coerce(table.c[name], String) for name in (kept.date, "known_at"))
    fields = (table.c[field] for field in kept.fields)
    query = select(*plain, *fields).where(kept.mine, table.c.known_at <= as_of)
    if recorded_only:
        query = query.where(~table.c.assumed)
    if recorded_by is not None:
        query = query.where(table.c.recorded_at <= recorded_by)
    rows = connection.execute(query).all()
    values: Floats = np.full((len(rows), len(FIELDS)), np.nan)
    if rows:
        dates, known, *columns = zip(*rows, strict=True)
        for field, column in zip(kept.fields, columns, strict=True):
            values[:, FIELDS.index(field)] = column
        return np.array(dates, dtype="datetime64[D]"), np.array(known, dtype="datetime64[us]"), values
    return np.empty(0, dtype="datetime64[D]"), np.empty(0, dtype="datetime64[us]"), values


@dataclass(frozen=True)
class _Stored(Row):
    """A row as it is kept."""

    assumed: bool = True


def _revisions(connection: Connection, kept: Kept, rows: Sequence[Row]) -> dict[date, list[_Stored]]:
    """Stored revisions of the dates that the rows span, oldest first."""
    if not rows:
        return {}
    table, when = kept.table, kept.table.c[kept.date]
    query = (
        select(when, table.c.known_at, table.c.assumed, *(table.c[field] for field in kept.fields))
        .where(kept.mine, when.between(min(row.date for row in rows), max(row.date for row in rows)))
        .order_by(when, table.c.known_at)
    )
    found: dict[date, list[_Stored]] = {}
    for day, known_at, assumed, *values in connection.execute(query):
        found.setdefault(day, []).append(_Stored(day, known_at, tuple(values), assumed=assumed))
    return found


def _record(kept: Kept, row: Row, known_at: datetime, now: datetime, assumed: bool) -> dict[str, Any]:
    when = {kept.date: row.date, "known_at": known_at, "recorded_at": now, "assumed": assumed}
    return {**kept.key, **when, **dict(zip(kept.fields, row.values, strict=True))}


def _same(old: tuple[float, ...], new: tuple[float, ...], tolerance: float, grain: float = 0.0) -> bool:
    *near, last = (tolerance * max(abs(a), abs(b)) for a, b in zip(old, new, strict=True))
    return all(abs(a - b) <= most for a, b, most in zip(old, new, (*near, max(last, grain)), strict=True))
