"""Commands of jobs: what runs by itself, what runs now, what ran. They stand in `forecaster` beside the main job's."""

import logging
import os
import signal
import sys
import threading
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Annotated

import typer

from forecaster.errors import ConfigError, JobFailed
from pipelines.options import (
    DEFAULT_HOME,
    AddressOption,
    DatabaseOption,
    EngineOption,
    HomeOption,
    JsonOption,
    RunOption,
    TrackingOption,
    WorkersOption,
    clock,
    crew_of,
    open_home,
    open_terminal,
    open_workspace,
)
from pipelines.work.runs import Policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.terminal import Terminal
    from pipelines.work.runs import Name, Run
    from pipelines.workspace import Workspace

app = typer.Typer()
_NONE = "no runs yet; `forecaster work` sees to every session, `forecaster catch-up` to the newest"
ALIVE = Path(gettempdir()) / "worker.alive"
"""Touched while a worker lives, for whoever restarts containers."""
LeaseOption = Annotated[
    float,
    typer.Option(envvar="FORECASTER_LEASE_SECONDS", min=1, help="Silence after which a worker is taken for dead."),
]
SessionOption = Annotated[
    datetime | None,
    typer.Option("--session", formats=["%Y-%m-%d"], help="Session; the newest that is due if left out."),
]


@app.command()
def work(
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    catch_up: Annotated[
        Policy, typer.Option(help="Sessions that fell due while nobody worked: see to which?")
    ] = "latest",
    lease: LeaseOption = 30.0,
    metrics_port: Annotated[
        int | None,
        typer.Option(envvar="FORECASTER_METRICS_PORT", min=1, max=65535, help="Port of /metrics; none if left out."),
    ] = None,
    metrics_host: Annotated[
        str, typer.Option(envvar="FORECASTER_METRICS_HOST", help="Address that /metrics listens on.")
    ] = "127.0.0.1",
    workers: WorkersOption = None,
    engine: EngineOption = "pool",
    address: AddressOption = None,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """See to sessions after their close, retrain when it is time, take over from the dead, until told to stop."""
    from forecaster import logs
    from pipelines.metrics import WorkerMetrics
    from pipelines.work.worker import TICK, working

    logs.start(os.environ, sys.stderr)
    workspace = open_workspace(home, run, database, tracking, crew=crew_of(workers, engine, address))
    stop = threading.Event()
    for told in (signal.SIGTERM, signal.SIGINT):
        signal.signal(told, lambda *_: stop.set())
    metrics = WorkerMetrics()
    with ExitStack() as stack:
        if metrics_port is not None:
            stack.enter_context(metrics.serve(metrics_port, metrics_host))
        worker = stack.enter_context(working(workspace, clock, lease, metrics))
        worker.begin()
        while not stop.is_set():
            if worker.look(catch_up, workspace.now):
                ALIVE.touch()
            stop.wait(TICK)
    os._exit(0)  # what a step of ours still does is done again from its beginning by whoever goes on with it


@app.command("catch-up")
def catch_up(
    policy: Annotated[Policy, typer.Option(help="Which of the sessions that were not seen to.")] = "latest",
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    lease: LeaseOption = 30.0,
    workers: WorkersOption = None,
    engine: EngineOption = "pool",
    address: AddressOption = None,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """See to the sessions that are due, now, and to the retraining that they ask for; what cron calls."""
    from forecaster import logs
    from pipelines.work.worker import working

    terminal = open_terminal(as_json)
    logs.start(os.environ, sys.stderr, logging.WARNING)
    workspace = open_workspace(home, run, database, tracking, crew=crew_of(workers, engine, address))
    with working(workspace, clock, lease) as worker:
        due = worker.fire(policy, workspace.now, late=True)
        _patience(terminal, due)
        done = worker.wait(due)
        nothing = f"nothing is due before {worker.next_due}; `forecaster jobs` has what ran"
    _tell(terminal, done, nothing)


@app.command()
def retrain(
    model: Annotated[
        str | None, typer.Argument(help="Model to challenge with; validation's choice if left out.")
    ] = None,
    session: SessionOption = None,
    refresh: Annotated[bool, typer.Option("--refresh", help="Only refit the champion's recipe.")] = False,
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    lease: LeaseOption = 30.0,
    workers: WorkersOption = None,
    engine: EngineOption = "pool",
    address: AddressOption = None,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """Retrain for a session, once: snapshot, train, compare, gate, promote.

    Asked again, say what came of it; what failed is tried once more.
    """
    from forecaster import logs
    from pipelines.work.retraining import Why
    from pipelines.work.worker import working

    if refresh and model is not None:
        raise typer.BadParameter("a model's name and --refresh are two different things")
    terminal = open_terminal(as_json)
    logs.start(os.environ, sys.stderr, logging.WARNING)
    workspace = open_workspace(home, run, database, tracking, crew=crew_of(workers, engine, address))
    reason = Why("refresh" if refresh else "challenge", "asked for by command", model)
    with working(workspace, clock, lease) as worker:
        name = worker.flows.attempt(_day(workspace, session), model)
        worker.flows.ask_retraining(name, reason)
        _patience(terminal, [name])
        done = worker.wait([name])
    _tell(terminal, done)


@app.command()
def jobs(
    home: HomeOption = DEFAULT_HOME,
    limit: Annotated[int, typer.Option(min=1, help="Most runs shown.")] = 20,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Show what ran, what runs, what failed and why; the newest first."""
    from pipelines.work.durable import recorded_runs

    _show(open_terminal(as_json), recorded_runs(open_home(home, database, None), ("session ", "retrain "), limit))


@app.command()
def backfill(
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First session.")],
    last: Annotated[datetime, typer.Option("--until", formats=["%Y-%m-%d"], help="Last session.")],
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Issue from past sessions what was in charge then would have said, marked as made afterwards."""
    from pipelines import terminal as show
    from pipelines.backfill import backfill as run_backfill

    terminal = open_terminal(as_json)
    workspace = open_workspace(home, run, database, None)
    found = [one.record() for one in run_backfill(workspace, first.date(), last.date())]
    terminal.result({"backfilled": found}, show.rows("Backfilled", found))


def _day(workspace: "Workspace", session: datetime | None) -> date:
    """The session that is meant: the newest that is due where none is named.

    Raises:
        ConfigError: The venue has no such session, or it is not over yet.
    """
    from pipelines.timetable import timetable_of

    today = workspace.now.date()
    asked = session.date() if session else today
    timetable = timetable_of(workspace.config, min(asked, today) - timedelta(days=10), today)
    latest = timetable.latest(workspace.now)
    if session is None and latest is not None:
        return latest
    if latest is None or asked > latest or asked not in timetable.between(asked, asked):
        venue = workspace.config.target.venue
        raise ConfigError("--session", f"{asked} is no session of {venue} that is due; choose one up to {latest}")
    return asked


def _patience(terminal: "Terminal", names: "Sequence[Name]") -> None:
    """Whoever watches is told that silence is no fault."""
    if terminal.interactive and names:
        told = f"at work on {', '.join(map(str, names))}; this may take minutes"
        terminal.say(f"{told}, and `forecaster jobs` in another terminal says where it is")


def _tell(terminal: "Terminal", done: "list[Run]", nothing: str = "") -> None:
    """Show what came of runs; what failed or has to wait is a failure of the command too."""
    _show(terminal, done, nothing)
    wrong = next((run for run in done if run.state in ("failed", "deferred")), None)
    if wrong is not None:
        raise JobFailed(f"{wrong.name}: {wrong.says}; `forecaster jobs` has all of them")


def _show(terminal: "Terminal", runs: "list[Run]", nothing: str = _NONE) -> None:
    from pipelines import terminal as show

    terminal.result({"runs": [run.record() for run in runs]}, show.jobs(runs) if runs else nothing)
