"""The same backtest by one process, by a pool and on Ray: is it the same, and what does Ray cost?
`python -m benchmarks.scale_engines [--data FOLDER --symbol S]`

Each engine trains and compares the models of one run in a copy of one home, with refits for 2011 and 2012. Digests of
all artifacts and every figure of the leaderboard are compared, bit by bit; on Ray once more while a worker is killed
(SIGKILL), and once on two nodes in network namespaces of their own, where this machine lets one make them: the far node
sees neither the home nor its checkpoints.
Then: seconds until the first answer, seconds and processor time an empty task takes, memory of the processes, and what
a task of 100 symbols weighs with its arrays and without.

Exits 0 where nothing differs and a killed worker's task came back.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks import scale_nodes as nodes
from benchmarks.record import RESULTS, write
from pipelines.engines.base import Workers
from pipelines.engines.cluster import Cluster
from pipelines.engines.pool import Pool
from pipelines.quiet import hush

if TYPE_CHECKING:  # a pool's processes import this file anew, and should wake no more than those of a command
    from pipelines.workspace import Workspace

NOW = datetime(2026, 11, 30, tzinfo=UTC)
APART = ("train_seconds", "run_id")
"""What tells one run from another, and is no result."""

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
patience = 10
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
name = "gru"
family = "gru"
hidden = 8
"""


@dataclass
class Watched:
    """What a command and all that it started took."""

    seconds: float = 0.0
    peak: float = 0.0
    """MB of the workers, each page shared out among those who share it."""
    spent: dict[int, float] = field(default_factory=dict)
    """Processor seconds by process."""
    processor: float = 0.0
    killed: int | None = None


@contextmanager
def watching(kill: str | None = None) -> Iterator[Watched]:
    """Looks five times a second at this process and its children; kills the first of a name that is seen."""
    found, done, process = Watched(), Event(), psutil.Process()

    def look() -> None:
        while not done.wait(0.2):
            with suppress(psutil.Error):
                family = process.children(recursive=True)
                found.peak = max(found.peak, sum(_weigh(one, found) for one in family) / 1e6)
                _weigh(process, found)
                for one in family:
                    if kill is not None and found.killed is None and one.name() == kill:
                        one.kill()
                        found.killed = one.pid

    earlier = Watched()
    for one in (process, *process.children(recursive=True)):
        _weigh(one, earlier)
    begun, thread = time.perf_counter(), Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()
        found.seconds = time.perf_counter() - begun
        found.processor = sum(found.spent.values()) - sum(earlier.spent.get(pid, 0.0) for pid in found.spent)


def _weigh(one: psutil.Process, found: Watched) -> float:
    try:
        times = one.cpu_times()
        found.spent[one.pid] = times.user + times.system
        return float(one.memory_full_info().pss)
    except psutil.Error:
        return 0.0


def backtest(home: Path, run: Path, workers: Workers) -> list[Any]:
    """Digests and leaderboard, in a copy of a home."""
    from pipelines.compare import compare
    from pipelines.train import walk

    root = Path(tempfile.mkdtemp(dir=home.parent)) / "home"
    shutil.copytree(home, root)
    space = workspace(root, run)
    bench = replace(space.bench, workers=workers)
    walked = walk(bench, space.folds, lambda _line: None)
    found = compare(walked, "naive", space.folds, "return", workers)
    rows = [{name: value for name, value in row.items() if name not in APART} for row in found.table()]
    digests = [fit.artifact.digest for one in walked for fold in one.folds for fit in (fold, *fold.members)]
    plain: list[Any] = json.loads(json.dumps([digests, rows, found.key, found.spa, found.candidate]))
    return plain


def workspace(root: Path, run: Path) -> "Workspace":
    """The run in a home."""
    from pipelines.config import RunConfig
    from pipelines.home import Home
    from pipelines.workspace import Workspace

    return Workspace(Home(root), RunConfig.model_validate(tomllib.loads(run.read_text("utf-8"))), NOW)


@dataclass(frozen=True)
class Trial:
    """The backtest by one engine, beside that of one process."""

    engine: str
    seconds: float
    """By the clock."""
    processor: float
    """Seconds of all processes."""
    workers_mb: float
    artifacts: int
    same: bool
    """Whether digests and figures are those of one process, to the bit."""
    expected: bool = True
    """Whether what was to happen meanwhile did."""

    @classmethod
    def of(cls, engine: str, watched: Watched, found: list[Any], alone: list[Any], expected: bool = True) -> "Trial":
        took = (watched.seconds, watched.processor, watched.peak)
        return cls(engine, *took, len(found[0]), found == alone, expected)

    @property
    def holds(self) -> bool:
        return self.same and self.expected

    @property
    def line(self) -> str:
        return (
            f"{self.engine}: {self.seconds:.0f} s, {self.processor:.0f} s of processor time, workers "
            f"{self.workers_mb:.0f} MB; {self.artifacts} artifacts and all figures "
            f"{'' if self.same else 'NOT '}identical{'' if self.expected else ', but nothing happened to it'}"
        )


def trials(home: Path, run: Path) -> Iterator[Trial]:
    """Each engine beside this one process."""
    with watching() as watched:
        alone = backtest(home, run, Pool(1))
    yield Trial.of("one process", watched, alone, alone)
    cluster = Cluster(2)
    for name, workers, kill in (
        ("pool of 2", Pool(2), None),
        ("Ray of 2", cluster, None),
        ("Ray of 2 again, a worker killed", cluster, "ray::answer"),
    ):
        with watching(kill) as watched:
            found = backtest(home, run, workers)
        yield Trial.of(name, watched, found, alone, kill is None or watched.killed is not None)
        if workers is not cluster:
            workers.close()
    cluster.close()
    with nodes.two(home.parent) as two:
        if isinstance(two, str):
            print(f"two Ray nodes in network namespaces: not on this machine ({two})", flush=True)
            return
        here = [sys.executable, "-m", "benchmarks.scale_engines", "--of", str(home.parent), two.address]
        with watching() as watched:
            done = subprocess.run([*two.inside, *here], env=two.environment, stdout=subprocess.PIPE, check=True)
        both = len(nodes.who_works(two)) == 2
        yield Trial.of("Ray on two nodes in network namespaces", watched, json.loads(done.stdout), alone, both)


def main() -> int:
    """Each engine once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="sample", help="folder of SYMBOL.csv[.gz] files, or sample")
    parser.add_argument("--symbol", default="^GSPC")
    parser.add_argument("--venue", default="XNYS")
    parser.add_argument("--results", type=Path, default=RESULTS / "scale_engines.json")
    parser.add_argument("--of", nargs=2, metavar=("FOLDER", "ADDRESS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    hush()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # namespaces and clusters are taken down then, too
    if asked.of:
        folder, address = Path(asked.of[0]), asked.of[1]
        print(json.dumps(backtest(folder / "home", folder / "run.toml", Cluster(address=address))))
        return 0
    bars = '{ source = "sample" }' if asked.data == "sample" else f'{{ source = "files", folder = "{asked.data}" }}'
    with tempfile.TemporaryDirectory() as folder:
        home, run = Path(folder) / "home", Path(folder) / "run.toml"
        run.write_text(RUN.format(symbol=asked.symbol, venue=asked.venue, bars=bars), "utf-8")
        made = workspace(home, run)
        list(made.fetcher(os.environ, lambda: NOW).fetch(made.config.data.symbols, ()))
        _ = made.notebook  # opened once, for all copies
        made.engine.dispose()
        found = []
        for trial in trials(home, run):
            print(f"{'holds' if trial.holds else 'FAILS'}: {trial.line}", flush=True)
            found.append(trial)
    from benchmarks.scale_weight import starts, weight

    heavy, begun = weight(), []
    print(heavy.line, flush=True)
    for start in starts():
        print(start.line, flush=True)
        begun.append(start)
    figures = {
        "trials": [asdict(one) for one in found],
        "task": asdict(heavy),
        "starts": [asdict(one) for one in begun],
    }
    write(asked.results, figures)
    return int(not all(one.holds for one in found))


if __name__ == "__main__":
    sys.exit(main())
