"""What the recurrent families share: a state carried along the sessions, read out at the supervised ones.

References:
    C. Tallec, Y. Ollivier, Can recurrent neural networks warp time?, ICLR (2018), arXiv:1804.11188 (chrono
    initialisation).
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from forecaster.contract import Range
from forecaster.families.base import Readout, State, TrainedFamily


class RecurrentFamily(TrainedFamily):
    """Configuration common to RNN, LSTM and GRU."""

    hidden: Annotated[int, Range(4, 64, log=True)] = Field(default=16, ge=1)
    """Width of the state."""
    layers: Annotated[int, Range(1, 3)] = Field(default=1, ge=1)
    """Recurrent layers, one above the other."""
    dropout: Annotated[float, Range(0.0, 0.5)] = Field(default=0.0, ge=0, lt=1)
    """On the state before it is read out."""


class GatedFamily(RecurrentFamily):
    """Configuration common to LSTM and GRU."""

    memory: int | None = Field(default=None, ge=2)
    """Sessions that the longest unit of a fresh cell remembers; left out, about two (torch's own start)."""


def remember(cell: nn.LSTM | nn.GRU, memory: int) -> None:
    """Open the gates of a fresh cell so that its units forget after 2 ... memory sessions (chrono initialisation).

    A gate at sigmoid(b) keeps for about 1 + exp(b) sessions: without this the gradient of what is older than some
    ten sessions is nothing, and nothing can be learned from it.
    """
    width = cell.hidden_size
    for layer in range(cell.num_layers):
        own, other = (getattr(cell, f"bias_{kind}_l{layer}") for kind in ("ih", "hh"))
        lasting = torch.empty(width).uniform_(1, memory - 1).log()
        with torch.no_grad():
            other.zero_()
            own.zero_()
            own[width : 2 * width] = lasting  # the LSTM's forget gate, the GRU's update gate: both keep when open
            if isinstance(cell, nn.LSTM):
                own[:width] = -lasting  # the input gate


class Recurrent(nn.Module):
    """Any torch cell as a body: [B, T, D], keep -> [B, keep, H, P], in O(T) whatever the context."""

    def __init__(self, cell: nn.RNNBase, dropout: float, readout: Readout) -> None:
        super().__init__()
        self.cell = cell
        self.dropout = nn.Dropout(dropout)
        self.readout = readout

    def forward(self, inputs: Tensor, keep: int) -> Tensor:
        states, _ = self.cell(inputs)  # [B, T, hidden]
        return self.readout(self.dropout(states[:, states.shape[1] - keep :]))

    def advance(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """[B, T, D] -> raw [B, T, H, P] and the state after them, from the state before them (None: zeros)."""
        states, state = self.cell(inputs, state)
        return self.readout(self.dropout(states)), state
