"""One LightningModule for every gradient family, by composition: the network stays a plain module."""

from typing import NamedTuple

import pytorch_lightning as pl
import torch
from pydantic import Field
from torch import Tensor

from forecaster.contract import Frozen
from forecaster.families.base import Network


class TrainingConfig(Frozen):
    """How gradient families are trained."""

    seed: int = 0
    epochs: int = Field(default=200, ge=1)
    """At most so many passes over the training span."""
    patience: int = Field(default=20, ge=1)
    """Stop after so many epochs without a better validation loss."""
    batch: int = Field(default=16, ge=1)
    """Blocks an optimiser step."""
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    clip: float = Field(default=1.0, gt=0)
    """Gradients with a larger norm are scaled down to it."""


class Batch(NamedTuple):
    """A batch of training blocks."""

    inputs: Tensor
    """[B, L, C]."""
    targets: Tensor
    """[B, K, H]."""
    weight: Tensor
    """[B, K]: 1 where the position is supervised."""


class Learner(pl.LightningModule):
    """Maximum likelihood at every supervised position of a block (many-to-many).

    The loss is the mean negative log density of the K x H cumulative returns, in nats, in units of each horizon's
    unconditional scale so that horizons weigh alike.
    """

    def __init__(self, network: Network, config: TrainingConfig) -> None:
        super().__init__()
        self.network = network
        self.config = config

    def loss(self, batch: Batch) -> Tensor:
        parameters = self.network.parameters_at(batch.inputs, batch.targets.shape[1])  # [B, K, H, P]
        unit = self.network.spread[0] * self.network.root_horizon
        nats = -self.network.head.log_density(parameters, batch.targets) - unit.log()  # [B, K, H]
        return (nats.mean(-1) * batch.weight).sum() / batch.weight.sum()

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.inputs))
        return loss

    def validation_step(self, batch: Batch, _index: int) -> None:
        loss = self.loss(batch)
        self.log("validation_loss", loss, prog_bar=True, batch_size=int(batch.weight.sum()))

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,  # noqa: ARG002  # Lightning passes by these names
        gradient_clip_val: float | None = None,  # noqa: ARG002
        gradient_clip_algorithm: str | None = None,  # noqa: ARG002
    ) -> None:
        """Lightning's own clipping, with the norm before it and the rate at which it fires on record."""
        limit = self.config.clip
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), limit)
        self.log("gradient_norm", norm, on_step=False, on_epoch=True, batch_size=1)
        self.log("clip_rate", (norm > limit).float(), on_step=False, on_epoch=True, batch_size=1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay)
