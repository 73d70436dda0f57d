"""What a task costs before any work is done: its bytes, and the way to a worker and back, by pool and by Ray."""

import os
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import psutil

from forecaster.calendars import trading_calendar
from forecaster.contract import Target, WindowSpec
from forecaster.families.base import Spec
from forecaster.families.gru import GruFamily
from forecaster.sessions import Calendar
from forecaster.training.config import TrainingConfig
from forecaster.training.export import Provenance
from forecaster.training.task import Task
from forecaster.windows import Sample, Windows
from pipelines.engines.base import Workers
from pipelines.engines.cluster import Cluster
from pipelines.engines.parcel import Packer
from pipelines.engines.pool import Pool
from pipelines.jobs import Job
from pipelines.workers import Order

SYMBOLS, TASKS = 100, 200
WINDOW = WindowSpec(context=64, burn_in=32, channels=("log_return", "log_range", "close_location", "volume_change"))


def universe(calendar: Calendar, count: int) -> tuple[Windows, ...]:
    """Windows of symbols that are noise: how heavy they are does not depend on what they say."""
    rng, sessions = np.random.default_rng(0), calendar.sessions
    whole = np.arange(len(sessions)) >= WINDOW.context - 1
    return tuple(
        Windows(
            WINDOW, sessions, rng.standard_normal((len(sessions), len(WINDOW.channels))),
            rng.standard_normal(len(sessions)), rng.standard_normal((len(sessions), 2)), whole, symbol=f"S{number}",
        )
        for number in range(count)
    )  # fmt: skip


def order(windows: tuple[Windows, ...], seed: int) -> Order:
    """One seed of a network on all of them, as `train` sends it."""
    target = Target(symbols=tuple(one.symbol for one in windows), venue="XNYS", horizon=2)
    family, training = GruFamily(name="gru"), TrainingConfig()
    train = tuple(Sample(one, one.span(None, date(2013, 1, 1), date(2013, 1, 1))) for one in windows)
    held_out = tuple(Sample(one, one.span(date(2013, 1, 1), date(2015, 1, 1))) for one in windows)
    job = replace(Job(family, training, Task(train, held_out)), seed=seed)
    return Order(job, Spec(WINDOW, 2, "return", len(windows)), Provenance(family, training, target, "0" * 64))


@dataclass(frozen=True)
class Weight:
    """A task of many symbols."""

    symbols: int
    sessions: int
    pickled_mb: float
    """Whole, as it would travel by itself."""
    arrays: int
    arrays_mb: float
    """Once, for all tasks."""
    task_kb: float
    """What is left of each."""
    packing_ms: float
    pool_ms: float
    """To a worker and back, by the clock."""
    ray_ms: float

    @property
    def line(self) -> str:
        return (
            f"a task of {self.symbols} symbols x {self.sessions} sessions: {self.pickled_mb:.1f} MB by pickle; "
            f"{self.arrays_mb:.1f} MB in {self.arrays} arrays once, and {self.task_kb:.0f} kB a task, packed in "
            f"{self.packing_ms:.0f} ms; there and back by pool {self.pool_ms:.1f} ms, by Ray {self.ray_ms:.1f} ms"
        )


def weight() -> Weight:
    """Bytes of a task, with its arrays and without, and its way."""
    windows = universe(trading_calendar("XNYS", date(1999, 1, 4), date(2018, 12, 31)), SYMBOLS)
    first, second = order(windows, 0), order(windows, 1)
    put: list[int] = []
    packer = Packer(lambda _digest, raw: put.append(raw.nbytes))
    begun = time.process_time()
    streams = [len(packer.pack(one).stream) for one in (first, second)]
    packing = (time.process_time() - begun) / 2
    ways = []
    for workers in (Pool(2), Cluster(2)):
        list(workers.each(abs, [-1, -2]))
        ways.append(1e3 * _seconds(workers, lambda number: (number, windows), 20))
        workers.close()
    return Weight(
        SYMBOLS, len(windows[0].sessions), len(pickle.dumps(first, protocol=5)) / 1e6, len(put), sum(put) / 1e6,
        max(streams) / 1e3, 1e3 * packing, *ways,
    )  # fmt: skip


def _seconds(workers: Workers, question: Callable[[int], object], tasks: int) -> float:
    begun = time.perf_counter()
    done = list(workers.each(id, [question(number) for number in range(tasks)]))
    return (time.perf_counter() - begun) / len(done)


@dataclass(frozen=True)
class Start:
    """An engine that has nothing to do."""

    engine: str
    first_s: float
    """By the clock, until the first answer."""
    first_processor_s: float
    task_ms: float
    """Of an empty task, by the clock."""
    task_processor_ms: float
    idle_mb: float
    """Of the processes beside ours."""

    @property
    def line(self) -> str:
        return (
            f"{self.engine}: first answer after {self.first_s:.1f} s ({self.first_processor_s:.1f} s of processor "
            f"time); an empty task {self.task_ms:.2f} ms by the clock, {self.task_processor_ms:.2f} ms of processor "
            f"time; {self.idle_mb:.0f} MB beside us"
        )


def starts() -> Iterator[Start]:
    """Seconds until the first answer, what an empty task takes, and the memory of processes that do nothing."""
    for name, workers in (("pool of 2", Pool(2)), ("Ray of 2", Cluster(2))):
        before, begun = _processor(), time.perf_counter()
        list(workers.each(abs, [-1, -2]))
        first, spent = time.perf_counter() - begun, _processor() - before
        before, taken = _processor(), _seconds(workers, lambda number: -number, TASKS)
        each = (_processor() - before) / TASKS
        held = sum(one.memory_full_info().pss for one in psutil.Process().children(recursive=True)) / 1e6
        workers.close()
        yield Start(name, first, spent, 1e3 * taken, 1e3 * each, held)


def _processor() -> float:
    """Seconds of processor time of this process and all below it."""
    found = 0.0
    for one in [psutil.Process(os.getpid()), *psutil.Process().children(recursive=True)]:
        times = one.cpu_times()
        found += times.user + times.system
    return found
