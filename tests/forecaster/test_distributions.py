"""Heads against scipy and arch, at the tails too; what is asked of all of them is asked of each."""

from typing import get_args

import numpy as np
import pytest
import torch
from arch.univariate import SkewStudent
from laws import LAWS, TAILS
from scipy import stats
from small_pool import CONTEXTS, TABLES, Still, contexts

from forecaster.contract import LEVELS, MEDIAN
from forecaster.families.base import Network, folded
from forecaster.families.distributions import (
    Grid,
    Head,
    Parametric,
    SkewT,
    StudentCurve,
    make_component,
    make_head,
)
from forecaster.families.gru import GruFamily
from forecaster.families.pool import Pool
from forecaster.families.seq2seq import Seq2SeqFamily
from forecaster.training.export import parity, to_onnx

LEVEL = np.array(LEVELS)
FAR = np.geomspace(0.01, 60, 60)
PLACES = np.concatenate((-FAR[::-1], [0.0], FAR)).astype(np.float32)
HEADS: tuple[Head, ...] = get_args(Head)

CASES = [(make_head(name), parameters, law(*parameters)) for name, (law, tried) in LAWS.items() for parameters in tried]
every_case = pytest.mark.parametrize(("head", "parameters", "law"), CASES, ids=lambda case: str(case)[:40])
every_head = pytest.mark.parametrize("name", HEADS)


def exact(tail: float) -> float:
    """What float32 leaves of a probability: the t's integrand is a power of about `tail`."""
    return 1e-6 if tail <= 15 else 8e-6


def row(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float32)


def stirred(head: Head, seed: int = 0, size: float = 1.0, count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Random raw numbers [N, P] and the parameters that they are linked to, for anchors of about .01."""
    made = make_head(head)
    generator = torch.Generator().manual_seed(seed)
    raw = (size * torch.randn(count, made.size, generator=generator)).requires_grad_()
    anchor = 0.01 * torch.rand(count, generator=generator) + 1e-3
    return raw, made.link(raw, anchor, torch.tensor(0.01))


@every_case
def test_quantiles_are_those_of_scipy(head: Parametric, parameters, law):
    found = head.quantiles(row(*parameters)).numpy()
    np.testing.assert_allclose(found, law.ppf(LEVEL), rtol=3e-6, atol=3e-6)


@every_case
def test_probabilities_are_those_of_scipy(head: Parametric, parameters, law):
    found = head.cdf(row(*parameters), torch.from_numpy(PLACES)).numpy()
    np.testing.assert_allclose(found, law.cdf(PLACES.astype(float)), rtol=0, atol=exact(parameters[-1]))


@every_case
def test_log_densities_are_those_of_scipy(head: Parametric, parameters, law):
    expected = law.logpdf(PLACES.astype(float))
    known = np.isfinite(expected)  # scipy takes the logarithm of a density that has become 0
    found = head.log_density(row(*parameters), torch.from_numpy(PLACES)).numpy()
    assert known.sum() > 60
    np.testing.assert_allclose(found[known], expected[known], rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize(("head", "parameters"), [(head, parameters) for head, parameters, _ in CASES])
def test_the_probability_below_a_quantile_is_its_level(head: Parametric, parameters):
    own = row(*parameters)
    np.testing.assert_allclose(head.cdf(own, head.quantiles(own)).numpy(), LEVEL, rtol=0, atol=exact(parameters[-1]))


@pytest.mark.parametrize("tail", [2.06, 2.5, 4.0, 10.0, 50.0, 200.0])
@pytest.mark.parametrize("skew", [-0.9, -0.3, 0.0, 0.1, 0.9])
def test_the_skewed_t_is_archs(skew, tail):
    found = SkewT().cdf(row(0.0, 1.0, skew, tail), torch.from_numpy(PLACES)).numpy()
    np.testing.assert_allclose(found, SkewStudent().cdf(PLACES.astype(float), [tail, skew]), rtol=0, atol=exact(tail))
    moved = SkewT().cdf(row(0.5, 2.0, skew, tail), torch.from_numpy(0.5 + 2 * PLACES)).numpy()
    np.testing.assert_allclose(moved, found, rtol=0, atol=exact(tail))


@pytest.mark.parametrize("tail", TAILS)
def test_the_peak_of_a_t_is_its_density_at_zero(tail):
    assert float(StudentCurve().peak(torch.tensor(tail))) == pytest.approx(stats.t(tail).pdf(0), rel=1e-5)


@every_head
def test_raw_zeros_are_a_random_walk_of_the_anchors_size(name):
    head = make_head(name)
    anchor = torch.tensor([0.004, 0.01, 0.3])
    parameters = head.link(torch.zeros(3, head.size), anchor, torch.tensor(0.01))
    quantiles = head.quantiles(parameters)
    assert torch.allclose(quantiles[:, MEDIAN], torch.zeros(3), atol=1e-7)
    assert torch.allclose(quantiles / anchor[:, None], (quantiles / anchor[:, None])[:1], rtol=1e-5)
    assert torch.allclose(quantiles, -quantiles.flip(-1), rtol=1e-4, atol=1e-7)
    spread = quantiles[:, LEVELS.index(0.95)] / anchor
    assert (spread > 0.9).all()
    assert (spread < 2.2).all()


@every_head
@pytest.mark.parametrize("size", [0.1, 1.0, 3.0, 8.0])
def test_quantiles_rise_with_the_level_whatever_the_network_says(name, size):
    for seed in range(3):
        quantiles = make_head(name).quantiles(stirred(name, seed, size)[1])
        assert torch.isfinite(quantiles).all()
        assert (quantiles.diff(dim=-1) >= 0).all()


@every_head
@pytest.mark.parametrize("size", [1.0, 3.0, 8.0])
def test_the_gradient_is_finite_for_extreme_raw_numbers(name, size):
    raw, parameters = stirred(name, size=size)
    outcomes = torch.linspace(-1.0, 1.0, len(raw))  # a hundred times the anchor
    loss = make_head(name).loss(parameters, outcomes, torch.tensor(0.01))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


@every_head
def test_the_loss_does_not_depend_on_the_targets_unit(name):
    head = make_head(name)
    outcomes = torch.linspace(-0.03, 0.03, 200)
    raw, _ = stirred(name)
    anchor, reach = torch.full((200,), 0.01), torch.tensor(0.02)
    small, large = (
        head.loss(head.link(raw, size * anchor, size * reach), size * outcomes, size * reach) for size in (1.0, 1000.0)
    )
    assert torch.allclose(small, large, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [head for head in HEADS if head != "quantiles"])
def test_the_loss_of_a_density_is_its_negative_logarithm(name):
    head = make_head(name)
    assert isinstance(head, Parametric)
    _, parameters = stirred(name)
    outcomes = torch.linspace(-0.03, 0.03, 200)
    found = head.loss(parameters, outcomes, torch.tensor(0.01))
    assert torch.allclose(found, -head.log_density(parameters, outcomes) - np.log(0.01), atol=1e-5)


def test_the_loss_of_a_grid_is_the_crps():
    from forecaster.scores import crps

    _, parameters = stirred("quantiles")
    outcomes = torch.linspace(-0.03, 0.03, 200)
    found = Grid().loss(parameters, outcomes, torch.tensor(0.01)).detach().numpy()
    expected = crps(parameters.detach().double().numpy()[:, None], outcomes.double().numpy()[:, None])[:, 0]
    np.testing.assert_allclose(found, expected / 0.01, rtol=1e-5)


def grid_of(law: stats.rv_continuous) -> torch.Tensor:
    return torch.from_numpy(law.ppf(LEVEL)).float()


def test_the_probability_below_a_grids_quantile_is_its_level():
    grid = grid_of(stats.norm())
    np.testing.assert_allclose(Grid().cdf(grid, grid).numpy(), LEVEL, rtol=0, atol=1e-6)


@pytest.mark.parametrize("edge", [0, -1])
def test_the_tail_of_a_grid_goes_on_without_a_jump(edge):
    """Neither in probability nor in density at the outermost quantile."""
    quantiles = grid_of(stats.t(4)).double()
    head, at, step = Grid().double(), float(quantiles[edge]), 1e-4
    below, here, above = (float(head.cdf(quantiles, torch.tensor(at + side * step).double())) for side in (-1, 0, 1))
    assert here == pytest.approx(LEVELS[edge], abs=1e-7)
    assert (here - below) / step == pytest.approx((above - here) / step, rel=1e-3)


def test_the_tail_of_a_grid_ends_in_certainty():
    far = torch.tensor([-1e6, 1e6])
    assert Grid().cdf(grid_of(stats.norm()), far).tolist() == pytest.approx([0.0, 1.0], abs=1e-7)


def test_a_grid_of_equal_quantiles_has_a_distribution_function():
    flat = torch.zeros(len(LEVELS))
    found = Grid().cdf(flat, torch.tensor([-1.0, 1.0]))
    assert found.tolist() == pytest.approx([0.0, 1.0], abs=1e-6)


@pytest.mark.parametrize("size", [1, 9])
@every_head
def test_a_networks_graph_answers_as_torch_does(name, size):
    torch.manual_seed(0)
    network = GruFamily(name="gru", hidden=4, head=name).build(Still.SPEC)
    assert isinstance(network, Network)
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    graph = to_onnx(network.eval(), CONTEXTS[:3])
    assert parity(network, graph, contexts(size, seed=5)) <= 1e-5


@pytest.mark.parametrize("family", [GruFamily(name="gru", hidden=4), Seq2SeqFamily(name="seq2seq", hidden=4)])
def test_folding_changes_a_copy_and_no_answer(family):
    torch.manual_seed(0)
    network = family.build(Still.SPEC).eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    copy = folded(network)
    with torch.inference_mode():
        for found, expected in zip(copy(CONTEXTS), network(CONTEXTS), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)
    assert network.shape is not None
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert (copy.shape is None) == (family.family == "gru")  # seq2seq reads all horizons out by the same weights


@pytest.mark.parametrize("name", TABLES)
def test_a_distributions_graph_answers_as_torch_does_through_a_pool(name):
    pool = Pool([Still(name), Still("gaussian")]).eval()
    graph = to_onnx(pool, CONTEXTS[:3])
    for size in (1, 9):
        assert parity(pool, graph, contexts(size, seed=5)) <= 1e-5


def test_components_are_made_into_what_they_name():
    for name in HEADS:
        head = make_head(name)
        part = head.components[0] if head.components else None
        assert type(make_component(part)) is type(head)
