"""The command that says whether two stores hold the same: it does where they do, on either database, and not else."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, Table, insert

from benchmarks.same_record import PLAIN, REVISED, differences, record_of
from forecaster.store import schema
from forecaster.store.database import connect, sqlite_url
from forecaster.store.migrate import migrate

THEN = datetime(2018, 6, 1, 20, tzinfo=UTC)
DAY = date(2018, 6, 1)
HOUR = timedelta(hours=1)
PRICES = {"open": 1.0, "high": 2.0, "low": 0.1 + 0.2, "close": 1.5, "volume": 7.0}
Rows = Sequence[tuple[Table, dict[str, object]]]


def rows(after: timedelta, first: int) -> Rows:
    """A small record, written down at some time, with ids from some number on."""
    now, decision = THEN + after, {"reason": "a test", "skill": 0.1 + 0.2, "made": {"created_at": str(after)}}
    forecast = {
        "id": first, "target": "T", "symbol": "S", "origin": DAY, "horizon": 1, "session": DAY, "digest": "a" * 64,
        "version": 1, "origin_close": 1.5, "quantiles": [0.1, 0.3], "issued_at": now, "kind": "live",
    }  # fmt: skip
    score = {"forecast": first, "outcome": 0.1, "crps": 0.2, "crps_raw": 0.3, "below": [True], "scored_at": now}
    known = {"recorded_at": now, "assumed": True}
    return [
        (schema.bar, {"symbol": "S", "session": DAY, "known_at": now, **known, **PRICES}),
        (schema.bar, {"symbol": "S", "session": DAY, "known_at": now + HOUR, **known, **PRICES, "high": 3.0}),
        (schema.artifact, {"digest": "a" * 64, "manifest": "{}", "model": b"graph", "created_at": now}),
        (schema.promotion, {"target": "T", "version": 1, "digest": "a" * 64, "decision": decision, "created_at": now}),
        (schema.champion, {"target": "T", "version": 1, "digest": "a" * 64}),
        (schema.forecast, forecast),
        (schema.score, score),
        (schema.alarm, {"target": "T", "kind": "age", "subject": "S", "session": DAY, "statistic": 2.0,
                        "threshold": 1.0, "says": "old", "raised_at": now}),
    ]  # fmt: skip


def write(engine: Engine, told: Rows) -> None:
    with engine.begin() as connection:
        for table, row in told:
            connection.execute(insert(table).values(row))


@pytest.fixture
def other(tmp_path: Path) -> Engine:
    (tmp_path / "other").mkdir()
    engine = connect(sqlite_url(tmp_path / "other"))
    migrate(engine)
    return engine


def test_ids_times_and_the_kind_of_database_are_aside(store: Engine, other: Engine) -> None:
    write(store, rows(timedelta(0), 1))
    write(other, rows(timedelta(days=3), 40))
    assert differences(record_of(store), record_of(other)) == []
    assert record_of(store)["bar"].total() == 2


@pytest.mark.parametrize("place", range(8))
def test_a_row_that_is_missing_is_named(store: Engine, other: Engine, place: int) -> None:
    told = rows(timedelta(0), 1)
    table = told[place][0]
    needs = {schema.artifact: ("promotion", "champion", "forecast", "score"), schema.forecast: ("score",)}
    left = [one for number, one in enumerate(told) if number != place and one[0].name not in needs.get(table, ())]
    write(store, told)
    write(other, left)
    found = differences(record_of(store), record_of(other))
    assert any(line.startswith(f"< {table.name}: ") for line in found)
    assert len(differences(record_of(other), record_of(store))) == len(found)


@pytest.mark.parametrize(
    ("place", "column", "value"),
    [
        (0, "close", 1.5000000000000002),
        (2, "model", b"grapH"),
        (3, "decision", {"reason": "another"}),
        (4, "version", 2),
        (5, "quantiles", [0.1, 0.30000000000000004]),
        (6, "crps", 0.20000000000000004),
        (7, "says", "older"),
    ],
)
def test_a_value_that_differs_by_a_bit_is_found(
    store: Engine, other: Engine, place: int, column: str, value: object
) -> None:
    told = rows(timedelta(0), 1)
    write(store, told)
    write(other, [(table, row | {column: value} if number == place else row)
                  for number, (table, row) in enumerate(told)])  # fmt: skip
    assert len(differences(record_of(store), record_of(other))) == 2


def test_order_of_revisions_counts(store: Engine, other: Engine) -> None:
    told = rows(timedelta(0), 1)[:2]
    write(store, told)
    turned = [(table, row | {"high": high}) for (table, row), high in zip(told, (3.0, 2.0), strict=True)]
    write(other, turned)
    assert len(differences(record_of(store), record_of(other))) == 4


def test_every_table_is_compared_but_five() -> None:
    # How often a source was asked, who works, who may ask, what sessions were worked out by: no part of what is lost
    # if it is lost.
    compared = {table.name for table in (*PLAIN, *REVISED)} | {"score"}
    assert set(schema.metadata.tables) - compared <= {"visit", "worker", "api_key", "told", "venue_rules"}


def test_command_counts_and_says_what_differs(tmp_path: Path) -> None:
    for name, told in (("one", rows(timedelta(0), 1)), ("two", rows(timedelta(0), 1)[:-1])):
        (tmp_path / name).mkdir()
        engine = connect(sqlite_url(tmp_path / name))
        migrate(engine)
        write(engine, told)

    def compare(*homes: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "benchmarks.same_record", *(str(tmp_path / home) for home in homes)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    same = compare("one", "one")
    assert same.returncode == 0
    assert same.stdout.endswith("8 rows compared, 0 differ\n")
    differ = compare("one", "two")
    assert differ.returncode == 1
    assert "< alarm: " in differ.stdout
    assert differ.stdout.endswith("8 rows compared, 1 differ\n")
    nowhere = compare("one", "three")
    assert nowhere.returncode == 1
    assert "no store there" in nowhere.stderr
