"""The random walk: tomorrow's price is today's, with a scale. The bar that every other family has to clear.

    quantile_h(p) = sqrt(h) * sigma_t * (F_h^{-1}(p) - median_h),    sigma_t^2 = EWMA(.94) of squared returns

F_h is the empirical distribution of past standardised returns z = y_h / (sigma sqrt(h)) over the training origins, so
fat tails and skew are in; with `drift = false` its median is taken out, and the point forecast is "same as now".
What it cannot do: see any pattern in direction, leverage, or a volatility that reverts.

References:
    RiskMetrics Technical Document (1996), section 5.2; J. Hull and A. White, Incorporating volatility updating into
    the historical simulation method for value-at-risk, Journal of Risk 1 (1998), p. 5 (filtered historical simulation).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from forecaster.contract import LEVELS, MEDIAN
from forecaster.families.base import Family, Model, Spec, ewma_scale
from forecaster.windows import Sample

_CHUNK = 512  # contexts held in memory at once


class NaiveFamily(Family):
    """Configuration of the random walk."""

    family: Literal["naive"] = "naive"
    scale: Literal["ewma", "empirical"] = "ewma"
    """"ewma": from the context; "empirical": one constant, from the training origins."""
    drift: bool = False
    """Keep the past median return as a drift."""

    def build(self, spec: Spec) -> "Naive":
        return Naive(spec, self.scale, self.drift)


class Naive(Model):
    """Estimated, not trained: `estimate` fills the table of standardised quantiles [H, Q]."""

    table: Tensor
    constant: Tensor
    root_horizon: Tensor

    def __init__(self, spec: Spec, scale: str, drift: bool) -> None:
        super().__init__()
        self.ewma, self.drift = scale == "ewma", drift
        self.register_buffer("table", torch.zeros(spec.horizon, len(LEVELS)))
        self.register_buffer("constant", torch.ones(()))
        steps = torch.arange(1, spec.horizon + 1, dtype=torch.float32)
        self.register_buffer("root_horizon", steps.sqrt(), persistent=False)

    def _scale(self, context: Tensor) -> Tensor:
        """[B, L, C] -> [B, H]."""
        last = context[:, -1, :1]
        # ones_like keeps the context in the exported graph: its batch axis decides how many answers there are
        sigma = ewma_scale(context)[:, -1] if self.ewma else torch.ones_like(last) * self.constant
        return sigma * self.root_horizon

    def estimate(self, samples: Sequence[Sample]) -> None:
        seen = np.concatenate([sample.windows.known(int(sample.origins[-1]))[:, 0] for sample in samples])
        self.constant.copy_(torch.from_numpy(seen).square().mean().sqrt())
        standardised = torch.cat([self._standardised(sample) for sample in samples])
        table = torch.quantile(standardised, torch.tensor(LEVELS, dtype=torch.float64), dim=0).T  # [H, Q]
        self.table.copy_(table if self.drift else table - table[:, MEDIAN : MEDIAN + 1])

    def _standardised(self, sample: Sample) -> Tensor:
        """Targets in units of the scale at their origin [N, H]."""
        parts = []
        for chunk in np.split(sample.origins, range(_CHUNK, len(sample.origins), _CHUNK)):
            sigma = self._scale(torch.from_numpy(sample.windows.contexts(chunk)))
            parts.append(torch.from_numpy(sample.windows.targets[chunk]) / sigma)
        return torch.cat(parts)

    def forward(self, context: Tensor) -> tuple[Tensor]:
        return (self._scale(context)[..., None] * self.table,)
