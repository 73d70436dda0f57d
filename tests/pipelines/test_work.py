"""Sessions and retrainings as durable runs: once, tried again, caught up on, taken over, and what is told of them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from rich.console import Console
from sqlalchemy import Engine, create_engine, event, select, text

from forecaster.errors import ConfigError, MissingSessions
from forecaster.store.alarms import Alarm, add_alarms
from forecaster.store.artifacts import find_run_of
from forecaster.store.champions import crown, find_champion
from forecaster.store.database import connect
from forecaster.store.schema import bar, forecast, promotion, run, score
from forecaster.store.workers import beat, beats
from pipelines import terminal
from pipelines.backfill import backfill, issue_on
from pipelines.config import RunConfig
from pipelines.home import Home
from pipelines.mirror import mirror
from pipelines.sources import yahoo as yahoo_room
from pipelines.sources.patience import Limits
from pipelines.timetable import timetable_of
from pipelines.train import scored_jobs, train_all
from pipelines.work import daily, retraining
from pipelines.work.durable import recorded_runs
from pipelines.work.retraining import Why
from pipelines.work.runs import Name, Policy, Run
from pipelines.work.worker import Worker, working
from pipelines.workspace import Workspace
from tests.pipelines.conftest import forecaster
from tests.pipelines.small_runs import fetched, moved, prices, toml
from tests.pipelines.stand_in_yahoo import Row as Bar
from tests.pipelines.stand_in_yahoo import StandInYahoo, chart

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*")  # mlflow, when it is imported

KEY = "^GSPC-return-2"
HAR = {"name": "har", "family": "har"}
RUN = prices([HAR], window={"context": 40, "burn_in": 24, "channels": ["log_return", "log_range"]})
CONFIG = RunConfig.model_validate(RUN)
TABLE = timetable_of(CONFIG, date(2017, 1, 2), date(2018, 12, 31))
DAYS = TABLE.between(date(2018, 12, 10), date(2018, 12, 17))
HOUR = timedelta(hours=1)


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@contextmanager
def at_work(made: Workspace, now: datetime, lease: float = 30.0) -> Iterator[tuple[Worker, Clock]]:
    """A worker in this process, as the commands open it."""
    clock = Clock(now)
    with working(made.at(now), clock, lease) as one:
        yield one, clock


def see_to(one: Worker, policy: Policy = "latest", began: datetime | None = None) -> list[Run]:
    return one.wait(one.fire(policy, began or one.clock()))


def rows(engine: Engine, *columns: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return sorted((tuple(row) for row in connection.execute(select(*columns))), key=repr)


def issued_of(made: Workspace) -> list[tuple[Any, ...]]:
    return rows(made.engine, forecast.c.origin, forecast.c.horizon, forecast.c.kind)


def scored_of(made: Workspace) -> list[tuple[Any, ...]]:
    """Steps that were held against what came: origin and horizon."""
    with made.engine.connect() as connection:
        found = connection.execute(select(forecast.c.origin, forecast.c.horizon).join(score))
        return sorted(tuple(row) for row in found)


def crowned(made: Workspace) -> Workspace:
    """The random walk in charge; its inputs are watched from now on, not since the years that it was trained on."""
    (job, *_) = scored_jobs(made.bench, made.spans)
    (one,) = train_all(made.bench, [job], lambda _: None)
    crown(made.engine, made.config.target.key, one.artifact.digest, None, {"reason": "a test"}, made.now)
    friday = DAYS[0] - timedelta(days=3)
    add_alarms(made.engine, [Alarm(made.config.target.key, "inputs", "", friday, 2.0, 1.0, "a test", made.now)])
    return made


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A home whose champion was crowned an hour before the first of the days is due. Tests take a copy."""
    made = crowned(fetched(tmp_path_factory.mktemp("work") / "home", RUN, TABLE.due_at(DAYS[0]) - HOUR))
    assert mirror(made) is None  # registered in MLflow
    return made


@pytest.fixture
def made(base: Workspace, tmp_path: Path) -> Workspace:
    return moved(base.home.root, tmp_path / "home", base)


def test_session_is_seen_to_once(store: Engine, tmp_path: Path) -> None:
    """On both databases; asked for again by the clock, by name, and by a worker that comes later: nothing."""
    shared = None if store.dialect.name == "sqlite" else store.url.render_as_string(hide_password=False)
    now = TABLE.due_at(DAYS[0])
    fresh = Workspace(Home(tmp_path / "home", shared), CONFIG, now - HOUR)
    list(fresh.fetcher({}, lambda: fresh.now).fetch(fresh.config.data.symbols, ()))
    crowned(fresh)
    name = Name("session", KEY, DAYS[0])
    with at_work(fresh, now - timedelta(minutes=1)) as (one, clock):
        assert one.fire("none", clock.now) == []  # Friday's is past, Monday's yet to come
        clock.now = now
        assert one.fire("all", now) == [name]
        (done,) = one.wait([name])
        assert one.fire("all", now) == []
    assert (done.state, done.told["issued"]) == ("done", {"^GSPC": "live"})
    once = issued_of(fresh)
    assert once == [(DAYS[0], 1, "live"), (DAYS[0], 2, "live")]
    with at_work(fresh, now + HOUR) as (one, _):
        assert one.fire("all", now) == []
        one.flows.ask(name)
        (again,) = one.wait([name])
    assert (again.told, again.worker) == (done.told, done.worker)
    assert issued_of(fresh) == once
    assert beats(fresh.engine) == {}  # who goes says so
    fresh.engine.dispose()


def lived_through(made: Workspace, policy: Policy, looks: list[date]) -> list[Run]:
    """Sessions on which somebody looked, an hour after each was due."""
    done = []
    with at_work(made, TABLE.due_at(looks[0]) + HOUR) as (one, clock):
        for day in looks:
            clock.now = TABLE.due_at(day) + HOUR
            done += see_to(one, policy, made.now if day == DAYS[0] else None)  # who came first was there in time
    return done


@pytest.fixture(scope="module")
def undisturbed(base: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = moved(base.home.root, tmp_path_factory.mktemp("undisturbed") / "home", base)
    assert [run.state for run in lived_through(made, "all", DAYS)] == ["done"] * 6
    return made


@pytest.mark.parametrize(
    ("policy", "kinds"),
    [
        ("all", ["live", "backfill", "backfill", "backfill", "backfill", "live"]),
        ("latest", ["live", "live"]),
        ("none", ["live"]),
    ],
)
def test_down_for_five_sessions(made: Workspace, undisturbed: Workspace, policy: Policy, kinds: list[str]) -> None:
    """What was never down issued live on every day; what was says the same, and says what it made afterwards."""
    runs = lived_through(made, policy, [DAYS[0]])
    runs += lived_through(made, policy, [DAYS[-1]])
    assert [run.state for run in runs] == ["done"] * len(kinds)
    chosen = DAYS if policy == "all" else [DAYS[0], DAYS[-1]][: len(kinds)]
    assert [row[2] for row in issued_of(made) if row[1] == 1] == kinds
    said = (forecast.c.symbol, forecast.c.origin, forecast.c.session, forecast.c.quantiles, forecast.c.digest)
    there = [row for row in rows(undisturbed.engine, *said) if row[1] in chosen]
    assert rows(made.engine, *said) == there
    if policy == "none":
        return  # nobody fetched either
    values = (bar.c.symbol, bar.c.session, bar.c.close)
    assert rows(made.engine, *values) == rows(undisturbed.engine, *values)
    assert scored_of(made) == [row for row in scored_of(undisturbed) if row[0] in chosen]


def yahoo_run() -> dict[str, Any]:
    found = prices([], data={"symbols": ["^GSPC"], "bars": {"source": "yahoo", "start": "2005-01-03"}})
    return found | {"window": RUN["window"] | {"channels": ["log_return"]}, "jobs": {"retry_minutes": 15}}


def bars_until(day: date) -> list[Bar]:
    rng = np.random.default_rng(3)
    days = timetable_of(CONFIG, date(2005, 1, 3), day).between(date(2005, 1, 3), date(2018, 12, 31))
    closes = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, len(days))))
    return [
        (at, float(close), float(close * 1.01), float(close * 0.99), float(close), 1e6)
        for at, close in zip(days, closes.round(2), strict=True)
        if at <= day
    ]


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Workspace, StandInYahoo]]:
    """A run on Yahoo, whose requests go to the stand-in; the random walk in charge."""
    monkeypatch.setattr(yahoo_room, "LIMITS", Limits(per_minute=60_000, deadline=5, attempts=2, first_wait=0.01))
    with StandInYahoo() as yahoo:
        monkeypatch.setattr(yahoo_room, "ChartSession", yahoo.session)
        yahoo.serve(chart("^GSPC", bars_until(DAYS[0]), exchange="SNP"))
        found = yahoo_run()
        yield crowned(fetched(tmp_path / "home", found, TABLE.due_at(DAYS[0]))), yahoo


def test_source_that_refuses_for_hours_defers_the_session(remote: tuple[Workspace, StandInYahoo]) -> None:
    """Fault 1: every quarter of an hour one attempt, nothing trained, the old forecast stale; then it is done."""
    made, yahoo = remote
    due = TABLE.due_at(DAYS[1])
    with at_work(made, TABLE.due_at(DAYS[0]) + HOUR) as (one, clock):
        (first,) = see_to(one)
        assert first.state == "done"
        trained = rows(made.engine, run.c.key)
        yahoo.behave("429")
        attempts = []
        for minutes in (0, 5, 16, 20, 32, 120):
            clock.now = due + timedelta(minutes=minutes)
            attempts += [(minutes, done.state, done.name.more) for done in see_to(one)]
        assert attempts == [
            (0, "deferred", ""),
            (16, "deferred", "again 1"),
            (32, "deferred", "again 2"),
            (120, "deferred", "again 3"),
        ]
        stands = issue_on(made.at(clock.now), TABLE, "^GSPC", DAYS[0])
        assert stands is not None
        assert (stands.fresh, stands.stale_since) == (False, str(DAYS[1]))
        assert rows(made.engine, run.c.key) == trained
        assert {row[0] for row in issued_of(made)} == {DAYS[0]}
        yahoo.behave("well")
        yahoo.serve(chart("^GSPC", bars_until(DAYS[1]), exchange="SNP"))
        clock.now = due + timedelta(minutes=140)
        (done,) = see_to(one)
        assert (done.state, done.name.more, done.told["issued"]) == ("done", "again 4", {"^GSPC": "live"})
        assert see_to(one) == []


def test_attempts_go_on_after_the_fiftieth(made: Workspace) -> None:
    """A weekend of refusals; only the newest runs are looked at."""
    with at_work(made, TABLE.due_at(DAYS[0])) as (one, clock):
        told = {"asked_at": clock.now.isoformat()}
        past = [
            Run(Name("session", KEY, DAYS[0], f"again {at}"), "deferred", "", told, "", clock.now, 1.0)
            for at in range(99, 49, -1)
        ]
        (name,) = one._again(clock.now + 26 * HOUR, TABLE, past)
        assert name.more == "again 100"


def test_nobody_in_charge_is_trained_on_data_that_are_yet_to_come(remote: tuple[Workspace, StandInYahoo]) -> None:
    made, yahoo = remote
    with made.engine.begin() as connection:
        for table in ("champion", "promotion"):
            connection.execute(text(f"DROP TRIGGER IF EXISTS {table}_is_kept"))  # there may be none
        connection.execute(text("DELETE FROM champion"))
    yahoo.behave("429")
    with at_work(made, TABLE.due_at(DAYS[1])) as (one, _):
        (done,) = see_to(one)
        assert done.state == "deferred"
        assert recorded_runs(made.home, ["retrain "]) == []


def pretend(made: Workspace, name: Name, executor: str) -> None:
    """A run that somebody has."""
    engine = create_engine(made.home.jobs_url)
    with engine.begin() as connection:
        changed = connection.execute(
            text("UPDATE workflow_status SET status = 'PENDING', executor_id = :who WHERE workflow_uuid = :name"),
            {"who": executor, "name": str(name)},
        )
        assert changed.rowcount == 1
    engine.dispose()


def test_run_of_the_dead_is_taken_over(made: Workspace) -> None:
    name = Name("session", KEY, DAYS[0])
    with at_work(made, TABLE.due_at(DAYS[0])) as (one, _):
        one.flows.ask(name)
        (before,) = one.wait([name])
        pretend(made, name, "dead-1")
        one.beat()
        (after,) = one.wait([name])
        assert (after.state, after.worker, after.told) == ("done", one.name, before.told)
        assert len(issued_of(made)) == 2


def test_run_of_the_living_is_not(made: Workspace) -> None:
    """One that has come to life, and has taken a run, while another counted the living."""
    name = Name("session", KEY, DAYS[0])
    with at_work(made, TABLE.due_at(DAYS[0])) as (one, _):
        one.flows.ask(name)
        one.wait([name])

        def come(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if "FROM worker" in statement and statement.startswith("SELECT") and "late-1" not in arrived:
                arrived.append("late-1")
                pretend(made, name, "late-1")
                beat(other, "late-1")

        arrived: list[str] = []
        other = connect(made.home.database_url)
        event.listen(one.workspace.engine, "after_cursor_execute", come)
        while not arrived:
            one.beat()
        event.remove(one.workspace.engine, "after_cursor_execute", come)
        (held,) = [run for run in recorded_runs(made.home, [str(name)]) if run.name == name]
        assert (held.state, held.worker) == ("runs", "late-1")


def test_jobs_tell_what_failed_and_why(tmp_path: Path) -> None:
    folder = tmp_path / "bars"
    folder.mkdir()
    found = prices([], data={"symbols": ["^GSPC"], "bars": {"source": "files", "folder": str(folder)}})
    found["window"] = RUN["window"] | {"channels": ["log_return"]}
    made = Workspace(Home(tmp_path / "home"), RunConfig.model_validate(found), TABLE.due_at(DAYS[0]))
    assert recorded_runs(made.home, ["session "]) == []
    with at_work(made, made.now) as (one, _):
        folder.rmdir()
        (failed,) = see_to(one)
    assert failed.state == "failed"
    assert "needs a folder that exists" in failed.says
    for width in (80, 120):
        out = StringIO()
        Console(file=out, width=width).print(terminal.jobs([failed]))
        assert max(map(len, out.getvalue().splitlines())) <= width
        assert "failed" in out.getvalue()
        assert "exists" in out.getvalue()
        assert "…" not in out.getvalue()
        assert "2018-12-10" in out.getvalue()
    shown = forecaster("jobs", "--json", home=made.home.root)
    (record,) = json.loads(shown.stdout)["runs"]
    assert (record["job"], record["state"], record["says"]) == ("session", "failed", failed.says)


def test_backfill_is_marked_and_refused_where_nobody_was_in_charge(made: Workspace) -> None:
    before = TABLE.between(date(2018, 12, 3), date(2018, 12, 7))
    later = made.at(TABLE.due_at(DAYS[-1]))
    list(later.fetcher({}, lambda: later.now).fetch(CONFIG.data.symbols, ()))
    assert {one.says for one in backfill(later, before[0], before[-1])} == {"nobody was in charge then"}
    assert issued_of(later) == []
    done = backfill(later, DAYS[0], DAYS[-1])
    assert [one.says for one in done] == ["backfill"] * 5 + ["live"]
    assert [one.fresh for one in backfill(later, DAYS[0], DAYS[-1])] == [False] * 6
    with pytest.raises(ConfigError, match="no session from 2018-12-15 to 2018-12-16 is over"):
        backfill(later, date(2018, 12, 15), date(2018, 12, 16))
    with pytest.raises(MissingSessions):
        issue_on(later, TABLE, "^GSPC", date(2018, 12, 18))


def test_backfill_knows_nothing_of_what_came_after(made: Workspace, tmp_path: Path) -> None:
    """Bars after its session changed, those before restated once it was due: not a bit of it moves."""
    later = made.at(TABLE.due_at(DAYS[-1]))
    list(later.fetcher({}, lambda: later.now).fetch(CONFIG.data.symbols, ()))
    other = moved(later.home.root, tmp_path / "other", later)
    with other.engine.begin() as connection:
        restated = connection.execute(select(bar).where(bar.c.session >= date(2018, 11, 1))).all()
        known = TABLE.due_at(DAYS[2]) + timedelta(seconds=1)
        for one in restated:
            values = dict(one._mapping) | {"close": one.close * 3, "high": one.high * 4, "known_at": known}
            values.pop("id", None)
            connection.execute(bar.insert().values(values))
    said = []
    for one in (later, other):
        (done,) = backfill(one, DAYS[2], DAYS[2])
        assert done.says == "backfill"
        said.append(rows(one.engine, forecast.c.origin, forecast.c.quantiles, forecast.c.calibrated))
    assert said[0] == said[1]
    for one in (later, other):
        backfill(one, DAYS[-1], DAYS[-1])
    assert rows(other.engine, forecast.c.quantiles) != rows(later.engine, forecast.c.quantiles)  # it can be seen


def client(made: Workspace) -> MlflowClient:
    return MlflowClient(made.home.tracking_uri)


def test_alias_pointed_at_a_foreign_model_is_set_back_at_once(made: Workspace) -> None:
    champion = find_champion(made.engine, KEY)
    assert champion is not None
    foreign = client(made).create_model_version(KEY, "s3://elsewhere/model")
    client(made).set_registered_model_alias(KEY, "champion", foreign.version)
    assert made.notebook.alias(KEY).moved
    assert mirror(made) is None
    assert made.notebook.alias(KEY).digest == champion.digest
    assert "version 1 is in charge" in client(made).get_registered_model(KEY).tags["reason"]


def test_alias_moved_by_hand_is_a_request(made: Workspace) -> None:
    """It is asked for a challenge, answered, and set back with the reason."""
    jobs = scored_jobs(made.bench, made.spans)
    (har,) = [one for one in train_all(made.bench, jobs, lambda _: None) if one.artifact.manifest.name == "har"]
    made.notebook.crown(KEY, har.run.tracking_id, har.artifact.digest, 2)
    client(made).set_registered_model_tag(KEY, "mirrored", str(find_champion(made.engine, KEY).digest))
    assert mirror(made) == "har"
    assert made.notebook.alias(KEY).digest == har.artifact.digest  # until the gate has spoken
    assert mirror(made, "har, asked for by hand: no better than the random walk") is None
    assert made.notebook.alias(KEY).digest == find_champion(made.engine, KEY).digest
    assert "no better" in client(made).get_registered_model(KEY).tags["reason"]


def test_a_process_that_trained_nothing_registers_the_champion(made: Workspace) -> None:
    """As one that takes over between a refit and its crown: what it never told MLflow's globals must not matter."""
    jobs = scored_jobs(made.bench, made.spans)
    (har,) = [one for one in train_all(made.bench, jobs, lambda _: None) if one.artifact.manifest.name == "har"]
    mlflow.set_tracking_uri(f"sqlite:///{made.home.root}/elsewhere.db")
    made.notebook.crown(KEY, har.run.tracking_id, har.artifact.digest, 2)
    assert made.notebook.alias(KEY).digest == har.artifact.digest


def test_a_model_that_was_deleted_in_mlflow_stops_nothing(made: Workspace) -> None:
    for version in client(made).search_model_versions(f"name = '{KEY}'"):
        client(made).delete_registered_model_alias(KEY, "champion")
        client(made).delete_model_version(KEY, version.version)
    champion = find_champion(made.engine, KEY)
    assert champion is not None
    run = find_run_of(made.engine, champion.digest)
    assert run is not None
    experiment = client(made).get_experiment_by_name(KEY)
    for model in client(made).search_logged_models([experiment.experiment_id]):
        client(made).delete_logged_model(model.model_id)
    assert f"no model of run {run.tracking_id}" in daily.mirror(made)["problem"]
    with at_work(made, TABLE.due_at(DAYS[0])) as (one, _):
        (done,) = see_to(one)
    assert done.state == "done"


def test_mlflow_away_does_not_stop_a_session(made: Workspace) -> None:
    away = replace(made, home=replace(made.home, tracking="http://127.0.0.1:9"))
    with at_work(away, TABLE.due_at(DAYS[0])) as (one, _):
        (done,) = see_to(one)
    assert done.state == "done"
    assert daily.mirror(away)["problem"] is not None


def promoted(made: Workspace, kind: str, at: date, recipe: bool = True) -> None:
    """Somebody in charge since a session."""
    from pipelines.recipe import Recipe

    before = find_champion(made.engine, KEY)
    said = {"reason": "a test", "kind": kind}
    if recipe:
        said["recipe"] = Recipe.of(CONFIG, "har").model_dump(mode="json")
    crown(made.engine, KEY, before.digest, before, said, TABLE.due_at(at))


@pytest.mark.parametrize(
    ("jobs", "sessions", "kind"),
    [
        ({"refresh_every": 5, "challenge_every": 60}, 4, None),
        ({"refresh_every": 5, "challenge_every": 60}, 5, "refresh"),
        ({"refresh_every": 60, "challenge_every": 10}, 9, None),
        ({"refresh_every": 60, "challenge_every": 10}, 10, "challenge"),
        ({"refresh_every": 5, "challenge_every": 5}, 5, "challenge"),
        ({"challenge_every": 60}, 20, None),
        ({"challenge_every": 60}, 21, "refresh"),
    ],
)
def test_retraining_is_due_after_so_many_sessions(
    made: Workspace, jobs: dict[str, Any], sessions: int, kind: str | None
) -> None:
    config = RunConfig.model_validate(RUN | {"jobs": jobs})
    year = timetable_of(CONFIG, date(2018, 1, 2), date(2019, 12, 31))
    days = year.between(DAYS[0], date(2019, 12, 31))
    promoted(made, "challenge", days[0])
    found = retraining.why(replace(made, config=config), year, days[sessions], True, [], [])
    assert (found.kind if found else None) == kind


def test_retraining_that_changed_nothing_is_counted_too(made: Workspace) -> None:
    config = RunConfig.model_validate(RUN | {"jobs": {"refresh_every": 5, "challenge_every": 60}})
    promoted(made, "challenge", DAYS[0])
    since = TABLE.between(DAYS[0], date(2018, 12, 31))
    name = Name("retrain", KEY, since[4])
    past = [Run(name, "done", "not sound", {"kind": "refresh"}, "", TABLE.due_at(since[4]), 1.0)]
    asked = [retraining.why(replace(made, config=config), TABLE, day, True, [], past) for day in since[5:10]]
    assert [one is not None for one in asked] == [False, False, False, False, True]


def test_drift_asks_for_a_challenge_and_old_data_for_nothing(made: Workspace) -> None:
    def asked(whole: bool, *alarms: str) -> Why | None:
        told = [{"kind": kind, "says": f"{kind}: so much"} for kind in alarms]
        return retraining.why(made, TABLE, DAYS[1], whole, told, [])

    assert asked(True, "age") is None
    assert asked(True, "age", "scores") == Why("challenge", "scores: so much")
    assert asked(False, "scores") is None


def clocked(made: Workspace, now: datetime) -> dict[str, str]:
    (made.home.root / "run.toml").write_text(toml(RUN))
    (made.home.root / "clock").write_text(now.isoformat())
    return {"FORECASTER_RUN": str(made.home.root / "run.toml"), "FORECASTER_CLOCK": str(made.home.root / "clock")}


@pytest.mark.slow
def test_commands_see_to_a_session_and_retrain_once(made: Workspace) -> None:
    """As cron calls them, in processes of their own."""
    home, told = made.home.root, clocked(made, TABLE.due_at(DAYS[0]))
    made.engine.dispose()
    first = forecaster("catch-up", "--json", home=home, **told)
    assert first.returncode == 0, first.stderr
    assert [run["state"] for run in json.loads(first.stdout)["runs"]] == ["done"]
    second = forecaster("catch-up", home=home, **told)
    assert (second.returncode, second.stdout.strip()) == (0, "no runs")
    wrong = forecaster("retrain", "--session", "2018-12-09", home=home, **told)
    assert wrong.returncode != 0
    assert "2018-12-09 is no session of XNYS that is due; choose one up to 2018-12-10" in " ".join(wrong.stderr.split())
    answers = [forecaster("retrain", "--session", "2018-12-10", "--json", home=home, **told) for _ in range(2)]
    assert [one.returncode for one in answers] == [0, 0], answers[0].stderr
    assert answers[0].stdout == answers[1].stdout
    assert len(rows(made.engine, promotion.c.version)) <= 2
    assert len(rows(made.engine, forecast.c.origin)) in (2, 4)
