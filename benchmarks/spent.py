"""What a command costs: seconds by the clock and of processor time, and the memory of it and all processes below it."""

import ctypes
import os
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import psutil

_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Spent:
    """The cost of a command."""

    seconds: float
    """By the clock."""
    processor: float
    """Seconds of all its processes together."""
    megabytes: float
    """Of the largest process of all commands so far."""
    together: float
    """Megabytes of all processes at their most, what they share counted once; looked at once a second."""
    others: float
    """Seconds of processor time that everybody else on the machine took meanwhile."""
    said: "subprocess.CompletedProcess[str]"


def spend(command: Sequence[str], environment: Mapping[str, str]) -> Spent:
    """Run a command to its end, and that of whatever it leaves: a pool's processes are nobody's children by then."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    before, machine, begun = os.times(), _busy(), time.perf_counter()
    with Watch() as watch:
        done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begun
    try:
        while True:
            os.wait()
    except ChildProcessError:
        after = os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    own = after.user + after.system - before.user - before.system
    others = _busy() - machine - processor - own
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return Spent(seconds, processor, largest, watch.most / 2**20, max(others, 0.0), done)


def _busy() -> float:
    """Seconds of processor time that the machine has spent on anybody."""
    spent = psutil.cpu_times()
    return spent.user + spent.nice + spent.system


class Watch:
    """The memory of all processes below this one, at its most, in bytes."""

    def __init__(self) -> None:
        self.most = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(1.0):
            self.most = max(self.most, sum(map(_share, psutil.Process().children(recursive=True))))


def _share(process: psutil.Process) -> int:
    """Its memory, what it shares with others divided by their number; 0 where it is gone."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
