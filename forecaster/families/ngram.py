"""Markov chain of order n on binned returns: the n-gram model, with returns for words.

    w_t = bin of r_t / sigma_{t-1},    k bins of equal probability,    context = (w_{t-n+1}, ..., w_t)
    P_m(w | m symbols) = (c(m symbols, w) + a_m P_{m-1}(w | m - 1 symbols)) / (c(m symbols) + a_m),    P_0 = 1 / k

c counts the training origins. Each order leans on the one below it with a_m counts of its own, a_m chosen by the
evidence, so that an order which tells nothing fades out. Horizon h has its own bins and counts of its h-step outcome,
each count worth 1 / h because neighbouring outcomes share h - 1 sessions. The quantiles are those of the mixture of the
bins' empirical distributions with these weights: F_h^{-1}(G(p)) with F_h of all outcomes, G piecewise linear. With
G(p) = p it is the random walk with a drift.
What it cannot do: share anything between contexts that look alike; see a context of high order often enough to count.

References:
    D. J. C. MacKay, L. C. Peto, A hierarchical Dirichlet language model, Natural Language Engineering 1 (1995), p. 289.
    C. E. Shannon, A mathematical theory of communication, Bell System Technical J. 27 (1948), p. 379, section 3.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from scipy.special import gammaln
from torch import Tensor

from forecaster.contract import LEVELS, Floats, Range
from forecaster.families.base import Family, Model, Spec, ewma_scale
from forecaster.windows import Sample

_CHUNK = 512  # contexts held in memory at once
_MOST = 4096  # contexts in the table: 400 kB a horizon
_STRENGTHS = tuple(2.0**power for power in range(21))  # a: from one count to as good as nothing but the lower order


class NgramFamily(Family):
    """Configuration of the Markov chain."""

    family: Literal["ngram"] = "ngram"
    order: Annotated[int, Range(1, 5)] = Field(default=2, ge=1)
    """n: how many past returns make a context."""
    bins: Annotated[int, Range(2, 9)] = Field(default=5, ge=2)
    """k: symbols that a return can be."""

    @model_validator(mode="after")
    def _countable(self) -> Self:
        if self.bins**self.order > _MOST:
            raise ValueError(f"bins ** order is {self.bins**self.order}, at most {_MOST} contexts fit the table")
        return self

    @property
    def reach(self) -> int:
        return self.order + 1  # the oldest return has a scale from before it

    def build(self, spec: Spec) -> "Ngram":
        return Ngram(self, spec.horizon)


class Ngram(Model):
    """Estimated, not trained: `estimate` fills the table of standardised quantiles [k^n, H, Q]."""

    edges: Tensor
    counts: Tensor
    table: Tensor
    root_horizon: Tensor

    def __init__(self, config: NgramFamily, horizon: int) -> None:
        super().__init__()
        self.order, self.bins = config.order, config.bins
        self.register_buffer("edges", torch.zeros(self.bins - 1))
        self.register_buffer("counts", torch.zeros(self.bins**self.order, dtype=torch.long))
        self.register_buffer("table", torch.zeros(self.bins**self.order, horizon, len(LEVELS)))
        steps = torch.arange(1, horizon + 1, dtype=torch.float32)
        self.register_buffer("root_horizon", steps.sqrt(), persistent=False)

    def forward(self, context: Tensor) -> tuple[Tensor]:
        scale = ewma_scale(context)  # [B, L, 1]
        spread = scale[:, -1] * self.root_horizon  # [B, H]
        return (spread[..., None] * self.table[self._number(self._recent(context, scale))],)

    def _recent(self, context: Tensor, scale: Tensor) -> Tensor:
        """The last n returns, each in units of the scale before it [B, n], oldest first."""
        return context[:, -self.order :, 0] / scale[:, -self.order - 1 : -1, 0]

    def _number(self, recent: Tensor) -> Tensor:
        """Number of the context [B] in base k; the newest symbol is the last digit, so that % k^m leaves m symbols."""
        symbols = (recent[..., None] > self.edges).sum(-1)  # [B, n]
        places = self.bins ** torch.arange(self.order - 1, -1, -1, device=recent.device)
        return (symbols * places).sum(-1)

    def estimate(self, samples: Sequence[Sample]) -> None:
        observed = [self._observe(sample) for sample in samples]
        recent, outcomes = (torch.cat(parts) for parts in zip(*observed, strict=True))  # [N, n], [N, H]
        self.edges.copy_(torch.from_numpy(edges(outcomes[:, 0].numpy(), self.bins)))
        contexts = self._number(recent).numpy()  # [N]
        self.counts.copy_(torch.from_numpy(np.bincount(contexts, minlength=len(self.counts))))
        for step, outcome in enumerate(outcomes.numpy().T):
            symbols = np.searchsorted(edges(outcome, self.bins), outcome)
            pairs = np.bincount(contexts * self.bins + symbols, minlength=self.counts.numel() * self.bins)
            chances = backed_off(pairs.reshape(-1, self.bins) / (step + 1), self.order)
            self.table[:, step] = torch.from_numpy(mixed_quantiles(outcome, chances))

    def remarks(self, samples: Sequence[Sample]) -> dict[str, float]:
        """How sparse the table is: the share of contexts never seen, by order."""
        return (
            {f"unseen_{order}": share for order, share in enumerate(self.unseen(samples), start=1)} if samples else {}
        )

    def unseen(self, samples: Sequence[Sample]) -> tuple[float, ...]:
        """Share of the samples' origins whose last 1 ... n symbols never came together in training."""
        numbers = torch.cat([self._number(self._observe(sample)[0]) for sample in samples])
        shares = []
        for order in range(1, self.order + 1):
            contexts = self.bins**order
            seen = self.counts.view(-1, contexts).sum(0) > 0
            shares.append(float((~seen[numbers % contexts]).double().mean()))
        return tuple(shares)

    def _observe(self, sample: Sample) -> tuple[Tensor, Tensor]:
        """The last n standardised returns at each origin [N, n], its outcomes in units of its scale [N, H]."""
        recent, outcomes = [], []
        for chunk in np.split(sample.origins, range(_CHUNK, len(sample.origins), _CHUNK)):
            context = torch.from_numpy(sample.windows.contexts(chunk))
            scale = ewma_scale(context)
            recent.append(self._recent(context, scale))
            outcomes.append(torch.from_numpy(sample.windows.targets[chunk]) / (scale[:, -1] * self.root_horizon))
        return torch.cat(recent), torch.cat(outcomes)


def edges(outcomes: Floats, bins: int) -> Floats:
    """Inner edges [k - 1] of bins that hold as many outcomes each, halfway between two, so that none is on an edge."""
    ranked = np.sort(outcomes)
    firsts = len(ranked) * np.arange(1, bins) // bins
    middles: Floats = (ranked[firsts - 1] + ranked[firsts]) / 2
    return middles


def backed_off(pairs: Floats, order: int) -> Floats:
    """Chance of each symbol after each context, smoothed down through the orders.

    Arguments:
        pairs: [k^n, k] how often the symbol followed the context.
    Returns:
        [k^n, k], rows sum to 1.
    """
    bins = pairs.shape[1]
    chances = np.full((1, bins), 1 / bins)
    for m in range(1, order + 1):
        counts = pairs.reshape(-1, bins**m, bins).sum(0)  # [k^m, k]
        lower = np.tile(chances, (bins, 1))  # the context without its oldest symbol
        strength = max(_STRENGTHS, key=lambda strength: evidence(counts, strength * lower))
        chances = (counts + strength * lower) / (counts.sum(1, keepdims=True) + strength)
    return chances


def evidence(counts: Floats, prior: Floats) -> float:
    """Log likelihood of counts [N, k] of symbols whose chances are drawn, row by row, from Dirichlet(prior [N, k])."""
    gathered = gammaln(prior.sum(1)) - gammaln((counts + prior).sum(1))
    return float((gathered + (gammaln(counts + prior) - gammaln(prior)).sum(1)).sum())


def mixed_quantiles(outcomes: Floats, chances: Floats) -> Floats:
    """Quantiles of the mixture of the bins' empirical distributions.

    Arguments:
        outcomes: [N] all of them.
        chances: [S, k] weight of each bin of outcomes.
    Returns:
        [S, Q], non-decreasing.
    """
    even = np.linspace(0, 1, chances.shape[1] + 1)
    below = np.pad(chances.cumsum(1), ((0, 0), (1, 0)))  # [S, k + 1]
    levels = np.stack([np.interp(LEVELS, row, even) for row in below])
    found: Floats = np.quantile(outcomes, levels)
    return found
