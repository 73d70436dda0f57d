"""What would 10,000 symbols of minute bars take? `python -m benchmarks.scale_minutes`

Simulated by noise in the shape of minute bars, at sizes a small machine carries: processor time of an epoch and of
scoring, bytes of a row in memory, in the store and in a snapshot; then arithmetic. docs/scale.md says what follows.
An LSTM of 2 x 64 on four channels, contexts of 64, two bars ahead, one thread.

Exits 0 where time grows in line with the rows (exponent at most 1.05), so that arithmetic may be done with it.
"""

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from benchmarks.scale_weight import WINDOW, order
from forecaster.families.base import Spec
from forecaster.families.lstm import LstmFamily
from forecaster.runtime import Runtime
from forecaster.snapshot import path_of, write_snapshot
from forecaster.store.database import connect, sqlite_url
from forecaster.store.history import read_facts
from forecaster.store.migrate import migrate
from forecaster.training.config import TrainingConfig
from forecaster.training.export import Provenance, export
from forecaster.training.fit import fit
from forecaster.training.task import Task
from forecaster.windows import Sample, Windows
from pipelines.fetch import Fetcher
from pipelines.quiet import hush
from pipelines.sources.sample import Sample as Source

SYMBOLS, MINUTES, SESSIONS = 10_000, 390, 252
"""Of the plan: one year."""
SIZES = (20_000, 80_000, 320_000)
FAMILY = LstmFamily(name="lstm", hidden=64, layers=2)
EPOCHS, CORES, PRICE = 40, 64, 0.04
"""Epochs until early stopping, processors, and money for an hour of one, as the plan assumes."""


def noise(rows: int, symbols: int = 4) -> tuple[Sample, ...]:
    """Minute bars that say nothing."""
    rng, count = np.random.default_rng(0), rows // symbols
    sessions = np.datetime64("2001-01-01") + np.arange(count)
    whole = np.arange(count) >= WINDOW.context - 1
    made = [
        Windows(
            WINDOW, sessions, 0.001 * rng.standard_normal((count, len(WINDOW.channels))), np.ones(count),
            0.001 * rng.standard_normal((count, 2)), whole, symbol=f"S{number}",
        )
        for number in range(symbols)
    ]  # fmt: skip
    return tuple(Sample(one, np.arange(WINDOW.context - 1, count - 2)) for one in made)


def epoch(samples: tuple[Sample, ...], spec: Spec) -> float:
    """Processor seconds of one: the second of two, so that what is done once does not count."""
    spent = []
    for epochs in (1, 2):
        begun = time.process_time()
        fit(FAMILY, spec, TrainingConfig(epochs=epochs, batch=64), Task(samples), seed=0)
        spent.append(time.process_time() - begun)
    return spent[1] - spent[0]


def scoring(samples: tuple[Sample, ...], spec: Spec, origins: int = 4096) -> float:
    """Processor seconds of one origin, through the artifact."""
    task = Task(samples)
    config = TrainingConfig(epochs=1, batch=64)
    target = order(tuple(sample.windows for sample in samples), 0).provenance.target
    artifact = export(fit(FAMILY, spec, config, task, seed=0), spec, task, Provenance(FAMILY, config, target, "0" * 64))
    runtime, contexts = Runtime(artifact), samples[0].windows.contexts(samples[0].origins[:origins])
    runtime.quantiles(contexts)
    begun = time.process_time()
    runtime.quantiles(contexts)
    return (time.process_time() - begun) / len(contexts)


def stored() -> tuple[float, float]:
    """Bytes of a bar in the store (SQLite) and in a snapshot, of the bars that ship with this."""
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(sqlite_url(Path(folder)))
        migrate(engine)
        empty = _size(Path(folder))
        list(Fetcher(engine, Source(), Source(), clock=lambda: now).fetch(("^GSPC", "^IXIC"), ()))
        facts = read_facts(engine, now)
        engine.dispose()
        store = _size(Path(folder)) - empty
        file = path_of(Path(folder), write_snapshot(facts, Path(folder))).stat().st_size
    return store / len(facts.date), file / len(facts.date)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.db*"))


def plan(a_row: float, a_score: float, memory: float) -> list[str]:
    """The whole, by arithmetic.

    Arguments:
        a_row: Processor seconds of a row in an epoch.
        a_score: Processor seconds of an origin.
        memory: Bytes of a row.
    """
    rows = SYMBOLS * MINUTES * SESSIONS
    store, file = stored()
    one_epoch, scored = a_row * rows / 3600, a_score * rows / 3600
    training = one_epoch * EPOCHS
    return [
        f"a bar: {memory:.0f} bytes in memory, {store:.0f} in the store, {file:.0f} in a snapshot",
        f"{SYMBOLS:,} symbols, a year: {rows / 1e6:,.0f} million bars, {rows * memory / 1e9:.0f} GB in memory, "
        f"{rows * store / 1e9:.0f} GB in the store, {rows * file / 1e9:.0f} GB as snapshots",
        f"an epoch {one_epoch:.1f} processor hours, a fit of {EPOCHS} epochs {training:.0f} ({training / CORES:.1f} h "
        f"on {CORES} processors, {PRICE * training:.0f} at {PRICE} an hour), scoring all origins {scored:.1f}",
        f"a forecast of all symbols, each minute: {a_score * SYMBOLS:.1f} processor seconds",
    ]


def main() -> int:
    """Measure three sizes and do the arithmetic."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    hush()
    spec = Spec(WINDOW, 2, "return", 4)
    took = {rows: epoch(noise(rows), spec) for rows in SIZES}
    for rows, seconds in took.items():
        print(f"{rows:,} rows: an epoch {seconds:.2f} s of processor time, {rows / seconds:,.0f} targets a second")
    exponent = float(np.polyfit(np.log(SIZES), np.log(list(took.values())), 1)[0])
    samples = noise(SIZES[0])
    windows = samples[0].windows
    parts = (windows.values, windows.targets, windows.close, windows.sessions, windows.whole, samples[0].origins)
    memory = sum(part.nbytes for part in parts) / len(windows.sessions)
    for line in plan(took[SIZES[-1]] / SIZES[-1], scoring(samples, spec), memory):
        print(line)
    print(f"{'holds' if exponent <= 1.05 else 'FAILS'}: exponent of the time of an epoch {exponent:.2f} (at most 1.05)")
    return int(exponent > 1.05)


if __name__ == "__main__":
    sys.exit(main())
