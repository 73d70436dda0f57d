"""Latent autoregression: an Elman cell carries a state, the same weights at every session.

    h_t = f(W x_t + U h_{t-1} + b),  f = tanh or ReLU,    parameters = V h_t

What it cannot do: keep a memory over many sessions; its gradient through time vanishes (or explodes without clipping).

References:
    J. L. Elman, Finding structure in time, Cognitive Science 14 (1990), p. 179.
    Y. Bengio, P. Simard, P. Frasconi, Learning long-term dependencies with gradient descent is difficult,
    IEEE Trans. Neural Networks 5 (1994), p. 157.
"""

from typing import Literal

from torch import nn

from forecaster.families.base import Network, Spec
from forecaster.families.recurrent import Recurrent, RecurrentFamily


class RnnFamily(RecurrentFamily):
    """Configuration of the Elman network."""

    family: Literal["rnn"] = "rnn"
    nonlinearity: Literal["tanh", "relu"] = "tanh"

    def build(self, spec: Spec) -> Network:
        cell = nn.RNN(
            len(spec.window.channels), self.hidden, self.layers, nonlinearity=self.nonlinearity, batch_first=True
        )
        return Network(spec, Recurrent(cell, self.dropout, spec.horizon))
