"""Power: something is there to be found, as strong as stated, and the candidate is the family that can find it.

A market a replication, 3000 sessions to train on, 8000 test origins. What the gate would say after the first n of them
is asked for each n: calibration looks back only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.gate_judged import FIRST, WALK, Bench
from benchmarks.gate_worlds import GJR, Cut, Market, autoregressive, led, market, world
from forecaster import gate
from forecaster.families import AnyFamily
from forecaster.families.ar import ArFamily
from forecaster.families.garch import GarchFamily
from forecaster.families.mlp import MlpFamily
from forecaster.families.naive import NaiveFamily
from forecaster.gate import Evidence
from forecaster.significance import rate, skill
from forecaster.training.config import TrainingConfig
from pipelines.promote import JUDGED
from pipelines.scoring import Scored

ORIGINS = (250, 500, 1000, 2000, 4000, 8000)
RECIPES = (1, 13)
"""Recipes whose scores were seen: the candidate's alone, and all of a run like the demo's."""
CUT = Cut(train=3000, validation=500, test=ORIGINS[-1], horizon=1)
TRAINING = TrainingConfig(epochs=40, patience=8, learning_rate=1e-2)


@dataclass(frozen=True)
class Case:
    """What there is to find, and who looks for it beside whom."""

    title: str
    make: Callable[[np.random.Generator, int], Market]
    candidate: AnyFamily
    baseline: AnyFamily
    needed_at: int | None
    """Origins at which it must be found in 90 %; None where it is shown only."""


_EWMA, _STILL = NaiveFamily(name="walk"), NaiveFamily(name="walk", scale="empirical")
_GJR = GarchFamily(name="gjr", variance="gjr")
_MLP = MlpFamily(name="mlp", lags=1, hidden=8, dropout=0.0, head="student_t")
_AR = ArFamily(name="ar", head="student_t")
CASES: dict[str, Case] = {
    "volatility": Case(
        "the S&P 500's GJR-GARCH; a walk of constant volatility, candidate garch",
        partial(market, variance=GJR),
        _GJR,
        _STILL,
        1000,
    ),
    "volatility, EWMA walk": Case(
        "the same; the service's own walk (EWMA), candidate garch", partial(market, variance=GJR), _GJR, _EWMA, None
    ),
    "macro": Case(
        "a channel that leads by a session, 5 % of variance; candidate mlp", partial(led, share=0.05), _MLP, _EWMA, 1000
    ),
    "macro .09": Case("the same, 9 % of variance", partial(led, share=0.09), _MLP, _EWMA, None),
    "ar .1": Case(
        "AR(1) with weight .1 (1 % of variance), candidate ar", partial(autoregressive, weight=0.1), _AR, _EWMA, 8000
    ),
}


@dataclass(frozen=True)
class Order:
    """One replication."""

    case: str
    seed: int


@dataclass(frozen=True)
class Found:
    """What the gate said of one replication."""

    case: str
    failed: tuple[tuple[tuple[str, ...], ...], ...]
    """[recipes][origins]: the questions that were failed; none where it was promoted."""
    skill: float
    """At all origins."""


def replicate(order: Order) -> Found:
    """Simulate, fit and ask the gate after the first n origins."""
    case = CASES[order.case]
    rng = np.random.default_rng((order.seed, 12))  # others than those that this was written with
    bench = Bench(world(case.make(rng, CUT.sessions), CUT), TRAINING)
    mine, walk = (bench.scored(family) for family in (case.candidate, case.baseline))
    said = tuple(tuple(_failed(mine, walk, count, recipes) for count in ORIGINS) for recipes in RECIPES)
    return Found(order.case, said, skill(mine.daily, walk.daily).skill)


def _failed(mine: Scored, walk: Scored, count: int, recipes: int) -> tuple[str, ...]:
    """What a challenge after `count` origins fails on. There is one symbol: origins are days."""
    evidence = Evidence(
        candidate="candidate",
        skills={WALK: skill(mine.daily[:count], walk.daily[:count])},
        coverage={interval: rate(mine.scores.hits[interval][:count]) for interval in JUDGED},
        alpha=FIRST,
        recipes=recipes,
        behind=0,
        constant=mine.still,
    )
    return tuple(check.question for check in gate.judge(evidence).checks if not check.passed)
