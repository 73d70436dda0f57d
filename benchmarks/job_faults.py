"""Do jobs survive what they lean on? `python -m benchmarks.job_faults [--only NAME...]`

On real processes and servers: PostgreSQL crashes, MLflow is killed during training and at promotion, the disk fills up,
a worker is stopped past its lease or told to end in mid-epoch, the processes of a pool are killed, a loss is not
finite, two promote at once. After each the store equals, row by row, that of a run that nobody disturbed. In the end
planted secrets are looked for in all that was written. Exits 0 where all holds. Needs root for the full disk.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import job_faults_around as around
from benchmarks import job_faults_workers as workers
from benchmarks.job_servers import Postgres, postgres
from benchmarks.job_stage import copied, finish, prepared, require
from benchmarks.job_world import PASSWORD, SECRETS, World
from benchmarks.same_record import record_of
from benchmarks.sound_store import faults
from forecaster.store.database import connect

EPOCHS = 150
"""Of a fit that lasts long enough to be caught at."""


def trials(world: World) -> dict[str, Callable[[], list[str]]]:
    """What is tried, by name."""
    return {
        "postgresql-crashes": partial(around.restarted, world),
        "mlflow-killed": partial(around.notebook_back, world),
        "mlflow-gone": partial(around.notebook_gone, world),
        "disk-full": partial(around.full, world),
        "stopped-in-training": partial(workers.stopped, world, world.embedded, workers.in_step(world, "lstm", 0.3)),
        "stopped-in-gate": partial(workers.stopped, world, world.shared, workers.in_step(world, "gate", 0.3)),
        "stopped-before-crown": partial(workers.stopped, world, world.shared, workers.before_crown),
        "sigterm-in-epoch": partial(workers.terminated, world, world.long),
        "pool-killed": partial(workers.robbed, world, world.long),
        "diverges": partial(workers.diverging, world, world.finished),
        "promoters-race": partial(workers.raced, world, world.finished),
        "promoters-race-shared": partial(workers.raced, world, world.shared),
    }


def world_in(folder: Path, server: Postgres) -> World:
    """Templates, and what undisturbed runs come to."""
    embedded = prepared(folder / "template", None, more=SECRETS)
    shared = prepared(folder / "shared", server.database("template_home"), more=SECRETS)
    long = prepared(folder / "long", None, EPOCHS, more=SECRETS)
    finished, other = copied(embedded, folder / "finished"), copied(long, folder / "finished-long")
    for stage in (finished, other):
        finish(stage)
    records = [record_of(connect(stage.url)) for stage in (finished, other)]
    for stage, record in zip((finished, other), records, strict=True):
        require(not (wrong := faults(stage, record)), f"undisturbed, and still: {wrong}")
    return World(folder, server, embedded, shared, finished, finished.steps(), records[0], long, records[1])


def main() -> int:
    """Try all, look for secrets, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", help="names of what is tried")
    asked = parser.parse_args()
    failed, held = [], 0
    with tempfile.TemporaryDirectory() as name, postgres(Path(name), PASSWORD) as server:
        world = world_in(Path(name), server)
        chosen = {what: trial for what, trial in trials(world).items() if what in (asked.only or trials(world))}
        for what, trial in (chosen | {"secrets": partial(around.leaked, world)}).items():
            begun = time.monotonic()
            wrong = tried(trial)
            print(f"{what:22s} {time.monotonic() - begun:5.0f} s  {'; '.join(wrong[:3]) or 'holds'}", flush=True)
            held += not wrong
            failed += [what] if wrong else []
    print(f"faults of jobs: {held} of {held + len(failed)} hold{': not ' + ', '.join(failed) if failed else ''}")
    return int(bool(failed))


def tried(trial: Callable[[], list[str]]) -> list[str]:
    """What is wrong afterwards; a trial that cannot go on does not end the others."""
    try:
        return trial()
    except SystemExit as error:
        return [str(error)]


if __name__ == "__main__":
    sys.exit(main())
