"""Sessions and retrainings as durable runs: once, tried again, caught up on, taken over, and what is told of them."""

import json
from collections.abc import Iterator
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from sqlalchemy import Engine, create_engine, event, select, text

from forecaster.errors import ConfigError, MissingSessions
from forecaster.store.database import connect
from forecaster.store.schema import bar, forecast, run
from forecaster.store.workers import beat, beats
from pipelines import terminal
from pipelines.backfill import backfill, issue_on
from pipelines.config import RunConfig
from pipelines.home import Home
from pipelines.sources import yahoo as yahoo_room
from pipelines.sources.patience import Limits
from pipelines.timetable import timetable_of
from pipelines.work.durable import recorded_runs
from pipelines.work.runs import Name, Policy, Run
from pipelines.workspace import Workspace
from tests.pipelines.at_work.stage import (
    CONFIG,
    DAYS,
    HOUR,
    KEY,
    RUN,
    TABLE,
    at_work,
    crowned,
    issued_of,
    rows,
    scored_of,
    see_to,
)
from tests.pipelines.conftest import forecaster
from tests.pipelines.small_runs import fetched, moved, prices
from tests.pipelines.stand_in_yahoo import Row as Bar
from tests.pipelines.stand_in_yahoo import StandInYahoo, chart

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*")  # mlflow, when it is imported


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


def test_session_whose_file_was_late_is_seen_to_when_somebody_asks_again(tmp_path: Path) -> None:
    """By the clock nobody does: most files that lack a session ended years ago."""
    folder = tmp_path / "bars"
    folder.mkdir()
    found = yahoo_run()
    found["data"]["bars"] = {"source": "files", "folder": str(folder)}

    def bring(day: date) -> None:
        lines = [",".join(map(str, bar)) for bar in bars_until(day)]
        (folder / "^GSPC.csv").write_text("\n".join(("Date,Open,High,Low,Close,Volume", *lines)))

    bring(DAYS[0])
    made = crowned(fetched(tmp_path / "home", found, TABLE.due_at(DAYS[0])))
    with at_work(made, TABLE.due_at(DAYS[1])) as (one, clock):
        assert [run.state for run in see_to(one)] == ["stale"]
        bring(DAYS[1])
        clock.now += HOUR
        assert see_to(one) == []
        (done,) = one.wait(one.fire("latest", clock.now, late=True))
        assert (done.state, done.name.more, done.told["issued"]) == ("done", "again 1", {"^GSPC": "live"})
        assert one.fire("latest", clock.now, late=True) == []


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
    assert "there is no folder" in failed.says
    for width in (80, 120):
        out = StringIO()
        Console(file=out, width=width).print(terminal.jobs([failed]))
        assert max(map(len, out.getvalue().splitlines())) <= width
        assert "failed" in out.getvalue()
        assert "another" in out.getvalue()
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
