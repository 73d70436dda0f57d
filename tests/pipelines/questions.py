"""Questions for workers; apart, since a worker that is asked them imports this file and all that it leans on."""

import os
import signal
import time
from pathlib import Path

import numpy
from threadpoolctl import threadpool_info

from forecaster.contract import Floats
from forecaster.errors import ConfigError


def total(asked: tuple[int, Floats]) -> float:
    """A number times the sum of an array."""
    number, values = asked
    return float(number * values.sum())


def blas_threads(_number: int) -> tuple[int, ...]:
    """How many threads each linear algebra library of this process uses."""
    numpy.linalg.inv(numpy.eye(2))
    return tuple({found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"})


def refuse(number: int) -> int:
    """The number, unless it is two."""
    if number == 2:
        raise ConfigError("[training] learning_rate", "gru ran away; lower it")
    return number


def divide(number: int) -> float:
    """An error that is not ours, at one."""
    return 1 / (number - 1)


def die_once(asked: tuple[int, Path]) -> int:
    """The square of a number; the first process that is asked for three dies of it."""
    number, there = asked
    if number == 3 and not there.exists():
        there.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


def die(_number: int) -> int:
    """Nobody lives to say it."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def by_itself(asked: tuple[Path, int]) -> int:
    """The number of a question, whose process is found at no other question of that folder meanwhile."""
    folder, number = asked
    here = folder / str(os.getpid())
    here.touch(exist_ok=False)
    time.sleep(0.05)
    here.unlink()
    return number
