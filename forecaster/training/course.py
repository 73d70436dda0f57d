"""What a fit does between epochs: the rate of learning, the record, the best weights, the end, the way back."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from forecaster.training.batches import Batch, Epochs
from forecaster.training.config import TrainingConfig
from forecaster.training.learner import Learner

_FLOOR = 0.01  # share of the learning rate that a schedule leaves


def learning_rate(config: TrainingConfig, losses: Sequence[float]) -> float:
    """The rate of the epoch that follows these losses.

    References:
        I. Loshchilov, F. Hutter, SGDR: stochastic gradient descent with warm restarts, ICLR (2017), equation 5 (one
        period, no restart).
    """
    share = 1.0
    if config.schedule == "cosine":
        share = 0.5 * (1 + math.cos(math.pi * min(len(losses) / config.epochs, 1.0)))
    if config.schedule == "plateau":
        share = 0.5 ** _plateaus(losses, max(config.patience // 4, 1))
    return config.learning_rate * max(share, _FLOOR)


def _plateaus(losses: Sequence[float], patience: int) -> int:
    """How often `patience` epochs went by without a better loss, counting anew after each."""
    best, waited, found = math.inf, 0, 0
    for loss in losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited == patience:
            waited, found = 0, found + 1
    return found


class Course(pl.Callback):
    """From epoch to epoch: metrics on record, the best weights, early stopping.

    Arguments:
        epochs: Told the epoch, so that it draws the same whether or not the fit was interrupted.
        held_out: Batches for early stopping; empty to run all epochs.
    """

    def __init__(self, learner: Learner, epochs: Epochs, held_out: Sequence[Batch]) -> None:
        self.learner, self.epochs, self.held_out = learner, epochs, held_out
        self.config = learner.config
        self.history: list[dict[str, float]] = []
        self.best = 0
        """The epoch of the kept weights, counted from 1; 0 while no epoch was better than another."""
        self.weights: dict[str, Tensor] | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "best": self.best, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history, self.best, self.weights = (state_dict[name] for name in ("history", "best", "weights"))
        self.epochs.epoch = len(self.history)  # Lightning fetches the first item before it says that an epoch starts

    @property
    def losses(self) -> list[float]:
        """What is to fall: the validation loss, or the training loss where nothing is held out."""
        return [metrics.get("validation_loss", metrics["train_loss"]) for metrics in self.history]

    @property
    def finished(self) -> bool:
        """Whether all epochs were run, `patience` of them brought nothing better, or the last one no number."""
        count = len(self.history)
        waited = bool(self.held_out) and count - self.best >= self.config.patience
        return count >= self.config.epochs or waited or (count > 0 and not math.isfinite(self.losses[-1]))

    def on_fit_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.epochs.table = self.epochs.table.to(module.device)
        self.epochs.rank = trainer.global_rank
        self.held_out = [batch.to(module.device) for batch in self.held_out]

    def on_train_start(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        trainer.should_stop = self.finished

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.epochs.epoch = len(self.history)
        reseed((self.epochs.seed, len(self.history), self.epochs.rank), module.device)
        trainer.optimizers[0].param_groups[0]["lr"] = learning_rate(self.config, self.losses)

    def on_train_epoch_end(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        metrics = self.learner.metrics() | {"learning_rate": trainer.optimizers[0].param_groups[0]["lr"]}
        if self.held_out:
            metrics["validation_loss"] = self.learner.held_out(self.held_out)
            if metrics["validation_loss"] < min(self.losses, default=math.inf):
                self.best = len(self.history) + 1
                self.weights = {name: tensor.clone() for name, tensor in self.learner.network.state_dict().items()}
        self.history.append(metrics)
        trainer.should_stop = self.finished


def reseed(entropy: tuple[int, ...], device: torch.device) -> None:
    """Seed torch from several numbers; `torch.manual_seed` takes milliseconds where there is no GPU to seed."""
    seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.manual_seed(seed)
