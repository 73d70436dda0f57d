"""One LightningModule for every gradient family, by composition: the network stays a plain module."""

from typing import NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor

from forecaster.families.base import Network
from forecaster.training.config import TrainingConfig


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
        nats = -self.network.head.log_density(parameters, batch.targets) - self.network.unit.log()  # [B, K, H]
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
