"""What an artifact says of its density: the components of a linear pool, and what their parameters are called.

Apart from what evaluates them (`densities`), because the service reads manifests and needs no more.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from forecaster.contract import Frozen

Name = Literal["gaussian", "student_t", "skew_t", "johnson_su"]

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "gaussian": ("location", "scale"),
    "student_t": ("location", "scale", "tail"),
    "skew_t": ("location", "scale", "skew", "tail"),
    "johnson_su": ("location", "scale", "skew", "tail"),
}
"""Names along P of each distribution; location and scale in the target's unit, skew and tail without one.

`scale` is the standard deviation of gaussian and skew_t, and the plain scale of student_t and johnson_su.
"""


class Component(Frozen):
    """One part of a predictive density."""

    distribution: Name
    weight: float = Field(default=1.0, ge=0, le=1)
    """Its share of the linear pool; the shares of all components sum to 1."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its parameters."""
        return PARAMETERS[self.distribution]


def width(components: Sequence[Component]) -> int:
    """P of a density with these components."""
    return sum(len(component.names) for component in components)
