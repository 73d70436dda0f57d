"""Linear pool: the average of others' predictive distributions, each with its weight.

    F(y) = sum_m w_m F_m(y),    sum_m w_m = 1;    the density is pooled alike

Quantiles are found by a search on F inside the graph, between the members' lowest and highest. The members are other
models of the run; weights are equal, or those with the best mean log score (CRPS where a member has no density) on the
validation origins, which lie before every origin that is scored. The seeds of one family are pooled in the same way.
What it cannot do: be sharper than its sharpest member; the pool of calibrated members is a little too wide.

References:
    M. Stone, The opinion pool, Annals of Mathematical Statistics 32 (1961), p. 1339.
    S. Hall, J. Mitchell, Combining density forecasts, Int. J. Forecasting 23 (2007), p. 1 (log score weights).
    T. Gneiting, R. Ranjan, Combining predictive distributions, Electronic J. Statistics 7 (2013), p. 1747.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from forecaster.components import Component
from forecaster.contract import LEVELS, Floats
from forecaster.families.base import Family, Model, Spec
from forecaster.families.distributions import make_component, solve
from forecaster.windows import Sample

if TYPE_CHECKING:  # the registry names this file
    from forecaster.families import AnyFamily

_STEPS = 1000  # of expectation and maximisation, which is concave here and never leaves the simplex


class PoolFamily(Family):
    """Configuration of the pool."""

    family: Literal["pool"] = "pool"
    members: tuple["AnyFamily", ...] = Field(min_length=1)
    """In a run file: the names of other models of the run."""
    weights: Literal["equal", "log_score"] = "equal"
    """"log_score": those with the best mean log score on the validation origins."""

    @property
    def reach(self) -> int:
        return max(member.reach for member in self.members)

    def build(self, spec: Spec) -> "Pool":
        return Pool([member.build(spec) for member in self.members])


class Pool(Model):
    """Members' distributions, averaged; one without a density is read off its quantiles, and then the pool has none."""

    share: Tensor
    levels: Tensor

    def __init__(self, members: Sequence[Model]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.register_buffer("share", torch.full((len(members),), 1.0 / len(members)))
        self.register_buffer("levels", torch.tensor(LEVELS), persistent=False)
        parts = [part for member in members for part in member.density or (None,)]
        self.curves = {_kind(part): make_component(part) for part in parts}

    @property
    def pooled(self) -> list[Model]:
        """The members."""
        return [member for member in self.members if isinstance(member, Model)]

    @property
    def shares(self) -> list[float]:
        """Each member's weight."""
        return [float(share) for share in self.share]

    def estimate(self, samples: Sequence[Sample]) -> None:
        """Members are fitted before they are pooled."""

    def weigh(self, log_densities: Floats) -> None:
        """Take the weights with the best mean log score, by expectation and maximisation.

        Arguments:
            log_densities: [M, N] of each member at the same outcomes, all before any origin that will be scored.
        References:
            Hall and Mitchell (2007), p. 5; the iteration is that for mixture weights (Dempster, Laird, Rubin, 1977).
        """
        likelihood = torch.from_numpy(log_densities - log_densities.max(axis=0)).exp()  # [M, N]
        share = torch.full((len(likelihood), 1), 1.0 / len(likelihood), dtype=torch.float64)
        for _ in range(_STEPS):
            share = (share * likelihood / (share * likelihood).sum(0)).mean(1, keepdim=True)
        self.share.copy_(share[:, 0] / share.sum())

    @property
    def density(self) -> tuple[Component, ...]:  # type: ignore[override]  # it depends on the members and their weights
        """The members' components, flattened; empty where a member has no density."""
        if not all(member.density for member in self.pooled):
            return ()
        return tuple(
            Component(distribution=part.distribution, weight=share * part.weight)
            for member, share in zip(self.pooled, self.shares, strict=True)
            for part in member.density
        )

    def forward(self, context: Tensor) -> tuple[Tensor, ...]:
        return self.mix([member(context) for member in self.pooled])

    def mix(self, answers: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Members' quantiles [B, H, Q] and parameters, pooled."""
        spread = torch.stack([answer[0] for answer in answers])  # [M, B, H, Q]
        groups = self._groups(answers)

        def cdf(values: Tensor) -> Tensor:
            """[B, H, Q, G] -> [B, H, Q, G]."""
            parts = [
                (self.curves[kind].cdf(parameters, values[..., None]) * shares).sum(-1)
                for kind, (parameters, shares) in groups.items()
            ]
            return torch.stack(parts).sum(0)

        quantiles = solve(cdf, spread.amin(0), spread.amax(0), self.levels)
        if not self.density:
            return (quantiles,)
        return quantiles, torch.cat([answer[1] for answer in answers], dim=-1)

    def _groups(self, answers: Sequence[tuple[Tensor, ...]]) -> dict[str, tuple[Tensor, Tensor]]:
        """Components of one distribution side by side: parameters [B, H, 1, 1, M, P] and their shares [M]."""
        found: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for number, (member, answer) in enumerate(zip(self.pooled, answers, strict=True)):
            start = 0
            for part in member.density:
                end = start + len(part.names)
                pair = answer[1][..., start:end], self.share[number] * part.weight
                found.setdefault(_kind(part), []).append(pair)
                start = end
            if not member.density:
                found.setdefault(_kind(None), []).append((answer[0], self.share[number]))
        return {
            kind: (
                torch.stack([one for one, _ in pairs], dim=-2)[..., None, None, :, :],
                torch.stack([w for _, w in pairs]),
            )
            for kind, pairs in found.items()
        }


def _kind(component: Component | None) -> str:
    return "quantiles" if component is None else component.distribution
