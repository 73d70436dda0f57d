"""One LightningModule for every gradient family, by composition: the network stays a plain module."""

from collections.abc import Iterator, Sequence

import pytorch_lightning as pl
import torch
from torch import Tensor

from forecaster.families.base import Network, State
from forecaster.training.batches import Batch
from forecaster.training.config import TrainingConfig


class Learner(pl.LightningModule):
    """Maximum likelihood at every supervised position of a block (many-to-many).

    The loss is the mean negative log density of the K x H outcomes, in nats, in units of each horizon's
    unconditional scale so that horizons weigh alike.

    Optimisation is manual, so that one call by Lightning can hold many optimiser steps: for networks that take a few
    milliseconds a step its hooks would cost a fifth of the time. What is measured stays a tensor until the epoch ends.
    """

    def __init__(self, network: Network, config: TrainingConfig) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network
        self.config = config
        self._state: State | None = None
        self._losses: list[Tensor] = []
        self._norms: list[Tensor] = []

    def loss(self, batch: Batch) -> Tensor:
        """Mean loss of the supervised positions; in training from the state that was carried here, if one is."""
        losses = self.network.head.loss(self._answers(batch), batch.targets, self.network.unit)  # [B, K, H]
        return (losses.mean(-1) * batch.weight).sum() / batch.weight.sum().clamp(min=1.0)

    def _answers(self, batch: Batch) -> Tensor:
        """[B, K, H, P]."""
        keep = batch.targets.shape[1]
        if not (self.config.carry and self.network.training):
            return self.network.parameters_at(batch.inputs, keep)
        parameters, state = self.network.advance(batch.inputs, keep, None if batch.fresh else self._state)
        self._state = state.detach() if isinstance(state, Tensor) else (state[0].detach(), state[1].detach())
        return parameters

    def training_step(self, batches: Iterator[Batch] | Batch, _index: int) -> None:
        """One optimiser step a batch."""
        optimizer = self.trainer.optimizers[0]
        weights = optimizer.param_groups[0]["params"]
        for batch in (batches,) if isinstance(batches, Batch) else batches:
            loss = self.loss(batch)
            optimizer.zero_grad()
            self.manual_backward(loss)
            norm = clip_(weights, self.config.clip)
            optimizer.step()
            self._losses.append(torch.stack((loss.detach(), batch.weight.sum())))
            self._norms.append(norm)

    def held_out(self, batches: Sequence[Batch]) -> float:
        """Mean loss of batches that are not learned from."""
        self.network.eval()
        with self.trainer.precision_plugin.val_step_context(), torch.inference_mode():
            found = [torch.stack((self.loss(batch), batch.weight.sum())) for batch in batches]
        self.network.train()
        return _mean(found)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        rate, decay = self.config.learning_rate, self.config.weight_decay
        return torch.optim.AdamW(weights, lr=rate, weight_decay=decay, fused=True)  # one kernel: a fifth of the time

    def metrics(self) -> dict[str, float]:
        """What the epoch showed; the next one starts from nothing."""
        norms = torch.stack(self._norms)
        found = {
            "train_loss": _mean(self._losses),
            "gradient_norm": float(norms.mean()),
            "clip_rate": float((norms > self.config.clip).float().mean()),
        }
        self._losses, self._norms = [], []
        return found


def clip_(weights: Sequence[Tensor], limit: float) -> Tensor:
    """Scale a gradient down to a norm of `limit` where it is larger; the norm that it had.

    References:
        R. Pascanu, T. Mikolov, Y. Bengio, On the difficulty of training recurrent neural networks, ICML (2013),
        algorithm 1.
    """
    return torch.nn.utils.clip_grad_norm_(weights, limit, foreach=True)  # a third of the time, the same bits


def _mean(found: list[Tensor]) -> float:
    """Mean of losses, each with its weight."""
    losses, counts = torch.stack(found).double().T
    return float((losses * counts).sum() / counts.sum())
