"""The densities that artifacts are scored by: equal to torch's, whole, and pooled linearly."""

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
import torch
from arch.univariate import SkewStudent
from laws import LAWS
from pydantic import ValidationError
from scipy import stats
from scipy.integrate import quad

from forecaster.components import PARAMETERS, Component, width
from forecaster.contract import Floats
from forecaster.densities import hansen, log_density
from forecaster.families.distributions import Head, Parametric, make_head

RNG = np.random.default_rng(3)
OUTCOMES = (-8.0, -0.6, 0.0, 0.5, 3.0, 20.0)


def part(name: str, weight: float = 1.0) -> Component:
    return Component.model_validate({"distribution": name, "weight": weight})


def at(components: list[Component], parameters: Sequence[float], outcome: float) -> float:
    """Log density of one outcome."""
    return float(log_density(components, np.array([[parameters]]), np.array([[outcome]]))[0, 0])


@pytest.mark.parametrize("name", LAWS)
def test_the_density_is_the_twin_of_torchs(name: Head):
    head = make_head(name)
    assert isinstance(head, Parametric)
    raw = torch.randn(50, 4, head.size, generator=torch.Generator().manual_seed(0))
    parameters = head.link(raw, torch.full((50, 4), 0.01), torch.tensor(0.01))
    outcomes = 0.05 * torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    found = log_density([part(name)], parameters.double().numpy(), outcomes.double().numpy())
    np.testing.assert_allclose(found, head.log_density(parameters, outcomes).numpy(), rtol=2e-5, atol=2e-5)


def test_every_distribution_has_a_law():
    assert {*LAWS, "skew_t"} == set(PARAMETERS)
    assert {*LAWS, "quantiles"} == set(get_args(Head))


@pytest.mark.parametrize(("name", "parameters"), [(name, one) for name, (_, tried) in LAWS.items() for one in tried])
def test_each_density_is_that_of_scipy(name, parameters):
    expected = LAWS[name][0](*parameters).logpdf(OUTCOMES)
    for outcome, one in zip(OUTCOMES, expected, strict=True):
        if one > -500:  # scipy takes the logarithm of a density that has become 0
            assert at([part(name)], parameters, outcome) == pytest.approx(one, abs=1e-10)


def test_the_skewed_t_is_archs():
    skew, tail = -0.3, 5.0
    for outcome in OUTCOMES:
        centred, variance = np.atleast_1d(outcome) - 0.5, np.array([4.0])
        (expected,) = SkewStudent().loglikelihood([tail, skew], centred, variance, individual=True)
        assert at([part("skew_t")], [0.5, 2.0, skew, tail], outcome) == pytest.approx(float(expected), abs=1e-10)


@pytest.mark.parametrize(("skew", "tail"), [(-0.9, 2.5), (0.0, 4.0), (0.5, 30.0)])
def test_hansens_constants_give_mean_zero_and_variance_one(skew, tail):
    def moment(power: int) -> float:
        def integrand(y: float) -> float:
            return y**power * np.exp(at([part("skew_t")], [0.0, 1.0, skew, tail], y))

        return float(sum(quad(integrand, *span, limit=400)[0] for span in ((-np.inf, 0), (0, np.inf))))

    shift, stretch = hansen(np.array(skew), np.array(tail))
    assert np.isfinite(shift)
    assert stretch > 0
    assert moment(0) == pytest.approx(1, abs=1e-5)
    assert moment(1) == pytest.approx(0, abs=1e-3)
    assert moment(2) == pytest.approx(1, abs=0.02 if tail < 3 else 1e-4)


def test_a_mixture_integrates_to_one():
    mixture = [part("gaussian", 0.1), part("student_t", 0.2), part("johnson_su", 0.3), part("skew_t", 0.4)]
    parameters = [0.4, 1.3, -0.2, 0.7, 2.06, 0.1, 2.0, -1.2, 0.8, 0.5, 2.0, -0.3, 5.0]
    assert len(parameters) == width(mixture)
    whole = sum(
        quad(lambda y: np.exp(at(mixture, parameters, y)), *span, limit=400)[0]
        for span in ((-np.inf, -2), (-2, 0), (0, 2), (2, np.inf))
    )
    assert whole == pytest.approx(1, abs=1e-6)


def test_a_mixture_is_the_weighted_mean_of_its_parts():
    mixture = [part("student_t", 0.25), part("gaussian", 0.75)]
    parameters: Floats = RNG.random((6, 2, 5)) + 2.1
    outcomes = RNG.standard_normal((6, 2))
    found = np.exp(log_density(mixture, parameters, outcomes))
    first = np.exp(log_density([part("student_t")], parameters[..., :3], outcomes))
    second = np.exp(log_density([part("gaussian")], parameters[..., 3:], outcomes))
    np.testing.assert_allclose(found, 0.25 * first + 0.75 * second, rtol=1e-12)


@pytest.mark.filterwarnings("error")
def test_a_part_of_no_weight_counts_for_nothing():
    mixture = [part("gaussian", 1.0), part("student_t", 0.0)]
    assert at(mixture, [0.0, 1.0, 5.0, 1.0, 4.0], 0.3) == pytest.approx(stats.norm.logpdf(0.3))


@pytest.mark.parametrize("change", [{"weight": 1.1}, {"weight": -0.1}, {"distribution": "cauchy"}, {"more": 1}])
def test_a_component_that_is_none_is_refused(change):
    with pytest.raises(ValidationError):
        Component.model_validate({"distribution": "gaussian"} | change)
