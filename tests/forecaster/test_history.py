"""Bars, actions and observations in the store, on SQLite and on a real PostgreSQL alike."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from threading import Barrier

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import DatabaseError

from forecaster.errors import UnknownSymbol
from forecaster.store.history import (
    WITNESSED,
    Instrument,
    Kept,
    Rejected,
    Row,
    _same,
    actions_of,
    add_archive,
    add_instrument,
    add_rejected,
    add_rows,
    bars_of,
    count_assumed,
    dates,
    find_instrument,
    latest_rows,
    lock,
    observations_of,
    read_facts,
)

NOW = datetime(2020, 6, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


def bar(day: int, close: float, known_at: datetime | None = None) -> Row:
    known_at = datetime(2020, 5, day, 20, 30, tzinfo=UTC) if known_at is None else known_at
    return Row(date(2020, 5, day), known_at, (close - 1, close + 1, close - 2, close, 1000.0))


BARS = [bar(4, 10.5), bar(5, 11.25), bar(6, 11.0)]


def put(store: Engine, kept: Kept, rows: list[Row], now: datetime = NOW) -> tuple[int, int]:
    with store.begin() as connection:
        return add_rows(connection, kept, rows, now)


def put_bars(store: Engine, rows: list[Row], now: datetime = NOW) -> tuple[int, int]:
    return put(store, bars_of("T"), rows, now)


def put_archive(store: Engine, rows: list[Row]) -> tuple[int, int]:
    with store.begin() as connection:
        return add_archive(connection, observations_of("M"), rows, NOW)


def number_of(store: Engine, table: str) -> int:
    with store.connect() as connection:
        return connection.scalar(text(f"SELECT count(*) FROM {table}"))


def test_adding_the_same_bars_twice_adds_nothing(store):
    assert put_bars(store, BARS) == (3, 0)
    assert put_bars(store, BARS, LATER) == (0, 0)
    assert put_bars(store, [*BARS, bar(7, 12.0)], LATER) == (1, 0)
    assert number_of(store, "bar") == 4


def test_a_revision_is_appended_and_known_from_now_on(store):
    put_bars(store, BARS)
    assert put_bars(store, [bar(5, 99.0)], LATER) == (0, 1)
    facts = read_facts(store, LATER)
    closes = facts.column("close")[facts.date == np.datetime64("2020-05-05")]
    assert closes.tolist() == [11.25, 99.0]
    assert facts.known_at[facts.column("close") == 99.0].tolist() == [LATER.replace(tzinfo=None)]
    assert facts.known_at[facts.column("close") == 11.25] == np.datetime64("2020-05-05T20:30")


def test_a_value_that_returns_is_a_revision_too(store):
    put_bars(store, BARS)
    assert put_bars(store, [bar(5, 99.0)], NOW) == (0, 1)
    assert put_bars(store, [bar(5, 99.0)], LATER) == (0, 0)
    assert put_bars(store, BARS, LATER) == (0, 1)
    facts = read_facts(store, LATER)
    assert facts.column("close")[facts.date == np.datetime64("2020-05-05")].tolist() == [11.25, 99.0, 11.25]


def test_what_was_seen_last_stands_even_where_a_clock_went_back(store):
    put_bars(store, BARS)
    assert put_bars(store, [bar(5, 99.0)], LATER) == (0, 1)
    assert put_bars(store, [bar(5, 98.0)], NOW) == (0, 1)
    assert read_facts(store, LATER + timedelta(seconds=1)).column("close").tolist() == [10.5, 11.25, 99.0, 98.0, 11.0]
    assert put_bars(store, [bar(5, 98.0)], LATER) == (0, 0)


def test_noise_of_a_vendors_single_precision_is_no_revision_and_a_tick_is(store):
    put_bars(store, BARS)
    assert put_bars(store, [bar(5, 11.25 * (1 + 2e-7))], LATER) == (0, 0)
    assert put_bars(store, [bar(5, 11.25 + 0.0001)], LATER) == (0, 1)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_sameness_is_symmetric_and_exact_without_a_tolerance(a, b):
    assert _same((a,), (b,), 1e-6) == _same((b,), (a,), 1e-6)
    assert _same((a,), (b,), 0.0) == (a == b)


def test_an_action_that_vanishes_and_returns_is_three_rows(store):
    for value, expected in ((0.25, (1, 0)), (0.0, (0, 1)), (0.25, (0, 1)), (0.25, (0, 0))):
        row = Row(date(2020, 5, 5), datetime(2020, 5, 5, tzinfo=UTC), (value,))
        assert put(store, actions_of("T", "dividend"), [row]) == expected
    facts = read_facts(store, LATER, ["T"])
    assert set(facts.subject) == {"T#dividend"}
    assert facts.column("value").tolist() == [0.25, 0.0, 0.25]


def test_what_is_written_when_it_is_news_is_recorded_and_what_is_older_is_assumed(store):
    put_bars(store, BARS, BARS[1].known_at + WITNESSED)  # the 5th's and the 6th's were news
    assert count_assumed(store, LATER, ["T"]) == 1
    assert read_facts(store, LATER, recorded_only=True).column("close").tolist() == [11.25, 11.0]
    put_bars(store, [bar(4, 10.75)], LATER)
    assert read_facts(store, LATER, recorded_only=True).column("close").tolist() == [10.75, 11.25, 11.0]
    assert count_assumed(store, LATER, ["T"]) == 1
    assert count_assumed(store, LATER, ["M"]) == 0


def test_an_archive_gives_each_value_from_when_it_was_published(store):
    months = [
        Row(date(2020, 4, 1), datetime(2020, 5, day, tzinfo=UTC), (value,)) for day, value in ((8, 1.5), (20, 1.75))
    ]
    assert put_archive(store, months) == (1, 1)
    assert put_archive(store, months) == (0, 0)
    assert count_assumed(store, LATER, ["M"]) == 0
    assert read_facts(store, datetime(2020, 5, 19, tzinfo=UTC)).column("value").tolist() == [1.5]
    assert read_facts(store, LATER).column("value").tolist() == [1.5, 1.75]


def test_what_an_archive_saw_replaces_what_was_assumed(store):
    known_at = datetime(2020, 5, 8, tzinfo=UTC)
    put(store, observations_of("M"), [Row(date(2020, 4, 1), known_at, (9.0,))])
    assert put_archive(store, [Row(date(2020, 4, 1), known_at, (1.5,))]) == (0, 1)
    assert read_facts(store, LATER).column("value").tolist() == [9.0, 1.5]
    assert put_archive(store, [Row(date(2020, 4, 1), known_at, (1.5,))]) == (0, 0)


def test_the_newest_revision_of_each_date_is_found(store):
    put_bars(store, BARS)
    put_bars(store, [bar(5, 99.0)], LATER)
    with store.begin() as connection:
        found = latest_rows(connection, bars_of("T"), date(2020, 5, 5))
        assert [row.values[3] for row in found] == [99.0, 11.0]
        assert dates(connection, bars_of("T")) == [row.date for row in BARS]
        assert latest_rows(connection, bars_of("U")) == []


def test_two_that_add_the_same_at_once_add_it_once(store):
    gate = Barrier(2)

    def add(now: datetime) -> tuple[int, int]:
        gate.wait()
        with store.begin() as connection:
            lock(connection, "T")
            return add_rows(connection, bars_of("T"), BARS, now)

    with ThreadPoolExecutor(2) as pool:
        done = sorted(pool.map(add, (NOW, LATER)))
    assert done == [(0, 0), (3, 0)]


@pytest.mark.parametrize("change", ["UPDATE bar SET close = 1", "DELETE FROM bar"])
def test_market_data_cannot_be_changed_by_anyone(store, change):
    put_bars(store, BARS)
    with pytest.raises(DatabaseError, match="append-only"), store.begin() as connection:
        connection.execute(text(change))
    assert read_facts(store, LATER).column("close").tolist() == [10.5, 11.25, 11.0]


def test_observations_are_revised_alike(store):
    row = Row(date(2020, 4, 1), datetime(2020, 5, 8, tzinfo=UTC), (1.5,))
    for value, expected in ((1.5, (1, 0)), (1.5, (0, 0)), (1.75, (0, 1))):
        assert put(store, observations_of("M"), [replace(row, values=(value,))]) == expected
    facts = read_facts(store, LATER)
    assert facts.column("value").tolist() == [1.5, 1.75]
    assert np.isnan(facts.column("close")).all()


def test_facts_are_those_known_at_the_date(store):
    put_bars(store, BARS)
    put_bars(store, [bar(5, 99.0)], LATER)
    at = [
        (datetime(2020, 5, 4, 20, 29, 59, tzinfo=UTC), []),
        (datetime(2020, 5, 4, 20, 30, tzinfo=UTC), [10.5]),
        (NOW, [10.5, 11.25, 11.0]),
        (LATER - timedelta(microseconds=1), [10.5, 11.25, 11.0]),
        (LATER, [10.5, 11.25, 99.0, 11.0]),
    ]
    for as_of, closes in at:
        assert read_facts(store, as_of).column("close").tolist() == closes


def test_facts_as_of_a_date_are_what_was_written_by_then(store):
    put_bars(store, BARS)
    before = read_facts(store, NOW).digest()
    put_bars(store, [bar(5, 99.0), bar(6, 1.5)], LATER)
    assert read_facts(store, NOW).digest() == before
    assert read_facts(store, LATER).digest() != before


def test_facts_are_of_the_subjects_that_were_asked_for(store):
    put_bars(store, BARS)
    put(store, observations_of("M"), [Row(date(2020, 4, 1), NOW, (1.5,))])
    assert set(read_facts(store, LATER).subject) == {"T", "M"}
    assert set(read_facts(store, LATER, ["M"]).subject) == {"M"}
    assert len(read_facts(store, LATER, [])) == 0


def test_an_instant_keeps_its_zone_and_microsecond(store):
    east = datetime(2020, 5, 5, 5, 30, 0, 123456, tzinfo=UTC).astimezone(tz=None)
    put_bars(store, [bar(5, 11.0, known_at=east)])
    assert read_facts(store, NOW).known_at == np.datetime64("2020-05-05T05:30:00.123456")


def test_numbers_survive_to_the_bit(store):
    numbers = (0.1 + 0.2, 1e-300, 1.7976931348623157e308, 123456789.123456789, 2.0**53)
    put_bars(store, [Row(date(2020, 5, 4), NOW, numbers)])
    assert tuple(read_facts(store, NOW).values[0, :5]) == numbers
    assert put_bars(store, [Row(date(2020, 5, 4), NOW, numbers)], LATER) == (0, 0)


def test_a_row_is_quarantined_once(store):
    rejected = [
        Rejected(date(2020, 5, 4), "not finite", {"close": "nan"}),
        Rejected(date(2020, 5, 4), "volume negative", {"volume": "-1.0"}),
    ]
    for expected in (2, 0):
        with store.begin() as connection:
            assert add_rejected(connection, "T", rejected, NOW) == expected
    with store.begin() as connection:
        assert add_rejected(connection, "U", rejected[:1], NOW) == 1
    assert number_of(store, "quarantine") == 3


def test_of_a_session_given_twice_both_rows_are_kept_as_evidence(store):
    twice = [Rejected(date(2020, 5, 4), "session given twice", {"close": close}) for close in ("1.0", "2.0", "3.0")]
    with store.begin() as connection:
        assert add_rejected(connection, "T", twice, NOW) == 1
        kept = connection.execute(text("SELECT row FROM quarantine")).scalar_one()
    kept = json.loads(kept) if isinstance(kept, str) else kept
    assert kept == {"close": "1.0", "also": [{"close": "2.0"}, {"close": "3.0"}]}


def test_an_unknown_symbol_is_told_with_the_known_ones(store):
    with store.begin() as connection:
        for _ in range(2):
            add_instrument(connection, Instrument("T", "XNYS", "USD", "sample"))
    assert find_instrument(store, "T") == Instrument("T", "XNYS", "USD", "sample")
    with pytest.raises(UnknownSymbol, match="known here: T"):
        find_instrument(store, "NONE")


def test_a_failed_transaction_leaves_nothing(store):
    with pytest.raises(DatabaseError):
        put_bars(store, [*BARS, BARS[0]])
    assert number_of(store, "bar") == 0


def test_what_had_been_written_by_a_moment_is_what_was_seen_then(store):
    put_bars(store, BARS[:2])
    put_bars(store, BARS, LATER)  # the third came late: known in May by rule, written in June
    assert read_facts(store, NOW).column("close").tolist() == [10.5, 11.25, 11.0]
    assert read_facts(store, NOW, recorded_by=NOW).column("close").tolist() == [10.5, 11.25]


def test_a_volume_within_its_sources_rounding_is_the_same(store):
    put_bars(store, BARS)
    rounded = replace(BARS[1], values=(*BARS[1].values[:4], 1004.0), grain=5.0)
    assert put_bars(store, [rounded], LATER) == (0, 0)
    assert put_bars(store, [replace(rounded, grain=3.0)], LATER) == (0, 1)
