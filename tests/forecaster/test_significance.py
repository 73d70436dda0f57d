import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from forecaster.hac import bandwidth, standard_error
from forecaster.significance import Rate, diebold_mariano, holm, ic, rate, skill


def moving_average(rng: np.random.Generator, count: int, order: int) -> np.ndarray:
    """An MA(order) with equal weights: what overlapping targets of order + 1 steps make of white noise."""
    return np.convolve(rng.standard_normal(count + order), np.ones(order + 1) / math.sqrt(order + 1), mode="valid")


def of_statsmodels(series: np.ndarray, lag: int) -> float:
    fitted = sm.OLS(series, np.ones(len(series))).fit(
        cov_type="HAC", cov_kwds={"maxlags": lag, "use_correction": False}
    )
    return float(fitted.bse[0])


@pytest.mark.parametrize("lag", [0, 1, 5, 20])
@pytest.mark.parametrize("order", [0, 4])
def test_the_standard_error_is_that_of_statsmodels(lag, order):
    series = 3 + moving_average(np.random.default_rng(lag), 250, order) * np.linspace(1, 2, 250)
    assert standard_error(series, lag) == pytest.approx(of_statsmodels(series, lag), rel=1e-10)


@given(st.integers(0, 2**32 - 1), st.integers(3, 40), st.integers(0, 50))
def test_the_standard_error_agrees_with_a_plain_loop(seed, count, lag):
    series = np.random.default_rng(seed).standard_normal(count)
    mean, variance = sum(series) / count, 0.0
    for one in range(count):
        for other in range(count):
            distance = abs(one - other)
            if distance <= lag:
                variance += (1 - distance / (lag + 1)) * (series[one] - mean) * (series[other] - mean) / count
    assert standard_error(series, lag) == pytest.approx(math.sqrt(max(variance, 0) / count), rel=1e-6, abs=1e-9)


def test_the_bandwidth_covers_the_overlap_and_grows_with_the_sample():
    assert [bandwidth(count, horizon) for count, horizon in ((1000, 1), (1001, 1), (1000, 5), (28, 1), (7, 1))] == [
        *(10, 11, 10, 4, 2)
    ]
    assert bandwidth(100, 20) == 40


@pytest.mark.parametrize("horizon", [1, 3, 5])
@pytest.mark.parametrize("shift", [-0.2, 0.0, 0.15])
def test_diebold_mariano_agrees_with_the_published_formula(horizon, shift):
    gain = shift + moving_average(np.random.default_rng(horizon), 300, horizon - 1)
    n, h = len(gain), horizon
    statistic = gain.mean() / of_statsmodels(gain, bandwidth(n, h))
    corrected = statistic * math.sqrt((n + 1 - 2 * h + h * (h - 1) / n) / n)
    assert diebold_mariano(gain, h) == pytest.approx(stats.t.sf(corrected, df=n - 1), rel=1e-9)


def test_forecasts_that_never_differ_are_no_better():
    assert diebold_mariano(np.zeros(50), 5) == 1.0


def test_diebold_mariano_is_one_sided():
    gain = 1 + 0.1 * np.random.default_rng(0).standard_normal(100)
    assert diebold_mariano(gain, 1) < 1e-6
    assert diebold_mariano(-gain, 1) > 1 - 1e-6


def test_the_test_keeps_its_size_under_overlapping_targets():
    rng = np.random.default_rng(0)
    p_values = np.array([diebold_mariano(moving_average(rng, 400, 4), 5) for _ in range(400)])
    assert 0.02 <= (p_values < 0.05).mean() <= 0.10
    assert 0.40 <= (p_values < 0.5).mean() <= 0.60


def test_a_test_that_ignores_the_overlap_would_be_caught():
    rng = np.random.default_rng(0)
    naive = [stats.ttest_1samp(moving_average(rng, 400, 4), 0, alternative="greater").pvalue for _ in range(400)]
    assert np.mean(np.array(naive) < 0.05) > 0.10


def paired(rng: np.random.Generator, count: int, gain: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores [N, 2] that share most of their noise with a reference, the second horizon three times as large."""
    shared = np.exp(0.4 * moving_average(rng, count, 2))[:, None] * np.array([1.0, 3.0])
    own = 0.2 * np.column_stack([moving_average(rng, count, 2) for _ in range(2)]) * np.array([1.0, 3.0])
    return (1 - gain) * shared + own, shared


def test_skill_is_one_minus_the_mean_ratio_by_horizon():
    scores, reference = np.array([[1.0, 8.0], [3.0, 8.0]]), np.array([[2.0, 10.0], [2.0, 30.0]])
    found = skill(scores, reference)
    assert found.skill == pytest.approx(1 - (2 / 2 + 8 / 20) / 2)


def test_each_horizon_counts_alike():
    rng = np.random.default_rng(0)
    scores, reference = paired(rng, 200, 0.1)
    found, louder = skill(scores, reference), skill(scores * [1, 50], reference * [1, 50])
    assert (found.skill, found.error, found.p) == pytest.approx((louder.skill, louder.error, louder.p))


def test_the_standard_error_of_skill_is_that_of_its_simulation():
    rng = np.random.default_rng(3)
    found = [skill(*paired(rng, 500, 0.4)) for _ in range(300)]
    spread = np.std([one.skill for one in found])
    assert np.mean([one.error for one in found]) == pytest.approx(spread, rel=0.15)
    assert np.mean([one.skill for one in found]) == pytest.approx(0.4, abs=3 * spread / math.sqrt(300) + 1e-3)


def test_skill_of_the_reference_itself_is_nothing():
    _, reference = paired(np.random.default_rng(0), 100, 0)
    assert vars(skill(reference, reference)) == {"skill": 0.0, "error": 0.0, "p": 1.0}


def test_skill_and_its_test_point_the_same_way():
    rng = np.random.default_rng(5)
    better, worse = (skill(*paired(rng, 500, gain)) for gain in (0.2, -0.2))
    assert better.skill > 0.1
    assert better.p < 0.001
    assert worse.skill < -0.1
    assert worse.p > 0.999


def test_skill_at_one_horizon_weighs_the_overlap_it_is_told_of():
    scores, reference = (losses[:, :1] for losses in paired(np.random.default_rng(0), 300, 0.1))
    found = skill(scores, reference, overlap=20)
    gain = (reference - scores)[:, 0] / reference.mean()
    assert found.p == diebold_mariano(gain, 20) != skill(scores, reference).p
    assert found.skill == skill(scores, reference).skill
    influence = (scores - scores.mean() / reference.mean() * reference)[:, 0] / reference.mean()
    assert found.error == pytest.approx(of_statsmodels(influence, 40))


def market(seed: int, symbols: int, days: int, strength: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forecasts, outcomes and sessions [N] in no order; some symbols are not there on some days."""
    rng = np.random.default_rng(seed)
    forecasts = rng.standard_normal((days, symbols))
    outcomes = strength * forecasts + rng.standard_t(3, (days, symbols)) + rng.standard_normal((days, 1))
    sessions = np.repeat(np.datetime64("2001-01-01") + np.arange(days), symbols)
    kept = rng.permutation(days * symbols)[: round(0.8 * days * symbols)] if symbols > 1 else rng.permutation(days)
    return forecasts.ravel()[kept], outcomes.ravel()[kept], sessions[kept]


def test_information_across_symbols_is_the_mean_of_scipys_correlations():
    forecasts, outcomes, sessions = market(0, 6, 80, 0.3)
    days = [sessions == day for day in np.unique(sessions) if (sessions == day).sum() > 1]
    plain = [stats.pearsonr(forecasts[day], outcomes[day]).statistic for day in days]
    ranked = [stats.spearmanr(forecasts[day], outcomes[day]).statistic for day in days]
    found = ic(forecasts, outcomes, sessions, 3)
    assert (found.ic, found.rank_ic) == pytest.approx((np.mean(plain), np.mean(ranked)))
    assert found.count == len(days)
    assert found.error == pytest.approx(of_statsmodels(np.array(plain), bandwidth(len(days), 3)))
    assert found.rank_error == pytest.approx(of_statsmodels(np.array(ranked), bandwidth(len(days), 3)))


def test_information_of_one_symbol_is_its_correlation_over_time():
    forecasts, outcomes, sessions = market(1, 1, 300, 0.3)
    found = ic(forecasts, outcomes, sessions, 1)
    assert found.ic == pytest.approx(stats.pearsonr(forecasts, outcomes).statistic)
    assert found.rank_ic == pytest.approx(stats.spearmanr(forecasts, outcomes).statistic)
    assert found.count == 300


def test_the_error_of_a_correlation_over_time_is_that_of_its_simulation():
    found = [ic(*market(seed, 1, 400, 0.3), 1) for seed in range(300)]
    assert np.mean([one.error for one in found]) == pytest.approx(np.std([one.ic for one in found]), rel=0.15)
    assert np.mean([one.rank_error for one in found]) == pytest.approx(np.std([one.rank_ic for one in found]), rel=0.15)


def test_a_forecast_that_is_always_alike_tells_nothing():
    _, outcomes, sessions = market(2, 4, 30, 0)
    found = ic(np.full(len(outcomes), 0.1), outcomes, sessions, 1)
    assert (found.ic, found.rank_ic, found.error) == (0, 0, 0)
    over_time = ic(np.zeros(50), np.arange(50.0), np.datetime64("2001-01-01") + np.arange(50), 1)
    assert (over_time.ic, over_time.error) == (0, 0)


def test_the_interval_of_a_rate_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    cut = stats.norm.ppf(0.8)
    found = [rate((moving_average(rng, 400, 2) < cut)[:, None].astype(float), 0.95) for _ in range(300)]
    assert 0.88 <= np.mean([one.holds(0.8) for one in found]) <= 0.99
    assert np.mean([one.holds(0.7) for one in found]) < 0.3


def test_a_rate_is_the_mean_with_an_interval_around_it():
    found = rate(np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 1.0]]))
    assert found.rate == 0.75
    assert found.low < 0.75 < found.high
    assert found.rate - found.low == pytest.approx(found.high - found.rate)


@pytest.mark.parametrize(("nominal", "holds"), [(0.7, True), (0.75, True), (0.8, True), (0.69, False), (0.81, False)])
def test_an_interval_holds_what_lies_in_it(nominal, holds):
    assert Rate(0.75, 0.7, 0.8).holds(nominal) is holds


def test_holm_by_hand():
    # Sorted .005 .01 .03 .04 times 4 3 2 1 = .02 .03 .06 .04, then never below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([0.04]) == [0.04]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(p_values):
    adjusted = holm(p_values)
    assert all(p <= q for p, q in zip(p_values, adjusted, strict=True))
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    assert [adjusted[index] for index in order] == sorted(adjusted)
    assert max(adjusted) <= 1
