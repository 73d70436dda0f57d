"""A service under load: processes on loopback, wrk beside them, what they hold in memory."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
from sqlalchemy import select

from forecaster.store.artifacts import load_artifact
from forecaster.store.champions import all_champions, crown
from forecaster.store.database import connect, sqlite_url
from forecaster.store.schema import artifact
from pipelines.reading import demo_path

BIN = Path(sys.executable).parent
SYMBOL = "^GSPC"


@dataclass(frozen=True)
class Load:
    """What wrk saw."""

    rate: float
    """Answers a second."""
    p50: float
    """Milliseconds."""
    p99: float
    bad: int
    """Answers other than 2xx and 3xx, and connections that failed."""


@dataclass(frozen=True)
class Served:
    """A started service."""

    url: str
    pid: int
    ready: float
    """Seconds from its start until it answered."""

    def megabytes(self) -> float:
        """Resident memory of the process and all below it."""
        return sum(_resident(pid) for pid in _tree(self.pid)) / 1024


@contextmanager
def demo_home(model: str) -> Iterator[Path]:
    """A home where one model of the demo is in charge, with its forecast issued.

    It begins as a copy of FORECASTER_HOME if a demo was run there, else as a fresh demo with this model and the random
    walk only.

    Arguments:
        model: Its name in the run; "champion" for whatever the gate of the whole demo put in charge.
    """
    given = Path(os.environ.get("FORECASTER_HOME", ".forecaster"))
    with tempfile.TemporaryDirectory() as spare:
        home, run = Path(spare) / "home", Path(spare) / "run.toml"
        facts, *models = demo_path().read_text("utf-8").split("\n[[models]]\n")
        kept = [one for one in models if model == "champion" or f'name = "{model}"' in one or 'name = "naive"' in one]
        run.write_text("\n[[models]]\n".join([facts, *kept]), "utf-8")
        if (given / "forecaster.db").exists():
            shutil.copytree(given, home)
        else:
            _verb(home, run, "demo")
        if model != "champion":
            _put_in_charge(home, model)
            _verb(home, run, "forecast", SYMBOL)
        yield home


def _verb(home: Path, run: Path, *words: str) -> None:
    command = [BIN / "forecaster", *words, "--json", "--home", home, "--run", run]
    subprocess.run(command, capture_output=True, check=True)


def _put_in_charge(home: Path, model: str) -> None:
    """A single seed of the model, not its pool, whatever the gate says of it: what is measured is its speed."""
    store = connect(sqlite_url(home))
    (champion,) = all_champions(store)
    with store.connect() as connection:
        digests = connection.scalars(select(artifact.c.digest).order_by(artifact.c.created_at)).all()
    manifests = {one: load_artifact(store, one).manifest for one in digests}
    digest = next(one for one, made in manifests.items() if made.name == model and not made.made_from)
    crown(store, champion.target, digest, champion, champion.decision, datetime.now(UTC))
    store.dispose()


@contextmanager
def started(command: Sequence[str], probe: str, environment: Mapping[str, str], within: float = 90) -> Iterator[Served]:
    """A service from its start until it is ready; ended afterwards.

    Arguments:
        command: With {port} where the port belongs.
        probe: Path that answers 200 once it is ready.
    """
    port = str(free_port())
    start = time.monotonic()
    process = subprocess.Popen(
        [part.replace("{port}", port) for part in command],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(trust_env=False) as client:
            while not _answers(client, url + probe):
                if process.poll() is not None or time.monotonic() - start > within:
                    raise RuntimeError(f"{command[0]} was not ready after {time.monotonic() - start:.0f} s")
                time.sleep(0.01)
        yield Served(url, process.pid, time.monotonic() - start)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wrk(
    url: str, connections: int, seconds: float, headers: Mapping[str, str] | None = None, script: Path | None = None
) -> Load:
    """Ask as fast as the service answers, one thread beside it."""
    command = [_wrk(), "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "--timeout", "10s"]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    if script is not None:
        command += ["-s", str(script)]
    said = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    failed = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    bad = int(refused[1]) if refused else 0
    return Load(
        rate=float(_found(r"Requests/sec:\s+([\d.]+)", said)),
        p50=_milliseconds(_found(r"^\s+50%\s+(\S+)", said)),
        p99=_milliseconds(_found(r"^\s+99%\s+(\S+)", said)),
        bad=bad + sum(int(count) for count in failed.groups()) if failed else bad,
    )


def post(folder: Path, name: str, body: str) -> Path:
    """A script that makes wrk post a JSON body."""
    path = folder / f"{name}.lua"
    path.write_text(
        f"wrk.method = 'POST'\nwrk.body = [==[{body}]==]\nwrk.headers['Content-Type'] = 'application/json'\n", "utf-8"
    )
    return path


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wrk() -> str:
    if shutil.which("wrk") is None:
        subprocess.run(["apt-get", "install", "-y", "-qq", "wrk"], capture_output=True, check=False)
    found = shutil.which("wrk")
    if found is None:
        raise RuntimeError("wrk is needed: install Debian's package wrk")
    return found


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == 200
    except httpx.TransportError:
        return False


def _found(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"wrk said nothing of {pattern}: {text[-300:]}")
    return found[1]


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()  # type: ignore[union-attr]  # wrk's own format
    return float(number) * {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}[unit]


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text("utf-8").split():
            yield from _tree(int(child))


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0)
