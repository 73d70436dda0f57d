import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import ndtri
from scipy.stats import norm

from forecaster.contract import LEVELS, MEDIAN
from forecaster.curve import inverse
from forecaster.scores import (
    INTERVALS,
    TAILS,
    Scores,
    covered,
    crps,
    direction,
    expected,
    interval_score,
    mase,
    pinball,
    scale,
)

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


@settings(max_examples=30)
@given(forecasts, st.sampled_from(INTERVALS))
def test_the_interval_score_agrees_with_a_plain_loop(drawn, interval):
    found = interval_score(*arrays(drawn), interval)
    alpha = {0.5: 0.5, 0.8: 0.2, 0.9: 0.1, 0.95: 0.05}[interval]
    for row, (quantiles, outcome) in enumerate(drawn):
        low, high = quantiles[LEVELS.index(alpha / 2)], quantiles[LEVELS.index(round(1 - alpha / 2, 3))]
        score = high - low
        if outcome < low:
            score += 2 / alpha * (low - outcome)
        if outcome > high:
            score += 2 / alpha * (outcome - high)
        assert found[row, 0] == pytest.approx(score, abs=1e-13)


@settings(max_examples=30)
@given(forecasts)
def test_the_interval_score_is_the_pinball_loss_of_its_ends(drawn):
    losses = pinball(*arrays(drawn))
    ends = losses[..., LEVELS.index(0.1)] + losses[..., LEVELS.index(0.9)]
    np.testing.assert_allclose(interval_score(*arrays(drawn), 0.8), 2 / 0.2 * ends, atol=1e-14)


@settings(max_examples=30)
@given(forecasts)
def test_direction_agrees_with_a_plain_loop(drawn):
    found = direction(*arrays(drawn))
    for row, (quantiles, outcome) in enumerate(drawn):
        median = quantiles[12]
        if median == 0 or outcome == 0:
            assert found[row, 0] == 0.5
        else:
            assert found[row, 0] == (1.0 if (median > 0) == (outcome > 0) else 0.0)


def test_a_forecast_of_no_change_is_right_half_of_the_time():
    outcomes = np.array([[0.01], [-0.02], [0.0]])
    assert direction(np.zeros((3, 1, 25)), outcomes).tolist() == [[0.5], [0.5], [0.5]]


@pytest.mark.parametrize("seed", range(4))
def test_the_expected_change_is_the_integral_of_the_curve(seed):
    quantiles = np.sort(np.random.default_rng(seed).standard_t(3, 25))
    parts = [(0.0, LEVELS[0]), *pairwise(LEVELS), (LEVELS[-1], 1.0)]
    exact = sum(quad(lambda level: float(inverse(quantiles, np.array(level))), *part)[0] for part in parts)
    assert expected(quantiles[None, None])[0, 0] == pytest.approx(exact, rel=1e-6)


def test_the_expected_change_of_a_symmetric_forecast_is_its_middle():
    assert expected(0.3 + ndtri(np.array(LEVELS))) == pytest.approx(0.3)
    assert expected(np.full((2, 3, 25), -0.1)).shape == (2, 3)


def test_mase_agrees_with_a_plain_loop():
    rng = np.random.default_rng(0)
    trained_on, outcomes, medians = rng.normal(0, [0.01, 0.03], (50, 2)), *rng.normal(0, 0.02, (2, 20, 2))
    quantiles = np.repeat(medians[..., None], 25, axis=-1)
    found = mase(Scores.of(quantiles, outcomes).absolute_error, scale(trained_on)).mean()
    total = 0.0
    for step in range(2):
        change = sum(abs(trained_on[n, step]) for n in range(50)) / 50
        total += sum(abs(outcomes[n, step] - medians[n, step]) / change for n in range(20)) / 20
    assert found == pytest.approx(total / 2)


def test_no_change_has_a_mase_of_one_where_nothing_changes_about_the_series():
    outcomes = np.random.default_rng(0).normal(0, 0.01, (100, 3))
    found = Scores.of(np.zeros((100, 3, 25)), outcomes)
    assert mase(found.absolute_error, scale(outcomes)).mean(axis=0) == pytest.approx(1)


@pytest.mark.parametrize("width", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("z", [-2.0, -0.7, 0.0, 0.3, 1.5])
def test_crps_of_a_normal_is_close_to_its_closed_form(width, z):
    quantiles = (0.1 + width * ndtri(np.array(LEVELS)))[None, None]
    outcome = np.array([[0.1 + width * z]])
    exact = width * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi))
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


def test_many_origins_score_as_few_do():
    rng = np.random.default_rng(2)
    quantiles, outcomes = np.sort(rng.normal(0, 0.01, (9000, 2, 25))), rng.normal(0, 0.01, (9000, 2))
    rows = slice(4000, 8500)
    assert (crps(quantiles, outcomes)[rows] == crps(quantiles[rows], outcomes[rows])).all()
    whole = np.trapezoid(2 * pinball(quantiles, outcomes), np.array(LEVELS), axis=-1)
    assert (crps(quantiles, outcomes) == whole).all()


def test_scores_hold_all_figures_of_one_model():
    rng = np.random.default_rng(1)
    quantiles, outcomes = np.sort(rng.normal(0, 0.01, (7, 3, 25))), rng.normal(0, 0.01, (7, 3))
    found = Scores.of(quantiles, outcomes)
    assert (found.crps == 100 * crps(quantiles, outcomes)).all()
    assert found.pinball == (100 * pinball(quantiles, outcomes)).mean()
    assert (found.hits[0.8] == covered(quantiles, outcomes, 0.8)).all()
    for row in range(7):
        for step in range(3):
            error = 100 * abs(outcomes[row, step] - quantiles[row, step, LEVELS.index(0.5)])
            assert found.absolute_error[row, step] == pytest.approx(error)
            assert found.squared_error[row, step] == pytest.approx(error**2)
            for level in TAILS:
                miss = 100 * (outcomes[row, step] - quantiles[row, step, LEVELS.index(level)])
                assert found.tails[level][row, step] == pytest.approx(max(level * miss, (level - 1) * miss))
    assert (found.direction == direction(quantiles, outcomes)).all()
    assert (found.interval_score[0.9] == 100 * interval_score(quantiles, outcomes, 0.9)).all()
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
    np.testing.assert_allclose(percent.squared_error, 100**2 * plain.squared_error)
    np.testing.assert_allclose(percent.interval_score[0.8], 100 * plain.interval_score[0.8])
    assert (percent.direction == plain.direction).all()
    assert (plain.below == percent.below).all()


@pytest.mark.parametrize("unit", [1.0, 100.0])
def test_a_log_score_is_that_of_the_outcome_in_the_unit_of_the_losses(unit):
    outcomes = np.random.default_rng(3).normal(0, 0.01, (9, 2))
    quantiles = np.tile(0.01 * ndtri(np.array(LEVELS)), (9, 2, 1))
    found = Scores.of(quantiles, outcomes, norm(0, 0.01).logpdf(outcomes), unit)
    np.testing.assert_allclose(found.log_score, -norm(0, 0.01 * unit).logpdf(unit * outcomes), rtol=1e-12)


def test_a_model_without_a_density_has_no_log_score():
    assert Scores.of(np.zeros((2, 1, 25)), np.zeros((2, 1))).log_score is None
