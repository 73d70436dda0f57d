import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import norm

from forecaster.contract import LEVELS, MEDIAN
from forecaster.scores import INTERVALS, Scores, covered, crps, pinball

returns = st.floats(-0.2, 0.2).map(lambda number: round(number, 4))
forecasts = st.lists(
    st.tuples(st.lists(returns, min_size=25, max_size=25).map(sorted), returns), min_size=1, max_size=4
)


def arrays(drawn: list[tuple[list[float], float]]) -> tuple[np.ndarray, np.ndarray]:
    """[N, 1, Q], [N, 1]."""
    return np.array([[quantiles] for quantiles, _ in drawn]), np.array([[outcome] for _, outcome in drawn])


@settings(max_examples=30)
@given(forecasts)
def test_pinball_agrees_with_a_plain_loop(drawn):
    found = pinball(*arrays(drawn))
    for row, (quantiles, outcome) in enumerate(drawn):
        for place, (level, quantile) in enumerate(zip(LEVELS, quantiles, strict=True)):
            loss = level * (outcome - quantile) if outcome >= quantile else (1 - level) * (quantile - outcome)
            assert found[row, 0, place] == pytest.approx(loss, abs=1e-14)


@settings(max_examples=30)
@given(forecasts)
def test_crps_agrees_with_a_plain_loop(drawn):
    found = crps(*arrays(drawn))
    for row, (quantiles, outcome) in enumerate(drawn):
        total, before = 0.0, None
        for level, quantile in zip(LEVELS, quantiles, strict=True):
            loss = 2 * max(level * (outcome - quantile), (level - 1) * (outcome - quantile))
            if before is not None:
                total += (level - before[0]) * (loss + before[1]) / 2
            before = (level, loss)
        assert found[row, 0] == pytest.approx(total, abs=1e-14)


@settings(max_examples=30)
@given(forecasts, st.sampled_from(INTERVALS))
def test_coverage_agrees_with_a_plain_loop(drawn, interval):
    found = covered(*arrays(drawn), interval)
    tail = {0.5: 0.25, 0.8: 0.1, 0.9: 0.05, 0.95: 0.025}[interval]
    for row, (quantiles, outcome) in enumerate(drawn):
        low, high = quantiles[LEVELS.index(tail)], quantiles[LEVELS.index(round(1 - tail, 3))]
        assert found[row, 0] == (1.0 if low <= outcome <= high else 0.0)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("z", [-2.0, -0.7, 0.0, 0.3, 1.5])
def test_crps_of_a_normal_is_close_to_its_closed_form(scale, z):
    quantiles = (0.1 + scale * ndtri(np.array(LEVELS)))[None, None]
    outcome = np.array([[0.1 + scale * z]])
    exact = scale * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi))
    assert crps(quantiles, outcome)[0, 0] == pytest.approx(exact, rel=0.02)


def test_crps_of_a_certain_forecast_is_nearly_its_absolute_error():
    quantiles = np.full((1, 1, len(LEVELS)), 0.02)
    # Levels span .99 of the unit interval and the loss is linear in the level.
    assert crps(quantiles, np.array([[-0.01]]))[0, 0] == pytest.approx(0.99 * 0.03)


def test_the_true_distribution_has_the_best_crps():
    outcomes = np.random.default_rng(0).standard_normal((20_000, 1)) / 100
    normal = ndtri(np.array(LEVELS)) / 100
    mean = {scale: crps(np.broadcast_to(scale * normal, (20_000, 1, 25)), outcomes).mean() for scale in (0.7, 1.0, 1.4)}
    shifted = crps(np.broadcast_to(normal + 0.003, (20_000, 1, 25)), outcomes).mean()
    assert mean[1.0] < min(mean[0.7], mean[1.4], shifted)


def test_an_unknown_interval_is_refused():
    with pytest.raises(ValueError, match=r"not in tuple"):
        covered(np.zeros((1, 1, 25)), np.zeros((1, 1)), 0.77)


def test_scores_hold_all_figures_of_one_model():
    rng = np.random.default_rng(1)
    quantiles, outcomes = np.sort(rng.normal(0, 0.01, (7, 3, 25))), rng.normal(0, 0.01, (7, 3))
    found = Scores.of(quantiles, outcomes)
    assert (found.crps == 100 * crps(quantiles, outcomes)).all()
    assert (found.pinball == 100 * pinball(quantiles, outcomes)).all()
    assert (found.hits[0.8] == covered(quantiles, outcomes, 0.8)).all()
    for row in range(7):
        for step in range(3):
            error = 100 * abs(outcomes[row, step] - quantiles[row, step, LEVELS.index(0.5)])
            assert found.absolute_error[row, step] == pytest.approx(error)
    for place in range(25):
        below = [outcomes[n, h] <= quantiles[n, h, place] for n in range(7) for h in range(3)]
        assert found.below[place] == pytest.approx(sum(below) / 21)
    assert LEVELS[MEDIAN] == 0.5


def test_losses_of_a_level_are_in_its_own_unit():
    rng = np.random.default_rng(2)
    quantiles, outcomes = np.sort(rng.normal(0, 5, (7, 3, 25))), rng.normal(0, 5, (7, 3))
    percent, plain = (Scores.of(quantiles, outcomes, unit=unit) for unit in (100.0, 1.0))
    assert (plain.crps == crps(quantiles, outcomes)).all()
    np.testing.assert_allclose(percent.absolute_error, 100 * plain.absolute_error)
    assert (plain.below == percent.below).all()


@pytest.mark.parametrize("unit", [1.0, 100.0])
def test_a_log_score_is_that_of_the_outcome_in_the_unit_of_the_losses(unit):
    outcomes = np.random.default_rng(3).normal(0, 0.01, (9, 2))
    quantiles = np.tile(0.01 * ndtri(np.array(LEVELS)), (9, 2, 1))
    found = Scores.of(quantiles, outcomes, norm(0, 0.01).logpdf(outcomes), unit)
    np.testing.assert_allclose(found.log_score, -norm(0, 0.01 * unit).logpdf(unit * outcomes), rtol=1e-12)


def test_a_model_without_a_density_has_no_log_score():
    assert Scores.of(np.zeros((2, 1, 25)), np.zeros((2, 1))).log_score is None
