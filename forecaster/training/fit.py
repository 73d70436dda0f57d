"""Fitting a family on training origins, with early stopping on validation origins or for a stated number of epochs."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, IterableDataset

from forecaster.families import AnyFamily
from forecaster.families.base import Model, Network, Spec
from forecaster.training.config import TrainingConfig
from forecaster.training.learner import Batch, Learner
from forecaster.windows import Blocks, Indices, Windows, blocks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitted:
    """A fitted model and how it got there."""

    model: Model
    epochs: int
    """Epochs that made the kept weights; 0 for families that are estimated."""
    history: Sequence[dict[str, float]] = field(default_factory=tuple)
    """Metrics by epoch."""


class _Tiling(IterableDataset[Batch]):
    """Batches of blocks that cover the span once an epoch, tiled from a new random offset each time."""

    def __init__(self, windows: Windows, origins: Indices, config: TrainingConfig) -> None:
        self.windows, self.origins, self.batch = windows, origins, config.batch
        self.generator = np.random.default_rng(config.seed)

    def __iter__(self) -> Iterator[Batch]:
        offset = int(self.generator.integers(self.windows.spec.supervised))
        tiled = blocks(self.windows, self.origins, offset)
        order = self.generator.permutation(len(tiled.inputs))
        for start in range(0, len(order), self.batch):
            yield _batch(tiled, order[start : start + self.batch])


class _Whole(IterableDataset[Batch]):
    """One batch, always the same."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __iter__(self) -> Iterator[Batch]:
        yield self.batch


def _batch(tiled: Blocks, rows: Indices) -> Batch:
    return Batch(*(torch.from_numpy(part[rows]) for part in (tiled.inputs, tiled.targets, tiled.weight)))


class _Best(pl.Callback):
    """Keeps the metrics by epoch and the weights of the best validation epoch, in memory."""

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []
        self.epoch, self.loss = 0, float("inf")
        self.weights: dict[str, torch.Tensor] | None = None

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.history.append(metrics)
        if metrics.get("validation_loss", float("inf")) < self.loss:
            self.epoch, self.loss = len(self.history), metrics["validation_loss"]
            self.weights = {name: tensor.clone() for name, tensor in module.state_dict().items()}


def fit(
    family: AnyFamily,
    spec: Spec,
    config: TrainingConfig,
    windows: Windows,
    train: Indices,
    validation: Indices | None,
    progress_bar: bool = False,
) -> Fitted:
    """Fit one family; the same arguments give the same weights on the same processor.

    Arguments:
        train: Training origins; nothing after the last one's target is read.
        validation: Origins for early stopping; None to run `config.epochs` epochs and keep the last weights.
    """
    torch.manual_seed(config.seed)
    model = family.build(spec)
    model.estimate(windows, train)
    if not isinstance(model, Network):
        return Fitted(model, epochs=0)
    best = _Best()
    callbacks: list[pl.Callback] = [best]
    held_out: DataLoader[Batch] | None = None
    if validation is not None:
        tiled = blocks(windows, validation, 0)
        held_out = DataLoader(_Whole(_batch(tiled, np.arange(len(tiled.inputs)))), batch_size=None)
        callbacks.append(pl.callbacks.EarlyStopping("validation_loss", patience=config.patience))
    trainer = pl.Trainer(
        max_epochs=config.epochs,
        callbacks=callbacks,
        gradient_clip_val=config.clip,
        enable_progress_bar=progress_bar,
        accelerator="cpu",
        **_quiet(),
    )
    learner = Learner(model, config)
    trainer.fit(learner, DataLoader(_Tiling(windows, train, config), batch_size=None), held_out)
    if best.weights is not None:
        learner.load_state_dict(best.weights)
    model.eval()
    return Fitted(model, best.epoch or len(best.history), tuple(best.history))


def _quiet() -> dict[str, Any]:
    """Nothing on disk and no chatter: the run's record is MLflow's, the weights live in memory."""
    return {
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
    }
