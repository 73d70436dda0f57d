"""Transformer, encoder and decoder: attention reads the sessions directly, at any distance.

    attention(q, k, v) = softmax((R_t q) (R_j k)^T / sqrt(d)) v,    k, v over sessions j <= t

The encoder relates the sessions of the context to each other (causally). The decoder asks H questions at a position,
one for each step ahead: they look at each other, then at the encoder's sessions up to that position. The positional
code R turns query and key by an angle that grows with their position, so what counts is the *age* t - j, the same
inside a block and at the end of a window. Layers are pre-norm.
What it cannot do: tell order without the positional code; learn much from a few thousand sessions.

References:
    A. Vaswani et al., Attention is all you need, NeurIPS (2017), sections 3.2 and 3.5.
    J. Su et al., RoFormer: enhanced transformer with rotary position embedding, arXiv:2104.09864 (2021), section 3.2.
"""

import math
from typing import Annotated, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from forecaster.contract import Choice, Range
from forecaster.families.base import TrainedFamily


class TransformerFamily(TrainedFamily):
    """Configuration of the Transformer."""

    family: Literal["transformer"] = "transformer"
    width: Annotated[int, Choice((8, 16, 32, 64))] = Field(default=32, ge=2)
    """D; each of the heads gets an even share of it."""
    heads: Annotated[int, Choice((1, 2, 4))] = Field(default=4, ge=1)
    """Attention heads; they share the width out among them."""
    layers: Annotated[int, Range(1, 3)] = Field(default=1, ge=1)
    """Encoder layers; the decoder has one."""
    dropout: Annotated[float, Range(0.0, 0.5)] = Field(default=0.1, ge=0, lt=1)
    """Share of what attention and each block hand on that is left out in each step of training."""

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} must be a multiple of twice the heads, {2 * self.heads}")
        return self

    def body(self, inputs: int, horizon: int, size: int) -> nn.Module:
        return Transformer(self, inputs, horizon, size)


def rotate(vectors: Tensor, positions: Tensor) -> Tensor:
    """Rotary positional code: the product of two rotated vectors depends on the distance of their positions only.

    Arguments:
        vectors: [B, N, h, d], d even.
        positions: [N].
    """
    heads, half = vectors.shape[2], vectors.shape[3] // 2
    rates = torch.exp(torch.arange(half, device=vectors.device).float() * (-math.log(10_000.0) / half))
    angles = positions.float()[:, None] * rates  # [N, d/2]
    cosine = torch.cos(angles).repeat(1, 2 * heads)
    sine = torch.sin(angles)
    sine = torch.cat((-sine, sine), dim=-1).repeat(1, heads)
    turned = vectors.roll(half, dims=-1).flatten(-2)  # heads side by side: long loops instead of many short ones
    return (vectors.flatten(-2) * cosine + turned * sine).view_as(vectors)


class Attention(nn.Module):
    """Multi-head attention from questions at the last positions to the sessions up to them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, asking: Tensor, memory: Tensor) -> Tensor:
        """asking [B, S, G, D] (G questions at each of the last S positions), memory [B, T, D] -> [B, S, G, D]."""
        query, key, value, past = self._read(asking, memory)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=past)
        return self.out(mixed.transpose(1, 2).flatten(-2)).unflatten(1, tuple(asking.shape[1:3]))

    def weights(self, asking: Tensor, memory: Tensor) -> Tensor:
        """Share of each session in the answers [B, S, G, heads, T]: sums to 1 over T, 0 after the position asked at."""
        query, key, _, past = self._read(asking, memory)
        likeness = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])  # [B, h, S * G, T]
        shares = torch.softmax(likeness.masked_fill(~past, -math.inf), dim=-1)
        return torch.unflatten(shares, 2, asking.shape[1:3]).permute(0, 2, 3, 1, 4)

    def _read(self, asking: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Query [B, h, S * G, d], key and value [B, h, T, d], and which sessions each question may see [S * G, T]."""
        length, kept, questions = memory.shape[1], asking.shape[1], asking.shape[2]
        positions = torch.arange(length, device=memory.device)
        asked_at = positions[length - kept :, None].expand(kept, questions).reshape(-1)  # [S * G]
        query = self.query(asking.flatten(1, 2)).unflatten(-1, (self.heads, -1))
        key, value = self.key_value(memory).unflatten(-1, (2, self.heads, -1)).unbind(2)
        turned = (rotate(query, asked_at), rotate(key, positions))
        query, key, value = (part.transpose(1, 2) for part in (*turned, value))
        return query, key, value, positions <= asked_at[:, None]


class SelfAttention(nn.Module):
    """Multi-head attention of the H questions of one position to each other."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, asking: Tensor) -> Tensor:
        """[B, S, G, D] -> [B, S, G, D]."""
        query, key, value = self.qkv(asking).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)  # [B, S, h, G, d]
        return self.out(mixed.transpose(2, 3).flatten(-2))


class FeedForward(nn.Sequential):
    def __init__(self, width: int) -> None:
        super().__init__(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))


class EncoderLayer(nn.Module):
    """[B, T, D] -> [B, T, D], causal."""

    def __init__(self, config: TransformerFamily) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.width)
        self.attention = Attention(config.width, config.heads)
        self.feed_forward = FeedForward(config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, sessions: Tensor) -> Tensor:
        normed = self.norm(sessions)
        sessions = sessions + self.dropout(self.attention(normed[:, :, None], normed)[:, :, 0])
        return sessions + self.dropout(self.feed_forward(sessions))


class DecoderLayer(nn.Module):
    """Questions [B, S, H, D] about memory [B, T, D] -> [B, S, H, D]."""

    def __init__(self, config: TransformerFamily) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(2))
        self.among = SelfAttention(config.width, config.heads)
        self.across = Attention(config.width, config.heads)
        self.feed_forward = FeedForward(config.width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, asking: Tensor, memory: Tensor) -> Tensor:
        asking = self._agree(asking)
        asking = asking + self.dropout(self.across(self.norms[1](asking), memory))
        return asking + self.dropout(self.feed_forward(asking))

    def attention(self, asking: Tensor, memory: Tensor) -> Tensor:
        """[B, S, H, heads, T]: how each question shares its attention among the sessions."""
        return self.across.weights(self.norms[1](self._agree(asking)), memory)

    def _agree(self, asking: Tensor) -> Tensor:
        return asking + self.dropout(self.among(self.norms[0](asking)))


class Transformer(nn.Module):
    """[B, T, D], keep -> [B, keep, H, P]."""

    def __init__(self, config: TransformerFamily, inputs: int, horizon: int, size: int) -> None:
        super().__init__()
        self.embed = nn.Linear(inputs, config.width)
        self.encoder = nn.Sequential(*(EncoderLayer(config) for _ in range(config.layers)))
        self.norm = nn.LayerNorm(config.width)
        self.questions = nn.Parameter(torch.randn(horizon, config.width) * config.width**-0.5)
        self.decoder = DecoderLayer(config)
        self.readout = nn.Linear(config.width, size)
        nn.init.zeros_(self.readout.weight)  # an untrained network is an EWMA random walk
        nn.init.zeros_(self.readout.bias)

    def forward(self, inputs: Tensor, keep: int) -> Tensor:
        return self.readout(self.decoder(*self._ask(inputs, keep)))

    def attention(self, inputs: Tensor, keep: int) -> Tensor:
        """[B, T, D], keep -> [B, keep, H, heads, T]: shares of the sessions in the answers, summing to 1 over T."""
        return self.decoder.attention(*self._ask(inputs, keep))

    def _ask(self, inputs: Tensor, keep: int) -> tuple[Tensor, Tensor]:
        """Questions [B, keep, H, D] and the memory [B, T, D] that they are put to."""
        memory = self.norm(self.encoder(self.embed(inputs)))
        return memory[:, memory.shape[1] - keep :, None] + self.questions, memory
