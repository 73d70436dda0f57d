"""The same backtest by one process, by a pool and on Ray: is it the same, and what does Ray cost?
`python -m benchmarks.scale_engines [--data FOLDER --symbol S]`

Each engine is given the same home and the commands `train` and `compare`: five models, two seeds of each network,
refits for 2011 and 2012. Digests of all artifacts and every figure of the leaderboard are compared,
bit by bit; on Ray once more while a worker at work is killed (SIGKILL), and once on two nodes in network namespaces of
their own, where this machine lets one make them: the far node sees neither the home nor its checkpoints.
Then, in this process: seconds until the first answer, seconds and processor time an empty task takes, memory of the
processes, and what a task of 100 symbols weighs with its arrays and without.

Exits 0 where nothing differs and a killed worker's task came back.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psutil

from benchmarks import scale_nodes as nodes
from benchmarks.scale_weight import overhead, weight

BINARY = Path(sys.executable).parent / "forecaster"
ROOT = Path(__file__).resolve().parents[1]
APART = ("train_seconds", "run_id", "kilobytes")
"""What tells one run from another and is no result; kilobytes are, but stand in the digest."""

RUN = """
[data]
symbols = ["{symbol}"]
bars = {bars}
[target]
symbols = ["{symbol}"]
venue = "{venue}"
horizon = 2
[window]
context = 64
burn_in = 32
channels = ["log_return", "log_range", "close_location", "volume_change"]
[split]
validation_from = 2009-01-01
test_from = 2011-01-01
test_until = 2013-01-01
refit_every = 252
[training]
seeds = 2
epochs = 10
patience = 5
learning_rate = 3e-3
[[models]]
name = "naive"
family = "naive"
[[models]]
name = "garch"
family = "garch"
[[models]]
name = "har"
family = "har"
[[models]]
name = "mlp"
family = "mlp"
lags = 16
hidden = 16
[[models]]
name = "gru"
family = "gru"
hidden = 8
"""


@dataclass
class Watched:
    """What a command and all that it started took."""

    seconds: float = 0.0
    peak: float = 0.0
    """MB, each page shared out among those who share it."""
    spent: dict[int, float] = field(default_factory=dict)
    """Processor seconds by process."""
    killed: int | None = None

    @property
    def processor(self) -> float:
        return sum(self.spent.values())


@contextmanager
def watching(process: psutil.Process, kill: str | None = None) -> Iterator[Watched]:
    """Looks twice a second; kills the first process of a name that is seen."""
    found, done = Watched(), Event()

    def look() -> None:
        while not done.wait(0.5):
            with suppress(psutil.Error):
                family = [process, *process.children(recursive=True)]
                found.peak = max(found.peak, sum(_weigh(one, found) for one in family) / 1e6)
                for one in family:
                    if kill is not None and found.killed is None and one.name() == kill:
                        one.kill()
                        found.killed = one.pid

    begun, thread = time.perf_counter(), Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
        found.seconds = time.perf_counter() - begun


def _weigh(one: psutil.Process, found: Watched) -> float:
    try:
        times = one.cpu_times()
        found.spent[one.pid] = times.user + times.system
        return float(one.memory_full_info().pss)
    except psutil.Error:
        return 0.0


@dataclass(frozen=True)
class Backtest:
    """What `train` and `compare` gave."""

    digests: tuple[str, ...]
    leaderboard: tuple[dict[str, Any], ...]
    watched: Watched

    def same(self, other: "Backtest") -> bool:
        return (self.digests, self.leaderboard) == (other.digests, other.leaderboard)


def backtest(
    home: Path, words: list[str], kill: str | None = None, around: Mapping[str, str] | None = None,
    before: tuple[str, ...] = (),
) -> Backtest:  # fmt: skip
    """Both commands in a copy of a home, as a user calls them.

    Arguments:
        before: Words that a command is put behind, such as those that enter a network namespace.
    """
    root = Path(tempfile.mkdtemp(dir=home.parent)) / "home"
    shutil.copytree(home, root)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "FORECASTER_HOME": str(root), **(around or {})}
    said, watched = [], Watched()
    for verb in ("train", "compare"):
        command = [*before, str(BINARY), verb, "--json", "--run", str(home.parent / "run.toml"), *words]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with watching(psutil.Process(process.pid), kill if verb == "train" else None) as one:
            out, problem = process.communicate(timeout=1800)
        if process.returncode:
            raise SystemExit(f"FAILS: {verb} {' '.join(words)}: {problem.strip()[-2000:]}")
        said.append(json.loads(out))
        watched = Watched(
            watched.seconds + one.seconds, max(watched.peak, one.peak), watched.spent | one.spent,
            watched.killed or one.killed,
        )  # fmt: skip
    rows = ({name: value for name, value in row.items() if name not in APART} for row in said[1]["leaderboard"])
    return Backtest(tuple(one["digest"] for one in said[0]["trained"]), tuple(rows), watched)


def claims(home: Path) -> Iterator[tuple[str, bool]]:
    """Each engine beside this one process."""
    alone = backtest(home, ["--workers", "1"])
    yield _told("one process", alone, alone)
    for name, words, kill in (
        ("pool of 2", ["--workers", "2"], None),
        ("Ray of 2", ["--workers", "2", "--engine", "ray"], None),
        ("Ray of 2, a worker killed", ["--workers", "2", "--engine", "ray"], "ray::answer"),
    ):
        found = backtest(home, words, kill)
        text, holds = _told(name, found, alone)
        yield text, holds and (kill is None or found.watched.killed is not None)
    with nodes.two(home.parent) as cluster:
        if isinstance(cluster, str):
            yield f"two Ray nodes in network namespaces: not on this machine ({cluster})", True
            return
        found = backtest(home, ["--engine", "ray", "--address", cluster.address], None, cluster.around, cluster.inside)
        text, holds = _told("Ray on two nodes", found, alone)
        worked = nodes.who_works(cluster)
        yield f"{text}; tasks were done on {' and '.join(sorted(worked))}", holds and len(worked) == 2


def _told(name: str, found: Backtest, alone: Backtest) -> tuple[str, bool]:
    same = found.same(alone)
    watched = found.watched
    figures = f"{watched.seconds:.0f} s, {watched.processor:.0f} s of processor time, {watched.peak:.0f} MB"
    killed = f", killed process {watched.killed}" if watched.killed else ""
    return f"{name}: {figures}{killed}; {len(found.digests)} models {'identical' if same else 'NOT identical'}", same


def main() -> int:
    """Each engine once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="sample", help="folder of SYMBOL.csv[.gz] files, or sample")
    parser.add_argument("--symbol", default="^GSPC")
    parser.add_argument("--venue", default="XNYS")
    asked = parser.parse_args()
    bars = '{ source = "sample" }' if asked.data == "sample" else f'{{ source = "files", folder = "{asked.data}" }}'
    with tempfile.TemporaryDirectory() as folder:
        home, run = Path(folder) / "home", Path(folder) / "run.toml"
        run.write_text(RUN.format(symbol=asked.symbol, venue=asked.venue, bars=bars), "utf-8")
        around = {**os.environ, "PYTHONPATH": str(ROOT), "FORECASTER_HOME": str(home)}
        subprocess.run([BINARY, "fetch", "--run", run], env=around, check=True, capture_output=True)
        found = []
        for text, holds in claims(home):
            print(f"{'holds' if holds else 'FAILS'}: {text}", flush=True)
            found.append(holds)
    for line in (*weight(), *overhead()):
        print(line, flush=True)
    return int(not all(found))


if __name__ == "__main__":
    sys.exit(main())
