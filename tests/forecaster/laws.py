"""Each distribution that a network can be trained for, as scipy has it: what makes its law, and parameters to try."""

from collections.abc import Callable, Mapping
from typing import Any

from scipy import stats

from forecaster.families.distributions import Head

TAILS = (2.06, 2.1, 2.5, 3.0, 4.0, 7.0, 15.0, 30.0, 60.0, 100.0, 200.0)

LAWS: Mapping[Head, tuple[Callable[..., Any], tuple[tuple[float, ...], ...]]] = {
    "gaussian": (stats.norm, ((0, 1), (-0.3, 2), (4, 0.5))),
    "student_t": (lambda location, scale, tail: stats.t(tail, location, scale), tuple((0.2, 1.5, t) for t in TAILS)),
    "johnson_su": (
        lambda location, scale, skew, tail: stats.johnsonsu(skew, tail, location, scale),
        ((0.1, 1, 0, 1), (0.1, 2, -1.9, 0.6), (0.1, 0.5, 1.9, 0.6), (0.1, 1, 0.5, 3), (0.1, 3, -0.2, 30)),
    ),
}
"""A law is made of the parameters in the order of `components.PARAMETERS`."""
