"""Prices as they are known now: in shares of today, in their newest revision, and nothing from the future."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from small_store import NOW, SmallStore

from forecaster.store.history import Row, actions_of, add_rows, bars_of, observations_of
from forecaster.store.schema import instrument

FIRST = date(2018, 12, 3)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def settled(number: int) -> datetime:
    return datetime.combine(day(number), time(21, 30), UTC)


def trade(store: SmallStore, closes: list[float], symbol: str = "MSFT") -> None:
    """A bar a day: open 1 below the close, high 2 above, low 3 below, 1000 shares."""
    rows = [
        Row(day(number), settled(number), (close - 1, close + 2, close - 3, close, 1000.0))
        for number, close in enumerate(closes)
    ]
    with store.engine.begin() as connection:
        add_rows(connection, bars_of(symbol), rows, NOW)


def split(store: SmallStore, number: int, ratio: float, known: datetime | None = None) -> None:
    row = Row(day(number), known or settled(number) - timedelta(days=5), (ratio,))
    with store.engine.begin() as connection:
        add_rows(connection, actions_of("MSFT", "split"), [row], NOW)


def test_the_newest_bars_come_oldest_first(store, service):
    trade(store, [100.0 + number for number in range(20)])
    with service() as running:
        told = running.get("/v1/bars/MSFT", limit="3").json()
    assert told == {
        "symbol": "MSFT",
        "currency": "USD",
        "bars": [
            {"session": day(17 + n).isoformat(), "open": 116.0 + n, "high": 119.0 + n, "low": 114.0 + n,
             "close": 117.0 + n, "volume": 1000.0, "value": None}
            for n in range(3)
        ],
    }  # fmt: skip


def test_candles_on_either_side_of_a_split_line_up(store, service):
    """Two for one on day 2, five for one on day 4: one share of day 0 has become ten."""
    trade(store, [100.0, 100.0, 50.0, 50.0, 10.0])
    split(store, 2, 2.0)
    split(store, 4, 5.0)
    with service() as running:
        bars = running.get("/v1/bars/MSFT").json()["bars"]
    assert [bar["close"] for bar in bars] == [10.0] * 5
    assert [bar["volume"] for bar in bars] == [10_000.0, 10_000.0, 5000.0, 5000.0, 1000.0]
    assert [bar["high"] for bar in bars] == pytest.approx([10.2, 10.2, 10.4, 10.4, 12.0])


def test_a_split_that_is_yet_to_come_moves_nothing(store, service):
    trade(store, [100.0, 100.0])
    split(store, 2, 2.0)
    with service() as running:
        assert [bar["close"] for bar in running.get("/v1/bars/MSFT").json()["bars"]] == [100.0, 100.0]


def test_the_newest_revision_counts_and_none_from_the_future(store, service):
    trade(store, [100.0, 100.0, 100.0])
    for close, known in ((101.0, NOW - timedelta(days=1)), (102.0, NOW + timedelta(days=1))):
        with store.engine.begin() as connection:
            row = Row(day(1), settled(1), (close - 1, close + 2, close - 3, close, 1000.0))
            add_rows(connection, bars_of("MSFT"), [row], known)
    with service() as running:
        assert [bar["close"] for bar in running.get("/v1/bars/MSFT").json()["bars"]] == [100.0, 101.0, 100.0]


def test_a_split_taken_back_is_none(store, service):
    trade(store, [100.0, 100.0, 50.0])
    split(store, 2, 2.0)
    with store.engine.begin() as connection:
        add_rows(connection, actions_of("MSFT", "split"), [Row(day(2), settled(2), (1.0,))], NOW - timedelta(hours=1))
    with service() as running:
        assert [bar["close"] for bar in running.get("/v1/bars/MSFT").json()["bars"]] == [100.0, 100.0, 50.0]


def test_a_currency_that_the_source_does_not_name_is_none(store, service):
    trade(store, [100.0])
    with store.engine.begin() as connection:
        connection.execute(instrument.update().values(currency="unknown"))
    with service() as running:
        assert running.get("/v1/bars/MSFT").json()["currency"] is None


def test_a_series_has_values(store, service):
    with store.engine.begin() as connection:
        add_rows(connection, observations_of("VIXCLS"), [Row(day(0), settled(0), (17.5,))], NOW)
    with service() as running:
        told = running.get("/v1/bars/VIXCLS").json()
    assert told["currency"] is None
    assert told["bars"] == [{"session": day(0).isoformat(), "value": 17.5,
                             **dict.fromkeys(("open", "high", "low", "close", "volume"))}]  # fmt: skip


@pytest.mark.usefixtures("store")
def test_a_symbol_without_bars_has_none_and_an_unknown_one_is_not_found(service):
    with service() as running:
        known, unknown = running.get("/v1/bars/MSFT"), running.get("/v1/bars/AAPL")
    assert (known.status_code, known.json()["bars"]) == (200, [])
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:forecaster:unknown-symbol")


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("asked", ["MSFT?limit=0", "MSFT?limit=2001", "MSFT?limit=x", "MSFT?first=1", "msft", "%00"])
def test_what_is_no_question_is_refused(service, asked):
    with service() as running:
        assert running.get(f"/v1/bars/{asked}").status_code == 422
