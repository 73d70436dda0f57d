"""Scores of `benchmarks.accuracy`: log score and exact CRPS of densities, their differences, and their calibration.

The CRPS is the integral of (F(x) - 1{x >= y})^2 on a grid that is fine where the density is, F taken as straight
between its points: within .00003 of the closed form where there is one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from benchmarks.accuracy_models import Forecasts
from forecaster.components import Component
from forecaster.contract import LEVELS, MEDIAN, Floats
from forecaster.densities import log_density
from forecaster.diagnostics.pit import Pit, pit
from forecaster.families.distributions import make_component
from forecaster.hac import standard_error
from forecaster.scores import INTERVALS, PERCENT, crps
from forecaster.significance import Rate, rate

LAG = 5
"""Of the Newey-West error in a Diebold-Mariano t, as in accuracy.py."""
_POINTS, _REACH = 801, 60.0  # grid points of F; how far it goes, in standard deviations of a normal with its quartiles
_ROWS = 64  # at once: bounds memory
_QUARTILES = LEVELS.index(0.25), LEVELS.index(0.75)
_NORMAL = 1.349  # distance of a normal's quartiles


@dataclass(frozen=True)
class Scored:
    """Scores [N] of one model at one symbol's outcomes, in percent log return; lower is better."""

    log_score: Floats
    """Negative log density, in nats per percent."""
    crps: Floats
    """Exact."""
    crps_grid: Floats
    """Of the 25 quantiles, as everywhere else in this project."""
    ranks: Floats
    """F(outcome)."""
    quantiles: Floats
    """[N, Q]."""
    outcomes: Floats

    @classmethod
    def of(cls, forecasts: Forecasts) -> "Scored":
        """All scores of the forecasts."""
        exact, ranks, quantiles = _integrated(forecasts)
        logs = log_density(forecasts.density, forecasts.parameters[:, None], forecasts.outcomes[:, None])[:, 0]
        house = crps(quantiles[:, None], forecasts.outcomes[:, None])[:, 0]
        return cls(math.log(PERCENT) - logs, PERCENT * exact, PERCENT * house, ranks, quantiles, forecasts.outcomes)

    def __getitem__(self, score: str) -> Floats:
        return {"log score": self.log_score, "CRPS": self.crps}[score]

    @cached_property
    def coverage(self) -> dict[float, Rate]:
        """Share of outcomes in each central interval, with its HAC 99 % interval."""
        return {level: rate((np.abs(self.ranks - 0.5) <= level / 2)[:, None].astype(float)) for level in INTERVALS}

    @cached_property
    def histogram(self) -> Pit:
        """PIT."""
        return pit(self.quantiles[:, None], self.outcomes[:, None])


SCORES = ("log score", "CRPS")


def pooled(members: Sequence[Forecasts]) -> Forecasts:
    """The linear pool of densities at the same outcomes, equal weights."""
    density = tuple(
        Component(distribution=part.distribution, weight=part.weight / len(members))
        for member in members
        for part in member.density
    )
    first = members[0]
    parameters = np.concatenate([member.parameters for member in members], axis=1)
    rough = np.mean([member.quantiles for member in members], axis=0)
    return Forecasts(first.sessions, first.outcomes, density, parameters, rough, rough=True)


def cdf(density: Sequence[Component], parameters: Floats, values: Floats) -> Floats:
    """Distribution function of a linear pool: parameters [N, P], values [N, G] -> [N, G]."""
    curves = [make_component(part).double() for part in density]
    found = np.empty_like(values)
    for start in range(0, len(values), _ROWS):
        rows = slice(start, start + _ROWS)
        own, at = torch.from_numpy(parameters[rows, None]), torch.from_numpy(values[rows])
        total, begin = torch.zeros_like(at), 0
        for part, curve in zip(density, curves, strict=True):
            end = begin + len(part.names)
            total += part.weight * curve.cdf(own[..., begin:end], at)
            begin = end
        found[rows] = total.numpy()
    return found


def _integrated(forecasts: Forecasts) -> tuple[Floats, Floats, Floats]:
    """CRPS [N] in the target's unit, F at the outcomes [N] and quantiles [N, Q]."""
    outcomes, guess = forecasts.outcomes, forecasts.quantiles
    low, high = (guess[:, quartile] for quartile in _QUARTILES)
    unit = ((high - low) / _NORMAL)[:, None]
    steps = np.sinh(np.linspace(-np.arcsinh(_REACH), np.arcsinh(_REACH), _POINTS))
    grid = guess[:, [MEDIAN]] + unit * steps  # [N, G]
    grid[:, 0] = np.minimum(grid[:, 0], outcomes - unit[:, 0])
    grid[:, -1] = np.maximum(grid[:, -1], outcomes + unit[:, 0])
    below = np.maximum.accumulate(cdf(forecasts.density, forecasts.parameters, grid), axis=1)
    rank = cdf(forecasts.density, forecasts.parameters, outcomes[:, None])[:, 0]
    quantiles = _solved(grid, below) if forecasts.rough else guess
    return crps_of_curve(grid, below, outcomes), rank, quantiles


def crps_of_curve(grid: Floats, below: Floats, outcomes: Floats) -> Floats:
    """CRPS [N] of piecewise straight distribution functions.

    int F^2 + int_y (1 - 2 F), both exact.

    Arguments:
        grid: [N, G] ascending, wide enough that F is 0 before it and 1 after it.
        below: [N, G] F.
        outcomes: [N] within the grid.
    """
    width = np.diff(grid, axis=1)
    left, right = below[:, :-1], below[:, 1:]
    square = ((left * left + left * right + right * right) / 3 * width).sum(1)
    area = (left + right) / 2 * width  # of F in each cell
    cell = (grid[:, 1:] <= outcomes[:, None]).sum(1).clip(max=width.shape[1] - 1)
    rows = np.arange(len(grid))
    share = (outcomes - grid[rows, cell]) / width[rows, cell]
    within = width[rows, cell] * share * (left[rows, cell] + (right - left)[rows, cell] * share / 2)
    before = np.where(np.arange(width.shape[1]) < cell[:, None], area, 0.0).sum(1) + within
    return np.asarray(square + (grid[:, -1] - outcomes) - 2 * (area.sum(1) - before))


def _solved(grid: Floats, below: Floats) -> Floats:
    """Quantiles [N, Q] where straight lines between the grid's points reach the levels."""
    return np.stack([np.interp(LEVELS, row, at) for row, at in zip(below, grid, strict=True)])


def t_statistic(candidate: Floats, reference: Floats) -> float:
    """Diebold-Mariano t of two rows of scores [N]; negative where the candidate is better.

    References:
        F. Diebold, R. Mariano, Comparing predictive accuracy, JBES 13 (1995), p. 254.
    """
    gap = candidate - reference
    error = standard_error(gap, LAG)
    return float(gap.mean() / error) if error else 0.0


def by_date(scored: Mapping[str, Mapping[str, Scored]], model: str, score: str) -> Floats:
    """Mean over symbols of a model's scores at their common sessions [N]."""
    return np.asarray(np.mean([models[model][score] for models in scored.values()], axis=0))
