"""Long short-term memory: three gates decide what the cell forgets, takes in and shows.

    f, i, o = sigmoid(W x_t + U h_{t-1} + b),   c_t = f * c_{t-1} + i * tanh(...),   h_t = o * tanh(c_t)

What it cannot do: look back at a single session directly; everything passes through the state.

References:
    S. Hochreiter, J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997), p. 1735.
    F. A. Gers et al., Learning to forget, Neural Computation 12 (2000), p. 2451 (the forget gate).
"""

from typing import Literal

from torch import nn

from forecaster.families.base import Readout
from forecaster.families.cells import Lstm
from forecaster.families.recurrent import GatedFamily, Recurrent, remember


class LstmFamily(GatedFamily):
    """Configuration of the LSTM."""

    family: Literal["lstm"] = "lstm"

    def body(self, inputs: int, horizon: int, size: int) -> nn.Module:
        cell = Lstm(inputs, self.hidden, self.layers, batch_first=True)
        if self.memory is not None:
            remember(cell, self.memory)
        return Recurrent(cell, self.dropout, Readout(self.hidden, horizon, size))
