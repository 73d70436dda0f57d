"""Workers: trainings side by side, one process and one thread each.

These networks are small: two threads in one process go slower than one as soon as anything else runs, two processes
do not. The outcome does not depend on how many there are.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import TypeVar

import torch
from safetensors.torch import load, save
from torch import Tensor

from forecaster.artifact import Artifact
from forecaster.errors import WorkerDied
from forecaster.families.base import Spec
from forecaster.families.pool import Pool, PoolFamily
from forecaster.training.export import Provenance, export
from forecaster.training.fit import Fitted, fit
from forecaster.training.pooling import pooled
from pipelines.jobs import Job
from pipelines.quiet import hush

Asked = TypeVar("Asked")
Given = TypeVar("Given")

TRIES = 3
"""Of what processes had in hand that were killed."""


@dataclass(frozen=True)
class Order:
    """A job with what a worker needs to carry it out."""

    job: Job
    spec: Spec
    provenance: Provenance
    below: tuple[bytes, ...] = ()
    """Weights of the job's members, as safetensors."""
    epochs: int = 0
    """Of the members; a leaf counts its own."""
    start: bytes | None = None
    """Weights to go on from, as safetensors."""
    checkpoints: Path | None = None
    progress_bar: bool = False


@dataclass(frozen=True)
class Made:
    """What came of an order."""

    artifact: Artifact
    tensors: bytes
    history: Sequence[dict[str, float]]
    seconds: float


def carry_out(order: Order) -> Made:
    """Fit or pool, and seal."""
    torch.set_num_threads(1)
    begun = time.perf_counter()
    fitted = _pool(order) if order.job.members else _fit(order)
    artifact = export(fitted, order.spec, order.job.task, order.provenance)
    tensors = save({name: tensor.contiguous() for name, tensor in fitted.model.state_dict().items()})
    return Made(artifact, tensors, fitted.history, time.perf_counter() - begun)


def _fit(order: Order) -> Fitted:
    job = order.job
    start = None if order.start is None else own_weights(load(order.start), job)
    return fit(
        job.family, order.spec, job.training, job.task, seed=job.seed, start=start,
        checkpoints=order.checkpoints, progress_bar=order.progress_bar,
    )  # fmt: skip


def own_weights(start: Mapping[str, Tensor], job: Job) -> dict[str, Tensor]:
    """A leaf's part of the weights it goes on from: all of a single fit's, or those of its seed among a pool's."""
    prefix = f"members.{job.seed - job.training.seed}."
    own = {name.removeprefix(prefix): tensor for name, tensor in start.items() if name.startswith(prefix)}
    return own or dict(start)


def _pool(order: Order) -> Fitted:
    job = order.job
    models = []
    for member, tensors in zip(job.members, order.below, strict=True):
        model = member.build(order.spec)
        model.load_state_dict(load(tensors))
        models.append(model.eval())
    if job.shares:
        pool = Pool(models)
        pool.share.copy_(torch.tensor(job.shares))
    elif isinstance(job.family, PoolFamily):
        pool = pooled(job.family, models, job.task.validation)
    else:  # the seeds of one family
        pool = Pool(models)
    return Fitted(pool.eval(), order.epochs)


class Workers:
    """Processes that carry out trainings side by side; started when there is first enough to do, kept until closed."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    def each(self, function: Callable[[Asked], Given], asked: Sequence[Asked]) -> Iterator[tuple[Asked, Given]]:
        """Each question with its answer, as they come; in this process where one worker is enough.

        What a killed process had in hand is asked again: answers do not depend on who gives them.

        Raises:
            WorkerDied: Processes are killed again and again.
        """
        if self.count == 1 or len(asked) == 1:
            for one in asked:
                yield one, function(one)
            return
        waiting = dict(enumerate(asked))
        for left in reversed(range(TRIES)):
            try:
                for number, answer in self._side_by_side(function, waiting):
                    yield waiting.pop(number), answer
                return
            except BrokenProcessPool as error:
                self.close()
                if not left:
                    raise WorkerDied(TRIES) from error

    def _side_by_side(
        self, function: Callable[[Asked], Given], asked: Mapping[int, Asked]
    ) -> Iterator[tuple[int, Given]]:
        if self._pool is None:  # to start one costs seconds: torch and lightning are imported anew
            self._pool = ProcessPoolExecutor(self.count, get_context("spawn"), begin)
        waiting = {self._pool.submit(function, one): number for number, one in asked.items()}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """Let the processes go."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def begin() -> None:
    """A worker keeps quiet, and does not outlive who started it, however that ended."""
    hush()
    Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
