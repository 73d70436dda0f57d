"""Training beside the peers. `python -m benchmarks.peer_training [--environments FOLDER] [--only PEER:MODEL,...]`

The same architecture (LSTM and GRU of 2 x 64, Transformer of width 64 with 4 heads and 2 layers) on the same series
(train before 2013, judged on 2013-14), each by its own public API: as it comes, and with the batch and the learning
rate of a small grid that is quickest. One thread, CPU seconds of the whole call that trains, judging off the clock.
Ours runs as it comes throughout. Every training is a line in `--results`; what is there of the same data is not run
again.

The loss that both must reach is, for each peer, the highest of all lowest losses of its seeds and ours. Exits 0 where
that loss is reached 15 times sooner than by a peer that supervises one position of a window as it comes and 5 times
sooner than by it tuned, 1.5 times and as soon where a peer supervises every position too, 3 times for a Transformer;
where our mean lowest loss is within one seed standard deviation of the best peer's, and our memory at its peak at most
the leanest peer's.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.peers import install, job
from benchmarks.record import RESULTS, RUN, machine
from benchmarks.training import CHANNELS, windows_of

ROOT = Path(__file__).parents[1]
OURS = "ours"
TUNED = "tuned"
GRID = [job.Setting(batch, rate) for batch in (16, 64) for rate in (1e-3, 3e-3, 1e-2)]
GRID_SEED = 100
"""Of the trainings that the grid is searched by; none of those that are counted."""
GRID_CAP = 6.0
"""CPU seconds each."""
NEAR = 0.01
"""Nats above the grid's lowest loss that a setting must reach soonest to be chosen."""


@dataclass(frozen=True)
class Training:
    """One model of one library."""

    peer: str
    model: str
    cell: str
    """What of ours it is put beside."""
    sooner: tuple[float, float] = (0.0, 0.0)
    """How many times sooner ours must be: than it as it comes, and tuned."""

    def __str__(self) -> str:
        return f"{self.peer}:{self.model}"


ONE, EVERY, ATTENTION = (15.0, 5.0), (1.5, 1.0), (3.0, 3.0)
TRAININGS = (
    Training(OURS, "LSTM", "LSTM"),
    Training(OURS, "GRU", "GRU"),
    Training(OURS, "Transformer", "Transformer"),
    Training("neuralforecast", "LSTM", "LSTM", ONE),
    Training("neuralforecast", "GRU", "GRU", ONE),
    Training("neuralforecast", "VanillaTransformer", "Transformer", ATTENTION),
    Training("darts", "BlockRNN-LSTM", "LSTM", ONE),
    Training("darts", "BlockRNN-GRU", "GRU", ONE),
    Training("darts", "Transformer", "Transformer", ATTENTION),
    Training("darts", "RNN-LSTM", "LSTM", EVERY),
    Training("darts", "RNN-GRU", "GRU", EVERY),
    Training("pytorch_forecasting", "DeepAR-LSTM", "LSTM", ONE),
    Training("pytorch_forecasting", "DeepAR-GRU", "GRU", ONE),
    Training("gluonts", "DeepAR-LSTM", "LSTM", EVERY),
)


@dataclass(frozen=True)
class Run:
    """One training that was followed to its end."""

    setting: str
    seed: int
    memory_mb: float
    at: tuple[float, ...]
    """CPU seconds at which its validation loss was lower than ever before."""
    losses: tuple[float, ...]

    @property
    def lowest(self) -> float:
        return self.losses[-1]

    def reached(self, loss: float) -> float:
        """CPU seconds to that loss."""
        return next((at for at, one in zip(self.at, self.losses, strict=True) if one <= loss), float("inf"))


@dataclass
class Results:
    """The lines of a file that are about some work, and what is added to it."""

    path: Path
    work: str | None = None
    """Digest of that work; left out, the work of the last line."""

    def __post_init__(self) -> None:
        lines = self.path.read_text("utf-8").splitlines() if self.path.exists() else []
        found = [json.loads(line) for line in lines]
        self.work = self.work or (found[-1]["work"] if found else None)
        self.lines = [line for line in found if line["work"] == self.work]

    def add(self, training: Training, lines: Iterable[str]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            for line in lines:
                self.lines.append({"peer": training.peer, **json.loads(line), "work": self.work, RUN: machine()})
                file.write(json.dumps(self.lines[-1]) + "\n")
                file.flush()

    def runs(self, training: Training, setting: str) -> list[Run]:
        """In the order of seeds; a later line stands for an earlier one."""
        found = {
            line["seed"]: Run(setting, line["seed"], line["memory_mb"], tuple(line["at"]), tuple(line["losses"]))
            for line in self.lines
            if (line["peer"], line["model"], line["setting"]) == (training.peer, training.model, setting)
        }
        return [found[seed] for seed in sorted(found) if seed != GRID_SEED]

    def tried(self, training: Training) -> dict[job.Setting, Run]:
        """The grid's settings that were tried."""
        return {
            setting: Run(str(setting), GRID_SEED, line["memory_mb"], tuple(line["at"]), tuple(line["losses"]))
            for setting in GRID
            for line in self.lines
            if (line["peer"], line["model"], line["setting"], line["seed"])
            == (training.peer, training.model, str(setting), GRID_SEED)
        }

    def tuned(self, training: Training) -> job.Setting | None:
        """The setting of the grid that is soonest near the grid's lowest loss; None before all were tried."""
        tried = self.tried(training)
        if len(tried) < len(GRID):
            return None
        goal = min(run.lowest for run in tried.values()) + NEAR
        return min(GRID, key=lambda setting: tried[setting].reached(goal))


def work_of(asked: argparse.Namespace) -> job.Work:
    """The series with its channels, up to the target of the last validation origin."""
    windows = windows_of(asked)
    train = windows.span(None, asked.validation_from, purge_before=asked.validation_from)
    validation = windows.span(asked.validation_from, asked.test_from, purge_before=asked.test_from)
    end = int(validation[-1]) + 1 + job.HORIZON
    close = np.exp(np.concatenate(([0.0], np.cumsum(windows.targets[: end - 1, 0]))))
    return job.Work(windows.values[:end], windows.sessions[:end], close, train, validation, np.array(CHANNELS))


def driven(
    python: Path, training: Training, data: Path, settings: Sequence[job.Setting], seeds: Sequence[int], cap: float
) -> Iterator[str]:
    """The lines of a driver as they come, from a process and an environment of its own."""
    asked = ",".join("" if setting == job.Setting() else str(setting) for setting in settings)
    command = [python, "-m", f"benchmarks.peers.{training.peer}", "--data", data, "--model", training.model]
    rest = ["--settings", asked, "--seeds", ",".join(map(str, seeds)), "--cap", str(cap)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([*command, *rest], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        yield from (line for line in process.stdout or () if line.startswith("{"))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def lacks(training: Training, results: Results, seeds: Sequence[int]) -> bool:
    """Whether anything of one model was not run yet."""
    settings = [job.Setting()] if training.peer == OURS else [job.Setting(), results.tuned(training)]
    held = [{one.seed for one in results.runs(training, str(setting))} for setting in settings if setting]
    return len(held) < len(settings) or any(set(seeds) - one for one in held)


def run(training: Training, results: Results, seeds: Sequence[int], drive: functools.partial) -> None:
    """What is missing of one model: as it comes, the grid, tuned."""

    def missing(setting: job.Setting) -> list[int]:
        return sorted(set(seeds) - {one.seed for one in results.runs(training, str(setting))})

    if missing(job.Setting()):
        results.add(training, drive(training, settings=[job.Setting()], seeds=missing(job.Setting())))
    if training.peer == OURS:
        return
    if untried := [setting for setting in GRID if setting not in results.tried(training)]:
        results.add(training, drive(training, settings=untried, seeds=[GRID_SEED], cap=GRID_CAP))
    if missing(chosen := results.tuned(training)):
        results.add(training, drive(training, settings=[chosen], seeds=missing(chosen)))


@dataclass(frozen=True)
class Row:
    """One peer in one setting beside ours."""

    training: Training
    kind: str
    """As it comes, or tuned."""
    setting: str
    theirs: list[Run]
    ours: list[Run]
    asked: float
    """How many times sooner ours is to be."""

    @property
    def loss(self) -> float:
        """The highest of the lowest losses, which all of them reach."""
        return max(run.lowest for run in (*self.theirs, *self.ours))

    def seconds(self, runs: Sequence[Run]) -> list[float]:
        """To that loss."""
        return [run.reached(self.loss) for run in runs]

    @property
    def sooner(self) -> float:
        return statistics.median(self.seconds(self.theirs)) / statistics.median(self.seconds(self.ours))


def rows(results: Results) -> Iterator[Row]:
    """Each peer that was run beside ours, as it comes and tuned."""
    ours = {one.cell: results.runs(one, job.AS_IT_COMES) for one in TRAININGS if one.peer == OURS}
    for training in TRAININGS:
        if training.peer == OURS or not ours[training.cell]:
            continue
        chosen = results.tuned(training)
        for kind, setting, asked in zip(
            (job.AS_IT_COMES, TUNED), (job.Setting(), chosen), training.sooner, strict=True
        ):
            if setting is not None and (theirs := results.runs(training, str(setting))):
                yield Row(training, kind, str(setting), theirs, ours[training.cell], asked)


def claims(found: Sequence[Row]) -> Iterator[tuple[str, bool]]:
    """What is claimed, one by one, with whether it holds."""
    for row in found:
        text = f"{row.training} {row.kind}: loss {row.loss:.4f} {row.sooner:.1f} times sooner (at least {row.asked:g})"
        yield text, row.sooner >= row.asked
    for cell in dict.fromkeys(row.training.cell for row in found):
        beside = [row for row in found if row.training.cell == cell]
        mine = statistics.mean(run.lowest for run in beside[0].ours)
        scattered = [row for row in beside if len(row.theirs) > 1] or beside
        best = min(scattered, key=lambda row: statistics.mean(run.lowest for run in row.theirs))
        lows = [run.lowest for run in best.theirs]
        excess, spread = mine - statistics.mean(lows), statistics.stdev(lows) if len(lows) > 1 else 0.0
        text = f"{cell}: lowest loss {excess:+.4f} against {best.training} {best.kind}, seeds scatter by {spread:.4f}"
        yield text, excess <= spread
        memory = max(run.memory_mb for run in beside[0].ours)
        leanest = min(beside, key=lambda row: max(run.memory_mb for run in row.theirs))
        least = max(run.memory_mb for run in leanest.theirs)
        yield f"{cell}: {memory:.0f} MB at the peak, {leanest.training} {least:.0f} MB", memory <= least


def main() -> int:
    """Run what is missing and say what holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="sample", help="folder of SYMBOL.csv[.gz] files, or sample")
    parser.add_argument("--symbol", default="^GSPC")
    parser.add_argument("--venue", default="XNYS")
    parser.add_argument("--validation-from", type=date.fromisoformat, default=date(2013, 1, 1))
    parser.add_argument("--test-from", type=date.fromisoformat, default=date(2015, 1, 1))
    parser.add_argument("--environments", type=Path, default=Path.home() / ".cache" / "forecaster" / "peers")
    parser.add_argument("--only", type=lambda text: text.split(","), help="PEER or PEER:MODEL, several by commas")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cap", type=float, default=30.0, help="CPU seconds after which a training is ended")
    parser.add_argument("--results", type=Path, default=RESULTS / "peer_training.jsonl")
    asked = parser.parse_args()
    chosen = [one for one in TRAININGS if not asked.only or {str(one), one.peer} & set(asked.only)]
    work, folder = work_of(asked), asked.environments.absolute()
    results = Results(asked.results, work.digest)
    chosen = [one for one in chosen if lacks(one, results, range(asked.seeds))]
    install.install(folder, {one.peer: None for one in chosen if one.peer != OURS})
    with tempfile.TemporaryDirectory() as spare:
        data = Path(spare) / "work.npz"
        work.write(data)
        for training in chosen:
            python = Path(sys.executable) if training.peer == OURS else install.interpreter(folder, training.peer)
            run(training, results, range(asked.seeds), functools.partial(driven, python, data=data, cap=asked.cap))
            print(f"{training} done", flush=True)
    found = list(claims(list(rows(results))))
    for text, holds in found:
        print(f"{'holds' if holds else 'FAILS'}: {text}")
    print(f"{sum(holds for _, holds in found)} of {len(found)} hold")
    return int(not all(holds for _, holds in found))


if __name__ == "__main__":
    sys.exit(main())
