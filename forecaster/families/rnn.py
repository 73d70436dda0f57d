"""Latent autoregression: an Elman cell carries a state, the same weights at every session.

    h_t = f(W x_t + U h_{t-1} + b),  f = tanh or ReLU,    parameters = V h_t

What it cannot do: keep a memory over many sessions; its gradient through time vanishes (or explodes without clipping).

References:
    J. L. Elman, Finding structure in time, Cognitive Science 14 (1990), p. 179.
    Y. Bengio, P. Simard, P. Frasconi, Learning long-term dependencies with gradient descent is difficult,
    IEEE Trans. Neural Networks 5 (1994), p. 157.
"""

from typing import Annotated, Literal

from torch import nn

from forecaster.contract import Choice
from forecaster.families.base import Readout
from forecaster.families.cells import Rnn
from forecaster.families.recurrent import Recurrent, RecurrentFamily


class RnnFamily(RecurrentFamily):
    """Configuration of the Elman network."""

    family: Literal["rnn"] = "rnn"
    nonlinearity: Annotated[Literal["tanh", "relu"], Choice()] = "tanh"
    """What the state goes through at each session; with relu it can grow without bound."""

    def body(self, inputs: int, horizon: int, size: int) -> nn.Module:
        cell = Rnn(inputs, self.hidden, self.layers, nonlinearity=self.nonlinearity, batch_first=True)
        return Recurrent(cell, self.dropout, Readout(self.hidden, horizon, size))
