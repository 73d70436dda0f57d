"""Parts: how much of the differences in skill information, tuning and model make, and how much is luck of the seed.

Skill is linear in a model's scores once the random walk's are given, so a part is a weighted sum of the cells' scores.
Its weights are fixed before anything is trained. Nothing looks for the best cell: a best minus a worst is above zero
by construction, also where nothing matters.

    information   all of it minus the price alone      over families and tuning, where both cells exist
    tuning        settings searched for minus as written   over information sets and families
    model         the last family minus the first      over information sets and tuning, where both cells exist

A part's error has two sources. The years: the sums are taken session by session, over all cells of one session, so what
moves all cells alike cancels, and an HAC standard error weighs what is left. The seeds: fits of a cell scatter, and
their mean by as much less as there are fits. The interval holds for the three questions at once (Bonferroni).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtri, stdtr
from scipy.stats import chi2

from forecaster.contract import Floats
from forecaster.hac import bandwidth, standard_error
from forecaster.significance import correction, holm

QUESTIONS = ("information", "tuning", "model")
CONFIDENCE = 0.95

Weights = dict["Cell", float]


@dataclass(frozen=True, eq=False)
class Cell:
    """One way to forecast, fitted several times."""

    information: str
    family: str
    tuned: bool
    losses: Floats
    """[S, D, H] CRPS of each fit by session and horizon."""


@dataclass(frozen=True)
class Part:
    """A difference in skill (0.01 is a point) and its interval."""

    size: float
    low: float
    high: float


@dataclass(frozen=True)
class Merit:
    """A cell against the random walk."""

    skill: float
    """Mean over its fits."""
    error: float
    """Standard error: the years and the seeds."""
    p: float
    """One-sided."""
    p_holm: float
    """Corrected for all cells."""


@dataclass(frozen=True)
class Factorial:
    """All cells of a study on the same sessions."""

    cells: tuple[Cell, ...]
    walk: Floats
    """[D, H] the random walk's."""
    sets: tuple[str, ...]
    """Information sets, the smallest first."""
    families: tuple[str, ...]
    """The simplest first."""

    def skills(self, cell: Cell) -> Floats:
        """Of each fit [S]."""
        found: Floats = 1 - (cell.losses.mean(axis=1) / self._base).mean(axis=-1)
        return found

    def parts(self) -> dict[str, Part]:
        """The three questions' parts, by name."""
        sides = (
            self.pairs("information", self.sets[-1], self.sets[0]),
            self.pairs("tuned", True, False),
            self.pairs("family", self.families[-1], self.families[0]),
        )
        return {name: self.difference(pairs, len(QUESTIONS)) for name, pairs in zip(QUESTIONS, sides, strict=True)}

    def steps(self) -> dict[str, Part]:
        """What each information set adds to the one before; intervals for all steps at once."""
        pairs = zip(self.sets[1:], self.sets, strict=False)
        return {
            more: self.difference(self.pairs("information", more, less), len(self.sets) - 1) for more, less in pairs
        }

    @cached_property
    def luck(self) -> Part:
        """Standard deviation of the skill among fits that differ in nothing but the seed.

        The fits of a family that reads the price alone stand in one information set only, so none counts twice.
        """
        squares, freedom = _scatter(self._distinct(self.cells))
        tails = chi2.ppf(((1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2), freedom)
        low, high = (math.sqrt(squares / float(tail)) for tail in tails)
        return Part(math.sqrt(squares / freedom), low, high)

    def merits(self) -> list[Merit]:
        """Each cell against the random walk."""
        count, horizon = self.walk.shape
        found = [self._estimate({cell: 1.0}) for cell in self.cells]
        p = [
            float(stdtr(count - 1, -correction(count, horizon) * size / error)) if error > 0 else 1.0
            for size, error in found
        ]
        return [Merit(*one, *ps) for one, ps in zip(found, zip(p, holm(p), strict=True), strict=True)]

    def difference(self, pairs: Sequence[tuple[Cell, Cell]], questions: int) -> Part:
        """Mean difference in skill over pairs of cells, first minus second.

        Arguments:
            questions: Asked together, each of which the intervals are to hold for.
        """
        weights: Weights = {}
        for more, less in pairs:
            weights[more] = weights.get(more, 0.0) + 1 / len(pairs)
            weights[less] = weights.get(less, 0.0) - 1 / len(pairs)
        size, error = self._estimate(weights)
        reach = float(ndtri(1 - (1 - CONFIDENCE) / (2 * questions))) * error / correction(*self.walk.shape)
        return Part(size, size - reach, size + reach)

    def pairs(self, axis: str, more: object, less: object) -> list[tuple[Cell, Cell]]:
        """Cells that differ in one thing only."""
        others = [name for name in ("information", "family", "tuned") if name != axis]

        def place(cell: Cell) -> tuple[object, ...]:
            return tuple(getattr(cell, name) for name in others)

        against = {place(cell): cell for cell in self.cells if getattr(cell, axis) == less}
        return [
            (cell, against[place(cell)])
            for cell in self.cells
            if getattr(cell, axis) == more and place(cell) in against
        ]

    def _estimate(self, weights: Weights) -> tuple[float, float]:
        """Weighted sum of the cells' skills and its standard error.

        Influence by session: the delta method on ratios of means, as in `forecaster.significance.skill`.
        """
        size = sum(weight * float(self.skills(cell).mean()) for cell, weight in weights.items())
        influence = np.zeros(len(self.walk))
        for cell, weight in weights.items():
            mean = cell.losses.mean(axis=0)
            ratio = mean.mean(axis=0) / self._base
            influence -= weight * ((mean - ratio * self.walk) / self._base).mean(axis=1)
        years = standard_error(influence, bandwidth(*self.walk.shape))
        return size, math.hypot(years, math.sqrt(self._seeds(weights)))

    def _seeds(self, weights: Weights) -> float:
        """Variance that the seeds give a weighted sum, each family's pooled over its cells."""
        shares: dict[tuple[str, tuple[float, ...]], float] = {}
        for cell, weight in weights.items():
            fits = cell.family, tuple(self.skills(cell))
            shares[fits] = shares.get(fits, 0.0) + weight
        found = 0.0
        for (family, skills), weight in shares.items():
            squares, freedom = _scatter(self._distinct(cell for cell in self.cells if cell.family == family))
            found += weight**2 * squares / max(freedom, 1) / len(skills)
        return found

    def _distinct(self, cells: Iterable[Cell]) -> list[tuple[float, ...]]:
        """Skills of fits, once where a search kept the settings as written: such cells hold the same fits."""
        return list(dict.fromkeys(tuple(self.skills(cell)) for cell in cells))

    @cached_property
    def _base(self) -> Floats:
        """[H]."""
        base: Floats = self.walk.mean(axis=0)
        return base


def _scatter(groups: Iterable[tuple[float, ...]]) -> tuple[float, int]:
    """Squares of what fits of a cell differ from their mean, summed, and the degrees of freedom."""
    kept = [np.array(group) for group in groups]
    return sum(float(((one - one.mean()) ** 2).sum()) for one in kept), sum(len(one) - 1 for one in kept)
