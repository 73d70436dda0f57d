"""A session watched in a real store: what is raised, once, from what was there by then, and anew after an alarm."""

import json
import logging
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from forecaster.artifact import Artifact
from forecaster.calendars import trading_calendar
from forecaster.contract import LEVELS
from forecaster.drift import PATIENCE
from forecaster.errors import ConfigError
from forecaster.scores import crps
from forecaster.store.alarms import Alarm, add_alarms, alarms
from forecaster.store.artifacts import add_artifact
from forecaster.store.champions import crown, find_champion
from forecaster.store.history import Row, add_rows, observations_of
from forecaster.store.ledger import Entry, add_entries
from forecaster.store.scores import Score, add_scores, unscored
from forecaster.store.visits import Visit, add_visit
from pipelines.config import RunConfig
from pipelines.home import Home
from pipelines.monitor import Watch, last_settled, monitor, watch
from pipelines.train import scored_jobs, train_all
from pipelines.workspace import Workspace
from tests.pipelines.conftest import forecaster
from tests.pipelines.small_runs import NOW, fetched, levels, prices, toml, workspace, write_load

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*")  # mlflow, when it is imported

KEY = "LOAD-level-2"
BEGUN = datetime(2016, 7, 1, 21, tzinfo=UTC)
CALENDAR = trading_calendar("XNYS", date(2016, 7, 1), date(2016, 12, 30))
DAYS: list[date] = CALENDAR.sessions.tolist()
SHAPE = np.quantile(np.random.default_rng(0).standard_normal(20000), LEVELS)


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The random walk, trained on the series LOAD until July 2016."""
    root = tmp_path_factory.mktemp("walk")
    write_load(root)
    made = fetched(root / "home", levels(root, []), BEGUN)
    return train_all(made.bench, scored_jobs(made.bench, made.spans), lambda _: None)[0].artifact


def opened(root: Path, store: Engine, walk: Artifact, now: datetime = BEGUN) -> Workspace:
    """A run on the series LOAD, its data until then fetched and the random walk in charge."""
    if not (root / "LOAD.csv").exists():
        write_load(root)
    config = RunConfig.model_validate(levels(root, []))
    made = Workspace(Home(root / "home"), config, now)
    vars(made)["engine"] = store  # the fixture's, which closes its connections
    (done,) = made.fetcher({}, lambda: now).fetch((), ("LOAD",))
    assert done.status == "ok"
    if find_champion(made.engine, KEY) is None:
        with made.engine.begin() as connection:
            add_artifact(connection, walk, BEGUN)
        crown(made.engine, KEY, walk.digest, None, {"reason": "a test"}, BEGUN)
    return made


def bars(root: Path) -> Workspace:
    """The sample's two indices, which end in 2018, in a store without a champion."""
    made = workspace(root, prices([]))
    done = made.fetcher({}, lambda: NOW).fetch(made.config.data.symbols, ())
    assert [one.status for one in done] == ["ok"] * 2
    return made


def later(root: Path, store: Engine, walk: Artifact, day: date) -> Workspace:
    """The same after a session, with what the file says of it."""
    return opened(root, store, walk, datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=45))


def freeze(root: Path, since: date) -> None:
    """The source says the same from a day on."""
    head, *rows = (root / "LOAD.csv").read_text().splitlines()
    kept = [row for row in rows if row < f"{since}"]
    value = kept[-1].split(",")[1]
    rest = [f"{row.split(',')[0]},{value}" for row in rows[len(kept) :]]
    (root / "LOAD.csv").write_text("\n".join([head, *kept, *rest]) + "\n")


def issue_and_score(made: Workspace, days: list[date], width: float, seed: int = 0) -> None:
    """Forecasts one session ahead, so many times as wide as the truth, and what came of them."""
    champion = find_champion(made.engine, KEY)
    assert champion is not None
    rng = np.random.default_rng(seed)
    came = dict(zip(days, rng.standard_normal(len(days)).tolist(), strict=True))
    stated, beside = (width * SHAPE).tolist(), SHAPE.tolist()
    for day in days:
        entry = Entry(KEY, "LOAD", day - timedelta(days=1), 1, day, champion.digest, 1, 0.0, stated, BEGUN)
        add_entries(made.engine, [Entry(**{**vars(entry), "walk": beside})])
    scores = []
    for one in unscored(made.engine, KEY, days[-1]):
        outcome = came[one.entry.session]
        losses = [float(crps(np.array(said)[None, None], np.array([[outcome]]))[0, 0]) for said in (stated, beside)]
        below = [bool(outcome <= quantile) for quantile in stated]
        scores.append(Score(one.id, outcome, losses[0], losses[0], losses[1], below, made.now))
    add_scores(made.engine, scores)


def of_kind(found: list[Watch], kind: str) -> Watch:
    (one,) = [one for one in found if one.kind == kind]
    return one


def test_a_quiet_quarter_raises_nothing_and_says_what_is_watched(tmp_path: Path, store: Engine, walk: Artifact):
    made = later(tmp_path, store, walk, DAYS[64])
    issue_and_score(made, DAYS[:63], 1.0)
    assert monitor(made, DAYS[62]) == []
    found = watch(made, DAYS[62])
    assert [(one.kind, one.subject) for one in found] == [
        ("inputs", ""), ("scores", ""), ("coverage", ""), ("age", "LOAD"),
    ]  # fmt: skip
    assert not any(one.alarming for one in found)
    assert (of_kind(found, "scores").sessions, of_kind(found, "scores").threshold) == (63, PATIENCE)
    assert 0 < of_kind(found, "inputs").statistic < 1
    assert alarms(made.engine, KEY) == []


def test_a_frozen_feed_is_an_alarm_once_and_the_test_begins_anew(tmp_path: Path, store: Engine, walk: Artifact, caplog):
    write_load(tmp_path)
    freeze(tmp_path, DAYS[20])
    made = later(tmp_path, store, walk, DAYS[45])
    first = next(day for day in DAYS[15:45] if of_kind(watch(made, day), "inputs").alarming)
    assert DAYS.index(first) - 20 <= 12
    with caplog.at_level(logging.WARNING, logger="pipelines.monitor"):
        (raised,) = monitor(made, first)
        assert (raised.kind, raised.session, raised.threshold) == ("inputs", first, 1.0)
        assert raised.statistic >= 1
        assert "stands still" in raised.says
        assert monitor(made, first) == [raised]
    (told,) = caplog.records
    assert (told.kind, told.session) == ("inputs", str(first))  # type: ignore[attr-defined]
    assert alarms(made.engine, KEY) == [raised]
    after = of_kind(watch(made, DAYS[DAYS.index(first) + 2]), "inputs")
    assert after.sessions == 1  # the source was asked later, so that its newest value counts from the next session
    assert not after.alarming


@pytest.mark.parametrize(("width", "kind"), [(2.5, "scores"), (0.4, "coverage")])
def test_forecasts_that_went_bad_are_an_alarm_and_the_test_begins_anew(
    tmp_path: Path, store: Engine, walk: Artifact, width, kind
):
    made = opened(tmp_path, store, walk)
    issue_and_score(made, DAYS, width)
    first = next(day for day in DAYS if of_kind(watch(made, day), kind).alarming)
    raised = [one for one in monitor(made, first) if one.kind == kind]
    assert [(one.target, one.session, one.threshold) for one in raised] == [(KEY, first, PATIENCE)]
    after = of_kind(watch(made, DAYS[DAYS.index(first) + 1]), kind)
    assert after.sessions == 1
    assert not after.alarming


def test_a_copy_of_the_walk_and_a_forecast_without_one_bet_nothing(tmp_path: Path, store: Engine, walk: Artifact):
    made = opened(tmp_path, store, walk)
    issue_and_score(made, DAYS[:40], 1.0)
    assert of_kind(watch(made, DAYS[39]), "scores").statistic == pytest.approx(40)  # M_t = M_{t-1} + 1


def test_nothing_that_came_after_a_session_moves_it(tmp_path: Path, store: Engine, walk: Artifact):
    made = later(tmp_path, store, walk, DAYS[40])
    issue_and_score(made, DAYS[:35], 1.3)
    day = DAYS[30]
    before = watch(made, day)
    with made.engine.begin() as connection:
        instant = datetime(2016, 9, 1, tzinfo=UTC)
        rows = [Row(DAYS[k], instant + timedelta(days=k), (50.0 + k,)) for k in range(25, 60)]
        add_rows(connection, observations_of("LOAD"), rows, instant)
        add_visit(connection, Visit("LOAD", "files", instant, True, "temporary", stale_since=DAYS[33]))
    issue_and_score(made, DAYS[35:50], 0.1, seed=1)
    champion = find_champion(made.engine, KEY)
    assert champion is not None
    crown(made.engine, KEY, champion.digest, champion, {"reason": "later"}, datetime(2016, 9, 2, tzinfo=UTC))
    add_alarms(made.engine, [Alarm(KEY, kind, "", DAYS[33], 9.0, 1.0, "later", BEGUN) for kind in ("inputs", "scores")])
    assert watch(made, day) == before
    assert of_kind(watch(made, DAYS[49]), "scores") != of_kind(before, "scores")


def test_a_silent_source_is_an_alarm_once_a_gap(tmp_path: Path, store: Engine, walk: Artifact):
    made = opened(tmp_path, store, walk)
    at = datetime.combine(DAYS[3], datetime.min.time(), UTC) + timedelta(hours=21)
    with made.engine.begin() as connection:
        add_visit(connection, Visit("LOAD", "files", at, True, "temporary", stale_since=DAYS[3]))
    (raised,) = [one for one in monitor(made, DAYS[3]) if one.kind == "age"]
    assert (raised.subject, raised.statistic) == ("LOAD", 1.0)
    assert str(DAYS[3]) in raised.says
    assert [one for one in monitor(made, DAYS[4]) if one.kind == "age"] == []


def test_bars_that_do_not_come_are_an_alarm_once_a_gap(tmp_path: Path):
    """The sample ends in 2018."""
    made = bars(tmp_path)
    assert monitor(made, date(2018, 12, 28)) == []
    first = monitor(made, date(2019, 1, 3))
    assert [(one.kind, one.subject) for one in first] == [("age", "^GSPC"), ("age", "^IXIC")]
    assert all("2019-01-02" in one.says and one.statistic == 2 for one in first)
    assert monitor(made, date(2019, 1, 4)) == []
    assert of_kind([one for one in watch(made, date(2019, 1, 4)) if one.subject == "^GSPC"], "age").sessions == 3


def test_a_day_without_trading_is_no_session(tmp_path: Path):
    made = bars(tmp_path)
    with pytest.raises(ConfigError, match=r"2018-12-30.*sessions"):
        monitor(made, date(2018, 12, 30))
    assert last_settled(made) == date(2019, 2, 28)


def test_the_command_prints_what_is_watched_and_writes_once(tmp_path: Path):
    made = bars(tmp_path / "home")
    run = tmp_path / "run.toml"
    run.write_text(toml(prices([])))
    words = ("monitor", "--run", str(run), "--session", "2019-01-03")
    done = forecaster(*words, "--json", home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["session"] == "2019-01-03"
    assert [one["kind"] for one in found["alarms"]] == ["age", "age"]
    assert found["raised"] == sorted(found["alarms"], key=lambda one: one["subject"])
    plain = forecaster(*words, home=tmp_path / "home")
    assert "age ^GSPC" in plain.stdout
    assert len(alarms(made.engine, made.config.target.key)) == 2
