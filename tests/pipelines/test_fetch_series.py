"""Fetch of macro series, from a stand-in of FRED into both databases."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Engine

from forecaster.errors import DataStale
from forecaster.store.history import count_assumed, read_facts
from pipelines.fetch import Fetched, Fetcher
from pipelines.snapshot import require_delivered
from pipelines.sources.fred import Fred
from pipelines.sources.patience import Limits, Patience
from pipelines.sources.sample import Sample
from tests.pipelines.stand_in_fred import KEY, StandInFred, archive_of, daily_archive

JUNE = {"2024-05-03": {"2024-04-01": "3.9"}, "2024-06-07": {"2024-04-01": "3.8", "2024-05-01": "4.0"}}


@dataclass
class World:
    """A store, a stand-in of FRED, and a clock that is set by hand."""

    engine: Engine
    fred: StandInFred
    now: datetime = datetime(2024, 6, 10, 12, tzinfo=UTC)
    key: str | None = KEY

    def fetch(self, *series: str) -> list[Fetched]:
        patience = Patience(Limits(per_minute=60_000, deadline=10, attempts=1, first_wait=0.01))
        source = Fred(date(1990, 1, 1), self.key, patience, api=self.fred.url, graph=self.fred.url)
        return list(Fetcher(self.engine, Sample(), source, lambda: self.now).fetch([], series))

    def values(self, as_of: datetime, series: str = "UNRATE") -> list[tuple[str, float]]:
        facts = read_facts(self.engine, as_of, [series])
        return list(zip(facts.date.astype(str).tolist(), facts.column("value").tolist(), strict=True))


@pytest.fixture
def world(store: Engine) -> Iterator[World]:
    with StandInFred() as fred:
        yield World(store, fred)


def test_fault_14_a_revision_is_not_visible_before_it_was_published(world):
    world.fred.add(archive_of("UNRATE", JUNE))
    (found,) = world.fetch("UNRATE")
    assert (found.status, found.inserted, found.revised) == ("ok", 2, 1)
    assert world.values(datetime(2024, 5, 3, 23, 59, tzinfo=UTC)) == []
    assert world.values(datetime(2024, 5, 4, tzinfo=UTC)) == [("2024-04-01", 3.9)]
    assert world.values(datetime(2024, 6, 7, 23, 59, tzinfo=UTC)) == [("2024-04-01", 3.9)]
    assert world.values(world.now) == [("2024-04-01", 3.9), ("2024-04-01", 3.8), ("2024-05-01", 4.0)]
    assert count_assumed(world.engine, world.now, ["UNRATE"]) == 0


def test_a_series_is_asked_about_once_a_day_and_grows_by_its_news(world):
    world.fred.add(archive_of("UNRATE", JUNE))
    world.fetch("UNRATE")
    asked = len(world.fred.requests)
    assert [(one.status, one.inserted) for one in world.fetch("UNRATE")] == [("ok", 0)]
    assert len(world.fred.requests) == asked
    world.now += timedelta(days=30)
    world.fred.add(archive_of("UNRATE", {**JUNE, "2024-07-05": {"2024-05-01": "4.1", "2024-06-01": "4.1"}}))
    before = world.values(datetime(2024, 6, 10, tzinfo=UTC))
    assert [(one.inserted, one.revised) for one in world.fetch("UNRATE")] == [(1, 1)]
    assert world.values(datetime(2024, 6, 10, tzinfo=UTC)) == before


def test_without_a_key_values_are_assumed_and_a_change_is_known_from_the_fetch(world):
    world.key = None
    world.fred.add_graph("UNRATE", "observation_date,UNRATE\n2024-03-01,3.8\n2024-04-01,3.9\n")
    assert [(one.inserted, one.revised) for one in world.fetch("UNRATE")] == [(2, 0)]
    assert count_assumed(world.engine, world.now, ["UNRATE"]) == 2
    world.now += timedelta(days=1)
    world.fred.add_graph("UNRATE", "observation_date,UNRATE\n2024-03-01,3.8\n2024-04-01,4.0\n")
    assert [(one.inserted, one.revised) for one in world.fetch("UNRATE")] == [(0, 1)]
    assert world.values(world.now - timedelta(seconds=1)) == [("2024-03-01", 3.8), ("2024-04-01", 3.9)]


def test_what_was_assumed_without_a_key_gives_way_to_the_archive(world):
    world.key = None
    world.fred.add_graph("UNRATE", "observation_date,UNRATE\n2024-04-01,3.8\n")
    world.fetch("UNRATE")
    world.now, world.key = world.now + timedelta(days=1), KEY
    world.fred.add(archive_of("UNRATE", JUNE))
    world.fetch("UNRATE")
    newest = read_facts(world.engine, world.now, recorded_only=True)
    assert newest.column("value").tolist()[-2:] == [3.8, 4.0]
    month = timedelta(days=20)  # after the assumed day, 16 May, and before the revision
    assert world.values(datetime(2024, 5, 4, tzinfo=UTC) + month)[-1] == ("2024-04-01", 3.9)
    assert world.values(world.now)[-2:] == [("2024-04-01", 3.8), ("2024-05-01", 4.0)]
    count = len(read_facts(world.engine, world.now))
    world.now += timedelta(days=1)
    assert [(one.inserted, one.revised) for one in world.fetch("UNRATE")] == [(0, 0)]
    assert len(read_facts(world.engine, world.now)) == count


def test_fault_14_more_vintages_than_one_request_may_span(world):
    world.now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    world.fred.add(daily_archive("DAILY", 4500))
    (found,) = world.fetch("DAILY")
    assert found.status == "ok"
    assert found.inserted > 4400
    assert found.revised == 7


def test_fault_14_a_rate_limit_defers_and_a_day_later_the_series_is_stale(world):
    world.fred.add(archive_of("UNRATE", JUNE))
    world.fetch("UNRATE")
    world.now += timedelta(days=2)
    world.fred.behave("429")
    found = [one for _ in range(4) for one in world.fetch("UNRATE")]
    assert {one.status for one in found} == {"deferred"}
    assert "not asked after 3 failures" in str(found[-1].problem)
    assert KEY not in "".join(str(one.problem) for one in found)
    with pytest.raises(DataStale, match="UNRATE is stale since 2024-06-11"):
        require_delivered(world.engine, ["UNRATE"])
