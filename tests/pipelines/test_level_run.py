"""A series from a file, all the way: fetch, snapshot, train, compare, promote, forecast, serve."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from forecaster.errors import ConfigError, DataStale
from pipelines.compare import Comparison, see
from pipelines.config import load_config
from pipelines.demo import demo
from pipelines.issue import Issued, issue
from pipelines.leaks import check_leaks
from pipelines.promote import Promoted, promote
from pipelines.train import Walked, walk
from pipelines.workspace import Workspace
from serving.app import create_app
from serving.settings import Settings
from tests.pipelines.small_runs import GRU, fetched, levels, moved, prices, toml, workspace, write_load

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*")  # mlflow, when it is imported

NOW = datetime(2017, 1, 2, tzinfo=UTC)


@dataclass(frozen=True)
class Story:
    """A run that went all the way."""

    made: Workspace
    values: dict[str, float]
    """What the file says, by date."""
    walked: list[Walked]
    comparison: Comparison
    promoted: Promoted
    issued: Issued


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    root = tmp_path_factory.mktemp("level")
    path = write_load(root)
    values = dict(line.split(",") for line in path.read_text().splitlines()[1:])
    run = levels(root, [GRU], training={"epochs": 15, "patience": 15, "learning_rate": 0.02})
    made = fetched(root / "home", run, NOW)
    walked = walk(made.bench, made.folds, lambda _: None)
    comparison = see(made, walked)
    promoted = promote(made, walked, comparison)
    issued = issue(made.engine, made.config, "LOAD", NOW)
    return Story(made, {day: float(value) for day, value in values.items()}, walked, comparison, promoted, issued)


def test_the_file_is_below_zero_on_most_days_and_above_on_some(story):
    values = np.array(list(story.values.values()))
    assert 0.5 < (values < 0).mean() < 1.0
    (windows,) = story.made.universe
    assert (windows.close < 0).any()
    assert (windows.close > 0).any()


def test_a_row_holds_what_was_published_by_its_cut_off(story):
    """A day's value is out at midnight UTC: after the close of its own session, before that of the next."""
    (windows,) = story.made.universe
    days = sorted(story.values)
    for row in range(5, len(windows.sessions), 97):
        session = str(windows.sessions[row])
        before = [day for day in days if day < session]
        assert windows.close[row] == story.values[before[-1]]


def test_a_network_that_sees_the_way_back_beats_the_random_walk(story):
    gru = story.comparison.row("gru")
    assert gru.skill > 0.05
    assert gru.dm_p < 1e-3
    assert story.comparison.unit == "the series' unit"


def test_losses_are_in_the_series_own_unit(story):
    sample = story.made.spans.test[0]
    outcomes = sample.windows.targets[sample.origins]
    naive = story.comparison.row("naive")
    assert 0.2 * np.abs(outcomes).mean() < naive.mae < 2 * np.abs(outcomes).mean()
    assert naive.crps < naive.mae


def test_what_passed_is_promoted_and_its_refit_reads_all_there_is(story):
    assert story.promoted.name == "gru"
    assert story.promoted.champion.target == "LOAD-level-2"
    assert str(story.promoted.manifest.trained_until) == str(story.made.universe[0].sessions[-1])


def test_the_forecast_is_the_level_plus_its_change(story):
    issued = story.issued
    assert issued.origin_close == pytest.approx(story.made.universe[0].close[-1])
    changes, ahead = np.array(issued.return_quantiles), np.array(issued.price_quantiles)
    np.testing.assert_allclose(ahead, issued.origin_close + changes)
    assert ahead.min() < 0
    assert (np.diff(ahead, axis=1) >= 0).all()
    assert issue(story.made.engine, story.made.config, "LOAD", NOW).fresh is False


def test_the_service_answers_the_same(story):
    home = story.made.home.root
    app = create_app(Settings(home=home, refresh_seconds=3600), clock=lambda: NOW)

    async def ask(*paths: str) -> list[httpx.Response]:
        async with app.router.lifespan_context(app):
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                return [await client.get(path) for path in paths]

    said, told = asyncio.run(ask("/v1/forecasts/LOAD", "/v1/models/champion"))
    assert said.status_code == 200, said.text
    forecast: dict[str, Any] = said.json()
    assert forecast["target"] == "LOAD-level-2"
    assert forecast["origin_close"] == story.issued.origin_close
    steps = forecast["steps"]
    assert [step["session"] for step in steps] == story.issued.sessions
    np.testing.assert_allclose([step["price_quantiles"] for step in steps], story.issued.price_quantiles)
    champion = told.json()
    assert (champion["symbols"], champion["channels"]) == (["LOAD"], ["change"])


def test_nothing_of_the_run_knows_the_future(story):
    verdict = check_leaks(story.made, 8)
    assert verdict.search.leaks == ()
    assert verdict.search.comparisons > 100


def test_a_price_that_is_forecast_as_a_level_is_refused_and_a_series_as_a_return(tmp_path):
    write_load(tmp_path)
    as_level = prices([GRU]) | {"target": {"symbols": ["^GSPC"], "venue": "XNYS", "horizon": 2, "kind": "level"}}
    as_level["window"] = {"context": 24, "burn_in": 12, "channels": ["change"]}
    as_return = levels(tmp_path, [GRU]) | {"target": {"symbols": ["LOAD"], "venue": "XNYS", "horizon": 2}}
    as_return["window"] = {"context": 24, "burn_in": 12, "channels": ["log_return"]}
    for run, said in (
        (as_level, "target: kind 'level' is for [data] series, and ^GSPC is none"),
        (as_return, "target: kind 'return' is for [data] symbols, and LOAD is none"),
    ):
        path = tmp_path / "run.toml"
        path.write_text(toml(run))
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert str(caught.value) == f"{path}: {said}"


@pytest.mark.parametrize(("kind", "channel"), [("level", "log_return"), ("return", "change")])
def test_a_first_channel_of_the_other_kind_is_refused(tmp_path, kind, channel):
    run = prices([GRU]) if kind == "return" else levels(tmp_path, [GRU])
    run["window"] = {"context": 24, "burn_in": 12, "channels": [channel]}
    path: Path = tmp_path / "run.toml"
    path.write_text(toml(run))
    with pytest.raises(ConfigError, match="window: the first channel must be"):
        load_config(path)


def test_a_month_after_its_file_ended_a_series_is_reported_all_the_same(tmp_path):
    write_load(tmp_path)
    made = workspace(tmp_path / "home", levels(tmp_path, [GRU]), NOW + timedelta(days=30))
    told: list[str] = []
    _, story, page = demo(made, told.append)
    assert told[0].startswith("fetched   1 subject from files, ")
    (forecast,) = story.issued
    assert forecast.origin > str(story.universe[0].sessions[-1])
    assert forecast.walk_quantiles == forecast.raw_quantiles  # the walk is in charge
    assert page.exists()


def test_a_series_that_ended_years_ago_is_stale(story, tmp_path):
    made, later = moved(story.made.home.root, tmp_path / "home", story.made), NOW + timedelta(days=900)
    list(made.fetcher({}, lambda: later).fetch([], ["LOAD"]))  # asked, and nothing new
    with pytest.raises(DataStale, match="LOAD is stale since 2016-12-30"):
        issue(made.engine, made.config, "LOAD", later)
