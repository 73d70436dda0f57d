"""What a command costs: seconds by the clock and of processor time, and the largest of all processes below it."""

import ctypes
import os
import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
    said: "subprocess.CompletedProcess[str]"


def spend(command: Sequence[str], environment: Mapping[str, str]) -> Spent:
    """Run a command to its end, and that of whatever it leaves: a pool's processes are nobody's children by then."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    before, begun = os.times(), time.perf_counter()
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - begun
    try:
        while True:
            os.wait()
    except ChildProcessError:
        after = os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    return Spent(seconds, processor, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, done)
