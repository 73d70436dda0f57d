"""A small market with its jobs, for whoever wants to disturb them: real processes, a clock file, any database.

A stage is a home (and a database) made up to before the first session's run: sources fetched, schema and job tables
there, MLflow opened. Copies of it start from the same bytes, so what comes of them can be compared row by row.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError, ProgrammingError

import pipelines
from forecaster.store.database import connect, reading, sqlite_url

SESSION = date(2004, 6, 3)
CLOCK = "2004-06-03T22:00:00+00:00"
TARGET = "^GSPC-return-2"
LEASE = 2.0
"""Seconds after which a worker that says nothing is taken for dead."""
PATIENCE = 420.0
"""Seconds that anything may take before it counts as hanging."""
RUN = """
[data]
symbols = ["^GSPC", "^IXIC"]
[target]
symbols = ["^GSPC"]
venue = "XNYS"
horizon = 2
[window]
context = 24
burn_in = 23
channels = ["log_return", "log_range"]
[split]
validation_from = 2002-07-01
test_from = 2003-07-01
[training]
epochs = {epochs}
patience = {epochs}
[[models]]
name = "naive"
family = "naive"
[[models]]
name = "har"
family = "har"
[[models]]
name = "lstm"
family = "lstm"
hidden = 4
"""
BINARY = Path(sys.executable).parent / "forecaster"
OURS = ("FORECASTER_", "MLFLOW_", "OTEL_")


@dataclass(frozen=True)
class Step:
    """A step of a run that was done."""

    run: str
    number: int
    name: str
    begun: int
    """Milliseconds since 1970, like `ended`."""
    ended: int
    output: str | None


@dataclass(frozen=True)
class Stage:
    """A home, its database, and how commands are told of them."""

    home: Path
    database: str | None = None
    """URL; None for SQLite in the home."""
    tracking: str | None = None
    """MLflow server; None for SQLite in the home."""
    more: dict[str, str] = field(default_factory=dict)
    """Further environment."""
    workers: int = 1
    """Processes that a worker trains with, and models that it takes at once."""

    @property
    def url(self) -> str:
        return self.database or sqlite_url(self.home)

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        told = {
            "FORECASTER_HOME": str(self.home),
            "FORECASTER_RUN": str(self.home / "run.toml"),
            "FORECASTER_CLOCK": str(self.home / "clock"),
            "FORECASTER_LEASE_SECONDS": str(LEASE),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(pipelines.__file__).parents[1]),  # the code that this process has, and no other
            "COLUMNS": "160",
        }
        told |= {"FORECASTER_DATABASE_URL": self.database} if self.database else {}
        told |= {"MLFLOW_TRACKING_URI": self.tracking} if self.tracking else {}
        return clean | told | self.more

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """A command at work, in a group of its own; what it says is added to the home's log."""
        with (self.home / "log").open("ab") as log:
            return subprocess.Popen(
                [BINARY, *words], env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def do(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """A command to its end."""
        return subprocess.run(
            [BINARY, *words], env=self.environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    def steps(self) -> list[Step]:
        """What is done so far, of runs that are no session's, in the order in which it was begun."""
        return [step for step in self._steps() if not step.run.startswith("session ")]

    def states(self) -> dict[str, str]:
        """Where every run stands, in the words of DBOS."""
        return dict(row for row in self._asked("SELECT workflow_uuid, status FROM {}workflow_status"))

    def over(self) -> bool:
        """Whether the session and its retraining are."""
        found = {name: state for name, state in self.states().items() if not name.startswith("train ")}
        begun = {name.split(" ")[0] for name in found}
        return begun == {"session", "retrain"} and not set(found.values()) & {"PENDING", "ENQUEUED", "DELAYED"}

    def said(self) -> str:
        """The end of what commands said."""
        path = self.home / "log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    def _steps(self) -> list[Step]:
        names = "workflow_uuid, function_id, function_name, started_at_epoch_ms, completed_at_epoch_ms, output"
        done = "WHERE completed_at_epoch_ms IS NOT NULL ORDER BY started_at_epoch_ms"
        return [Step(*row) for row in self._asked(f"SELECT {names} FROM {{}}operation_outputs {done}")]  # noqa: S608

    def _asked(self, query: str) -> list[Sequence]:
        if self.database is None and not (self.home / "jobs.db").exists():
            return []
        engine = connect(self.database or f"sqlite:///{self.home / 'jobs.db'}")
        schema = "dbos" if self.database else None
        try:
            with reading(engine).connect() as connection:
                return [tuple(row) for row in connection.execute(text(query.format("dbos." if schema else "")))]
        except (OperationalError, ProgrammingError):  # the server is away, or nothing ever ran
            return []
        finally:
            engine.dispose()


def prepared(home: Path, database: str | None, epochs: int = 3, more: dict[str, str] | None = None) -> Stage:
    """A stage up to before its session.

    Arguments:
        more: Environment.
    """
    home.mkdir(parents=True)
    (home / "run.toml").write_text(RUN.format(epochs=epochs))
    (home / "clock").write_text(CLOCK)
    stage = Stage(home, database, more=more or {})
    for words in (("fetch",), ("catch-up", "--policy", "none")):
        done = stage.do(*words)
        require(done.returncode == 0, f"forecaster {' '.join(words)}: {done.stderr[-500:]}")
    _open_notebook(home)
    return stage


def _open_notebook(home: Path) -> None:
    from pipelines.home import Home
    from pipelines.tracking import Notebook

    found = Home(home)
    Notebook(found.tracking_uri, found.models, TARGET)


def copied(stage: Stage, home: Path) -> Stage:
    """The same stage once more, on a database of its own."""
    shutil.copytree(stage.home, home)
    with sqlite3.connect(home / "mlflow.db") as notes:  # where figures and models go is written into an experiment
        notes.execute(
            "UPDATE experiments SET artifact_location = replace(artifact_location, ?, ?)",
            (stage.home.absolute().as_uri(), home.absolute().as_uri()),
        )
    notes.close()
    if stage.database is None:
        return replace(stage, home=home)
    return replace(stage, home=home, database=copied_database(stage.database, home.name.replace("-", "_")))


def copied_database(url: str, name: str) -> str:
    """A PostgreSQL database like another that nobody is connected to."""
    there = make_url(url)
    server = create_engine(there.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{there.database}"'))
    server.dispose()
    return there.set(database=name).render_as_string(hide_password=False)


@contextmanager
def at_work(stage: Stage, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker, stopped in the end the hard way if it has not ended before."""
    process = stage.start(*(words or ("work", "--workers", str(stage.workers))))
    try:
        yield process
    finally:
        kill(process)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL to a process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait(what: str, until: Callable[[], bool], stage: Stage, every: float = 0.2) -> None:
    """Wait until something holds; stop the whole command where it never does."""
    end = time.monotonic() + PATIENCE
    while not until():
        require(time.monotonic() < end, f"{stage.home.name}: waited in vain for {what}; the log ends: {stage.said()}")
        time.sleep(every)


def finish(stage: Stage, *words: str) -> None:
    """Have a worker carry on until the session and its retraining are over."""
    with at_work(stage, *words):
        wait("the end of the runs", stage.over, stage, every=0.5)


def require(holds: bool, otherwise: str) -> None:
    """Stop with one line where something that must hold does not."""
    if not holds:
        sys.exit(otherwise)


NOW = datetime.fromisoformat(CLOCK).astimezone(UTC)
