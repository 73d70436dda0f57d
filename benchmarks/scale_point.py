"""One piece of work of `benchmarks.scale`, in a process of its own: what it took, as a line of JSON.

A snapshot is read and cut into windows, every seed of every network is trained for two epochs and sealed, and all are
compared with the random walk: what `forecaster train` and `compare` do, but for the store and MLflow, which cost the
same whatever the size. The same is done before on little data, off the clock, so that what is loaded and allocated
once is in neither the seconds nor what memory grows by.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.scale_growth import Size, Took
from benchmarks.scale_world import calendar, frozen, run_of
from forecaster.contract import LEVELS
from forecaster.facts import Facts
from forecaster.families.base import Spec
from forecaster.snapshot import read_snapshot
from forecaster.store.artifacts import Run
from forecaster.training.export import Provenance
from forecaster.windows import Windows, walk
from pipelines.compare import compare
from pipelines.config import RunConfig
from pipelines.engines.pool import Pool
from pipelines.jobs import Job
from pipelines.quiet import hush
from pipelines.snapshot import load_universe
from pipelines.train import Task, Trained, Walked
from pipelines.workers import Made, Order, carry_out

SMALL = Size(symbols=2, sessions=400)


def peak() -> float:
    """The largest resident size of this process so far, MB."""
    (line,) = (line for line in Path("/proc/self/status").read_text("utf-8").splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def weigh(facts: Facts, universe: tuple[Windows, ...], forecasts: int, horizon: int) -> float:
    """MB of what cannot but be there.

    Arguments:
        forecasts: Origins of all symbols that are compared, of all models.
    """
    arrays = [facts.subject, facts.date, facts.known_at, facts.values]
    for one in universe:
        arrays += [one.values, one.targets, one.close, one.sessions, one.whole]
    return (sum(array.nbytes for array in arrays) + forecasts * horizon * len(LEVELS) * 8) / 1e6


def trained(job: Job, spec: Spec, config: RunConfig, digest: str) -> tuple[Trained, Made]:
    """A job and all below it, one after the other."""
    members = [trained(member, spec, config, digest) for member in job.members]
    provenance = Provenance(job.family, job.training, config.target, digest)
    epochs = max((one.artifact.manifest.epochs for one, _ in members), default=0)
    made = carry_out(Order(job, spec, provenance, tuple(below.tensors for _, below in members), epochs))
    run = Run("", made.artifact.digest, "", made.seconds)
    return Trained(job, made.artifact, run, True, tuple(one for one, _ in members)), made


@dataclass
class Marks:
    """Where the clock and the peak stood at the end of each part."""

    seconds: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)
    _last: float = field(default_factory=time.process_time)

    def end(self, part: str) -> None:
        now = time.process_time()
        self.seconds[part], self.peaks[part], self._last = now - self._last, peak(), now


def work(config: RunConfig, folder: Path, digest: str) -> tuple[Marks, float]:
    """What it took, and MB of the data."""
    marks, target = Marks(), config.target
    universe = load_universe(folder, digest, config)
    folds = walk(universe, config.split.validation_from, config.split.test_from, None)
    marks.end("read")
    spec = Spec(config.window, target.horizon, target.kind, len(target.symbols))
    task = Task(folds[0].train, folds[0].validation)
    jobs = [Job.of(model, config.training, task) for model in config.models]
    walked = [Walked((trained(job, spec, config, digest)[0],)) for job in jobs]
    marks.end("train")
    found = compare(walked, config.baseline.name, folds, target.kind, Pool(1))
    marks.end("compare")
    forecasts = sum(len(one.scores.crps) for one in found.scored.values())
    return marks, weigh(read_snapshot(folder, digest), universe, forecasts, target.horizon)


def main() -> int:
    """Warm up, then the work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", type=lambda text: Size(**json.loads(text)))
    parser.add_argument("folder", type=Path)
    parser.add_argument("digest")
    asked = parser.parse_args()
    hush()
    days = calendar(asked.size.sessions)
    with tempfile.TemporaryDirectory() as name:
        run = run_of(SMALL, days)
        work(run, Path(name), frozen(SMALL, None, days, Path(name)))
    before = peak()
    marks, data = work(run_of(asked.size, days), asked.folder, asked.digest)
    took = Took(asked.size, marks.seconds, before, marks.peaks, data)
    print(json.dumps(asdict(took)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
