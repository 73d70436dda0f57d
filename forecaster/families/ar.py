"""Autoregression AR(p): the expected return is linear in the last p returns; with p = 1 it is the Markov model.

    E[y_h | past] = sqrt(h) * sum_i phi_{h,i} z_{t-i} + c_h,    scale EWMA-anchored, skew and tail constant per horizon

z is the standardised return. The weights slide along a block (one convolution), so every position is supervised.
What it cannot do: anything nonlinear, volatility beyond EWMA, channels other than the return.

References:
    G. U. Yule, On a method of investigating periodicities in disturbed series, Phil. Trans. A 226 (1927), p. 267.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from forecaster.contract import Range
from forecaster.families.base import TrainedFamily


class ArFamily(TrainedFamily):
    """Configuration of the autoregression."""

    family: Literal["ar"] = "ar"
    order: Annotated[int, Range(1, 20, log=True)] = Field(default=1, ge=1)
    """p: how many past returns enter."""

    @property
    def reach(self) -> int:
        return self.order

    def body(self, inputs: int, horizon: int, size: int) -> nn.Module:  # noqa: ARG002  # reads the target only
        return Ar(self.order, horizon, size)


class Ar(nn.Module):
    """[B, T, C], keep -> [B, keep, H, P]."""

    def __init__(self, order: int, horizon: int, size: int) -> None:
        super().__init__()
        self.order = order
        self.weights = nn.Conv1d(1, horizon, order)  # phi, newest lag last
        nn.init.zeros_(self.weights.weight)
        self.shape = nn.Parameter(torch.zeros(horizon, size - 1))

    def forward(self, inputs: Tensor, keep: int) -> Tensor:
        recent = inputs[:, inputs.shape[1] - keep - self.order + 1 :, :1]  # [B, keep + p - 1, 1]
        location = self.weights(recent.transpose(1, 2)).transpose(1, 2)  # [B, keep, H]
        shape = self.shape.expand(*location.shape, -1)
        return torch.cat((location[..., None], shape), dim=-1)
