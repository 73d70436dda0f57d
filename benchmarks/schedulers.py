"""Is a session seen to once? `python -m benchmarks.schedulers [--trials 10000] [--database both] [--kills 5]`

Two processes, each a worker and a scheduler on the same database, look at the same instant whether a session is due, a
trial for each of so many sessions. A share of the time the clock of one is wrong by up to an hour. Now and then one is
killed with SIGKILL while it works, and started again. Each step of a run writes down that it was carried out, where
nothing keeps it from doing so twice. Exits 0 where no session was lost and none was seen to twice: a step that
the dead one was in is done again by whoever goes on with its run, as it must be, and counted apart.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Date, Engine, Integer, MetaData, String, Table, func, insert, select

from benchmarks.data import postgresql, require
from pipelines.config import RunConfig
from pipelines.home import Home
from pipelines.timetable import Timetable, timetable_of
from pipelines.work.durable import Queue
from pipelines.work.flows import Flows
from pipelines.work.runs import Name
from pipelines.work.worker import working
from pipelines.workspace import Workspace

LAST = date(2018, 12, 31)
LEASE = 10.0
STEPS: dict[str, Any] = {
    "fetch": {"remote": False},
    "check": {"arrived": [], "missing": []},
    "score": {"scored": 0},
    "issue": {"issued": {}},
    "monitor": {"watched": [], "alarms": []},
    "tell": None,
    "mirror": {"request": None},
    "decide": None,
}
"""What each answers: a quiet session, of which nothing is missing."""
LAST_STEP = list(STEPS)[-1]
WRONG = 0.3
"""Share of the trials in which a clock is wrong."""
CARRIED_OUT = Table(
    "carried_out",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("session", Date, nullable=False),
    Column("step", String(8), nullable=False),
    Column("process", Integer, nullable=False),
)
RUN = RunConfig.model_validate(
    {
        "data": {"symbols": ["^GSPC"]},
        "target": {"symbols": ["^GSPC"], "venue": "XNYS", "horizon": 1},
        "window": {"context": 24, "burn_in": 12, "channels": ["log_return"]},
        "split": {"validation_from": "2010-01-01", "test_from": "2012-01-01"},
        "models": [{"name": "naive", "family": "naive"}],
    }
)


class Counting(Flows):
    """The flow of a session as it is, but that its steps only write down that they were carried out."""

    @property
    def queues(self) -> tuple[Queue, ...]:
        """Many at once, and looked at often: so many sessions fall due in a minute here."""
        return (Queue(self._queue("session"), here=1, every=0.05),)

    def _step(self, name: Name, step: str, work: Callable[[], Any]) -> Any:
        return super()._step(name, step, partial(self._write_down, name.session, step))

    def _write_down(self, session: date, step: str) -> Any:
        row = {"session": session, "step": step, "process": os.getpid()}
        with self._workspace.engine.begin() as connection:
            connection.execute(insert(CARRIED_OUT).values(row))
        return STEPS[step]


def schedule(folder: Path, url: str | None, told: Connection) -> None:
    """One scheduler: hears when to look and what time it then is; tells what it asked for."""
    now = datetime.now(UTC)

    def clock() -> datetime:
        return now

    with working(Workspace(Home(folder, url), RUN, now), clock, LEASE, kind=Counting) as worker:
        told.send("ready")
        while True:
            at, now = told.recv()
            while time.monotonic() < at:
                pass
            told.send([name.session for name in worker.fire("latest", now)])


class Scheduler:
    """A process that schedules, from outside."""

    def __init__(self, folder: Path, url: str | None) -> None:
        spawn = get_context("spawn")
        self._told, theirs = spawn.Pipe()
        self._process = spawn.Process(target=schedule, args=(folder, url, theirs), daemon=True)
        self._process.start()
        theirs.close()

    def wait(self) -> None:
        """Until it is at work."""
        require(self._told.recv() == "ready", "a scheduler did not start")

    def look(self, at: float, now: datetime) -> None:
        """Have it look at an instant of the machine, taking it for that time."""
        self._told.send((at, now))

    def asked(self) -> list[date]:
        """Sessions that it asked for."""
        found: list[date] = self._told.recv()
        return found

    def end(self) -> int:
        """Kill it; what it was."""
        self._process.kill()
        self._process.join()
        return self._process.pid or 0


@dataclass(frozen=True)
class Outcome:
    """What trials came to."""

    trials: int
    both: int
    """In which both schedulers asked for the session."""
    wrong: int
    """In which a clock was wrong."""
    doubles: int
    """Steps carried out more than once, but for those that were done again after a kill."""
    again: int
    """Steps done again because who did them first was killed before he could say so."""
    losses: int
    kills: int
    seconds: float

    def line(self, name: str) -> str:
        """In words."""
        return (
            f"{name}: {self.trials} trials ({self.both} asked for by both, {self.wrong} with a wrong clock), "
            f"{self.doubles} doubles, {self.losses} losses, {self.kills} kills with {self.again} steps done again, "
            f"{self.trials / self.seconds:.0f} a second"
        )


def judge(folder: Path, url: str | None, sessions: Sequence[date], kills: int, rng: random.Random) -> Outcome:
    """All trials on one database."""
    engine = Workspace(Home(folder, url), RUN, datetime.now(UTC)).engine
    CARRIED_OUT.create(engine)
    timetable = timetable_of(RUN, sessions[0], sessions[-1])
    deaths = set(rng.sample(range(len(sessions) // 20, len(sessions)), kills))
    both = wrong = 0
    killed: set[int] = set()
    with _two(folder, url) as schedulers:
        began = time.monotonic()
        for number, session in enumerate(sessions):
            asked, off = _trial(schedulers, timetable, session, rng)
            both, wrong = both + (asked == 2), wrong + off
            if number in deaths:
                victim = rng.randrange(2)
                killed.add(schedulers[victim].end())
                schedulers[victim] = Scheduler(folder, url)
                schedulers[victim].wait()
        _finish(engine, len(sessions))
        seconds = time.monotonic() - began
    doubles, again, done = _counted(engine, killed)
    return Outcome(len(sessions), both, wrong, doubles, again, len(set(sessions) - done), kills, seconds)


@contextmanager
def _two(folder: Path, url: str | None) -> Iterator[list[Scheduler]]:
    schedulers = [Scheduler(folder, url), Scheduler(folder, url)]
    try:
        for one in schedulers:
            one.wait()
        yield schedulers
    finally:
        for one in schedulers:
            one.end()


def _trial(
    schedulers: Sequence[Scheduler], timetable: Timetable, session: date, rng: random.Random
) -> tuple[int, bool]:
    """Both look at one instant, again with right clocks where none took the session for due; how many asked for it."""
    due, off = timetable.due_at(session), rng.random() < WRONG
    error = timedelta(seconds=rng.uniform(-3600, 3600)) if off else timedelta(0)
    errors = rng.sample([error, timedelta(0)], 2)
    at = time.monotonic() + 0.002
    for one, by in zip(schedulers, errors, strict=True):
        one.look(at, due + by)
    asked = [session in one.asked() for one in schedulers]
    require(any(asked), f"{session} was due and nobody asked for it")
    return sum(asked), off


def _finish(engine: Engine, sessions: int) -> None:
    """Wait until every session was seen to, and a little longer for whatever should not come; a minute is given up."""
    until, before = time.monotonic() + 60, -1
    while time.monotonic() < until:
        with engine.connect() as connection:
            done = connection.scalar(select(func.count(CARRIED_OUT.c.session.distinct()))) or 0
        until = until if done == before else time.monotonic() + (60 if done < sessions else LEASE / 2)
        before = done
        time.sleep(0.5)


def _counted(engine: Engine, killed: set[int]) -> tuple[int, int, set[date]]:
    """Doubles, steps done again after a kill, and the sessions whose last step was carried out."""
    who: dict[tuple[date, str], list[int]] = defaultdict(list)
    with engine.connect() as connection:
        for row in connection.execute(select(CARRIED_OUT).order_by(CARRIED_OUT.c.id)):
            who[row.session, row.step].append(row.process)
    engine.dispose()
    twice = [processes for processes in who.values() if len(processes) > 1]
    again = [one for one in twice if len(set(one)) == len(one) and set(one[:-1]) <= killed]
    return len(twice) - len(again), len(again), {session for session, step in who if step == LAST_STEP}


def main() -> int:
    """Try, count, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    wanted = ("sqlite", "postgresql") if asked.database == "both" else (asked.database,)
    found = {name: _on(name, asked.trials, asked.kills, random.Random(asked.seed)) for name in wanted}  # noqa: S311  # no secret
    print("; ".join(one.line(name) for name, one in found.items()))
    return int(any(one.doubles or one.losses for one in found.values()))


def _on(database: str, trials: int, kills: int, rng: random.Random) -> Outcome:
    calendar = timetable_of(RUN, LAST - timedelta(days=2 * trials), LAST)
    sessions = calendar.between(date.min, LAST)[-trials:]
    require(len(sessions) == trials, "the calendar does not reach back that far")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if database == "sqlite":
            return judge(folder, None, sessions, kills, rng)
        with postgresql(folder) as url:
            return judge(folder, url, sessions, kills, rng)


if __name__ == "__main__":
    sys.exit(main())
