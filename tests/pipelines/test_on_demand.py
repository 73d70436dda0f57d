"""What the service makes on demand is what `issue` wrote down, to the last bit."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from forecaster.calendars import trading_calendar
from forecaster.store.champions import crown, find_champion
from forecaster.store.ledger import Entry, all_issued
from pipelines.issue import issue
from pipelines.score import score
from pipelines.train import scored_jobs, train_all
from pipelines.workspace import Workspace
from serving.app import create_app
from serving.settings import Settings
from tests.pipelines.small_runs import GRU, NOW, fetched, levels, prices, write_load

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*")  # mlflow, when it is imported

CUTOFFS = trading_calendar("XNYS", date(2016, 7, 1), date(2016, 9, 30)).cutoffs[:12].tolist()
SESSIONS = [cutoff.replace(tzinfo=UTC) + timedelta(minutes=5) for cutoff in CUTOFFS]

ALIKE = ("calibration", "levels", "model", "origin", "origin_close", "steps", "target")


class Service:
    """The service on a run's home, asked in process, at whatever time it is told."""

    def __init__(self, made: Workspace, now: datetime) -> None:
        self.made, self.now = made, now
        app = create_app(Settings(home=made.home.root, refresh_seconds=3600), clock=lambda: self.now)
        self._runner = asyncio.Runner()
        self._lifespan = app.router.lifespan_context(app)
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")

    def on_demand(self, symbol: str, as_of: date | None = None) -> dict[str, Any]:
        body = {"symbols": [symbol], "as_of": None if as_of is None else as_of.isoformat()}
        answer = self._runner.run(self._client.post("/v1/forecasts", json=body))
        assert answer.status_code == 200, answer.text
        (found,) = answer.json()["forecasts"]
        return found

    def issued(self, symbol: str, as_of: date) -> dict[str, Any]:
        query = {"as_of": as_of.isoformat()}
        return self._runner.run(self._client.get(f"/v1/forecasts/{symbol}", params=query)).json()

    def __enter__(self) -> Self:
        self._runner.run(self._lifespan.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.aclose())
        self._runner.run(self._lifespan.__aexit__(None, None, None))
        self._runner.close()


def put_in_charge(made: Workspace) -> None:
    """The last model of the run, beside its random walk."""
    trained = train_all(made.bench, scored_jobs(made.bench, made.spans), lambda _: None)
    decision = {"passed": True, "reason": "a test", "recipe": "r" * 64, "walk": trained[0].artifact.digest}
    key = made.config.target.key
    crown(made.engine, key, trained[-1].artifact.digest, find_champion(made.engine, key), decision, made.now)


def same(made: dict[str, Any], issued: dict[str, Any], entries: list[Entry]) -> None:
    """One answer is the other, and what the ledger says."""
    assert {name: made[name] for name in ALIKE} == {name: issued[name] for name in ALIKE}
    assert (made["issued"], issued["issued"]) == (False, True)
    assert [step["return_quantiles"] for step in made["steps"]] == [entry.stated for entry in entries]
    assert [entry.quantiles for entry in entries] != [entry.walk for entry in entries]
    assert made["calibration"] == entries[0].calibration
    assert None not in [step["walk_price_quantiles"] for step in made["steps"]]


@dataclass(frozen=True)
class Summer:
    """A run that issued after each session and scored after every fourth, and what was made on demand right after."""

    service: Service
    at_once: list[dict[str, Any]]


@pytest.fixture(scope="module")
def summer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Summer]:
    root: Path = tmp_path_factory.mktemp("summer")
    write_load(root)
    made = fetched(root / "home", levels(root, [GRU]), datetime(2016, 7, 1, tzinfo=UTC))
    put_in_charge(made)
    at_once: list[dict[str, Any]] = []
    with Service(made, SESSIONS[0]) as service:
        for number, now in enumerate(SESSIONS):
            service.now = now
            assert [one.status for one in made.fetcher({}, lambda now=now: now).fetch((), ("LOAD",))] == ["ok"]
            if number % 4 == 3:  # late: what had come by a session counts only from when it was scored
                score(made.engine, made.config, now)
            assert issue(made.engine, made.config, "LOAD", now).fresh
            at_once.append(service.on_demand("LOAD"))
        yield Summer(service, at_once)


def test_made_right_after_it_was_issued_it_is_the_same(summer):
    ledger = all_issued(summer.service.made.engine, "LOAD")
    assert len(ledger) == len(SESSIONS)
    for made, entries in zip(summer.at_once, ledger, strict=True):
        same(made, summer.service.issued("LOAD", entries[0].origin), entries)
    assert len({entries[0].calibration for entries in ledger}) == 1 + len(SESSIONS) // 4


def test_made_weeks_later_as_of_each_day_it_is_the_same_still(summer):
    """Values, visits, forecasts and scores have come since: as of the day none of them counts."""
    for entries in all_issued(summer.service.made.engine, "LOAD"):
        day = entries[0].origin
        same(summer.service.on_demand("LOAD", day), summer.service.issued("LOAD", day), entries)


def test_a_weekend_is_as_of_the_friday(summer):
    friday, sunday = (summer.service.on_demand("LOAD", date(2016, 7, day)) for day in (8, 10))
    assert friday == sunday


def test_a_price_is_the_same_too(tmp_path):
    made = fetched(tmp_path / "home", prices([GRU]))
    put_in_charge(made)
    issue(made.engine, made.config, "^GSPC", NOW)
    with Service(made, NOW + timedelta(hours=1)) as service:
        (entries,) = all_issued(made.engine, "^GSPC")
        found = service.on_demand("^GSPC")
        same(found, service.issued("^GSPC", service.now.date()), entries)
        assert not found["in_sample"]
        assert service.on_demand("^GSPC", date(2005, 6, 1))["in_sample"]
