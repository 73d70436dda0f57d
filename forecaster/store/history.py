"""Bars and observations at rest: revisions are added, never overwritten; reads see the world as of a date."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Select, Table, insert, select

from forecaster.contract import Floats
from forecaster.errors import UnknownSymbol
from forecaster.facts import BAR_FIELDS, FIELDS, Facts
from forecaster.store.database import reading
from forecaster.store.schema import bar, instrument, observation, quarantine


@dataclass(frozen=True)
class Instrument:
    """A symbol the store knows."""

    symbol: str
    venue: str
    currency: str
    source: str


@dataclass(frozen=True)
class Row:
    """One bar or observation as a source gave it."""

    date: date
    known_at: datetime
    values: tuple[float, ...]


@dataclass(frozen=True)
class Rejected:
    """A row that was not believed, and why."""

    date: date
    reason: str
    row: dict[str, Any]


def add_instrument(connection: Connection, entry: Instrument) -> None:
    """Make a symbol known; does nothing where it is known already."""
    known = select(instrument.c.symbol).where(instrument.c.symbol == entry.symbol)
    if connection.scalar(known) is None:
        connection.execute(insert(instrument).values(vars(entry)))


def find_instrument(engine: Engine, symbol: str) -> Instrument:
    """The instrument of a symbol.

    Raises:
        UnknownSymbol: The store has never heard of it.
    """
    with reading(engine).connect() as connection:
        row = connection.execute(select(instrument).where(instrument.c.symbol == symbol)).one_or_none()
        if row is None:
            raise UnknownSymbol(symbol, connection.scalars(select(instrument.c.symbol)).all())
        return Instrument(row.symbol, row.venue, row.currency, row.source)


def add_bars(connection: Connection, symbol: str, rows: Sequence[Row], now: datetime) -> tuple[int, int]:
    """Add the bars that are new or differ from what is stored; (inserted, revised)."""
    return _add(connection, bar, "symbol", symbol, "session", BAR_FIELDS, rows, now)


def add_observations(connection: Connection, series: str, rows: Sequence[Row], now: datetime) -> tuple[int, int]:
    """Add the observations that are new or differ from what is stored; (inserted, revised)."""
    return _add(connection, observation, "series", series, "period", ("value",), rows, now)


def add_rejected(connection: Connection, subject: str, rows: Iterable[Rejected], now: datetime) -> int:
    """Put rows into quarantine once; how many were new."""
    mine = select(quarantine.c.date, quarantine.c.reason).where(quarantine.c.subject == subject)
    seen = {(row.date, row.reason) for row in connection.execute(mine)}
    new = [row for row in rows if (row.date, row.reason) not in seen]
    if new:
        connection.execute(insert(quarantine), [{"subject": subject, "recorded_at": now, **vars(row)} for row in new])
    return len(new)


def _add(
    connection: Connection,
    table: Table,
    key: str,
    subject: str,
    date_name: str,
    fields: tuple[str, ...],
    rows: Sequence[Row],
    now: datetime,
) -> tuple[int, int]:
    stored = (
        select(table.c[date_name], *(table.c[field] for field in fields))
        .where(table.c[key] == subject)
        .order_by(table.c.known_at)
    )
    latest = {row[0]: tuple(row[1:]) for row in connection.execute(stored)}
    new, revised = [], 0
    for row in rows:
        if latest.get(row.date) == row.values:
            continue
        # A first value is assumed known when the source's rule says so; a changed one only since we saw the change.
        known_at = now if row.date in latest else row.known_at
        revised += row.date in latest
        values = dict(zip(fields, row.values, strict=True))
        new.append({key: subject, date_name: row.date, "known_at": known_at, "recorded_at": now, **values})
    if new:
        connection.execute(insert(table), new)
    return len(new) - revised, revised


def read_facts(engine: Engine, as_of: datetime, subjects: Iterable[str] | None = None) -> Facts:
    """Every revision known at `as_of` of the subjects (None: of all)."""
    bars = select(bar.c.symbol, bar.c.session, bar.c.known_at, *(bar.c[field] for field in BAR_FIELDS))
    values = select(observation.c.series, observation.c.period, observation.c.known_at, observation.c.value)
    with reading(engine).connect() as connection:
        bar_rows = _rows(connection, bars.where(bar.c.known_at <= as_of), bar.c.symbol, subjects)
        value_rows = _rows(connection, values.where(observation.c.known_at <= as_of), observation.c.series, subjects)
    table: Floats = np.full((len(bar_rows) + len(value_rows), len(FIELDS)), np.nan)
    table[: len(bar_rows), : len(BAR_FIELDS)] = [row[3:] for row in bar_rows] or np.empty((0, len(BAR_FIELDS)))
    table[len(bar_rows) :, -1] = [row[3] for row in value_rows]
    rows = [*bar_rows, *value_rows]
    return Facts.of(
        np.array([row[0] for row in rows], dtype=np.str_),
        np.array([row[1] for row in rows], dtype="datetime64[D]"),
        np.array([row[2].astimezone(UTC).replace(tzinfo=None) for row in rows], dtype="datetime64[us]"),
        table,
    )


def _rows(connection: Connection, query: Select[Any], key: Any, subjects: Iterable[str] | None) -> Sequence[Any]:
    return connection.execute(query if subjects is None else query.where(key.in_(sorted(subjects)))).all()
