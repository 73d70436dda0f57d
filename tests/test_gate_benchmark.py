"""The parts of `benchmarks.gate`: the simulated markets hold what they say, and judging is the product's own."""

import math
from typing import get_args

import numpy as np
import pytest

from benchmarks.gate import share
from benchmarks.gate_adversaries import WIDER, widened
from benchmarks.gate_judged import FIRST, WALK, Bench, as_they_are, failed, put, scored
from benchmarks.gate_power import CASES
from benchmarks.gate_size import MATCHED, POOL, SINGLE
from benchmarks.gate_worlds import (
    CONSTANT,
    DAILY,
    GARCH,
    GJR,
    Cut,
    autoregressive,
    led,
    market,
    world,
)
from benchmarks.gate_years import WEEK, WEEKS, Order, Year, allowances, live
from forecaster.contract import LEVELS, MEDIAN
from forecaster.families import AnyFamily
from forecaster.families.naive import NaiveFamily
from forecaster.gate import VESSEL, YEARLY
from forecaster.scores import crps
from forecaster.training.config import TrainingConfig

MANY = 100_000
SMALL = Cut(train=200, validation=40, test=120, horizon=2)
EWMA, STILL = NaiveFamily(name="walk"), NaiveFamily(name="still", scale="empirical")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_random_walk_has_its_variance_and_no_memory_but_in_size():
    found = market(rng(), MANY, GARCH)
    returns = found.returns
    assert returns.std() == pytest.approx(DAILY, rel=0.1)
    assert abs(np.corrcoef(returns[1:], returns[:-1])[0, 1]) < 0.02
    assert np.corrcoef(np.abs(returns[1:]), np.abs(returns[:-1]))[0, 1] > 0.1
    assert (found.ranges >= np.abs(returns) - 1e-15).all()
    still = market(rng(), MANY).returns
    assert abs(np.corrcoef(np.abs(still[1:]), np.abs(still[:-1]))[0, 1]) < 0.01


def test_the_variance_follows_its_equation_and_knows_no_later_surprise():
    surprises = rng(1).standard_normal(50)
    path = GJR.path(surprises)
    left = 1 - GJR.alpha - GJR.gamma / 2 - GJR.beta
    for t in range(1, 50):
        news = GJR.alpha + (GJR.gamma if surprises[t - 1] < 0 else 0.0)
        variance = left * DAILY**2 + (news * surprises[t - 1] ** 2 + GJR.beta) * path[t - 1] ** 2
        assert path[t] == pytest.approx(math.sqrt(variance))
    other = surprises.copy()
    other[30:] *= -3
    np.testing.assert_array_equal(GJR.path(other)[:31], path[:31])
    np.testing.assert_array_equal(CONSTANT.path(surprises), DAILY)


def test_what_there_is_to_find_is_as_strong_as_stated():
    returns = autoregressive(rng(2), MANY, 0.1).returns
    assert np.corrcoef(returns[1:], returns[:-1])[0, 1] == pytest.approx(0.1, abs=0.01)
    assert returns.std() == pytest.approx(DAILY, rel=0.02)
    one = led(rng(3), MANY, 0.09)
    assert one.lead is not None
    assert np.corrcoef(one.returns[1:], one.lead[:-1])[0, 1] == pytest.approx(0.3, abs=0.01)
    assert one.returns.std() == pytest.approx(DAILY, rel=0.02)


def test_every_family_is_a_candidate():
    known = {member.model_fields["family"].default for member in get_args(get_args(AnyFamily)[0])}
    assert {family.family for family in (*SINGLE, POOL)} == known
    assert set(MATCHED) == {"constant", "garch"}
    needed = {name: case.needed_at for name, case in CASES.items() if case.needed_at is not None}
    assert needed == {"volatility": 1000, "macro": 1000, "ar .1": 8000}


def test_spans_are_as_long_as_asked_and_purged():
    (spans,) = world(market(rng(4), SMALL.sessions), SMALL).folds
    assert len(spans.test[0].origins) == SMALL.test
    assert len(spans.train[0].origins) == pytest.approx(SMALL.train, abs=SMALL.horizon)
    assert spans.train[0].origins[-1] + SMALL.horizon <= spans.validation[0].origins[0]
    assert spans.validation[0].origins[-1] + SMALL.horizon <= spans.test[0].origins[0]


def test_a_torch_module_is_scored_as_its_artifact_is():
    bench = Bench(world(market(rng(5), SMALL.sessions, GARCH), SMALL), TrainingConfig())
    graph, module = bench.stage.score(bench.exported(EWMA, bench.fit(EWMA)).artifacts), bench.scored(EWMA)
    np.testing.assert_allclose(module.daily, graph.daily, rtol=1e-5)
    np.testing.assert_allclose(module.raw.crps, graph.raw.crps, rtol=1e-5)
    np.testing.assert_allclose(module.scores.hits[0.8], graph.scores.hits[0.8])
    np.testing.assert_array_equal(module.days, graph.days)


def test_widened_tails_keep_the_middle_and_the_order():
    quantiles = np.sort(rng(6).standard_normal((7, 2, len(LEVELS))), axis=-1)
    wide, levels = widened(quantiles), np.array(LEVELS)
    inner = (levels >= 0.1) & (levels <= 0.9)
    np.testing.assert_allclose(wide[..., inner], quantiles[..., inner])
    reach = quantiles - quantiles[..., MEDIAN : MEDIAN + 1]
    np.testing.assert_allclose((wide - quantiles)[..., ~inner], (WIDER - 1) * reach[..., ~inner])
    assert (np.diff(wide, axis=-1) >= 0).all()


def test_the_gate_names_a_copy_a_constant_and_wide_tails():
    bench = Bench(world(market(rng(7), SMALL.sessions), SMALL), TrainingConfig())
    stage = bench.stage
    answers = bench.answers(bench.fit(EWMA).model)
    walk = scored(stage, answers)
    assert failed(put(stage, "copy", scored(stage, answers), {WALK: walk}))[0] == "no copy"
    assert "answers to what it sees" in failed(put(stage, "still", bench.scored(STILL), {WALK: walk}))
    wide = as_they_are(stage, widened(walk.quantiles), answers.test)
    decision = put(stage, "wide", wide, {WALK: walk})
    assert f"better than {WALK}" in failed(decision)
    assert "0.005 = 0.005 / 1 recipe seen" in decision.reason


def test_a_years_challenges_spend_what_the_gate_allows():
    spent = allowances()
    assert (len(spent), spent[0]) == (WEEKS, FIRST)
    assert spent[0] == pytest.approx(VESSEL / 2)
    assert sum(spent) <= YEARLY


def test_null_recipes_are_as_good_as_the_walk_on_average():
    """Mean gains of many years lie about zero; noise on one side alone would push them down."""
    source, gains = rng(8), []
    for _ in range(150):
        year = Year.of(source)
        mine = crps(year.recipe(source), year.outcomes)
        assert mine.shape == year.walk.shape == (500 + WEEK * WEEKS, 1)
        gains.append(float((year.walk - mine).mean() / year.walk.mean()) / year.size)
    assert abs(np.mean(gains)) < 3 * np.std(gains) / math.sqrt(len(gains))


def test_a_year_is_the_same_again_from_the_same_seed():
    one = live(Order(seed=3, years=1))
    assert one == live(Order(seed=3, years=1))
    assert one.tests == WEEKS
    assert all(0 <= hits <= 1 for hits in one.promotions.values())


def test_a_share_comes_with_its_interval():
    assert share(5, 100).strip() == "5.0% (1.6% to 11.3%)"
