"""What is done to that which workers lean on: database, MLflow, disk; and whether a secret got out meanwhile."""

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from sqlalchemy import create_engine, inspect, make_url, text

from benchmarks.job_servers import Mlflow, mlflow
from benchmarks.job_stage import CLOCK, Stage, at_work, copied, wait
from benchmarks.job_world import WORDS, World
from benchmarks.sound_store import faults
from forecaster.store.champions import find_champion
from forecaster.store.database import connect

AWAY = 12.0
"""Seconds for which something is away; a step is tried again for about half a minute."""


def restarted(world: World) -> list[str]:
    """PostgreSQL crashes in the middle of a session's run, of a training and of the gate, and comes back (33)."""
    stage = copied(world.shared, world.place("restarted"))
    with at_work(stage) as worker:
        wait("the session", lambda: any(name.startswith("session ") for name in stage.states()), stage)
        world.postgres.crash(2.0)
        for step in ("lstm", "gate"):
            before, seconds = world.until(step)
            wait(step, lambda before=before: len(stage.steps()) >= before, stage)
            time.sleep(seconds / 3)
            world.postgres.crash(3.0)
        wait("the end of the runs", stage.over, stage)
        lived = worker.poll() is None
    return [*faults(stage, world.expected), *([] if lived else ["the worker did not live through it"])]


def notebook_back(world: World) -> list[str]:
    """MLflow is killed during training, and again between the store's champion and its alias; it comes back (21)."""
    with mlflow(world.place("mlflow")) as server:
        stage = replace(copied(world.embedded, world.place("notebook")), tracking=server.url)
        with at_work(stage):
            wait("a training", lambda: len(stage.steps()) >= world.until("har")[0], stage)
            _away(server)
            wait("a champion", lambda: _crowned(stage), stage, every=0.01)
            server.kill()
            between = not _alias(server)
            time.sleep(AWAY)
            server.start()
            wait("the end of the runs", stage.over, stage)
        wrong = faults(stage, world.expected)
    return [*wrong, *([] if between else ["too late: the alias was there"])]


def notebook_gone(world: World) -> list[str]:
    """MLflow is away from the training on until the run has failed; the next session's retrains, and all is well."""
    with mlflow(world.place("mlflow")) as server:
        stage = replace(copied(world.embedded, world.place("gone")), tracking=server.url)
        with at_work(stage):
            wait("a training", lambda: len(stage.steps()) >= world.until("har")[0], stage)
            server.kill()
            wait("the end of the runs", stage.over, stage)
        told = json.loads(stage.do("jobs", "--json").stdout)["runs"]
        (failed,) = [run for run in told if run["job"] == "retrain"]
        wrong = [] if failed["state"] == "failed" else [f"the retraining is {failed['state']}"]
        wrong += [] if "MLflow does not answer" in failed["says"] else [f"it says {failed['says'][:200]}"]
        wrong += faults(stage) + ([] if not _crowned(stage) else ["somebody is in charge"])
        server.start()
        (stage.home / "clock").write_text(CLOCK.replace("06-03", "06-04"))
        with at_work(stage):
            wait("the next session's retraining", lambda: _crowned(stage), stage)
            wait("its alias", lambda: _alias(server), stage)
            wait("its end", lambda: "PENDING" not in stage.states().values(), stage)
        return [*wrong, *faults(stage)]


def full(world: World) -> list[str]:
    """The disk is full at the snapshot, in a training and at the gate, and has room again (fault 20)."""
    if shutil.which("unshare") is None:
        return ["not tried: it needs root and `unshare`"]
    mount, left = world.place("disk"), world.place("left")
    mount.mkdir()
    command = f"mount -t tmpfs -o size=48m none {mount} && {sys.executable} -m benchmarks.job_disk {mount} "
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"{command} {world.embedded.home} {world.finished.home} {left}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.splitlines() + ([done.stderr[-300:]] if done.returncode else [])


def leaked(world: World) -> list[str]:
    """Planted secrets, in any file or table that any of it left (fault 38)."""
    found = [f"{word} in {path.relative_to(world.folder)}" for path, said in _files(world) for word in WORDS
             if word.encode() in said]  # fmt: skip
    for table, said in _tables(world):
        found += [f"{word} in {table}" for word in WORDS if word in said]
    return found


def _files(world: World) -> Iterator[tuple[Path, bytes]]:
    for path in (*world.folder.rglob("*"), Path("/tmp/forecaster-error.log")):  # noqa: S108  # where traces are kept
        with suppress(OSError):
            if path.is_file():
                yield path if path.is_relative_to(world.folder) else world.folder / path.name, path.read_bytes()


def _tables(world: World) -> Iterator[tuple[str, str]]:
    server = create_engine(make_url(world.shared.url).set(database="postgres"))
    with server.connect() as connection:
        names = connection.execute(text("SELECT datname FROM pg_database WHERE NOT datistemplate")).scalars().all()
    server.dispose()
    for name in names:
        engine = create_engine(make_url(world.shared.url).set(database=name))
        with engine.connect() as connection:
            for schema in ("public", "dbos"):
                for table in inspect(engine).get_table_names(schema):
                    rows = connection.execute(text(f'SELECT * FROM {schema}."{table}"')).all()  # noqa: S608
                    yield f"{name}.{schema}.{table}", str(rows)
        engine.dispose()


def _away(server: Mlflow) -> None:
    server.kill()
    time.sleep(AWAY)
    server.start()


def _crowned(stage: Stage) -> bool:
    engine = connect(stage.url)
    try:
        return find_champion(engine, World.target) is not None
    finally:
        engine.dispose()


def _alias(server: Mlflow) -> bool:
    notes = sqlite3.connect(server.folder / "mlflow.db")
    try:
        return bool(notes.execute("SELECT count(*) FROM registered_model_aliases").fetchone()[0])
    finally:
        notes.close()
