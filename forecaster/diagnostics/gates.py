"""What the gates of an LSTM or a GRU do: recomputed from the cell's weights, because torch keeps them to itself.

    LSTM   i, f, o = sigmoid(W x_t + U h_{t-1} + b)     takes in, keeps, shows
    GRU    r, u    = sigmoid(W x_t + U h_{t-1} + b)     reads its state, keeps it (torch's u: 1 keeps the old state)

A gate that is nearly always open or shut decides nothing; one that keeps (f, u) near 1 is a long memory: a state that
is multiplied by f each session is halved in log(1/2) / log(f) of them.

References:
    A. Karpathy, J. Johnson, L. Fei-Fei, Visualizing and understanding recurrent networks, arXiv:1506.02078 (2015),
    section 4.2 (shut below .1, open above .9).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from forecaster.contract import Floats
from forecaster.diagnostics.gradient import leaf_inputs
from forecaster.diagnostics.sensitivity import Contexts
from forecaster.families.base import Network

BINS = 20
"""Of the distribution of activations, from 0 to 1."""
_EDGE = 2  # bins at either end: below .1 and above .9


@dataclass(frozen=True)
class Layer:
    """What happens inside one layer of a cell."""

    gates: dict[str, Tensor]
    """Gate to its activations [B, T, D]."""
    states: Tensor
    """Hidden states [B, T, D]."""


@dataclass(frozen=True)
class Gate:
    """One gate of the last layer, over origins and units."""

    mean: Floats
    """[L] by age in sessions, 0 is the origin."""
    shares: Floats
    """[20] share of activations in each twentieth from 0 to 1."""

    @property
    def shut(self) -> float:
        """Share of activations below .1."""
        return float(self.shares[:_EDGE].sum())

    @property
    def open(self) -> float:
        """Share of activations above .9."""
        return float(self.shares[-_EDGE:].sum())


def unroll(cell: nn.RNNBase, inputs: Tensor) -> list[Layer]:
    """Gates and states of each layer, from a state of zeros, as the cell computes them in evaluation.

    Arguments:
        inputs: [B, T, D], batch first.
    Raises:
        TypeError: The cell is no one-directional LSTM or GRU with biases and without projections.
    """
    if not isinstance(cell, nn.LSTM | nn.GRU) or cell.bidirectional or cell.proj_size or not cell.bias:
        raise TypeError(f"no gates can be read off {cell}")
    step = _lstm if isinstance(cell, nn.LSTM) else _gru
    layers: list[Layer] = []
    with torch.no_grad():
        for weights in cell.all_weights:
            layers.append(step(layers[-1].states if layers else inputs, *weights))
    return layers


def gate_activity(network: Network, contexts: Contexts) -> dict[str, Gate]:
    """What each gate of the last layer does over contexts [N, L, C]; of the encoder, where there is a decoder too.

    Raises:
        TypeError: The network's body has no LSTM or GRU cell.
    """
    cell = next((module for module in network.body.modules() if isinstance(module, nn.RNNBase)), None)
    if cell is None:
        raise TypeError(f"{type(network.body).__name__} has no recurrent cell")
    with torch.no_grad(), leaf_inputs(cell) as given:
        network.parameters_at(torch.from_numpy(contexts), 1)
    return {name: _summary(values) for name, values in unroll(cell, given[0])[-1].gates.items()}


def _summary(values: Tensor) -> Gate:
    by_age = np.asarray(values.mean(dim=(0, 2)).flip(0).numpy(), dtype=np.float64)
    counts, _ = np.histogram(values.numpy(), bins=BINS, range=(0.0, 1.0))
    return Gate(by_age, counts / counts.sum())


def _lstm(inputs: Tensor, w_in: Tensor, w_state: Tensor, b_in: Tensor, b_state: Tensor) -> Layer:
    from_inputs = inputs @ w_in.T + b_in + b_state  # [B, T, 4 D]
    state = memory = inputs.new_zeros(len(inputs), w_state.shape[1])
    gates: dict[str, list[Tensor]] = {"input": [], "forget": [], "output": []}
    states = []
    for at in from_inputs.unbind(1):
        taken, kept, new, shown = (at + state @ w_state.T).chunk(4, dim=-1)
        taken, kept, shown = torch.sigmoid(taken), torch.sigmoid(kept), torch.sigmoid(shown)
        memory = kept * memory + taken * torch.tanh(new)
        state = shown * torch.tanh(memory)
        for name, value in zip(gates, (taken, kept, shown), strict=True):
            gates[name].append(value)
        states.append(state)
    return _layer(gates, states)


def _gru(inputs: Tensor, w_in: Tensor, w_state: Tensor, b_in: Tensor, b_state: Tensor) -> Layer:
    from_inputs = inputs @ w_in.T + b_in  # [B, T, 3 D]
    state = inputs.new_zeros(len(inputs), w_state.shape[1])
    gates: dict[str, list[Tensor]] = {"reset": [], "update": []}
    states = []
    for at in from_inputs.unbind(1):
        reset_in, update_in, new_in = at.chunk(3, dim=-1)
        reset_state, update_state, new_state = (state @ w_state.T + b_state).chunk(3, dim=-1)
        reset, update = torch.sigmoid(reset_in + reset_state), torch.sigmoid(update_in + update_state)
        state = update * state + (1 - update) * torch.tanh(new_in + reset * new_state)
        gates["reset"].append(reset)
        gates["update"].append(update)
        states.append(state)
    return _layer(gates, states)


def _layer(gates: dict[str, list[Tensor]], states: list[Tensor]) -> Layer:
    return Layer({name: torch.stack(values, dim=1) for name, values in gates.items()}, torch.stack(states, dim=1))
