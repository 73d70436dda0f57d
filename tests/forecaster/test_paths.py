"""Sample paths: marginals are the forecast's, joined as a random walk."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr, ndtri

from forecaster import curve
from forecaster.contract import LEVELS, Floats
from forecaster.paths import _normal, sample

COUNT = 40_000
LEVEL = np.array(LEVELS)


def forecast(horizon: int) -> Floats:
    """Skewed quantiles that widen with the horizon [H, Q]."""
    shape = stats.johnsonsu(-0.5, 1.5).ppf(LEVEL)
    return 0.01 * np.sqrt(np.arange(1, horizon + 1))[:, None] * shape


@pytest.mark.parametrize("horizon", [1, 4])
def test_marginals_are_those_of_the_forecast(horizon):
    quantiles = forecast(horizon)
    paths = sample(quantiles, COUNT, seed=1)
    assert paths.shape == (COUNT, horizon)
    error = np.sqrt(LEVEL * (1 - LEVEL) / COUNT)
    for step in range(horizon):
        below = (paths[:, step, None] <= quantiles[step]).mean(0)
        assert (np.abs(below - LEVEL) < 4 * error).all()
        law = stats.kstest(paths[:, step], lambda values, own=quantiles[step]: curve.cdf(own, values))
        assert law.pvalue > 0.01


def test_steps_hang_together_as_a_random_walks():
    quantiles = forecast(4)
    paths = sample(quantiles, COUNT, seed=2)
    score = ndtri(np.column_stack([curve.cdf(row, paths[:, step]) for step, row in enumerate(quantiles)]))
    found = np.corrcoef(score.T)
    for first in range(4):
        for second in range(first, 4):
            expected = np.sqrt((first + 1) / (second + 1))
            assert found[first, second] == pytest.approx(expected, abs=4 / np.sqrt(COUNT))


def test_increments_do_not_hang_together_where_the_marginals_are_normal():
    normal = np.sqrt(np.arange(1, 5))[:, None] * stats.norm.ppf(LEVEL)
    increments = np.diff(sample(normal, COUNT, seed=3), axis=1, prepend=0.0)
    off = np.corrcoef(increments.T)[~np.eye(4, dtype=bool)]
    assert np.abs(off).max() < 5 / np.sqrt(COUNT)
    np.testing.assert_allclose(increments.std(0), 1.0, atol=0.02)


def test_the_same_seed_gives_the_same_paths_and_another_gives_others():
    quantiles = forecast(3)
    assert (sample(quantiles, 50, seed=4) == sample(quantiles, 50, seed=4)).all()
    assert (sample(quantiles, 50, seed=4) != sample(quantiles, 50, seed=5)).all()


def test_the_normal_law_is_scipys_into_the_far_tail():
    values = np.linspace(-20, 8.2, 5000)
    np.testing.assert_allclose(_normal(values), ndtr(values), rtol=1e-12)


def test_one_path_of_one_step_is_a_path():
    assert np.isfinite(sample(forecast(1), 1, seed=0)).all()
