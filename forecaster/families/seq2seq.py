"""Recurrent encoder and decoder with additive attention: the past is asked again for every step ahead.

    h_j = GRU(x_j, h_{j-1}),    s_0 = h_t,    and for k = 1 ... H, over the sessions t - span < j <= t:
    a_{k,j} = softmax_j v . tanh(W s_{k-1} + U h_j + b),    c_k = sum_j a_{k,j} h_j,    s_k = GRU(c_k, s_{k-1})
    raw numbers of step k = V [s_k, c_k]

Many-to-many: each supervised position t decodes its own H steps from the encoder's states up to t. Scores cost
keep * span * hidden a step, hence the band. There is no positional code, so the attention is the same inside a block
and at the end of a window.
What it cannot do: tell two sessions of like states apart by their age; look directly at one older than `span`.

References:
    D. Bahdanau, K. Cho, Y. Bengio, Neural machine translation by jointly learning to align and translate, ICLR (2015),
    arXiv:1409.0473, section 3.1 and appendix A.1.2 (additive attention).
    K. Cho et al., Learning phrase representations using RNN encoder-decoder, EMNLP (2014), p. 1724 (the cells).
"""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from forecaster.contract import Range
from forecaster.families.base import Readout, State, TrainedFamily
from forecaster.families.cells import Gru

_NOWHERE = -1e9  # score of a session before the first one: its weight is zero to the bit


class Seq2SeqFamily(TrainedFamily):
    """Configuration of the encoder and decoder."""

    family: Literal["seq2seq"] = "seq2seq"
    hidden: Annotated[int, Range(4, 64, log=True)] = Field(default=16, ge=1)
    """Width of encoder, decoder and attention."""
    span: Annotated[int, Range(4, 64, log=True)] = Field(default=32, ge=1)
    """Sessions that the decoder can look at, the newest ones; the encoder reads all."""
    dropout: Annotated[float, Range(0.0, 0.5)] = Field(default=0.0, ge=0, lt=1)
    """On what is read out."""

    def body(self, inputs: int, horizon: int, size: int) -> nn.Module:
        return Seq2Seq(self, inputs, horizon, Readout(2 * self.hidden, 1, size))


class Alignment(nn.Module):
    """How much a decoder's state asks of each session: softmax of v . tanh(W s + U h + b), additive attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, state: Tensor, keys: Tensor, barrier: Tensor) -> Tensor:
        """state [B, S, D], keys [B, S, J, D], barrier [S, J] -> weights [B, S, J] that sum to 1."""
        scores = self.score(torch.tanh(self.query(state)[:, :, None] + keys))[..., 0]
        return torch.softmax(scores + barrier, dim=-1)


class Seq2Seq(nn.Module):
    """[B, T, D], keep -> [B, keep, H, P]."""

    def __init__(self, config: Seq2SeqFamily, inputs: int, horizon: int, readout: Readout) -> None:
        super().__init__()
        self.horizon, self.span = horizon, config.span
        self.encoder = Gru(inputs, config.hidden, batch_first=True)
        self.alignment = Alignment(config.hidden)
        self.decoder = nn.GRUCell(config.hidden, config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.readout = readout

    def forward(self, inputs: Tensor, keep: int) -> Tensor:
        memory, _ = self.encoder(inputs)  # [B, T, hidden]
        return self._decode(memory, keep)[0]

    def advance(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """[B, T, D] -> raw [B, T, H, P] and the state after them: the encoder's [1, B, D], its newest [S, B, D]."""
        last, before = state if isinstance(state, tuple) else (None, None)
        memory, last = self.encoder(inputs, last)
        keep = memory.shape[1]
        if before is not None:
            memory = torch.cat((before.transpose(0, 1), memory), dim=1)  # [B, S + T, hidden]
        newest = memory[:, max(memory.shape[1] - self.span + 1, 0) :]
        return self._decode(memory, keep)[0], (last, newest.transpose(0, 1))

    def attention(self, inputs: Tensor, keep: int) -> Tensor:
        """Where the decoder looks: [B, T, D], keep -> weights [B, keep, H, T] over the sessions, which sum to 1."""
        memory, _ = self.encoder(inputs)
        banded = self._decode(memory, keep)[1]  # [B, keep, H, span]
        sessions = self._band(memory.shape[1], keep)[0].clamp(min=0)[:, None].expand(banded.shape)
        return banded.new_zeros(*banded.shape[:-1], memory.shape[1]).scatter_add(-1, sessions, banded)

    def _band(self, length: int, keep: int) -> tuple[Tensor, Tensor]:
        """Sessions in reach of each position [keep, span], newest first, negative before the first; their barrier."""
        device = self.readout.weight.device
        positions = torch.arange(length, device=device)[length - keep :, None]
        sessions = positions - torch.arange(self.span, device=device)
        return sessions, _NOWHERE * (sessions < 0)

    def _decode(self, memory: Tensor, keep: int) -> tuple[Tensor, Tensor]:
        """H steps from each of the last `keep` of [B, T, hidden] -> raw [B, keep, H, P], weights [B, keep, H, span]."""
        sessions, barrier = self._band(memory.shape[1], keep)
        rows = sessions.clamp(min=0)
        keys, values = self.alignment.key(memory)[:, rows], memory[:, rows]  # [B, keep, span, hidden]
        state = memory[:, memory.shape[1] - keep :]  # [B, keep, hidden]
        read, looked = [], []
        for _ in range(self.horizon):
            weights = self.alignment(state, keys, barrier)  # [B, keep, span]
            seen = (weights[:, :, None] @ values)[:, :, 0]  # [B, keep, hidden]
            state = self.decoder(seen.flatten(0, 1), state.flatten(0, 1)).view_as(state)
            read.append(torch.cat((state, seen), dim=-1))
            looked.append(weights)
        hidden = self.dropout(torch.stack(read, dim=2))  # [B, keep, H, 2 hidden]
        return self.readout(hidden)[..., 0, :], torch.stack(looked, dim=2)
