"""A disk that is full for a while in the middle of a retraining; `benchmarks.job_faults` calls it in its own mount.

`python -m benchmarks.job_disk MOUNT TEMPLATE FINISHED LEFT`: a home on the small file system MOUNT is made from
TEMPLATE, run on a disk that fills up three times, and held against FINISHED; what is left of it is copied to LEFT.
Prints what is wrong; exits 0 where nothing is.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.job_stage import Stage, at_work, copied, wait
from benchmarks.job_world import SECRETS
from benchmarks.same_record import record_of, store_at
from benchmarks.sound_store import faults

FULL = 8.0
"""Seconds."""


@contextmanager
def no_room(disk: Path) -> Iterator[None]:
    """Not a byte is left."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        ballast.unlink()


def main() -> int:
    """Fill, make room, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("mount", "template", "finished", "left"):
        parser.add_argument(name, type=Path)
    asked = parser.parse_args()
    stage = copied(Stage(asked.template, more=SECRETS), asked.mount / "home")
    with no_room(asked.mount):
        refused = stage.do("work")
    wrong = [] if refused.returncode == 1 else [f"a worker on a full disk ended with {refused.returncode}"]
    lines = [line for line in refused.stderr.splitlines() if not line.startswith("{")]
    wrong += [] if len(lines) == 1 and "cannot write to the home" in lines[0] else [f"it says {refused.stderr[-200:]}"]
    with at_work(stage) as worker:
        for steps in (0, 5, 8):
            wait(f"{steps} steps", lambda steps=steps: _begun(stage) and len(stage.steps()) >= steps, stage, every=0.05)
            with no_room(asked.mount):
                time.sleep(FULL)
        wait("the end of the runs", stage.over, stage)
        wrong += [] if worker.poll() is None else [f"the worker ended with {worker.returncode}"]
    wrong += faults(stage, record_of(store_at(str(asked.finished))))
    bare = [line for line in (stage.home / "log").read_text().splitlines() if not line.startswith("{")]
    wrong += [f"bare lines in the log: {bare[0][:100]}"] if bare else []
    shutil.copytree(stage.home, asked.left)
    print("\n".join(wrong), end="")
    return int(bool(wrong))


def _begun(stage: Stage) -> bool:
    return any(name.startswith("retrain ") for name in stage.states())


if __name__ == "__main__":
    sys.exit(main())
