"""What the recurrent families share: a state carried along the sessions, read out at the supervised ones."""

from pydantic import Field
from torch import Tensor, nn

from forecaster.families.base import Family, Readout


class RecurrentFamily(Family):
    """Configuration common to RNN, LSTM and GRU."""

    hidden: int = Field(default=16, ge=1)
    """Width of the state."""
    layers: int = Field(default=1, ge=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """On the state before it is read out."""


class Recurrent(nn.Module):
    """Any torch cell as a body: [B, T, C], keep -> [B, keep, H, P], in O(T) whatever the context."""

    def __init__(self, cell: nn.RNNBase, dropout: float, horizon: int) -> None:
        super().__init__()
        self.cell = cell
        self.dropout = nn.Dropout(dropout)
        self.readout = Readout(cell.hidden_size, horizon)

    def forward(self, inputs: Tensor, keep: int) -> Tensor:
        states, _ = self.cell(inputs)  # [B, T, D]
        return self.readout(self.dropout(states[:, states.shape[1] - keep :]))
