"""Retrainings: when one is due, what its steps share, and the commands that ask for one."""

import json
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from forecaster.store.champions import crown, find_champion
from forecaster.store.schema import forecast, promotion
from pipelines.config import RunConfig
from pipelines.engines.base import Crew
from pipelines.timetable import timetable_of
from pipelines.work import retraining
from pipelines.work.frozen import Freezer
from pipelines.work.retraining import Why
from pipelines.work.runs import Name, Run
from pipelines.workspace import Workspace
from tests.pipelines.at_work.stage import CONFIG, DAYS, HOUR, KEY, RUN, TABLE, rows
from tests.pipelines.conftest import forecaster
from tests.pipelines.small_runs import toml

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*")  # mlflow, when it is imported


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


def clocked(root: Path, now: datetime) -> dict[str, str]:
    root.mkdir(exist_ok=True)
    (root / "run.toml").write_text(toml(RUN))
    (root / "clock").write_text(now.isoformat())
    return {"FORECASTER_RUN": str(root / "run.toml"), "FORECASTER_CLOCK": str(root / "clock")}


@pytest.mark.slow
def test_steps_of_a_retraining_have_windows_and_crew_in_common(made: Workspace) -> None:
    """Cut once; the crew is let go when the last of them is done, and comes back with the next."""
    freezer, taken = Freezer(replace(made, crew=Crew(2))), retraining.take(made)
    with freezer.on(taken) as one:
        with freezer.on(json.loads(json.dumps(taken))) as other:
            assert other is one
            assert dict(other.bench.workers.each(abs, [-1, -2])) == {-1: 1, -2: 2}
        assert not one.bench.workers.here(1)  # processes stand ready for whoever is left
    assert one.bench.workers.here(1)
    with freezer.on(taken) as again:
        assert again.universe is one.universe
        assert dict(again.bench.workers.each(abs, [-3, -4])) == {-3: 3, -4: 4}
    later = (made.now + HOUR).isoformat()
    with freezer.on(taken | {"as_of": later}) as fresh:
        assert fresh.now.isoformat() == later


def test_commands_see_to_a_session_and_retrain_once(made: Workspace) -> None:
    """As cron calls them, in processes of their own."""
    home, told = made.home.root, clocked(made.home.root, TABLE.due_at(DAYS[0]))
    made.engine.dispose()
    first = forecaster("catch-up", "--json", home=home, **told)
    assert first.returncode == 0, first.stderr
    assert [run["state"] for run in json.loads(first.stdout)["runs"]] == ["done"]
    second = forecaster("catch-up", home=home, **told)
    assert second.returncode == 0
    assert second.stdout.strip() == "nothing is due before 2018-12-11T21:45+00:00; `forecaster jobs` has what ran"
    wrong = forecaster("retrain", "--session", "2018-12-09", home=home, **told)
    assert wrong.returncode != 0
    assert "2018-12-09 is no session of XNYS that is due; choose one up to 2018-12-10" in " ".join(wrong.stderr.split())
    answers = [forecaster("retrain", "--session", "2018-12-10", "--json", home=home, **told) for _ in range(2)]
    assert [one.returncode for one in answers] == [0, 0], answers[0].stderr
    assert answers[0].stdout == answers[1].stdout
    assert len(rows(made.engine, promotion.c.version)) <= 2
    assert len(rows(made.engine, forecast.c.origin)) in (2, 4)


def test_what_failed_is_tried_once_more_when_asked_again(tmp_path: Path) -> None:
    """Retrained before anything was fetched: refused in a line, and no bar to the same command afterwards."""
    told = clocked(tmp_path / "home", TABLE.due_at(DAYS[0]))
    refused = forecaster("retrain", home=tmp_path / "home", **told)
    assert refused.returncode == 1
    assert "^GSPC: nothing stored that was known by then; run `forecaster fetch` first" in refused.stderr
    assert "Traceback" not in refused.stderr + refused.stdout
    assert forecaster("fetch", home=tmp_path / "home", **told).returncode == 0
    moved_on = clocked(tmp_path / "home", TABLE.due_at(DAYS[0]) + HOUR)
    done = forecaster("retrain", "--json", home=tmp_path / "home", **moved_on)
    assert done.returncode == 0, done.stderr
    assert [(run["more"], run["state"]) for run in json.loads(done.stdout)["runs"]] == [("again 1", "done")]
    assert forecaster("retrain", "--json", home=tmp_path / "home", **moved_on).stdout == done.stdout


def test_a_session_asks_again_for_the_retraining_that_failed(tmp_path: Path) -> None:
    told = clocked(tmp_path / "home", TABLE.due_at(DAYS[0]))
    assert forecaster("retrain", home=tmp_path / "home", **told).returncode == 1
    moved_on = clocked(tmp_path / "home", TABLE.due_at(DAYS[0]) + HOUR)
    done = forecaster("catch-up", "--json", home=tmp_path / "home", **moved_on)
    assert done.returncode == 0, done.stderr
    runs = [(run["job"], run["more"], run["state"]) for run in json.loads(done.stdout)["runs"]]
    assert runs == [("session", "", "done"), ("retrain", "again 1", "done")]


@pytest.mark.parametrize("more", ["", "gru"])
def test_attempts_are_told_apart(more: str) -> None:
    name = Name("retrain", KEY, DAYS[0], more)
    third = name.again.again
    assert (name.attempt, third.attempt, third.first) == (0, 2, name)
    assert Name.of(str(third)) == third
