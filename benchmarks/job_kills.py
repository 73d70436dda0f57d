"""Does a retraining survive `kill -9`? `python -m benchmarks.job_kills [--points 30] [--database both] [--workers 2]`

A worker that sees to a session and retrains is killed with SIGKILL at random instants, spread over the whole of the
retraining; another is started, takes the dead one's runs over, and brings them to their end. Each time: store equal
to an undisturbed one row by row, nobody in charge without papers, no artifact or snapshot that is not what its digest
says, no effect twice in store or MLflow, and no step done again that was done before. Exits 0 where all holds.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.data import postgresql
from benchmarks.job_stage import Stage, Step, at_work, copied, copied_database, finish, kill, prepared, require, wait
from benchmarks.same_record import Record, record_of
from benchmarks.sound_store import faults
from forecaster.store.database import connect

TRIES = 5
"""To meet a run before it is over."""
SOON = 0.2
"""Seconds that are not worth halving."""


@dataclass(frozen=True)
class Point:
    """Where a kill falls."""

    done: int
    """Steps that are done by then."""
    after: float
    """Seconds since the last of them ended."""
    during: str
    """What is going on."""


@dataclass(frozen=True)
class Found:
    """What came of a kill."""

    point: Point
    hit: bool
    """Whether the retraining was not over yet."""
    wrong: Sequence[str]
    seconds: float


def points_of(steps: Sequence[Step], count: int, rng: random.Random) -> list[Point]:
    """Instants spread over the whole of a retraining: one at random in each of as many equal parts of its time."""
    ended = sorted(steps, key=lambda step: step.ended)
    begun = min(step.begun for step in steps)
    whole = ended[-1].ended - begun
    found = []
    for part in range(count):
        instant = begun + whole * (part + rng.random()) / count
        done = sum(step.ended <= instant for step in ended)
        last = ended[done - 1].ended if done else begun
        going = [f"{step.name}{' ' + step.run.split(' ')[-1] if step.run.startswith('train ') else ''}"
                 for step in steps if step.begun <= instant < step.ended and step.name != "DBOS.getResult"]  # fmt: skip
        found.append(Point(done, (instant - last) / 1000, going[-1] if going else "between two steps"))
    return found


def killed(template: Stage, home: Path, point: Point, expected: Record) -> Found:
    """Kill a worker there, have another bring it to an end, and look at what is left.

    The machine may be faster than it was when the points were drawn: where all was over, it is tried again earlier.
    """
    start = time.monotonic()
    for number in range(TRIES):
        try:
            hit, wrong = _killed(copied(template, home.with_name(f"{home.name}-{number}")), point, expected)
        except SystemExit as error:  # what never came
            hit, wrong = True, [str(error)]
        if hit or wrong:
            break
        point = earlier(point)
    return Found(point, hit, wrong, time.monotonic() - start)


def earlier(point: Point) -> Point:
    """Half as long after the same step, or right after the one before."""
    if point.after > SOON:
        return replace(point, after=point.after / 2)
    return replace(point, done=max(point.done - 1, 0), after=0.0)


def _killed(stage: Stage, point: Point, expected: Record) -> tuple[bool, list[str]]:
    with at_work(stage) as process:
        wait("the point", partial(_reached, stage, point), stage, every=0.1)
        time.sleep(point.after)
        kill(process)
    before, hit = stage.steps(), not stage.over()
    wrong = [f"right after the kill: {one}" for one in faults(stage)]
    finish(stage)
    wrong += faults(stage, expected)
    again = [f"{step.run}: {step.name} was done again" for step in before if step not in stage.steps()]
    failed = [f"{name} ended as {state}" for name, state in stage.states().items() if state != "SUCCESS"]
    return hit, [*wrong, *again, *failed]


def _reached(stage: Stage, point: Point) -> bool:
    """Whether as many steps are done, and the retraining has begun."""
    begun = any(name.startswith("retrain ") and state == "PENDING" for name, state in stage.states().items())
    return stage.over() or (begun and len(stage.steps()) >= point.done)


def undisturbed(template: Stage, home: Path) -> tuple[Record, list[Step]]:
    """What a stage comes to if nobody disturbs it."""
    stage = copied(template, home)
    finish(stage)
    wrong = faults(stage, record := record_of(connect(stage.url)))
    require(not wrong, f"undisturbed, and still: {wrong}")
    return record, stage.steps()


def main() -> int:
    """Kill, compare, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=30)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--workers", type=int, default=1, help="models that a worker trains at once")
    parser.add_argument("--side-by-side", type=int, default=2, help="points at once")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)  # noqa: S311  # where to kill is no secret
    with tempfile.TemporaryDirectory() as name, ExitStack() as open_:
        folder = Path(name)
        found: dict[str, list[Found]] = {}
        embedded = replace(prepared(folder / "template", None), workers=asked.workers)
        expected, steps = undisturbed(embedded, folder / "calm")
        whole = (max(step.ended for step in steps) - min(step.begun for step in steps)) / 1000
        print(f"undisturbed: {len(steps)} steps in {whole:.1f} s, {sum(map(len, expected.values()))} rows", flush=True)
        templates = {} if asked.database == "postgresql" else {"sqlite": embedded}
        if asked.database != "sqlite":
            server = open_.enter_context(postgresql(folder))
            shared = prepared(folder / "shared", copied_database(server, "template_home"))
            templates["postgresql"] = replace(shared, workers=asked.workers)
        points = points_of(steps, asked.points, rng)
        pool = open_.enter_context(ThreadPoolExecutor(asked.side_by_side))
        names = list(templates)
        tried = [
            (database, pool.submit(killed, templates[database], folder / f"{database}-{number}", point, expected))
            for number, point in enumerate(points)
            for database in [names[number % len(names)]]
        ]
        for database, future in tried:
            one = future.result()
            found.setdefault(database, []).append(one)
            told = "; ".join(one.wrong[:3]) or ("whole" if one.hit else "too late: it was over")
            print(f"{database:10s} {one.point.done:2d} steps done, {one.point.after:4.1f} s later, "
                  f"{one.point.during:16s} {one.seconds:5.0f} s  {told}", flush=True)  # fmt: skip
    return report(found)


def report(found: dict[str, list[Found]]) -> int:
    """The figure; 0 where every kill hit and all is whole."""
    everyone = [one for many in found.values() for one in many]
    whole = [one for one in everyone if one.hit and not one.wrong]
    hit = sum(one.hit for one in everyone)
    split = " + ".join(f"{len(many)} on {database}" for database, many in found.items())
    middle = statistics.median(one.seconds for one in everyone)
    print(
        f"kill -9 at {hit} points of a retraining ({split}): {len(whole)} complete and equal row by row to an "
        f"undisturbed run, {len(everyone) - len(whole)} not; {middle:.0f} s a point (median)"
    )
    return int(len(whole) < len(everyone))


if __name__ == "__main__":
    sys.exit(main())
