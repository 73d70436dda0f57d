"""Rows of every table there is, odd values among them, made by the types of the columns."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import JSON, Column, Connection, Engine, Table, Text, cast, insert, select

from forecaster.store.schema import metadata

FLOATS = (0.1, -1.5e-310, 5e-324, 1.7976931348623157e308, -2.5, 1e-17, 3.0)
TEXTS = ("", "a'b\"c\\", "zwei\nZeilen", "žluťoučký 🐎", "^GSPC")
STRUCTURES: tuple[Any, ...] = ({"a": [0.1, None, True], "b": {"ž": "🐎"}}, [], {}, [1e-17, -2.5], "text", 7)


def fill(engine: Engine, count: int = 7, seed: int = 0) -> None:
    """`count` rows in every table; what may be NULL is so now and then."""
    rng = np.random.default_rng(seed)
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            rows = [{column.name: _value(connection, column, n, rng) for column in table.columns} for n in range(count)]
            for row in rows:  # one by one: a column left out is NULL, while None in a JSON column is a JSON null
                connection.execute(
                    insert(table).values({name: value for name, value in row.items() if value is not ...})
                )


def rows_of(engine: Engine, table: Table) -> list[tuple[Any, ...]]:
    """Every row as the database gives it, JSON also as the text that it is, in an order that no collation decides."""
    texts = [cast(column, Text).label(f"{column.name} as text") for column in table.columns if _json(column)]
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(select(table, *texts))]
    return sorted(found, key=repr)


def _json(column: Column[Any]) -> bool:
    return isinstance(column.type, JSON)


def _value(connection: Connection, column: Column[Any], n: int, rng: np.random.Generator) -> Any:
    if column.nullable and n % 3 == 1:
        return ...  # left out
    if column.foreign_keys:
        (key,) = column.foreign_keys
        choices = sorted(connection.scalars(select(key.column)))
        return choices[n] if column.primary_key else choices[int(rng.integers(len(choices)))]
    if _json(column):
        return None if column.nullable and n % 3 == 2 else STRUCTURES[n % len(STRUCTURES)]
    kind = column.type.python_type if column.type.__class__.__name__ != "UtcDateTime" else datetime
    made: dict[type, Any] = {
        str: f"{n}{TEXTS[n % len(TEXTS)]}"[: getattr(column.type, "length", None) or 99],
        int: 3 * n + 1,
        bool: bool(n % 2),
        float: FLOATS[n % len(FLOATS)],
        bytes: rng.bytes(1000 * n),
        date: date(1962, 1, 2) + timedelta(days=40_000 * (n % 2) + n),
        datetime: datetime(1999, 12, 31, 23, 59, 59, 999_999 - n, tzinfo=UTC) + timedelta(days=9_000 * n),
    }
    return made[kind]
