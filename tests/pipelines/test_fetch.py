"""Fetch by the real yfinance client, from a stand-in of Yahoo into both databases.

Fault numbers are the field notes'.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, func, select

from forecaster.calendars import trading_calendar
from forecaster.errors import DataStale, Delisted, UnknownSymbol
from forecaster.panel import Panel, build_panel
from forecaster.store import visits
from forecaster.store.history import read_facts
from forecaster.store.schema import action, bar, quarantine, visit
from pipelines.config import DataConfig
from pipelines.fetch import Fetched, Fetcher
from pipelines.snapshot import require_delivered, snapshot
from pipelines.sources.patience import Limits, Patience
from pipelines.sources.sample import Sample
from pipelines.sources.yahoo import Yahoo
from tests.pipelines.stand_in_yahoo import Row, StandInYahoo, chart

CALENDAR = trading_calendar("XNAS", date(2024, 4, 1), date(2025, 1, 31))
SESSIONS = [day for day in CALENDAR.sessions.tolist() if date(2024, 4, 15) <= day <= date(2024, 12, 31)]
MONDAY = datetime(2024, 6, 10, 12, tzinfo=UTC)
"""Before the open: Friday the 7th is the last settled session."""
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def walk(until: date, seed: int = 1) -> list[Row]:
    """Bars as traded, at cents and whole shares."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for day, step in zip(SESSIONS, rng.normal(0, 0.01, (len(SESSIONS), 4)), strict=True):
        before = 100.0 if not rows else float(rows[-1][4] or 0)
        open_, close = before * np.exp(step[0] / 3), before * np.exp(step[1])
        high, low = max(open_, close) * np.exp(abs(step[2])), min(open_, close) * np.exp(-abs(step[3]))
        volume = float(rng.integers(1_000_000, 2_000_000))
        rows.append((day, *(round(float(price), 2) for price in (open_, high, low, close)), volume))
    return [row for row in rows if row[0] <= until]


def split(rows: list[Row], ex: date, ratio: float) -> list[Row]:
    """The same bars as Yahoo shows them once the split is there: in single precision, in shares of after it."""
    return [
        row if row[0] >= ex else (row[0], *(float(np.float32(price / ratio)) for price in row[1:5]), row[5] * ratio)
        for row in rows
    ]


@dataclass
class World:
    """A store, a stand-in of Yahoo, and a clock that is set by hand."""

    engine: Engine
    yahoo: StandInYahoo
    source: Yahoo
    now: datetime = MONDAY

    def fetch(self, *symbols: str, full: bool = False) -> list[Fetched]:
        return list(Fetcher(self.engine, self.source, Sample(), lambda: self.now, full).fetch(symbols or ["AAPL"], []))

    def one(self, full: bool = False) -> Fetched:
        (found,) = self.fetch(full=full)
        return found

    def panel(self, as_of: datetime | None = None) -> Panel:
        return build_panel(read_facts(self.engine, as_of or self.now), "AAPL", [], CALENDAR)

    def count(self, table) -> int:
        with self.engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(table))

    def quarantined(self) -> list[tuple[str, str]]:
        with self.engine.connect() as connection:
            rows = connection.execute(select(quarantine.c.date, quarantine.c.reason).order_by(quarantine.c.date))
            return [(str(row.date), row.reason) for row in rows]


@pytest.fixture
def world(store: Engine, tmp_path: Path) -> Iterator[World]:
    with StandInYahoo() as yahoo:
        patience = Patience(Limits(per_minute=60_000, deadline=5, attempts=2, first_wait=0.01))
        yield World(store, yahoo, Yahoo(date(2024, 1, 1), {}, tmp_path / "cache", patience, yahoo.session(patience)))


def served(world: World, until: date = date(2024, 6, 7)) -> World:
    world.yahoo.serve(chart("AAPL", walk(until)))
    return world


def test_what_was_fetched_is_reported_and_a_second_fetch_asks_nothing(world):
    served(world)
    first = world.one()
    assert (first.status, first.inserted, first.revised, first.quarantined) == ("ok", 39, 0, 0)
    assert (first.first, first.last, first.missing_sessions, first.stale_since) == (
        "2024-04-15",
        "2024-06-07",
        [],
        None,
    )
    asked = len(world.yahoo.requests)
    assert world.one().inserted == 0
    assert len(world.yahoo.requests) == asked
    assert world.one(full=True).inserted == 0
    assert len(world.yahoo.requests) > asked
    assert world.count(bar) == 39


def test_an_update_asks_for_the_last_sessions_only_and_adds_only_news(world):
    served(world).one()
    world.now += DAY  # Monday has settled
    rows = walk(date(2024, 6, 10))
    rows[-2] = (*rows[-2][:5], rows[-2][5] + 1000)  # Friday's volume still rose
    world.yahoo.serve(chart("AAPL", rows))
    found = world.one()
    assert (found.inserted, found.revised) == (1, 1)
    first_asked = datetime.fromtimestamp(int(world.yahoo.requests[-1].query["period1"]), UTC).date()
    assert first_asked == date(2023, 11, 20)


def test_a_stopped_fetch_goes_on_where_it_was(world):
    names = ["A", "B", "C", "D"]
    for name in names:
        world.yahoo.serve(chart(name, walk(date(2024, 6, 7))))
    fetching = Fetcher(world.engine, world.source, Sample(), lambda: world.now).fetch(names, [])
    assert [next(fetching).subject, next(fetching).subject] == ["A", "B"]
    asked = len(world.yahoo.requests)
    assert [one.status for one in world.fetch(*names)] == ["ok"] * 4
    assert {one.path.rsplit("/", 1)[-1] for one in world.yahoo.requests[asked:]} == {"C", "D"}


def test_one_that_fails_does_not_stop_the_others(world):
    for name in ("A", "C"):
        world.yahoo.serve(chart(name, walk(date(2024, 6, 7))))
    assert [one.status for one in world.fetch("A", "B", "C")] == ["ok", "unknown", "ok"]


def test_fault_01_a_rate_limit_for_hours_defers_and_nothing_is_trained_on_stale_data(world, tmp_path):
    served(world).one()
    world.yahoo.behave("429")
    world.now += DAY
    asked, failures = len(world.yahoo.requests), []
    for _ in range(24 * 4):  # a day of one fetch every five minutes, in quarters of an hour
        for _ in range(3):
            failures.append(world.one())
            world.now += timedelta(minutes=5)
    assert {one.status for one in failures} == {"deferred"}
    assert failures[0].stale_since == "2024-06-10"
    probes = len(world.yahoo.requests) - asked
    assert probes <= visits.FAILURES + 24 * 4  # at most one each quarter of an hour, once it is open
    assert world.count(bar) == 39
    with pytest.raises(DataStale, match="AAPL is stale since 2024-06-10"):
        snapshot(world.engine, DataConfig(symbols=("AAPL",)), tmp_path, world.now)
    assert not list(tmp_path.glob("*.parquet"))
    world.yahoo.behave("well")
    world.yahoo.serve(chart("AAPL", walk(date(2024, 6, 11))))
    world.now += visits.PROBE_EVERY
    assert world.one().status == "ok"
    require_delivered(world.engine, ["AAPL"])


def test_fault_01_the_breaker_holds_for_all_subjects_and_across_processes(world):
    world.yahoo.behave("429")
    found = world.fetch("A", "B", "C", "D", "E")
    assert [one.status for one in found] == ["deferred"] * 5
    assert "left alone" not in str(found[2].problem)
    assert "not asked after 3 failures in a row" in str(found[3].problem)
    with world.engine.connect() as connection:
        asked = connection.scalars(select(visit.c.asked).order_by(visit.c.id)).all()
    assert asked == [True, True, True, False, False]
    again = Fetcher(world.engine, world.source, Sample(), lambda: world.now)  # reads the same log
    assert next(again.fetch(["F"], [])).problem == str(found[4].problem).replace("E:", "F:")


@pytest.mark.parametrize("behaviour", ["500", "captcha", "truncated json", "cut off", "empty"])
def test_fault_02_an_outage_is_temporary_and_writes_nothing(world, behaviour):
    served(world)
    world.yahoo.behave(behaviour)
    assert world.one().status == "temporary"
    assert world.count(bar) == world.count(action) == world.count(quarantine) == 0


def test_fault_03_what_failed_once_is_fetched_by_the_same_process(world):
    world.yahoo.behave("500", times=50)
    assert world.one().status == "temporary"
    world.yahoo.behave("well")
    served(world)
    assert world.one().inserted == 39


def test_fault_04_a_symbol_unknown_for_sessions_is_delisted_and_forecast_no_more(world):
    served(world).one()
    world.yahoo.forget("AAPL")
    statuses = []
    for _ in range(11):  # twice a session; a weekend is in it, whose days count for nothing
        world.now += 12 * HOUR
        statuses.append(world.one().status)
    assert statuses == ["unknown"] * 8 + ["delisted"] * 3
    assert world.count(bar) == 39
    with pytest.raises(Delisted, match="AAPL looks delisted: its source has not known it since 2024-06-10"):
        require_delivered(world.engine, ["AAPL"])
    served(world, date(2024, 6, 14))
    world.now += HOUR
    assert world.one().status == "ok"  # it was a mistake of the vendor's, after all
    require_delivered(world.engine, ["AAPL"])


def test_fault_05_a_reply_that_drips_ends_at_the_deadline_and_writes_nothing(world, tmp_path):
    served(world)
    world.yahoo.behave("drip body")
    patience = Patience(Limits(per_minute=60_000, deadline=0.5, attempts=2, first_wait=0.01))
    source = Yahoo(date(2024, 1, 1), {}, tmp_path, patience, world.yahoo.session(patience))
    (found,) = Fetcher(world.engine, source, Sample(), lambda: world.now).fetch(["AAPL"], [])
    assert found.status == "temporary"
    assert world.count(bar) == 0


def test_fault_06_another_currency_is_refused(world):
    served(world).one()
    world.now += DAY
    world.yahoo.serve(chart("AAPL", walk(date(2024, 6, 10)), currency="GBp"))
    found = world.one()
    assert found.status == "refused"
    assert "currency was USD and is GBp now" in str(found.problem)
    assert world.count(bar) == 39


def test_fault_06_another_symbol_is_refused(world):
    world.yahoo.serve(chart("MSFT", walk(date(2024, 6, 7))), "AAPL")
    assert world.one().status == "refused"
    assert world.count(bar) == 0


@pytest.mark.parametrize("bad", [None, 0.0, -37.63, 1e300], ids=str)
def test_fault_07_a_price_that_cannot_be_is_quarantined(world, bad):
    rows = walk(date(2024, 6, 7))
    rows[20] = (rows[20][0], *rows[20][1:4], bad, rows[20][5])
    world.yahoo.serve(chart("AAPL", rows))
    found = world.one()
    assert (found.inserted, found.quarantined) == (38, 1)
    assert found.missing_sessions == [str(rows[20][0])]
    assert world.quarantined()[0][0] == str(rows[20][0])
    assert world.panel().holes.tolist() == [row == 20 for row in range(39)]


def test_fault_08_a_gap_and_a_holiday_are_found_against_the_calendar(world):
    rows = walk(date(2024, 6, 7))
    gone = rows.pop(10)
    rows.insert(28, (date(2024, 5, 27), *rows[27][1:]))  # Memorial Day
    world.yahoo.serve(chart("AAPL", rows))
    found = world.one()
    assert found.missing_sessions == [str(gone[0])]
    assert world.quarantined() == [("2024-05-27", "not a session of the venue")]


def test_fault_09_an_open_session_is_not_stored_until_it_has_settled(world):
    served(world, date(2024, 6, 10))
    for now, last in ((15, "2024-06-07"), (20, "2024-06-07"), (21, "2024-06-10")):  # 20:00 UTC is the close
        world.now = datetime(2024, 6, 10, now, tzinfo=UTC)
        assert world.one(full=True).last == last
    assert world.count(quarantine) == 0


def test_fault_09_a_half_day_settles_early(world):
    served(world, date(2024, 7, 3))  # closes at 17:00 UTC
    world.now = datetime(2024, 7, 3, 17, 29, tzinfo=UTC)
    assert world.one().last == "2024-07-02"
    world.now += timedelta(minutes=1)
    assert world.one().last == "2024-07-03"


def test_fault_10_a_split_changes_no_return_and_no_earlier_view(world):
    rows, ex = walk(date(2024, 6, 10)), date(2024, 6, 10)
    traded = [*rows[:-1], (ex, *(price / 4 for price in rows[-1][1:5]), rows[-1][5] * 4)]
    served(world).one()
    before, then, facts = world.panel(), world.now, read_facts(world.engine, world.now).digest()
    world.now += DAY
    world.yahoo.serve(chart("AAPL", split(traded, ex, 4), splits={ex: (4, 1)}))
    found = world.one(full=True)
    assert (found.status, found.inserted, found.revised, found.quarantined) == ("ok", 1, 0, 0)
    after = world.panel()
    assert after.traded("close")[-1] == pytest.approx(rows[-1][4] / 4)
    closes = np.array([row[4] for row in rows], dtype=float)
    np.testing.assert_allclose(np.diff(np.log(after.column("AAPL", "close"))), np.diff(np.log(closes)), atol=1e-6)
    assert after.column("AAPL", "close")[:-1].tobytes() == before.column("AAPL", "close").tobytes()
    assert read_facts(world.engine, then).digest() == facts
    assert world.panel(then).subjects["AAPL"].tobytes() == before.subjects["AAPL"].tobytes()


def test_fault_10_a_first_download_after_the_split_gives_the_same_bars(world):
    ex, rows = date(2024, 6, 5), walk(date(2024, 6, 7))
    traded = [row if row[0] < ex else (row[0], *(float(p) / 4 for p in row[1:5]), row[5] * 4) for row in rows]
    world.yahoo.serve(chart("AAPL", split(traded, ex, 4), splits={ex: (4, 1)}))
    world.one()
    stored = world.panel().subjects["AAPL"][:, :5]
    np.testing.assert_allclose(stored, [row[1:] for row in traded], rtol=1e-6)


def test_fault_11_a_dividend_restates_nothing_that_is_kept(world):
    rows, ex = walk(date(2024, 6, 10)), date(2024, 6, 10)
    served(world).one()
    then, before = world.now, read_facts(world.engine, world.now).digest()
    adjusted = chart("AAPL", rows, dividends={ex: 0.24})
    closes = [float(row[4]) for row in rows]
    column = {"adjclose": [0.998 * close for close in closes[:-1]] + closes[-1:]}  # all of the past, as Yahoo does it
    adjusted["chart"]["result"][0]["indicators"]["adjclose"] = [column]
    world.yahoo.serve(adjusted)
    world.now += DAY
    found = world.one(full=True)
    assert (found.inserted, found.revised) == (1, 0)
    assert read_facts(world.engine, then).digest() == before
    assert world.panel().dividends("AAPL").tolist() == [0.0] * 39 + [0.24]


def test_a_restated_bar_leaves_the_earlier_view_as_it_was_to_the_bit(world):
    served(world).one()
    then, before = world.now, world.panel().subjects["AAPL"].tobytes()
    rows = [(row[0], *(float(price) + 0.01 for price in row[1:5]), row[5]) for row in walk(date(2024, 6, 7))]
    world.yahoo.serve(chart("AAPL", rows))
    world.now += HOUR
    assert world.one(full=True).revised == 39
    assert world.panel(then).subjects["AAPL"].tobytes() == before
    assert world.panel(world.now).subjects["AAPL"].tobytes() == before  # each row as it was known at its own cut-off


def test_a_dividend_that_vanishes_and_returns_is_kept_each_time(world):
    rows, ex = walk(date(2024, 6, 7)), date(2024, 6, 5)
    seen = []
    for dividends in ({ex: 0.24}, {}, {ex: 0.24}):
        world.yahoo.serve(chart("AAPL", rows, dividends=dividends))
        world.one(full=True)
        seen.append(read_facts(world.engine, world.now).about("AAPL#dividend").column("value").tolist())
        world.now += HOUR
    assert seen == [[0.24], [0.24, 0.0], [0.24, 0.0, 0.24]]


@pytest.mark.parametrize("factor", [100.0, 0.01])
def test_fault_12_a_unit_jump_is_quarantined_not_repaired(world, factor):
    rows = walk(date(2024, 6, 7))
    rows[20] = (rows[20][0], *(float(price) * factor for price in rows[20][1:5]), rows[20][5])
    world.yahoo.serve(chart("AAPL", rows))
    assert world.one().quarantined == 1
    assert [day for day, _ in world.quarantined()] == [str(rows[20][0])]


def test_fault_12_a_history_rescaled_without_a_split_is_refused(world):
    served(world).one()
    world.now += DAY
    world.yahoo.serve(chart("AAPL", split(walk(date(2024, 6, 10)), date(2024, 6, 11), 4)))
    found = world.one(full=True)
    assert found.status == "refused"
    assert world.count(bar) == 39


@pytest.mark.parametrize("text", ["AAPL/../MSFT", "AAPL?x", "%2e%2e", "AA\nPL", "🍎", "A" * 10_000, "aapl", ""])
def test_fault_13_what_cannot_be_a_symbol_is_never_asked_about(world, text):
    with pytest.raises(UnknownSymbol):
        world.fetch("AAPL", text)
    assert world.yahoo.requests == []


def test_an_answer_to_an_older_question_does_not_overwrite_a_newer_one(world):
    served(world).one()
    slow = Fetcher(world.engine, world.source, Sample(), lambda: world.now - HOUR, full=True)
    rows = walk(date(2024, 6, 7))
    rows[-1] = (*rows[-1][:5], rows[-1][5] + 1)
    world.yahoo.serve(chart("AAPL", rows))
    (found,) = slow.fetch(["AAPL"], [])
    assert found.status == "overtaken"
    assert world.count(bar) == 39


def test_a_source_that_has_not_the_newest_session_yet_is_asked_again_and_nothing_is_trained_meanwhile(world):
    served(world).one()
    world.now = datetime(2024, 6, 10, 20, 31, tzinfo=UTC)  # just settled, and Yahoo is late
    found = world.one()
    assert (found.status, found.stale_since) == ("behind", "2024-06-10")
    with pytest.raises(DataStale, match="2024-06-10"):
        require_delivered(world.engine, ["AAPL"])
    served(world, date(2024, 6, 10))
    world.now += timedelta(minutes=5)
    found = world.one()
    assert (found.status, found.inserted) == ("ok", 1)
    require_delivered(world.engine, ["AAPL"])


def test_another_source_is_asked_whatever_the_one_before_has_answered(world):
    rows = [row for row in walk(date(2024, 6, 7)) if row[0] < date(2024, 6, 7)]
    world.yahoo.serve(chart("AAPL", rows))
    other = Fetcher(world.engine, _Elsewhere(world.source), Sample(), lambda: world.now)
    assert next(other.fetch(["AAPL"], [])).inserted == 38
    served(world)
    assert world.one().inserted == 1


class _Elsewhere:
    """The same bars under the name of another source."""

    name, remote = "elsewhere", True

    def __init__(self, source: Yahoo) -> None:
        self.bars = source.bars


def test_a_symbol_whose_calendar_cannot_be_had_does_not_stop_the_others(world):
    world.yahoo.serve(chart("OLD", [(date(2024, 6, 7), *walk(date(2024, 6, 7))[-1][1:])], exchange="TLV"))
    served(world)
    found = world.fetch("OLD", "AAPL")
    assert [one.status for one in found] == ["refused", "ok"]
    assert "cannot give the sessions of XTAE" in str(found[0].problem)


def test_an_outage_does_not_make_a_delisted_symbol_live_again(world):
    served(world).one()
    world.yahoo.forget("AAPL")
    for _ in range(visits.DELISTED_AFTER + 2):
        world.now += DAY
        world.one()
    world.yahoo.behave("500")
    world.now += DAY
    assert world.one().status == "temporary"
    with pytest.raises(Delisted):
        require_delivered(world.engine, ["AAPL"])
