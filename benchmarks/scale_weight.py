"""What a task costs before any work is done: its bytes, and the way to a worker and back, by pool and by Ray."""

import os
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
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


def weight() -> Iterator[str]:
    """Bytes of a task, with its arrays and without."""
    windows = universe(trading_calendar("XNYS", date(1999, 1, 4), date(2018, 12, 31)), SYMBOLS)
    first, second = order(windows, 0), order(windows, 1)
    put: list[int] = []
    packer = Packer(lambda _digest, raw: put.append(raw.nbytes))
    begun = time.process_time()
    streams = [len(packer.pack(one).stream) for one in (first, second)]
    took = (time.process_time() - begun) / 2
    whole, length = len(pickle.dumps(first, protocol=5)), len(windows[0].sessions)
    yield (
        f"a task of {SYMBOLS} symbols x {length} sessions: {whole / 1e6:.1f} MB by pickle; {sum(put) / 1e6:.1f} MB in "
        f"{len(put)} arrays once, and {max(streams) / 1e3:.0f} kB a task, packed in {1e3 * took:.0f} ms"
    )
    for name, workers in (("pool", Pool(2)), ("Ray", Cluster(2))):
        list(workers.each(abs, [-1, -2]))
        taken = _seconds(workers, lambda number: (number, windows), 20)
        yield f"with them, {name}: {1e3 * taken:.1f} ms a task by the clock"
        workers.close()


def _seconds(workers: Workers, question: Callable[[int], object], tasks: int) -> float:
    begun = time.perf_counter()
    done = list(workers.each(id, [question(number) for number in range(tasks)]))
    return (time.perf_counter() - begun) / len(done)


def overhead() -> Iterator[str]:
    """Seconds until the first answer, what an empty task takes, and the memory of processes that do nothing."""
    for name, workers in (("pool", Pool(2)), ("Ray", Cluster(2))):
        before, begun = _processor(), time.perf_counter()
        list(workers.each(abs, [-1, -2]))
        first, spent = time.perf_counter() - begun, _processor() - before
        before, taken = _processor(), _seconds(workers, lambda number: -number, TASKS)
        each = (_processor() - before) / TASKS
        held = sum(one.memory_full_info().pss for one in psutil.Process().children(recursive=True)) / 1e6
        workers.close()
        yield (
            f"{name}: first answer after {first:.1f} s ({spent:.1f} s of processor time); an empty task "
            f"{1e3 * taken:.2f} ms by the clock, {1e3 * each:.2f} ms of processor time; {held:.0f} MB beside us"
        )


def _processor() -> float:
    """Seconds of processor time of this process and all below it."""
    found = 0.0
    for one in [psutil.Process(os.getpid()), *psutil.Process().children(recursive=True)]:
        times = one.cpu_times()
        found += times.user + times.system
    return found
