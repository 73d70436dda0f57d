"""The work, the same for all: what is trained on, how it is judged, when it ends. Needs numpy and torch, no more.

A training is judged from time to time on the validation origins, each behind a fresh context, by the mean negative log
density of the next session's return in units of its standard deviation in training. The judge's time is on no clock.
The clock is the processor time of the whole call that trains, in its second use: a call of a few steps goes before.
"""

import argparse
import functools
import hashlib
import json
import logging
import math
import os
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

CONTEXT, HORIZON = 64, 1
HIDDEN, LAYERS, HEADS = 64, 2, 4
AS_IT_COMES = "as it comes"
WARM = 2
"""Optimiser steps of the call that goes before."""


class Setting(NamedTuple):
    """What is tuned of a training; None as the peer has it."""

    batch: int | None = None
    rate: float | None = None

    def __str__(self) -> str:
        return AS_IT_COMES if self == Setting() else f"{self.batch}:{self.rate:g}"

    def given(self, batch: str, rate: str) -> dict[str, float]:
        """Keyword arguments by the peer's own names for them; none as it comes."""
        return {name: value for name, value in ((batch, self.batch), (rate, self.rate)) if value is not None}


@dataclass(frozen=True)
class Work:
    """One series, its channels, and the origins."""

    values: NDArray[np.float64]
    """[T, C] the return first, as exported."""
    sessions: NDArray[np.datetime64]
    close: NDArray[np.float64]
    train: NDArray[np.intp]
    """Origins."""
    validation: NDArray[np.intp]
    channels: NDArray[np.str_]
    """[C] their names."""

    @classmethod
    def read(cls, path: Path) -> "Work":
        with np.load(path) as held:
            return cls(*(held[name] for name in cls.__dataclass_fields__))

    def write(self, path: Path) -> None:
        np.savez(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    @property
    def digest(self) -> str:
        """Of all of it: trainings on other data are others."""
        found = hashlib.sha256()
        for name in self.__dataclass_fields__:
            found.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return found.hexdigest()[:12]

    @property
    def end(self) -> int:
        """Rows that training may see: up to the target of the last training origin."""
        return int(self.train[-1]) + 1 + HORIZON

    @property
    def scaled(self) -> NDArray[np.float32]:
        """[T, C] in units of the training rows' standard deviation, all but the return centred."""
        known = self.values[: self.end - HORIZON]
        centre = known.mean(0)
        centre[0] = 0.0
        return ((self.values - centre) / known.std(0, ddof=1)).astype(np.float32)

    @property
    def held_out(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Contexts [N, L, C] of the validation origins, and the returns [N] after them."""
        scaled = torch.from_numpy(self.scaled)
        origins = torch.from_numpy(self.validation)
        places = origins[:, None] + torch.arange(1 - CONTEXT, 1)
        return scaled[places], scaled[origins + HORIZON, 0]


@dataclass
class Watch:
    """Follows one training by its optimiser steps."""

    judge: Callable[[Any], float] = field(repr=False)
    """Validation loss of what is trained."""
    cap: float = math.inf
    """CPU seconds after which it is ended."""
    limit: float = math.inf
    """Steps after which it is ended."""
    at: list[float] = field(default_factory=list)
    """CPU seconds at which it was judged."""
    losses: list[float] = field(default_factory=list)
    steps: int = 0
    spent: float = 0.0
    _due: float = 0.0
    _mark: float = 0.0

    def begin(self) -> None:
        """Start the clock: right before the call that trains."""
        self._mark = time.process_time()

    def step(self, trained: Any) -> bool:
        """Called after each optimiser step; whether to end: at a limit, or when nothing better came for long."""
        self.steps += 1
        self.spent += time.process_time() - self._mark
        if self.spent >= self._due:
            self.at.append(self.spent)
            self.losses.append(self.judge(trained))
            self._due = self.spent + max(0.15, 0.06 * self.spent)
        self._mark = time.process_time()
        best = self.at[int(np.argmin(self.losses))]
        return self.steps >= self.limit or self.spent >= self.cap or self.spent > 2.0 * best + 2.0


def marking(base: type, watch: Watch) -> Any:
    """The watch as a callback of one of Lightning's two packages, whose base class is given."""

    def on_train_batch_end(_self: Any, trainer: Any, module: Any, *_: Any, **__: Any) -> None:
        trainer.should_stop = watch.step(module)

    return type("Marking", (base,), {"on_train_batch_end": on_train_batch_end})()


Train = Callable[[Work, str, Setting, int, Watch], None]
"""Trains a model of that name from a seed under a watch."""
Judge = Callable[[Work, Any], float]
"""Mean loss of a trained module at the validation origins."""


def drive(train: Train, judge: Judge) -> None:
    """The command line of a driver: one JSON line a training."""
    asked = arguments()
    quiet()
    work = Work.read(asked.data)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # some leave checkpoints and logs where they stand
        train(work, asked.model, Setting(), 0, Watch(lambda _: 0.0, limit=WARM))
        for setting, seed in pairs(asked):
            watch = Watch(functools.partial(judge, work), asked.cap)
            train(work, asked.model, setting, seed, watch)
            report(asked.model, setting, seed, watch)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--settings", default="", help="BATCH:RATE,...; left out, as it comes")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--cap", type=float, default=60.0)
    return parser.parse_args()


def quiet() -> None:
    """One thread, and no chatter."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)


def pairs(asked: argparse.Namespace) -> Iterator[tuple[Setting, int]]:
    """Settings and seeds asked for."""
    for text in asked.settings.split(","):
        batch, _, rate = text.partition(":")
        setting = Setting(int(batch), float(rate)) if text else Setting()
        yield from ((setting, int(seed)) for seed in asked.seeds.split(","))


def report(model: str, setting: Setting, seed: int, watch: Watch) -> None:
    """What came of one training, as a line of JSON: of its losses, those that were lower than any before."""
    lows = np.minimum.accumulate(watch.losses)
    records = np.flatnonzero(np.r_[True, np.diff(lows) < 0])
    found = {
        "model": model,
        "setting": str(setting),
        "seed": seed,
        "steps": watch.steps,
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "spent": round(watch.at[-1], 2),
        "at": [round(watch.at[k], 4) for k in records],
        "losses": [round(watch.losses[k], 5) for k in records],
    }
    print(json.dumps(found), flush=True)
