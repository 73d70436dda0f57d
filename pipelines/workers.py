"""Workers: what a process does that is told to train. Whoever it is and wherever it runs, the outcome is the same."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from forecaster.artifact import Artifact
from forecaster.families.base import Spec
from forecaster.families.pool import Pool, PoolFamily
from forecaster.training.checkpoint import reachable
from forecaster.training.export import Provenance, export
from forecaster.training.fit import Fitted, fit
from forecaster.training.pooling import pooled
from pipelines.jobs import Job


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
    """Where a fit that was killed is found again, by whoever sees that folder."""
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
        checkpoints=reachable(order.checkpoints), progress_bar=order.progress_bar,
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
