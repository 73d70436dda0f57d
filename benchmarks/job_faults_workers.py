"""What is done to workers: stopped past their lease, told to end, robbed of a process, raced, given what diverges."""

import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

from sqlalchemy import func, select

from benchmarks.job_stage import CLOCK, Stage, at_work, copied, finish, kill, wait
from benchmarks.job_world import World
from benchmarks.same_record import Record, record_of
from benchmarks.sound_store import faults
from forecaster.errors import PromotionConflict
from forecaster.store.artifacts import add_artifact, load_artifact
from forecaster.store.champions import all_champions, crown, find_champion
from forecaster.store.database import connect, reading
from forecaster.store.schema import artifact

TRIALS = 200
MODELS = ("naive", "har", "lstm")
AFTERWARDS = 15.0
"""Seconds that a worker which comes back is given to do harm."""


def in_step(world: World, name: str, share: float) -> Callable[[Stage], None]:
    """Wait until some share of a step's usual time has gone."""

    def until(stage: Stage) -> None:
        before, seconds = world.until(name)
        wait(name, lambda: len(stage.steps()) >= before, stage, every=0.05)
        time.sleep(share * seconds)

    return until


def before_crown(stage: Stage) -> None:
    """Wait until the refit of who will be in charge is in the store; the crown comes next."""
    engine = connect(stage.url)

    def made() -> bool:
        with reading(engine).connect() as connection:
            return (connection.scalar(select(func.count()).select_from(artifact)) or 0) > len(MODELS)

    wait("the refit", made, stage, every=0.02)
    engine.dispose()


def stopped(world: World, template: Stage, until: Callable[[Stage], None]) -> list[str]:
    """SIGSTOP past the lease; another takes over and ends the runs; then SIGCONT (fault 18)."""
    stage = copied(template, world.place("stopped"))
    first = stage.start("work", "--workers", "1")
    try:
        until(stage)
        os.killpg(first.pid, signal.SIGSTOP)
        late = ["too late: the runs were over"] if stage.over() else []
        finish(stage)
        wrong = faults(stage, world.expected)
        os.killpg(first.pid, signal.SIGCONT)
        time.sleep(AFTERWARDS)
        wrong += [f"once it was back: {one}" for one in faults(stage, world.expected)]
        first.terminate()
        first.wait(60)
        return [*late, *wrong, *([] if first.returncode == 0 else [f"it ended with {first.returncode}"])]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(first.pid, signal.SIGCONT)
        kill(first)


def terminated(world: World, template: Stage) -> list[str]:
    """SIGTERM in the middle of a fit that has left a checkpoint; the next worker goes on from it (fault 25)."""
    stage = copied(template, world.place("terminated"))
    with at_work(stage) as worker:
        wait("a checkpoint", lambda: _checkpoint(stage), stage)
        time.sleep(1.0)
        worker.terminate()
        begun = time.monotonic()
        worker.wait(60)
        took = time.monotonic() - begun
    wrong = [] if worker.returncode == 0 and took < 15 else [f"it ended with {worker.returncode} after {took:.0f} s"]
    wrong += [] if _checkpoint(stage) else ["its checkpoint is gone"]
    finish(stage)
    resumed = "going on from" in (stage.home / "log").read_text()
    wrong += [] if resumed else ["the fit was begun anew"]
    return [*wrong, *faults(stage, world.expected_long)]


def robbed(world: World, template: Stage) -> list[str]:
    """The processes of a pool, and the one they come from, are killed in the middle of their tasks (fault 36)."""
    stage = copied(template, world.place("robbed"))
    with at_work(stage, "train", "--workers", "2") as command:
        wait("a checkpoint", lambda: _checkpoint(stage), stage)
        killed = [worker for child in _children(command.pid) if _forks(child) for worker in [*_children(child), child]]
        for child in killed:
            os.kill(child, signal.SIGKILL)
        code = command.wait(400)
    wrong = [] if len(killed) > 1 else ["there was nobody to kill"]
    wrong += [] if code == 0 else [f"it ended with {code}: {stage.said()[-300:]}"]
    made = record_of(connect(stage.url))
    for table in ("artifact", "weights", "run"):
        wrong += [f"other than serial: {row[:80]}" for row in made[table] - world.expected_long[table]]
        wrong += [] if made[table].total() == 3 else [f"{made[table].total()} rows in {table}, not 3"]
    return wrong


def diverging(world: World, finished: Stage) -> list[str]:
    """A retraining whose loss is not finite fails with its reason; who is in charge stays (faults 24, 25)."""
    stage = copied(finished, world.place("diverging"))
    run = stage.home / "run.toml"
    run.write_text(run.read_text().replace("[training]", "[training]\nlearning_rate = 1e30\nclip = 1e30"))
    (stage.home / "clock").write_text(CLOCK.replace("06-03", "06-04"))
    for command in (("fetch",), ("retrain", "lstm", "--session", "2004-06-04", "--workers", "1")):
        done = stage.do(*command)
    wrong = [] if done.returncode == 1 else [f"it ended with {done.returncode}: {done.stdout[-300:]}"]
    wrong += [] if "ran away" in done.stderr else [f"it does not say why: {done.stderr[-300:]}"]
    after = record_of(connect(stage.url))
    return [*wrong, *_moved(world.expected, after, ("champion", "promotion", "challenge", "forecast"))]


def raced(world: World, template: Stage) -> list[str]:
    """Two processes promote at once, again and again: one wins, the other is told so (fault 23)."""
    stage = copied(template, world.place("raced"))
    engine = connect(stage.url)
    (digest,) = [one.digest for one in all_champions(connect(world.finished.url))]
    with engine.begin() as connection:
        add_artifact(connection, load_artifact(connect(world.finished.url), digest), world.now)
    there = find_champion(engine, world.target)
    context = get_context("spawn")
    barrier, told = context.Barrier(2), context.Queue()
    both = [
        context.Process(target=promote_often, args=(stage.url, digest, number, barrier, told)) for number in range(2)
    ]
    for one in both:
        one.start()
    answers = [told.get(timeout=300) for _ in both]
    for one in both:
        one.join()
    races = [set(pair) for pair in zip(*answers, strict=True)]
    doubles = sum(pair != {"won", "CONFLICT"} for pair in races)
    after = find_champion(engine, world.target)
    versions = (after.version if after else 0) - (there.version if there else 0)
    wrong = [f"{doubles} of {len(races)} races had not one winner and one CONFLICT"] if doubles else []
    return wrong + ([] if versions == TRIALS == len(races) else [f"{versions} promotions after {TRIALS} races"])


def promote_often(url: str, digest: str, number: int, barrier: Barrier, told: "object") -> None:
    """One of the two promoters."""
    engine = connect(url)
    target = World.target
    answers = []
    for trial in range(TRIALS):
        before = find_champion(engine, target)
        barrier.wait(60)
        try:
            decision = {"reason": f"race {trial} by {number}", "passed": True}
            crown(engine, target, digest, before, decision, World.now)
            answers.append("won")
        except PromotionConflict:
            answers.append("CONFLICT")
        barrier.wait(60)
    told.put(answers)  # type: ignore[attr-defined]  # a queue of a context has no public type


def _moved(before: Record, after: Record, tables: Sequence[str]) -> list[str]:
    return [f"{table} changed: {row[:100]}" for table in tables for row in (after[table] - before[table])
            + (before[table] - after[table])]  # fmt: skip


def _checkpoint(stage: Stage) -> bool:
    return any(stage.home.glob("checkpoints/*.ckpt"))


def _children(parent: int) -> list[int]:
    told = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(child) for child in told]


def _forks(process: int) -> bool:
    """Whether it is the one that a pool's processes are forked from, not the one that keeps their semaphores."""
    return b"forkserver" in Path(f"/proc/{process}/cmdline").read_bytes()
