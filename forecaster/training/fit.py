"""Fitting a family on training origins, with early stopping on validation origins or for a stated number of epochs."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import pytorch_lightning as pl
import torch
from safetensors.torch import load
from torch import Tensor

from forecaster.errors import ConfigError
from forecaster.families import AnyFamily
from forecaster.families.base import Carrying, Model, Network, Spec
from forecaster.families.pool import PoolFamily
from forecaster.training.bar import Bar
from forecaster.training.batches import Epochs, Table, held_out
from forecaster.training.beginning import begin
from forecaster.training.checkpoint import Checkpoint, checkpoint_path
from forecaster.training.config import TrainingConfig
from forecaster.training.course import Course
from forecaster.training.group import is_member, together
from forecaster.training.heap import keep_freed
from forecaster.training.learner import Learner
from forecaster.training.pooling import pooled
from forecaster.training.task import Task

__all__ = ["Fitted", "Task", "fit"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitted:
    """A fitted model and how it got there."""

    model: Model
    epochs: int
    """Epochs that made the kept weights; 0 for families that are estimated."""
    history: Sequence[dict[str, float]] = field(default_factory=tuple)
    """Metrics by epoch."""


def fit(
    family: AnyFamily,
    spec: Spec,
    config: TrainingConfig,
    task: Task,
    *,
    seed: int,
    start: Mapping[str, Tensor] | None = None,
    checkpoints: Path | None = None,
    progress_bar: bool = False,
) -> Fitted:
    """Fit one family from one seed; the same arguments give the same weights on the same processor.

    Small networks want `torch.set_num_threads(1)`, which is the caller's to say.

    Arguments:
        start: State of an earlier model of the same build, for the modes "warm" and "finetune".
        checkpoints: Folder in which a fit that was killed is found again and goes on, to the same weights.

    Raises:
        ConfigError: The mode does not fit `start`, the family has no state to carry, or no epoch gave a finite loss.
    """
    if isinstance(family, PoolFamily):
        members = [
            fit(member, spec, config, task, seed=seed, checkpoints=checkpoints, progress_bar=progress_bar).model
            for member in family.members
        ]
        return Fitted(pooled(family, members, task.validation), epochs=0)
    torch.manual_seed(seed)
    model = family.build(spec)
    if not isinstance(model, Network):
        model.estimate(task.train)
        return Fitted(model, epochs=0)
    if config.carry and not isinstance(model.body, Carrying):
        raise ConfigError("[training] carry", f"{family.name} has no state to carry; leave carry out, or this model")
    if config.devices > 1 and not is_member():
        once = partial(fit, family, spec, config, task, seed=seed, start=start, checkpoints=checkpoints,
                       progress_bar=progress_bar)  # fmt: skip
        done = together(config.devices, once)
        model.load_state_dict(load(done.tensors))
        return Fitted(model.eval(), done.epochs, done.history)
    begin(model, config, task, start)
    tables = [Table.of(samples) for samples in (task.train, task.validation) if samples]
    watched = held_out(tables[1], as_served=config.carry) if task.validation else []
    course = Course(Learner(model, config), Epochs(tables[0], config, seed), watched)
    stated = f"{family!r} {spec!r} {config!r} {seed}"
    path = None if checkpoints is None else checkpoint_path(checkpoints, stated, tables, start or {})
    _train(course, path, Bar(family.name, course) if progress_bar else None)
    return _kept(model, course, family.name)


def _kept(model: Network, course: Course, name: str) -> Fitted:
    """The network with the weights that its course kept."""
    if course.weights is not None:
        model.load_state_dict(course.weights)
    elif not math.isfinite(course.losses[-1]):
        raise ConfigError("[training] learning_rate", f"{name} ran away in epoch {len(course.history)}; lower it")
    model.requires_grad_(True)
    return Fitted(model.eval(), course.best or len(course.history), tuple(course.history))


def _train(course: Course, path: Path | None, bar: Bar | None) -> None:
    """Run the epochs, from the checkpoint where there is one; nothing else on disk and no chatter."""
    keep_freed()
    learner, config = course.learner, course.config
    callbacks: list[pl.Callback] = [course]
    if path is not None:
        callbacks.append(Checkpoint(path))
    if bar is not None:
        callbacks.append(bar)
    trainer = pl.Trainer(
        max_epochs=config.epochs,
        callbacks=callbacks,
        accelerator=config.accelerator,
        devices=config.devices,
        precision=precision(config),
        enable_progress_bar=bar is not None,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    resumed = path if path is not None and path.exists() else None
    if resumed is not None:
        log.info("going on from %s", resumed.name)
    trainer.fit(learner, course.epochs, ckpt_path=resumed, weights_only=True)
    if path is not None:
        path.unlink(missing_ok=True)


def precision(config: TrainingConfig) -> Literal["32-true", "bf16-mixed"]:
    """What Lightning is told: `auto` is bf16 where the processor has instructions for products of bf16.

    Raises:
        ConfigError: bf16 was asked for on a processor without them, where recurrent cells do not run in it at all.
    """
    if config.precision == "32-true":
        return "32-true"
    found = torch.cpu.get_capabilities()
    if config.accelerator != "cpu" or found.get("amx_bf16") or found.get("avx512_bf16"):
        return "bf16-mixed"
    if config.precision == "auto":
        return "32-true"
    raise ConfigError("[training] precision", 'this processor has no bf16 products; write "32-true" or "auto"')
