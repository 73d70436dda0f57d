"""A year of weekly challenges by recipes that are no better: how many years have a false promotion?

Each week the data grow by five sessions, and a new recipe is put to the gate on all test origins so far. Recipes, the
random walk and the champion are made alike: the true quantiles (GARCH volatility, t with 6 degrees of freedom), with
location and scale moved by persistent noise of one size a year. So all are equally good, and chance alone decides: the
worst that a null can be, since noise on a random walk that knows the truth makes it worse, and is never promoted. Alpha
is spent and recipes are counted as `forecaster promote` does it, from a full vessel; nothing was promoted yet, so no
count was reset. Quantiles are taken for calibrated ones.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from scipy.signal import lfilter
from scipy.stats import t as student

from benchmarks.gate_judged import NOW, WALK
from benchmarks.gate_worlds import GARCH, TAIL
from forecaster import gate
from forecaster.contract import LEVELS, Floats
from forecaster.gate import Evidence
from forecaster.scores import covered, crps
from forecaster.significance import Skill, rate, skill
from pipelines.promote import JUDGED

WEEKS, WEEK = 52, 5
START = 500
"""Test origins at the first challenge: two years."""
MANY = 5
"""New recipes that a greedy user looks at each week; the best of them on the test years is put."""
LEVEL = 0.05
USERS = ("one recipe a week", "one a week, beside a champion", f"the best of {MANY} a week")
_QUANTILES = student.ppf(LEVELS, TAIL) * math.sqrt((TAIL - 2) / TAIL)


@dataclass(frozen=True)
class Order:
    """Some years."""

    seed: int
    years: int


@dataclass(frozen=True)
class Found:
    """What became of them."""

    promotions: Mapping[str, int]
    """User to the years in which the gate let one of his recipes pass."""
    uncorrected: int
    """Years in which a test at 5 % each week, and nothing else, would have let one pass."""
    rejections: int
    """Of those tests."""
    tests: int
    spent: float
    """Alpha that the challenges of a year spend together."""


@dataclass(frozen=True)
class Year:
    """What is scored in a year."""

    size: float
    """Of the noise: 2 to 20 % of the scale."""
    scale: Floats
    """[N] standard deviation of each session's return."""
    outcomes: Floats
    """[N, 1]."""
    walk: Floats
    """[N, 1] CRPS of the random walk."""

    @classmethod
    def of(cls, rng: np.random.Generator) -> "Year":
        count = START + WEEK * WEEKS
        surprises = rng.standard_t(TAIL, 2 * count) * math.sqrt((TAIL - 2) / TAIL)
        scale = GARCH.path(surprises)[count:]
        outcomes = (scale * surprises[count:])[:, None]
        year = cls(0.02 * 10 ** rng.random(), scale, outcomes, outcomes)
        return replace(year, walk=crps(year.recipe(rng), outcomes))

    def recipe(self, rng: np.random.Generator) -> Floats:
        """Quantiles [N, 1, Q] that differ from the true ones by noise."""
        shift, stretch = (self.size * _persistent(rng, len(self.scale)) for _ in range(2))
        moved = shift[:, None] + np.exp(stretch)[:, None] * _QUANTILES
        return np.asarray((self.scale[:, None] * moved)[:, None])


def _persistent(rng: np.random.Generator, count: int) -> Floats:
    """Noise [N] of variance 1 with a memory of 2 to 100 sessions."""
    keep = 1 - 0.5 * 0.02 ** rng.random()
    return np.asarray(lfilter([math.sqrt(1 - keep**2)], [1.0, -keep], rng.standard_normal(count)))


def live(order: Order) -> Found:
    """Years one after the other."""
    rng = np.random.default_rng((order.seed, 3))
    found = [_year(rng) for _ in range(order.years)]
    return Found(
        {user: sum(promoted[user] for promoted, _ in found) for user in USERS},
        sum(any(p < LEVEL for p in p_values) for _, p_values in found),
        sum(p < LEVEL for _, p_values in found for p in p_values),
        WEEKS * order.years,
        sum(allowances()),
    )


def allowances() -> list[float]:
    """What each weekly challenge may spend."""
    spent: list[tuple[datetime, float]] = []
    for week in range(WEEKS):
        when = NOW + timedelta(weeks=week)
        spent.append((when, gate.allowance(spent, when)))
    return [alpha for _, alpha in spent]


def _year(rng: np.random.Generator) -> tuple[dict[str, bool], list[float]]:
    """Whether each user got a promotion, and the p-values of the first one's weeks."""
    year = Year.of(rng)
    champion = crps(year.recipe(rng), year.outcomes)
    promoted, p_values = dict.fromkeys(USERS, False), []
    for week, alpha in enumerate(allowances()):
        until = START + WEEK * (week + 1)
        new = [year.recipe(rng) for _ in range(MANY)]
        skills = [skill(crps(one[:until], year.outcomes[:until]), year.walk[:until]) for one in new]
        p_values.append(skills[0].p)
        best = min(range(MANY), key=lambda number: skills[number].p)
        first = crps(new[0][:until], year.outcomes[:until])
        rivals = {WALK: skills[0], "champion": skill(first, champion[:until])}
        for user, one, against, seen in zip(
            USERS,
            (new[0], new[0], new[best]),
            ({WALK: skills[0]}, rivals, {WALK: skills[best]}),
            (week + 1, week + 1, MANY * (week + 1)),
            strict=True,
        ):
            promoted[user] |= _passes(one[:until], year.outcomes[:until], against, alpha, seen)
    return promoted, p_values


def _passes(quantiles: Floats, outcomes: Floats, skills: Mapping[str, Skill], alpha: float, seen: int) -> bool:
    hits = {interval: rate(covered(quantiles, outcomes, interval)) for interval in JUDGED}
    return gate.judge(Evidence("null", skills, hits, alpha, recipes=seen, behind=0)).passed
