"""Fixed-window neural network: the last `lags` sessions of all channels, own weights for each position.

    h_t = tanh(sum_i W_i x_{t-i} + b),    parameters = V h_t

Y. Bengio's neural language model with numbers for words. The first layer slides along a block as a convolution.
What it cannot do: remember anything older than `lags`, share what it learned about one position with another.

References:
    Y. Bengio et al., A neural probabilistic language model, JMLR 3 (2003), p. 1137.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from forecaster.families.base import Family, Network, Readout, Spec


class MlpFamily(Family):
    """Configuration of the fixed-window network."""

    family: Literal["mlp"] = "mlp"
    lags: int = Field(default=10, ge=1)
    """Sessions it sees, at most the context."""
    hidden: int = Field(default=32, ge=1)
    """Width of the hidden layer."""
    dropout: float = Field(default=0.3, ge=0, lt=1)

    @property
    def reach(self) -> int:
        return self.lags

    def build(self, spec: Spec) -> Network:
        return Network(spec, Mlp(len(spec.window.channels), self.lags, self.hidden, self.dropout, spec.horizon))


class Mlp(nn.Module):
    """[B, T, C], keep -> [B, keep, H, P]."""

    def __init__(self, channels: int, lags: int, hidden: int, dropout: float, horizon: int) -> None:
        super().__init__()
        self.lags = lags
        self.hidden = nn.Conv1d(channels, hidden, lags)
        self.dropout = nn.Dropout(dropout)
        self.readout = Readout(hidden, horizon)

    def forward(self, inputs: Tensor, keep: int) -> Tensor:
        recent = inputs[:, inputs.shape[1] - keep - self.lags + 1 :]  # [B, keep + lags - 1, C]
        hidden = torch.tanh(self.hidden(recent.transpose(1, 2))).transpose(1, 2)  # [B, keep, D]
        return self.readout(self.dropout(hidden))
