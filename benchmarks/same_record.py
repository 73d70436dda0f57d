"""Do two stores hold the same record? `python -m benchmarks.same_record HOME_OR_URL HOME_OR_URL`

Row by row: what the world said (bars, actions, observations, what was held back), what was made of it (artifacts, runs,
weights), who was put in charge and why (looks, challenges, promotions, champions), and what was said and how it went
(ledger, scores, alarms). Ids and times are aside, revisions of one value are counted in the order in which they became
known, and how often a source was asked is nobody's record. A store is a home with SQLite or a database URL; one may be
SQLite and the other PostgreSQL. Exits 0 only where nothing differs.
"""

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Table, select

from forecaster.store import schema
from forecaster.store.database import connect, reading, require_current, sqlite_url

REVISED = (schema.bar, schema.action, schema.observation)
"""Their `known_at` becomes the number of the revision."""
PLAIN = (
    schema.instrument, schema.quarantine, schema.artifact, schema.run, schema.weights, schema.look, schema.challenge,
    schema.promotion, schema.champion, schema.forecast, schema.tuning, schema.venue_session, schema.alarm,
)  # fmt: skip
ASIDE = {
    "id", "tracking_id", "run_id", "train_seconds", "seconds", "known_at", "recorded_at", "seen_at", "created_at",
    "issued_at", "scored_at", "raised_at",
}  # fmt: skip
"""Columns, and keys of what a column holds as JSON."""
Record = Mapping[str, Counter[str]]
"""How often each row stands in each table."""
SHOWN = 3


def record_of(engine: Engine) -> Record:
    """All that a store holds, as text that is equal where the rows are."""
    require_current(engine)
    found = {table.name: _plain(engine, table) for table in PLAIN}
    found |= {table.name: _revised(engine, table) for table in REVISED}
    return found | {"score": _scores(engine)}


def differences(one: Record, other: Record) -> list[str]:
    """Rows that stand in one record only, or not as often: `<` in the first, `>` in the second."""
    return [
        f"{sign} {table}: {row}"
        for table in one
        for sign, more in (("<", one[table] - other[table]), (">", other[table] - one[table]))
        for row in sorted(more.elements())
    ]


def store_at(name: str) -> Engine:
    """The store of a home or of a URL."""
    url = name if "://" in name else sqlite_url(Path(name))
    if "://" not in name and not (Path(name) / "forecaster.db").exists():
        sys.exit(f"{name}: no store there; name a home that has a forecaster.db, or a database URL")
    return connect(url)


def _rows(engine: Engine, table: Table) -> list[dict[str, Any]]:
    with reading(engine).connect() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def _plain(engine: Engine, table: Table) -> Counter[str]:
    return Counter(_text(row) for row in _rows(engine, table))


def _revised(engine: Engine, table: Table) -> Counter[str]:
    told: Counter[str] = Counter()
    names = [column.name for column in table.primary_key if column.name != "known_at"]
    before: Counter[tuple[Any, ...]] = Counter()
    for row in sorted(_rows(engine, table), key=lambda row: row["known_at"]):
        key = tuple(row[name] for name in names)
        before[key] += 1
        told[_text(row | {"revision": before[key]})] += 1
    return told


def _scores(engine: Engine) -> Counter[str]:
    """Scores beside what they are of, since the id that joins them is aside."""
    of = (schema.forecast.c.target, schema.forecast.c.symbol, schema.forecast.c.origin, schema.forecast.c.horizon,
          schema.forecast.c.digest)  # fmt: skip
    query = select(*of, schema.score).join(schema.forecast, schema.forecast.c.id == schema.score.c.forecast)
    with reading(engine).connect() as connection:
        rows = connection.execute(query).mappings()
        return Counter(_text({name: value for name, value in row.items() if name != "forecast"}) for row in rows)


def _text(row: Mapping[str, Any]) -> str:
    return json.dumps(_without(row), sort_keys=True, default=_written)


def _without(value: Any) -> Any:
    """A value without what is aside, however deep."""
    if isinstance(value, Mapping):
        return {name: _without(inner) for name, inner in value.items() if name not in ASIDE}
    if isinstance(value, list):
        return [_without(inner) for inner in value]
    return value


def _written(value: Any) -> str:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes | memoryview) else str(value)


def main() -> int:
    """Read both, print how many rows each table has and what differs first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("one", help="home, or database URL")
    parser.add_argument("other", help="home, or database URL")
    asked = parser.parse_args()
    one, other = (record_of(store_at(name)) for name in (asked.one, asked.other))
    for table in one:
        print(f"{table:14s} {one[table].total():7d} {other[table].total():7d}")
    differing = differences(one, other)
    for line in differing[: 5 * SHOWN]:
        print(line[:300])
    print(f"{sum(found.total() for found in one.values())} rows compared, {len(differing)} differ")
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
