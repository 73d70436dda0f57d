"""The linear pool: against root finding and another optimiser, as a graph, and blind to what it will be scored on."""

import numpy as np
import pytest
import torch
from arch.univariate import SkewStudent
from scipy import stats
from scipy.optimize import brentq, minimize
from small_pool import CONTEXTS, TABLES, Still, contexts

from forecaster import curve
from forecaster.contract import LEVELS, Floats
from forecaster.densities import log_density
from forecaster.families.base import ewma_scale
from forecaster.families.pool import Pool
from forecaster.training.export import parity, to_onnx


def law(name: str, step: int, shift: float = 0.0):
    """The distribution function of a table's row, by scipy, arch and numpy."""
    parameters = np.array(TABLES[name][step])
    if name == "quantiles":
        return lambda value: float(curve.cdf(parameters + shift, np.array([value]))[0])
    location, scale, *others = parameters
    location += shift
    if name == "skew_t":
        skew, tail = others
        return lambda value: float(SkewStudent().cdf((value - location) / scale, [tail, skew]))
    frozen = {
        "gaussian": lambda: stats.norm(location, scale),
        "student_t": lambda: stats.t(others[0], location, scale),
        "johnson_su": lambda: stats.johnsonsu(others[0], others[1], location, scale),
    }[name]()
    return lambda value: float(frozen.cdf(value))


MIXTURES = [
    (("gaussian", "student_t"), (0.5, 0.5)),
    (("johnson_su", "skew_t", "student_t"), (0.2, 0.5, 0.3)),
    (("quantiles", "gaussian"), (0.9, 0.1)),
    (("student_t", "quantiles", "quantiles"), (0.25, 0.5, 0.25)),
    (("skew_t",), (1.0,)),
]
every_mixture = pytest.mark.parametrize(("names", "shares"), MIXTURES, ids=lambda drawn: "-".join(map(str, drawn)))


def pool_of(names: tuple[str, ...], shares: tuple[float, ...]) -> Pool:
    """Members a little apart, so that two of one kind differ."""
    pool = Pool([Still(name, 0.5 * number) for number, name in enumerate(names)])
    pool.share.copy_(torch.tensor(shares))
    return pool.eval()


@every_mixture
def test_quantiles_solve_the_mixture(names, shares):
    with torch.inference_mode():
        found = pool_of(names, shares)(CONTEXTS[:2])[0].double().numpy()
    size = ewma_scale(CONTEXTS[:2])[:, -1].double().numpy()[..., None]
    for step in range(2):
        laws = [law(name, step, 0.5 * number) for number, name in enumerate(names)]

        def mixture(value: float, laws=laws) -> float:
            return sum(share * one(value) for share, one in zip(shares, laws, strict=True))

        for place, level in enumerate(LEVELS):
            expected = brentq(lambda value, level=level: mixture(value) - level, -60, 60, xtol=1e-9)
            np.testing.assert_allclose((found / size)[:, step, place], expected, rtol=2e-4, atol=2e-4)


@every_mixture
def test_quantiles_are_ordered(names, shares):
    with torch.inference_mode():
        quantiles = pool_of(names, shares)(contexts(40, seed=1))[0]
    assert (quantiles.diff(dim=-1) >= 0).all()


@every_mixture
def test_a_pools_graph_answers_as_torch_does(names, shares):
    pool = pool_of(names, shares)
    graph = to_onnx(pool, CONTEXTS[:1])
    for size in (1, 9):
        assert parity(pool, graph, contexts(size, seed=2)) <= 1e-5


def test_a_pool_of_one_member_is_the_member():
    member = Still("johnson_su").eval()
    with torch.inference_mode():
        own, pooled = member(CONTEXTS), Pool([member]).eval()(CONTEXTS)
    torch.testing.assert_close(pooled[0], own[0], rtol=1e-5, atol=1e-7)
    assert torch.equal(pooled[1], own[1])


def test_a_pool_within_a_pool_is_one_pool():
    inner = pool_of(("gaussian", "student_t"), (0.25, 0.75))
    outer = Pool([inner, Still("johnson_su", 1.0)])
    outer.share.copy_(torch.tensor([0.4, 0.6]))
    flat = Pool([*inner.pooled, Still("johnson_su", 1.0)])
    flat.share.copy_(torch.tensor([0.1, 0.3, 0.6]))
    with torch.inference_mode():
        nested, direct = outer.eval()(CONTEXTS), flat.eval()(CONTEXTS)
    torch.testing.assert_close(nested[0], direct[0], rtol=1e-5, atol=1e-7)
    assert [part.distribution for part in outer.density] == ["gaussian", "student_t", "johnson_su"]
    assert [part.weight for part in outer.density] == pytest.approx([0.1, 0.3, 0.6])


def test_a_pool_with_a_member_without_density_has_none():
    pool = pool_of(("gaussian", "quantiles"), (0.5, 0.5))
    assert pool.density == ()
    assert len(pool(CONTEXTS)) == 1


def test_the_density_of_a_pool_is_its_members_mean():
    pool = pool_of(("gaussian", "skew_t", "student_t"), (0.2, 0.5, 0.3))
    with torch.inference_mode():
        parameters = pool(CONTEXTS)[1].double().numpy()
        apart = [member(CONTEXTS)[1].double().numpy() for member in pool.pooled]
    outcomes = 0.01 * np.random.default_rng(0).standard_normal((len(CONTEXTS), 2))
    found = np.exp(log_density(pool.density, parameters, outcomes))
    each = [np.exp(log_density(m.density, own, outcomes)) for m, own in zip(pool.pooled, apart, strict=True)]
    np.testing.assert_allclose(found, 0.2 * each[0] + 0.5 * each[1] + 0.3 * each[2], rtol=1e-6)


def simulated(count: int, weights: tuple[float, ...], seed: int = 0) -> Floats:
    """Log densities [M, N] of members at outcomes that a mixture of them made."""
    laws = [stats.norm(-1, 0.5), stats.norm(1, 1), stats.t(3, 0, 2)][: len(weights)]
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(weights), size=count, p=weights)
    outcomes = np.choose(drawn, [one.rvs(count, random_state=rng) for one in laws])
    return np.stack([one.logpdf(outcomes) for one in laws])


def weighed(log_densities: Floats) -> Floats:
    pool = Pool([Still("gaussian") for _ in log_densities])
    pool.weigh(log_densities)
    return np.array(pool.shares)


def mean_score(share: Floats, log_densities: Floats) -> float:
    return float(np.log(share @ np.exp(log_densities)).mean())


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.8, 0.2), (0.2, 0.5, 0.3), (1.0, 0.0, 0.0)])
def test_weights_are_those_that_made_the_outcomes(weights):
    found = weighed(simulated(20_000, weights))
    assert found.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(found, weights, atol=0.03)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_weights_are_those_of_another_optimiser(seed):
    log_densities = simulated(400, (0.2, 0.5, 0.3), seed)
    simplex = {"type": "eq", "fun": lambda share: share.sum() - 1}
    best = minimize(
        lambda share: -mean_score(share, log_densities), np.full(3, 1 / 3), method="SLSQP",
        bounds=[(0, 1)] * 3, constraints=[simplex], options={"ftol": 1e-12},
    )  # fmt: skip
    assert best.success
    found = weighed(log_densities)
    np.testing.assert_allclose(found, best.x, atol=2e-3)
    assert mean_score(found, log_densities) >= -best.fun - 1e-7


def test_outcomes_that_all_called_impossible_break_nothing():
    log_densities = simulated(200, (0.5, 0.5))
    log_densities[:, 7] = -5000.0
    found = weighed(log_densities)
    assert np.isfinite(found).all()
    assert found.sum() == pytest.approx(1, abs=1e-6)


def test_members_alike_share_alike():
    one = simulated(300, (0.5, 0.5))[0]
    assert weighed(np.stack([one, one, one])).tolist() == pytest.approx([1 / 3] * 3)
