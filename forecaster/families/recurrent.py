"""What the recurrent families share: a state carried along the sessions, read out at the supervised ones."""

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from forecaster.contract import Range
from forecaster.families.base import Readout, State, TrainedFamily


class RecurrentFamily(TrainedFamily):
    """Configuration common to RNN, LSTM and GRU."""

    hidden: Annotated[int, Range(4, 64, log=True)] = Field(default=16, ge=1)
    """Width of the state."""
    layers: Annotated[int, Range(1, 3)] = Field(default=1, ge=1)
    dropout: Annotated[float, Range(0.0, 0.5)] = Field(default=0.0, ge=0, lt=1)
    """On the state before it is read out."""


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
