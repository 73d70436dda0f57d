"""Fixed-window neural network: the last `lags` sessions of all channels, own weights for each position.

    h_t = tanh(sum_i W_i x_{t-i} + b),    parameters = V h_t

Y. Bengio's neural language model with numbers for words. The first layer slides along a block as a convolution.
What it cannot do: remember anything older than `lags`, share what it learned about one position with another.

References:
    Y. Bengio et al., A neural probabilistic language model, JMLR 3 (2003), p. 1137.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from forecaster.contract import Range
from forecaster.families.base import Readout, TrainedFamily


class MlpFamily(TrainedFamily):
    """Configuration of the fixed-window network."""

    family: Literal["mlp"] = "mlp"
    lags: Annotated[int, Range(2, 32, log=True)] = Field(default=10, ge=1)
    """Sessions it sees, at most the context."""
    hidden: Annotated[int, Range(4, 64, log=True)] = Field(default=32, ge=1)
    """Width of the hidden layer."""
    dropout: Annotated[float, Range(0.0, 0.6)] = Field(default=0.3, ge=0, lt=1)
    """Share of hidden units that are left out in each step of training."""

    @property
    def reach(self) -> int:
        return self.lags

    def body(self, inputs: int, horizon: int, size: int) -> nn.Module:
        return Mlp(self, inputs, Readout(self.hidden, horizon, size))


class Mlp(nn.Module):
    """[B, T, D], keep -> [B, keep, H, P]."""

    def __init__(self, config: MlpFamily, inputs: int, readout: Readout) -> None:
        super().__init__()
        self.lags = config.lags
        self.hidden = nn.Conv1d(inputs, config.hidden, config.lags)
        self.dropout = nn.Dropout(config.dropout)
        self.readout = readout

    def forward(self, inputs: Tensor, keep: int) -> Tensor:
        recent = inputs[:, inputs.shape[1] - keep - self.lags + 1 :]  # [B, keep + lags - 1, D]
        hidden = torch.tanh(self.hidden(recent.transpose(1, 2))).transpose(1, 2)  # [B, keep, hidden]
        return self.readout(self.dropout(hidden))
