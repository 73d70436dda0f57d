"""What families share: the spec they are built for, the EWMA scale, and the network around a body.

    context ─▶ each channel in units of its own EWMA size ─▶ body (the family) ─▶ raw numbers ─▶ head ─▶ quantiles
       ├────────────────────▶ EWMA scale of the target ───────────────────── anchors ───────┘
       └─ symbol (where there is the channel) ─▶ embedding ─▶ body

Everything is inside the graph that is exported, so training, backtest and service cannot scale differently.

References:
    JP Morgan/Reuters, RiskMetrics Technical Document, 4th ed. (1996), section 5.2 (EWMA, decay .94).
"""

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Annotated, Protocol, runtime_checkable

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from forecaster.components import Component
from forecaster.contract import Choice, Frozen, Kind, WindowSpec
from forecaster.errors import ConfigError
from forecaster.families.distributions import Head, Trainable, make_head
from forecaster.windows import Sample

DECAY = 0.94
_SPANS = (0.0, 0.7, 0.9, 0.98)  # decays over which a channel's size is taken: a day, days, weeks, months
_TINIER = 1e-6
_TINY = 1e-10  # variance floor: a price that never moves still has a scale
_FLOOR = 1e-2  # a channel that has been still counts as a tenth of its usual size, so that noise is not blown up
_SHY = 0.1  # the direction of returns is nearly all noise: their location learns ten times slower than the rest
_FORGET = 0.1  # share of blocks whose symbol is hidden in training, so that the unknown symbol is learned too


@dataclass(frozen=True)
class Spec:
    """What a family is built for."""

    window: WindowSpec
    horizon: int
    kind: Kind = "return"
    symbols: int = 1
    """S: symbols that the channel `symbol` can tell apart, numbered from 1; 0 is one never seen."""

    @property
    def features(self) -> int:
        """Channels but for the symbol's."""
        return len(self.window.features)

    @property
    def named(self) -> bool:
        """Whether the context says which symbol it is about."""
        return self.features < len(self.window.channels)


class Model(nn.Module, ABC):
    """What training, export and the tests ask of every family."""

    density: tuple[Component, ...] = ()
    """What `parameters` holds along P; empty for a family without a density."""

    @abstractmethod
    def estimate(self, samples: Sequence[Sample]) -> None:
        """Fill the buffers that need no gradient, from the training origins only, one sample a symbol."""

    @abstractmethod
    def forward(self, context: Tensor) -> tuple[Tensor, ...]:
        """context [B, L, C] -> quantiles [B, H, Q] and, for a family with a density, parameters [B, H, P]."""

    def remarks(self, samples: Sequence[Sample]) -> dict[str, float]:  # noqa: ARG002  # most have nothing to say
        """What a family has to say of itself at origins that it was not estimated on, for the leaderboard."""
        return {}


class Family(Frozen, ABC):
    """Base of every family's configuration."""

    name: str
    """What this model is called in reports; unique within a run."""

    @property
    def reach(self) -> int:
        """Sessions that an answer reads at least; a block's burn-in must leave that many behind each position."""
        return 1

    @abstractmethod
    def build(self, spec: Spec) -> Model:
        """A model with fresh weights, drawn from torch's generator."""


State = Tensor | tuple[Tensor, Tensor]
"""What a cell carries from one session to the next: [layers, B, D], twice for an LSTM."""


@runtime_checkable
class Carrying(Protocol):
    """A body that can go on where it left off."""

    def advance(self, inputs: Tensor, state: State | None) -> tuple[Tensor, State]:
        """inputs [B, T, D] -> raw [B, T, H, P] and the state after them."""


class TrainedFamily(Family):
    """Base of the configurations of families that learn by gradient."""

    head: Annotated[Head, Choice()] = "johnson_su"
    """Distribution that the network is trained for."""
    sizes: tuple[str, ...] = ()
    """Channels in the target's unit (returns, ranges) whose size of a day, some days, weeks and months beside the
    target's EWMA scale the network also sees, and reads straight into its own scale: a log-HAR within it."""
    embedding: int = Field(default=4, ge=1)
    """Width of a symbol's vector, where the window has the channel `symbol`."""

    def build(self, spec: Spec) -> "Network":
        return Network(spec, self)

    @abstractmethod
    def body(self, inputs: int, horizon: int, size: int) -> nn.Module:
        """What makes this family differ from others: inputs [B, T, D], keep -> raw [B, keep, H, P], causally.

        The last `keep` positions are answered, each from inputs up to its own.

        Arguments:
            inputs: D.
            size: P, raw numbers a step ahead.
        """


def ewma_square(values: Tensor, decay: float = DECAY) -> Tensor:
    """Exponentially weighted mean of squares along the sessions; position t weighs values <= t only.

    Arguments:
        values: [B, T, C].
        decay: Weight of a session beside that of the one after it; 0 for the session itself.
    Returns:
        [B, T, C].
    """
    if not decay:
        return values.square()
    weigh = _weights.__wrapped__ if torch.onnx.is_in_onnx_export() else _weights  # a graph has it within
    squares = values.square().transpose(0, 1)  # [T, B, C]: one product instead of B small ones, several times faster
    mixed = weigh(values.shape[1], decay, values.device) @ squares.flatten(1)
    return mixed.reshape(squares.shape).transpose(0, 1)


@functools.lru_cache(maxsize=32)
@torch.inference_mode(mode=False)
def _weights(length: int, decay: float, device: torch.device) -> Tensor:
    """What each session [T] takes of those up to it [T, T]; the same at every step of a training."""
    positions = torch.arange(length, device=device)
    ages = positions[:, None] - positions[None, :]
    weights = torch.where(ages >= 0, torch.exp(ages.clamp(min=0).float() * math.log(decay)), 0.0)
    return weights / weights.sum(1, keepdim=True)


Ewma = Callable[[Tensor, float], Tensor]
"""How means of squares are taken: from the block alone (`ewma_square`), or going on from sessions before it."""


def ewma_scale(context: Tensor, ewma: Ewma = ewma_square) -> Tensor:
    """EWMA standard deviation of the target's return at each session [B, T, C] -> [B, T, 1]."""
    return torch.sqrt(ewma(context[..., :1], DECAY) + _TINY)


class Network(Model):
    """A trained forecaster: channels through a body into a distribution per horizon.

    Every input is in units of its own recent size, and the answer in units of the target's: a regime that training
    never saw looks like the ones it did (docs/log.md has the folds that decided this).
    """

    spread: Tensor
    growth: Tensor
    gains: Tensor
    scales: Tensor

    def __init__(self, spec: Spec, family: TrainedFamily) -> None:
        super().__init__()
        self.spec = spec
        self.head: Trainable = make_head(family.head)
        self.density = self.head.components
        self.embedding = nn.Embedding(spec.symbols + 1, family.embedding) if spec.named else None
        self.sized = self._places(family)
        ratios = len(_SPANS) * len(self.sized)
        inputs = spec.features + (ratios + 1 if ratios else 0) + (family.embedding if spec.named else 0)
        self.body = family.body(inputs, spec.horizon, self.head.size)
        self.direct = nn.Linear(ratios, spec.horizon, bias=False) if ratios else None
        if self.direct is not None:
            nn.init.zeros_(self.direct.weight)
        slow = min(self.head.gains) < 1
        self.shape = nn.Parameter(torch.zeros(spec.horizon, self.head.size)) if slow else None
        self.register_buffer("gains", torch.tensor(self.head.gains), persistent=False)
        self.register_buffer("scales", torch.tensor(self.head.scales), persistent=False)
        self.shy = _SHY if spec.kind == "return" else 1.0
        self.register_buffer("spread", torch.ones(spec.features))
        self.register_buffer("growth", torch.arange(1, spec.horizon + 1, dtype=torch.float32).sqrt())

    def _places(self, family: TrainedFamily) -> list[int]:
        """Where the channels of `sizes` are.

        Raises:
            ConfigError: The window lacks one.
        """
        missing = set(family.sizes) - set(self.spec.window.features)
        if missing:
            problem = f"sizes name {', '.join(sorted(missing))}; add to [window] channels"
            raise ConfigError(f"model {family.name}", problem)
        return [self.spec.window.features.index(name) for name in family.sizes]

    @property
    def unit(self) -> Tensor:
        """Unconditional scale of the target [H]."""
        return self.spread[0] * self.growth

    def estimate(self, samples: Sequence[Sample]) -> None:
        """Standard deviation of each channel up to the last training origins; how a level's grows with the horizon.

        That of a return grows with the square root. Levels revert: that of ETTh1 after 96 steps is a quarter of it.
        """
        seen = np.concatenate([sample.windows.known(int(sample.origins[-1])) for sample in samples])
        spread = torch.from_numpy(seen[:, : self.spec.features]).std(0)
        self.spread.copy_(spread.clamp(min=1e-8))
        if self.spec.kind == "level":
            ahead = torch.from_numpy(np.concatenate([sample.windows.targets[sample.origins] for sample in samples]))
            self.growth.copy_(ahead.std(0).clamp(min=1e-8) / self.spread[0])

    def standardise(self, block: Tensor, ewma: Ewma = ewma_square) -> Tensor:
        """The body's inputs [B, T, D] from a block [B, T, C], each position from values up to its own.

        A level's changes keep one unit throughout, because sums of them must stay sums: they are where the level was.
        """
        standard = block[..., : self.spec.features] / self.spread
        parts = [standard]
        if self.spec.kind == "return":
            parts = [standard / torch.sqrt(ewma(standard, DECAY) + _FLOOR)]
        if self.sized:
            parts += [parts[0][..., :1].abs(), self._ratios(standard, ewma)]
        if self.embedding is not None:
            symbols = block[..., -1].long()
            if self.training:
                symbols = symbols * (torch.rand(len(block), 1, device=block.device) >= _FORGET)
            parts.append(self.embedding(symbols))
        return torch.cat(parts, dim=-1)

    def _ratios(self, standard: Tensor, ewma: Ewma) -> Tensor:
        """Log of each sized channel's size over each span, beside the target's EWMA scale [B, T, C] -> [B, T, R]."""
        anchor = ewma(standard[..., :1], DECAY) + _TINIER
        own = standard[..., self.sized]
        return torch.cat([0.5 * torch.log(ewma(own, span) / anchor + _FLOOR) for span in _SPANS], dim=-1)

    def parameters_at(self, block: Tensor, keep: int) -> Tensor:
        """Distribution parameters at the last `keep` positions of a block, each from inputs up to its own position.

        Arguments:
            block: [B, T, C] in the channels' own units.
        Returns:
            [B, keep, H, P].
        """
        inputs = self.standardise(block)
        return self._link(self.body(inputs, keep), inputs, block, keep)

    def advance(self, block: Tensor, keep: int, state: State | None, ewma: Ewma = ewma_square) -> tuple[Tensor, State]:
        """The same, by a body that carries its state over the last `keep` sessions; those before only set the scale.

        Arguments:
            ewma: Where the scale is carried, too, what carries it.
        Returns:
            Parameters [B, keep, H, P] and the state after the block.
        Raises:
            TypeError: The body carries no state.
        """
        if not isinstance(self.body, Carrying):
            raise TypeError(f"{type(self.body).__name__} carries no state from block to block")
        inputs = self.standardise(block, ewma)
        raw, state = self.body.advance(inputs[:, inputs.shape[1] - keep :], state)
        return self._link(raw, inputs, block, keep, ewma), state

    def _link(self, raw: Tensor, inputs: Tensor, block: Tensor, keep: int, ewma: Ewma = ewma_square) -> Tensor:
        if self.shape is not None:
            raw = self.gains * raw + (1.0 - self.gains) * self.shape
        if self.direct is not None:
            first = self.spec.features + 1
            ratios = inputs[:, inputs.shape[1] - keep :, first : first + self.direct.in_features]
            raw = raw + self.scales * self.direct(ratios)[..., None]
        anchor = ewma_scale(block, ewma)[:, block.shape[1] - keep :] * self.growth  # [B, keep, H]
        return self.head.link(raw, anchor, self.shy * self.unit)

    def fold(self) -> None:
        """Put the gains into the readout: the same answers to a rounding, for less work. Not to be trained on."""
        readouts = [part for part in self.body.modules() if isinstance(part, Readout)]
        if self.shape is None or [readout.horizon for readout in readouts] != [self.spec.horizon]:
            return
        (readout,), gains = readouts, self.gains.repeat(self.spec.horizon)
        with torch.no_grad():
            readout.weight.mul_(gains[:, None])
            readout.bias.mul_(gains).add_((1.0 - gains) * self.shape.flatten())
        self.shape = None

    def forward(self, context: Tensor) -> tuple[Tensor, ...]:
        parameters = self.parameters_at(context, 1)[:, 0]  # [B, H, P]
        quantiles = self.head.quantiles(parameters)
        return (quantiles, parameters) if self.density else (quantiles,)


class Readout(nn.Linear):
    """Hidden state [..., D] -> raw [..., H, P], starting at zero: an untrained network is an EWMA random walk."""

    def __init__(self, width: int, horizon: int, size: int) -> None:
        super().__init__(width, horizon * size)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)
        self.horizon, self.size = horizon, size

    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden).view(*hidden.shape[:-1], self.horizon, self.size)


def folded(model: nn.Module) -> nn.Module:
    """A copy to be exported, whose networks have folded what depends on weights alone."""
    copy = deepcopy(model)
    for part in copy.modules():
        if isinstance(part, Network):
            part.fold()
    return copy
