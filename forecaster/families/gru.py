"""Gated recurrent unit: two gates, one state; the LSTM with less of everything.

    r, u = sigmoid(W x_t + U h_{t-1} + b),   h_t = u * h_{t-1} + (1 - u) * tanh(W x_t + r * (U h_{t-1} + b))

What it cannot do: look back at a single session directly; everything passes through the state.

References:
    K. Cho et al., Learning phrase representations using RNN encoder-decoder, EMNLP (2014), p. 1724.
"""

from typing import Literal

from torch import nn

from forecaster.families.base import Readout
from forecaster.families.cells import Gru
from forecaster.families.recurrent import GatedFamily, Recurrent, remember


class GruFamily(GatedFamily):
    """Configuration of the GRU."""

    family: Literal["gru"] = "gru"

    def body(self, inputs: int, horizon: int, size: int) -> nn.Module:
        cell = Gru(inputs, self.hidden, self.layers, batch_first=True)
        if self.memory is not None:
            remember(cell, self.memory)
        return Recurrent(cell, self.dropout, Readout(self.hidden, horizon, size))
