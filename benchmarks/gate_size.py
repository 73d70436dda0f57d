"""Size: on random walks nothing is to be found, so every promotion is a false one.

Half of the walks have a constant volatility, and the baseline a constant scale; half have GARCH volatility, and the
baseline is GARCH. All families are fitted in a fast setting, the validation years choose one, and it is put to the gate
as the first challenge of a target, with the scores of all seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

import numpy as np

from benchmarks.gate_judged import WALK, Bench, failed, put, scored
from benchmarks.gate_worlds import CONSTANT, GARCH, Cut, market, world
from forecaster.errors import ForecasterError
from forecaster.families import AnyFamily
from forecaster.families.ar import ArFamily
from forecaster.families.garch import GarchFamily
from forecaster.families.gru import GruFamily
from forecaster.families.har import HarFamily
from forecaster.families.lstm import LstmFamily
from forecaster.families.mlp import MlpFamily
from forecaster.families.naive import NaiveFamily
from forecaster.families.ngram import NgramFamily
from forecaster.families.pool import PoolFamily
from forecaster.families.rnn import RnnFamily
from forecaster.families.seq2seq import Seq2SeqFamily
from forecaster.families.transformer import TransformerFamily
from forecaster.training.config import TrainingConfig
from forecaster.training.fit import Fitted
from forecaster.training.pooling import pooled
from pipelines.scoring import Stage, versus

CUT = Cut(train=1000, validation=250, test=750, horizon=2)
TRAINING = TrainingConfig(epochs=8, patience=4, learning_rate=1e-2)
LEVEL = 0.05
"""Of a test by itself, for information."""
_HAR, _MLP, _GRU = HarFamily(name="har"), MlpFamily(name="mlp", lags=5, hidden=4), GruFamily(name="gru", hidden=4)
_QUICK: tuple[AnyFamily, ...] = (
    NaiveFamily(name="drift", drift=True),
    NgramFamily(name="ngram", order=1, bins=3),
    ArFamily(name="ar"),
    GarchFamily(name="gjr", variance="gjr"),
    _HAR,
    _MLP,
    RnnFamily(name="rnn", hidden=4),
    LstmFamily(name="lstm", hidden=4),
    _GRU,
    Seq2SeqFamily(name="seq2seq", hidden=4, span=8),
    TransformerFamily(name="transformer", width=4, heads=1),
)
POOL = PoolFamily(name="pool", members=(_HAR, _MLP, _GRU))
SINGLE: tuple[AnyFamily, ...] = (
    *_QUICK,
    *(
        member(name=member.model_fields["family"].default)
        for member in get_args(get_args(AnyFamily)[0])
        if member not in {type(family) for family in (*_QUICK, POOL)}
    ),
)
"""Every family, in a fast setting where one is known."""
MATCHED: Mapping[str, AnyFamily] = {
    "constant": NaiveFamily(name="walk", scale="empirical"),
    "garch": GarchFamily(name="walk"),
}
"""Volatility of the world to the baseline that knows its law; its numbers it has to estimate, like everybody."""
_VARIANCE = {"constant": CONSTANT, "garch": GARCH}


@dataclass(frozen=True)
class Outcome:
    """What the gate said in one world."""

    volatility: str
    chosen: str
    """By the validation years."""
    promoted: bool
    any_promoted: bool
    """Whether any candidate would have passed, had it been the one that was put."""
    chosen_p: float
    least_p: float
    """Diebold-Mariano of the best on the test years, nothing corrected."""
    candidates: int
    exported_alike: bool | None
    """Whether the exported artifact got the same word; None where it was not asked."""


@dataclass(frozen=True)
class Order:
    """One world to be made and judged."""

    volatility: str
    seed: int
    export: bool = False


def judge_world(order: Order) -> Outcome:
    """Simulate, fit all families, let the validation years choose, and ask the gate."""
    rng = np.random.default_rng((order.seed, 1))
    bench = Bench(world(market(rng, CUT.sessions, _VARIANCE[order.volatility]), CUT), TRAINING)
    stage, held_out = bench.stage, bench.held_out
    baseline = bench.fit(MATCHED[order.volatility])
    walk = bench.answers(baseline.model)
    fitted = _fitted(bench)
    answers = {name: bench.answers(one.model) for name, one in fitted.items()}
    validation = scored(held_out, walk)
    skills = {name: versus(scored(held_out, one), validation).skill for name, one in answers.items()}
    chosen = max(skills, key=lambda name: skills[name])
    rivals = {WALK: scored(stage, walk)}
    test = {name: scored(stage, one) for name, one in answers.items()}
    said = {name: put(stage, name, one, rivals, recipes=len(test)) for name, one in test.items()}
    p_values = {name: versus(one, rivals[WALK]).p for name, one in test.items()}
    alike = _alike(bench, stage, {"walk": baseline, **fitted}, order.volatility) if order.export else None
    return Outcome(
        order.volatility,
        chosen,
        said[chosen].passed,
        any(one.passed for one in said.values()),
        p_values[chosen],
        min(p_values.values()),
        len(test),
        alike,
    )


def _fitted(bench: Bench) -> dict[str, Fitted]:
    """Every family that finds a fit; without one there is no candidate."""
    found: dict[str, Fitted] = {}
    for family in SINGLE:
        try:
            found[family.name] = bench.fit(family)
        except ForecasterError:
            continue  # a likelihood without a maximum: GARCH where nothing moves the variance
    members = [found[member.name].model for member in POOL.members if member.name in found]
    if len(members) == len(POOL.members):
        found[POOL.name] = Fitted(pooled(POOL, members, bench.task.validation), 0)
    return found


def _alike(bench: Bench, stage: Stage, fitted: Mapping[str, Fitted], volatility: str) -> bool:
    """Whether exported artifacts, scored by `Stage.score`, have the scores of the torch modules, and the same word."""
    families = {family.name: family for family in (*SINGLE, POOL, MATCHED[volatility])}
    graphs = {name: stage.score(bench.exported(families[name], one).artifacts) for name, one in fitted.items()}
    modules = {name: scored(stage, bench.answers(one.model)) for name, one in fitted.items()}
    words = [
        {name: failed(put(stage, name, one, {WALK: found["walk"]}, len(found) - 1)) for name, one in found.items()}
        for found in (graphs, modules)
    ]
    raw = (np.allclose(modules[name].raw.crps, graphs[name].raw.crps, rtol=1e-4, atol=1e-5) for name in fitted)
    return words[0] == words[1] and all(raw)
