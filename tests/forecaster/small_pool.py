"""Members whose distributions are known: a table of parameters in units of the context's scale."""

from collections.abc import Sequence

import numpy as np
import torch
from arch.univariate import SkewStudent
from torch import Tensor

from forecaster.components import Component
from forecaster.contract import LEVELS, Floats, WindowSpec
from forecaster.families.base import Model, Spec, ewma_scale
from forecaster.families.distributions import make_head
from forecaster.windows import Sample

WINDOW = WindowSpec(context=16, burn_in=8, channels=("log_return", "log_range"))
HORIZON = 2
TABLES: dict[str, tuple[tuple[float, ...], ...]] = {
    "gaussian": ((0.1, 1.0), (-0.2, 1.5)),
    "student_t": ((-0.3, 0.8, 2.6), (0.4, 1.2, 9.0)),
    "johnson_su": ((0.2, 0.7, -0.8, 0.9), (0.0, 1.4, 0.3, 2.0)),
    "skew_t": ((0.0, 1.1, -0.4, 4.0), (0.3, 1.3, 0.2, 30.0)),
    "quantiles": (tuple(np.linspace(-2.0, 2.5, 25) ** 3 / 4), tuple(np.linspace(-3.0, 3.0, 25))),
}
"""Distribution to parameters [H, P]; location and scale in units of the context's, skew and tail without one."""


class Still(Model):
    """A member that answers its table, in units of the context's EWMA scale."""

    SPEC = Spec(WINDOW, HORIZON)
    table: Tensor
    unit: Tensor
    shape: Tensor

    def __init__(self, name: str, shift: float = 0.0) -> None:
        super().__init__()
        parameters = torch.tensor(TABLES[name], dtype=torch.float32)
        sized = torch.ones(parameters.shape[-1], dtype=torch.bool)
        if name != "quantiles":
            self.density = (Component.model_validate({"distribution": name}),)
            sized[2:] = False
        parameters = parameters + shift * (sized if name == "quantiles" else torch.arange(len(sized)) == 0)
        self.register_buffer("table", parameters)
        self.register_buffer("unit", sized.float())
        self.register_buffer("shape", _quantiles(name, parameters))

    def estimate(self, samples: Sequence[Sample]) -> None:
        """Nothing to learn."""

    def forward(self, context: Tensor) -> tuple[Tensor, ...]:
        size = ewma_scale(context)[:, -1:]  # [B, 1, 1]
        quantiles = size * self.shape
        if not self.density:
            return (quantiles,)
        return quantiles, self.table * (size * self.unit + (1 - self.unit))


def _quantiles(name: str, parameters: Tensor) -> Tensor:
    if name != "skew_t":
        head = make_head(name)
        return head.quantiles(parameters)
    rows: list[Floats] = []
    for location, scale, skew, tail in parameters.double().tolist():
        rows.append(location + scale * np.asarray(SkewStudent().ppf(np.array(LEVELS), [tail, skew])))
    return torch.from_numpy(np.stack(rows)).float()


def contexts(count: int, seed: int = 0) -> Tensor:
    """Contexts [N, L, C] of daily size."""
    return 0.01 * torch.randn(count, WINDOW.context, 2, generator=torch.Generator().manual_seed(seed))


CONTEXTS = contexts(9)
