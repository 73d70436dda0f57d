"""The distribution that a grid of quantiles stands for, and the perplexity read off it."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from forecaster import curve
from forecaster.contract import LEVELS, Floats
from forecaster.families.distributions import Grid
from forecaster.scores import perplexity

LEVEL = np.array(LEVELS)
NORMAL = stats.norm.ppf(LEVEL)
EDGES = NORMAL[[LEVELS.index(round(0.1 * k, 1)) for k in range(1, 10)]]

steps = st.lists(st.floats(1e-3, 0.2), min_size=25, max_size=25).map(lambda drawn: np.cumsum(drawn) - 1.0)
probability = st.floats(1e-6, 1 - 1e-6)


def plain(quantiles: Floats, value: float) -> float:
    """Probability up to a value, by cases."""
    low, high = quantiles[0], quantiles[-1]
    if value < low:
        rate = (LEVEL[1] - LEVEL[0]) / (quantiles[1] - low) / LEVEL[0]
        return float(LEVEL[0] * math.exp((value - low) * rate))
    if value > high:
        rate = (LEVEL[-1] - LEVEL[-2]) / (high - quantiles[-2]) / (1 - LEVEL[-1])
        return float(1 - (1 - LEVEL[-1]) * math.exp((high - value) * rate))
    return float(np.interp(value, quantiles, LEVEL))


@given(steps, st.floats(-3, 6))
def test_probabilities_agree_with_a_plain_reading(quantiles, value):
    assert curve.cdf(quantiles, np.array([value]))[0] == pytest.approx(plain(quantiles, value), abs=1e-12)


@settings(max_examples=50)
@given(steps)
def test_it_is_the_twin_of_the_grid(quantiles):
    values = np.linspace(-3, 6, 41)
    twin = Grid().cdf(torch.from_numpy(quantiles).float(), torch.from_numpy(values).float())
    np.testing.assert_allclose(curve.cdf(quantiles, values), twin.numpy(), rtol=0, atol=2e-5)


@given(steps, probability)
def test_the_probability_below_an_inverse_is_what_was_asked(quantiles, wanted):
    value = curve.inverse(quantiles, np.array([wanted]))
    assert curve.cdf(quantiles, value)[0] == pytest.approx(wanted, abs=1e-12)


@given(steps, st.lists(probability, min_size=2, max_size=9).map(sorted))
def test_an_inverse_rises_with_the_probability(quantiles, wanted):
    assert (np.diff(curve.inverse(quantiles, np.array(wanted))) >= 0).all()


def test_the_inverse_of_a_level_is_its_quantile():
    np.testing.assert_allclose(curve.inverse(NORMAL, LEVEL), NORMAL, atol=1e-12)


def test_leading_axes_are_kept():
    quantiles = np.stack([[NORMAL, 2 * NORMAL], [3 * NORMAL, 4 * NORMAL]])
    found = curve.cdf(quantiles, np.broadcast_to(EDGES, (2, 2, 9)))
    assert found.shape == (2, 2, 9)
    np.testing.assert_allclose(found[1, 0], curve.cdf(3 * NORMAL, EDGES))


@pytest.mark.filterwarnings("error")
def test_quantiles_that_are_equal_are_a_step():
    flat = np.zeros(25)
    assert curve.cdf(flat, np.array([-1.0, 1.0])).tolist() == pytest.approx([0.0, 1.0], abs=1e-9)
    assert curve.inverse(flat, np.array([1e-6, 0.5, 1 - 1e-6])) == pytest.approx([0, 0, 0], abs=1e-9)


def test_the_perplexity_of_the_bins_marginal_is_their_number():
    outcomes = np.random.default_rng(0).standard_normal((500, 2))
    forecast = np.tile(NORMAL, (500, 2, 1))
    assert perplexity(forecast, outcomes, EDGES) == pytest.approx(10, rel=1e-9)


def test_the_perplexity_agrees_with_a_plain_loop():
    rng = np.random.default_rng(1)
    forecasts = NORMAL * rng.uniform(0.3, 2.0, (80, 3, 1)) + rng.uniform(-0.5, 0.5, (80, 3, 1))
    outcomes = rng.standard_normal((80, 3))
    total = 0.0
    for quantiles, outcome in zip(forecasts[:, 0], outcomes[:, 0], strict=True):
        bounds = [-math.inf, *EDGES, math.inf]
        for low, high in pairwise(bounds):
            if low < outcome <= high:
                below, above = (0.0 if low == -math.inf else plain(quantiles, low)), plain(quantiles, min(high, 1e6))
                total -= math.log(max(above - below, 1e-6))
    assert perplexity(forecasts, outcomes, EDGES) == pytest.approx(math.exp(total / 80), rel=1e-9)


def test_an_outcome_that_was_called_impossible_does_not_decide_alone():
    forecast = np.tile(1e-3 * NORMAL + 5, (1, 1, 1))
    assert perplexity(forecast, np.array([[-3.0]]), EDGES) == pytest.approx(1e6)


def test_a_sure_and_right_forecast_is_in_no_doubt():
    forecast = np.tile(1e-3 * NORMAL + 0.1, (4, 1, 1))
    assert perplexity(forecast, np.full((4, 1), 0.1), EDGES) == pytest.approx(1, abs=1e-6)
