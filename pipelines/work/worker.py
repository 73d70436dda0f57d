"""Worker: a process that carries out jobs, takes over those of the dead, and fires sessions when they are due."""

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from sqlalchemy.exc import DBAPIError

from forecaster.store.workers import beat, beats, leave
from pipelines.metrics import WorkerMetrics
from pipelines.timetable import Timetable, timetable_of
from pipelines.webhook import Webhook
from pipelines.work.durable import at_work, configure, idle, known_runs, launched, take_over, wait_for
from pipelines.work.flows import Flows
from pipelines.work.living import Living
from pipelines.work.runs import Name, Policy, Run, last_attempts
from pipelines.work.telling import Telling
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)

TICK = 1.0
"""Seconds from one look to the next."""


@dataclass
class Worker:
    """One process at work on one run file."""

    workspace: Workspace
    flows: Flows
    name: str
    clock: Callable[[], datetime]
    lease: float
    """Seconds after which a worker that says nothing is taken for dead."""
    living: Living = field(init=False)
    _busy_at: float = field(default_factory=time.monotonic, init=False)
    """When it last carried out what it has, by a clock that never jumps."""

    def __post_init__(self) -> None:
        self.living = Living(self.lease, time.monotonic)

    def beat(self) -> int:
        """Say that this worker lives, and go on with what the dead left; how many live."""
        engine = self.workspace.engine
        beat(engine, self.name)
        busy = at_work()  # before the counts: who began to work in between has said that he lives
        counts = beats(engine)
        alive = self.living.look(counts) | {self.name}
        dead = sorted(busy - (alive - {self.name} if self._stuck() else alive))
        if dead:
            take_over(dead)
            log.warning("taken over", extra={"dead": ", ".join(dead)})
        for gone in set(counts) - alive:
            leave(engine, gone)
        return len(alive)

    def _stuck(self) -> bool:
        """Whether it has for a whole lease carried out nothing of what it has, and had better take over from itself."""
        now = time.monotonic()
        if not idle(self.name):
            self._busy_at = now
        stuck = now - self._busy_at >= self.lease
        if stuck:
            self._busy_at = now
        return stuck

    def fire(self, policy: Policy, began: datetime, late: bool = False) -> list[Name]:
        """Ask for every session that is due, once; what was asked for now.

        Arguments:
            began: Since when somebody looks.
            late: Look again at a session whose bars a file did not have yet. Nobody does so by the clock: a file that
                ended years ago never has them.
        """
        now = self.clock()
        past = known_runs([f"session {self.flows.target} "], limit=50)
        newest = max((run.name.session for run in past), default=None)
        timetable = self._timetable(now, newest)
        names = [Name("session", self.flows.target, day) for day in timetable.missed(newest, now, policy, began)]
        if not names and newest is not None and newest == timetable.latest(now):
            attempts = [run for run in past if run.name.session == newest]
            stale = late and attempts[0].state == "stale"
            names = [attempts[0].name.again] if stale else self._again(now, timetable, attempts)
        for name in names:
            self.flows.ask(name)
            log.info("due", extra={"run": str(name)})
        return names

    @property
    def next_due(self) -> str:
        """When the next session is due, to the minute."""
        now = self.clock()
        return self._timetable(now, None).next(now).isoformat(timespec="minutes")

    def begin(self) -> None:
        """Say that it is at work, and when there will be something to do."""
        log.info("at work", extra={"target": self.flows.target, "next_due": self.next_due})

    def look(self, policy: Policy, began: datetime) -> bool:
        """`fire`, unless the database is away; whether it was there."""
        try:
            self.fire(policy, began)
        except DBAPIError as error:  # whoever is left goes on when it is back
            log.warning("the database is away", extra={"problem": type(error).__name__})
            return False
        return True

    def wait(self, names: Sequence[Name]) -> list[Run]:
        """What came of runs, and of the retrainings that they asked for, once all are over."""
        found = list(names)
        for name in found:
            wait_for(name)
            if name.job == "session":
                asked = last_attempts(known_runs([str(Name("retrain", name.target, name.session))]))
                found += [run.name for run in asked if run.name not in found]
        return [run for name in found for run in known_runs([str(name)]) if run.name == name]

    def _again(self, now: datetime, timetable: Timetable, attempts: list[Run]) -> list[Name]:
        """The next attempt at a session whose bars had not arrived, or that failed, when its time has come."""
        if any(not run.over or run.state in ("done", "stale") for run in attempts):
            return []
        wait = timedelta(minutes=self.workspace.config.jobs.retry_minutes)
        last = attempts[0]
        following = last.name.again
        # Counted from when the session was due: a worker whose clock is ahead asks too early, but not again and again.
        rested = "asked_at" not in last.told or now >= datetime.fromisoformat(last.told["asked_at"]) + wait
        if not rested or now < timetable.due_at(last.name.session) + following.attempt * wait:
            return []
        return [following]

    def _timetable(self, now: datetime, newest: date | None) -> Timetable:
        first = min(now.date(), newest or now.date()) - timedelta(days=30)
        return timetable_of(self.workspace.config, first, now.date() + timedelta(days=30))


@contextmanager
def working(
    workspace: Workspace,
    clock: Callable[[], datetime],
    lease: float,
    metrics: WorkerMetrics | None = None,
    kind: type[Flows] = Flows,
) -> Iterator[Worker]:
    """A worker in this process until the end; a thread of its own says that it lives.

    Arguments:
        lease: Seconds after which a worker that says nothing is taken for dead.
        metrics: Where somebody asks for them.
        kind: What its runs do.
    """
    telling = Telling(metrics or WorkerMetrics(), Webhook.read(os.environ), clock)
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    workspace.home.prepare()
    beat(workspace.engine, name)  # before anything is taken: who takes must be seen to live
    configure(workspace.home, name, os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
    flows = kind(workspace, clock, telling)
    worker = Worker(workspace, flows, name, clock, lease)
    ended = threading.Event()
    with launched(flows.queues):
        thread = threading.Thread(target=_keep_beating, args=(worker, ended), daemon=True, name="beat")
        thread.start()
        try:
            yield worker
        finally:
            ended.set()
            thread.join()
            leave(workspace.engine, name)


def _keep_beating(worker: Worker, ended: threading.Event) -> None:
    while not ended.wait(TICK):
        try:
            worker.flows.telling.metrics.living(worker.beat())
        except DBAPIError as error:
            log.warning("the database is away", extra={"problem": type(error).__name__})
