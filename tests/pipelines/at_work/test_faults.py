"""Workers that die, are stopped, or lose a process: what is left is what an undisturbed run leaves, row by row.

`python -m benchmarks.job_kills` and `python -m benchmarks.job_faults` do the same at many points and to servers too.
"""

import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from dbos._utils import retriable_postgres_exception
from mlflow.utils.model_utils import env_var_tracker
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import OperationalError

from benchmarks.job_kills import Point, killed, points_of, undisturbed
from benchmarks.job_stage import Stage, Step, at_work, copied, finish, kill, prepared, wait
from benchmarks.same_record import Record
from benchmarks.sound_store import faults
from forecaster.store.database import connect
from forecaster.store.workers import beats
from pipelines.work.durable import call_lost

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*")  # mlflow, when it is imported

STEPS = [
    Step("retrain T 2004-06-03", 1, "snapshot", 1000, 2000, None),
    Step("train T 2004-06-03 har", 1, "train", 2100, 6000, None),
    Step("retrain T 2004-06-03", 2, "DBOS.getResult", 2050, 6100, None),
    Step("retrain T 2004-06-03", 3, "gate", 6200, 11000, None),
]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, Record, list[Step]]:
    """A stage before its session, and what becomes of it undisturbed."""
    folder = tmp_path_factory.mktemp("calm")
    template = prepared(folder / "template", None)
    return template, *undisturbed(template, folder / "finished")


def during(name: str, steps: Sequence[Step], share: float) -> Point:
    """A point in the middle of a step."""
    step = next(one for one in steps if name in (one.name, one.run.split(" ")[-1]))
    done = sum(one.ended <= step.begun for one in steps)
    return Point(done, share * (step.ended - step.begun) / 1000, name)


def test_points_lie_in_all_parts_of_a_retraining() -> None:
    found = points_of(STEPS, 100, random.Random(0))  # noqa: S311  # where to kill is no secret
    assert {point.done for point in found} == {0, 1, 2, 3}
    assert {point.during for point in found} >= {"snapshot", "train har", "gate"}
    ends = [1.0, 2.0, 6.0, 6.1]
    instants = [ends[point.done] + point.after for point in found]
    assert instants == sorted(instants)
    assert all(1.0 + 0.1 * part <= instant <= 1.0 + 0.1 * (part + 1) for part, instant in enumerate(instants))


def test_fault_17_a_worker_killed_at_the_gate_is_taken_over_from(
    calm: tuple[Stage, Record, list[Step]], tmp_path: Path
) -> None:
    template, expected, steps = calm
    found = killed(template, tmp_path / "killed", during("gate", steps, 0.5), expected)
    assert (found.hit, found.wrong) == (True, [])


@pytest.mark.slow
def test_fault_17_the_same_on_postgresql(
    calm: tuple[Stage, Record, list[Step]], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    _, expected, steps = calm
    server = request.getfixturevalue("postgres")
    server.psql("CREATE DATABASE before_its_session")
    url = server.get_uri(database="before_its_session", driver="psycopg")
    template = prepared(tmp_path / "template", url)
    found = killed(template, tmp_path / "killed", during("lstm", steps, 0.5), expected)
    assert (found.hit, found.wrong) == (True, [])


@pytest.mark.slow
def test_fault_18_a_worker_that_was_thought_dead_does_no_harm_when_it_comes_back(
    calm: tuple[Stage, Record, list[Step]], tmp_path: Path
) -> None:
    template, expected, steps = calm
    stage, point = copied(template, tmp_path / "stopped"), during("gate", steps, 0.3)
    first = stage.start("work", "--workers", "1")
    try:
        wait("the gate", lambda: len(stage.steps()) >= point.done, stage)
        time.sleep(point.after)
        os.killpg(first.pid, signal.SIGSTOP)
        assert not stage.over()
        finish(stage)
        assert faults(stage, expected) == []
        os.killpg(first.pid, signal.SIGCONT)
        time.sleep(15)
        assert first.poll() is None
        assert faults(stage, expected) == []
    finally:
        kill(first)


def test_a_run_that_its_living_worker_does_not_carry_out_is_gone_on_with(
    calm: tuple[Stage, Record, list[Step]], tmp_path: Path
) -> None:
    # As it is where a run's end could not be written down, on a full disk for one.
    template, expected, _ = calm
    stage = copied(replace(template, home=template.home.parent / "finished"), tmp_path / "idle")
    before = set(beats(connect(stage.url)))  # who was killed has not taken leave
    with at_work(stage):
        wait("a worker", lambda: set(beats(connect(stage.url))) > before, stage)
        (worker,) = set(beats(connect(stage.url))) - before
        with connect(f"sqlite:///{stage.home / 'jobs.db'}").begin() as jobs:
            mine = {"worker": worker}
            jobs.execute(text("DELETE FROM workflow_output WHERE workflow_uuid LIKE 'retrain%'"))
            jobs.execute(text("DELETE FROM operation_outputs WHERE function_name = 'issue'"))
            jobs.execute(text("UPDATE workflow_status SET status = 'PENDING', executor_id = :worker "
                              "WHERE workflow_uuid LIKE 'retrain%'"), mine)  # fmt: skip
        assert not stage.over()
        wait("its end", stage.over, stage)
    assert f'"taken over", "dead": "{worker}"' in (stage.home / "log").read_text().replace('"message": ', "")
    assert set(stage.states().values()) == {"SUCCESS"}
    assert faults(stage, expected) == []


@pytest.mark.parametrize(
    "url", ["postgresql+psycopg://x@/x?host=/nowhere", "postgresql+psycopg://x@host.invalid/x",
            "postgresql+psycopg://x@127.0.0.1:9/x"]
)  # fmt: skip
def test_fault_33_a_server_that_cannot_be_reached_is_waited_for(url: str) -> None:
    engine = create_engine(url)
    event.listen(engine, "handle_error", call_lost)
    with pytest.raises(OperationalError) as refused:
        engine.connect()
    assert retriable_postgres_exception(refused.value)


def test_what_threads_read_from_the_environment_is_nothing_to_mlflow() -> None:
    import pipelines.tracking  # noqa: F401  # it sets how mlflow behaves

    # A name that is read for the first time while the names are walked through ends the walk with an error.
    with env_var_tracker() as names:
        assert os.environ["PATH"]
    assert names == set()
