"""Every family is asked the same questions, through its public contract: build, estimate, parameters_at, forward."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load, save
from small_market import FAMILIES, SHORT, Market, is_trained, seal, stirred, task, trained, windows_from
from torch import Tensor

from forecaster.components import width
from forecaster.contract import LEVELS, MEDIAN, Target, WindowSpec
from forecaster.families.base import Model, Network, Spec
from forecaster.training.config import TrainingConfig
from forecaster.training.export import to_onnx
from forecaster.training.fit import fit
from forecaster.training.learner import Batch, Learner
from forecaster.windows import Sample, Windows, blocks

WINDOW = WindowSpec(context=32, burn_in=24, channels=("log_return", "log_range", "change(M)"))
SPEC = Spec(WINDOW, horizon=3)
TARGET = Target(symbols=("T",), venue="XNYS", horizon=3)
TRAINED = [family for family in FAMILIES if is_trained(family, SPEC)]


def series(seed: int = 0, count: int = 240) -> Windows:
    rng = np.random.default_rng(seed)
    returns = 0.01 * rng.standard_normal(count) * np.exp(0.5 * np.sin(np.arange(count) / 20))
    others = np.column_stack((0.02 * rng.random(count), rng.standard_normal(count)))
    return windows_from(returns, others, WINDOW, SPEC.horizon)


WINDOWS = series()
ORIGINS = WINDOWS.span(None, None)
CONTEXTS = torch.from_numpy(WINDOWS.contexts(ORIGINS))

every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
trained_family = pytest.mark.parametrize("family", TRAINED, ids=lambda family: family.name)


def answer(model: Model, contexts: Tensor) -> list[Tensor]:
    with torch.inference_mode():
        return list(model(contexts))


def stirred_network(family) -> Network:
    network = stirred(family, SPEC, WINDOWS)
    assert isinstance(network, Network)
    return network


def weights(model: Model) -> bytes:
    return b"".join(name.encode() + value.numpy().tobytes() for name, value in sorted(model.state_dict().items()))


def batch_of(windows: Windows = WINDOWS) -> Batch:
    tiled = blocks(windows, windows.span(None, None), 0)
    return Batch(*(torch.from_numpy(part) for part in (tiled.inputs, tiled.targets, tiled.weight)))


def assert_close(found: Tensor | np.ndarray, expected: Tensor | np.ndarray, tolerance: float) -> None:
    """Within tolerance * (1 + |expected|)."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.max(np.abs(found - expected) / (1 + np.abs(expected))) <= tolerance


def test_the_union_is_covered():
    ladder = ("naive", "ngram", "ar", "garch", "har", "mlp", "rnn", "lstm", "gru", "seq2seq", "transformer", "pool")
    assert {family.family for family in FAMILIES} >= set(ladder)


@every_family
def test_shapes_are_those_of_the_contract(family):
    found = answer(stirred(family, SPEC, WINDOWS), CONTEXTS[:5])
    assert found[0].shape == (5, 3, len(LEVELS))
    model = family.build(SPEC)
    assert [one.shape for one in found[1:]] == ([(5, 3, width(model.density))] if model.density else [])
    assert all(torch.isfinite(one).all() for one in found)


@every_family
@pytest.mark.parametrize("size", [1e-6, 1.0, 50.0])
def test_quantiles_rise_with_the_level_for_any_context(family, size):
    quantiles = answer(stirred(family, SPEC, WINDOWS), CONTEXTS * size)[0]
    assert torch.isfinite(quantiles).all()
    assert (quantiles.diff(dim=-1) >= 0).all()


@every_family
def test_it_answers_on_as_many_sessions_as_it_says_it_reads(family):
    """`reach` is what a run file is held against; a family that reads more fails at its first block."""
    quantiles = answer(stirred(family, SPEC, WINDOWS), CONTEXTS[:2, -family.reach :])[0]
    assert torch.isfinite(quantiles).all()


@every_family
def test_a_price_that_never_moves_has_a_forecast(family):
    quantiles = answer(stirred(family, SPEC, WINDOWS), torch.zeros(1, 32, 3))[0]
    assert torch.isfinite(quantiles).all()


@trained_family
def test_the_gradient_reaches_each_parameter(family):
    network = stirred_network(family)
    Learner(network, SHORT).loss(batch_of()).backward()
    without = [
        name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.abs().any()
    ]
    assert without == []


@every_family
def test_the_order_of_a_batch_is_irrelevant(family):
    model = stirred(family, SPEC, WINDOWS)
    order = torch.randperm(len(CONTEXTS), generator=torch.Generator().manual_seed(0))
    for shuffled, straight in zip(answer(model, CONTEXTS[order]), answer(model, CONTEXTS), strict=True):
        assert_close(shuffled, straight[order], 1e-6)


@every_family
def test_a_context_is_answered_alike_alone_and_in_a_batch(family):
    model = stirred(family, SPEC, WINDOWS)
    for alone, together in zip(answer(model, CONTEXTS[3:4]), answer(model, CONTEXTS), strict=True):
        assert_close(alone, together[3:4], 1e-6)


def test_the_random_walk_has_no_drift_unless_it_is_asked_for():
    medians = {family.drift: answer(stirred(family, SPEC, WINDOWS), CONTEXTS)[0][..., MEDIAN]
               for family in FAMILIES if family.family == "naive"}  # fmt: skip
    assert (medians[False] == 0).all()
    assert (medians[True] != 0).all()


@every_family
@pytest.mark.parametrize(("count", "length"), [(1, 32), (9, 32), (9, 25), (1, 24)])
def test_onnx_answers_as_torch_does(family, count, length):
    model = stirred(family, SPEC, WINDOWS)
    session = onnxruntime.InferenceSession(to_onnx(model, CONTEXTS[:1]), providers=["CPUExecutionProvider"])
    contexts = CONTEXTS[:count, -length:].contiguous()
    found = session.run(None, {"context": contexts.numpy()})
    for one, other in zip(found, answer(model, contexts), strict=True):
        assert_close(one, other, 1e-5)


@trained_family
def test_inside_a_block_an_output_ignores_the_inputs_after_it(family):
    network = stirred_network(family)
    block, keep = CONTEXTS[:4].clone(), WINDOW.supervised
    with torch.inference_mode():
        before = network.parameters_at(block, keep)
        for place in range(keep - 1):
            other = block.clone()
            other[:, WINDOW.burn_in + place + 1 :] += 5 * torch.randn_like(other[:, WINDOW.burn_in + place + 1 :])
            after = network.parameters_at(other, keep)
            assert torch.equal(before[:, : place + 1], after[:, : place + 1])
            assert not torch.equal(before[:, place + 1], after[:, place + 1])  # it does read its own


@trained_family
def test_inside_a_block_an_output_is_the_answer_of_the_exported_window(family):
    network = stirred_network(family)
    session = onnxruntime.InferenceSession(to_onnx(network, CONTEXTS[:1]), providers=["CPUExecutionProvider"])
    block, keep = CONTEXTS[:4], WINDOW.supervised
    with torch.inference_mode():
        inside = network.parameters_at(block, keep)
    for place in range(keep):
        prefix = block[:, : WINDOW.burn_in + place + 1].contiguous()
        expected = (network.head.quantiles(inside[:, place]), inside[:, place])
        exported = session.run(None, {"context": prefix.numpy()})
        # Sums of another length round otherwise; a position too many or too few shows at 1e-2.
        for found, ours, other in zip(answer(network, prefix), expected, exported, strict=False):
            assert_close(found, ours, 5e-6)
            assert_close(other, ours, 1e-5)


@trained_family
def test_the_loss_is_taken_at_the_supervised_positions_and_only_there(family):
    learner = Learner(stirred_network(family), SHORT)
    full = batch_of()
    assert full.targets.shape[1] == WINDOW.context - WINDOW.burn_in
    rng = np.random.default_rng(0)
    masks = [np.ones_like(full.weight), rng.random(full.weight.shape) < 0.5, np.eye(1, full.weight.shape[1], 2)]
    for mask in masks:
        weight = torch.from_numpy(np.broadcast_to(mask, full.weight.shape).astype(np.float32))
        # A loss moves with the outcome wherever it is taken.
        targets = full.targets.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(learner.loss(Batch(full.inputs, targets, weight)), targets)
        assert ((gradient != 0) == (weight[..., None] > 0)).all()


@every_family
def test_data_in_another_unit_is_forecast_alike(family):
    """Twice the returns, twice the forecast; and what other channels are measured in does not matter."""
    doubled = replace(WINDOWS, values=WINDOWS.values * (2.0, 2.0, 1000.0), targets=2.0 * WINDOWS.targets)
    one, other = (stirred(family, SPEC, windows) for windows in (WINDOWS, doubled))
    plain, scaled = answer(one, CONTEXTS)[0], answer(other, torch.from_numpy(doubled.contexts(ORIGINS)))[0]
    near = 0.02 if is_trained(family, SPEC) else 0.1  # floors, and likelihoods that are flat where a fit stops
    torch.testing.assert_close(scaled, 2 * plain, rtol=near, atol=0.01 * near)


@every_family
def test_weights_at_rest_are_the_model(family):
    model = stirred(family, SPEC, WINDOWS)
    again = family.build(SPEC)
    again.load_state_dict(load(save(model.state_dict())))
    for found, expected in zip(answer(again.eval(), CONTEXTS[:9]), answer(model, CONTEXTS[:9]), strict=True):
        assert torch.equal(found, expected)


@trained_family
def test_the_loss_is_that_of_each_position_by_itself(family):
    network, full = stirred_network(family), batch_of()
    found = float(Learner(network, SHORT).loss(full).detach())
    losses = []
    with torch.inference_mode():
        for inputs, targets, weight in zip(full.inputs, full.targets, full.weight, strict=True):
            for place in np.flatnonzero(weight.numpy()):
                parameters = network.parameters_at(inputs[None, : WINDOW.burn_in + place + 1], 1)[0, 0]
                losses.append(float(network.head.loss(parameters, targets[place], network.unit).mean()))
    assert len(losses) == len(ORIGINS)
    assert found == pytest.approx(np.mean(losses), abs=1e-4)


@trained_family
def test_a_sine_is_overfitted(family):
    rng = np.random.default_rng(0)
    returns = 0.01 * np.sin(2 * np.pi * np.arange(240) / 8)
    windows = windows_from(returns, 0.1 * rng.standard_normal((240, 2)), WINDOW, SPEC.horizon)
    origins = windows.span(None, None)
    config = TrainingConfig(epochs=60, batch=4, learning_rate=1e-2)
    fitted = fit(family, SPEC, config, task(windows, origins), seed=0)
    medians = answer(fitted.model, torch.from_numpy(windows.contexts(origins)))[0][..., MEDIAN].numpy()
    missed = np.square(medians - windows.targets[origins]).mean() / windows.targets[origins].var()
    assert missed < 0.3


@trained_family
def test_an_untrained_network_is_close_to_a_random_walk(family):
    torch.manual_seed(0)
    network = family.build(SPEC)
    network.estimate([Sample(WINDOWS, ORIGINS)])
    median = answer(network.eval(), CONTEXTS)[0][..., MEDIAN]
    assert median.abs().max() < 0.1 * WINDOWS.values[:, 0].std()


@every_family
def test_the_same_seed_gives_the_same_artifact_to_the_bit(family):
    market = Market(facts=None, calendar=None, target=TARGET, window=WINDOW)
    fits = [fit(family, SPEC, SHORT, task(WINDOWS, ORIGINS), seed=0) for _ in range(2)]
    assert weights(fits[0].model) == weights(fits[1].model)
    digests = {seal(family, one, market, WINDOWS, ORIGINS).digest for one in fits}
    assert len(digests) == 1


@trained_family
def test_another_seed_gives_other_weights(family):
    one, other = (fit(family, SPEC, SHORT, task(WINDOWS, ORIGINS), seed=seed) for seed in (0, 1))
    assert weights(one.model) != weights(other.model)


def test_estimated_families_report_no_epochs_and_close_the_same_door():
    family = FAMILIES[0]
    fitted = fit(family, SPEC, SHORT, task(WINDOWS, ORIGINS), seed=0)
    assert (fitted.epochs, list(fitted.history)) == (0, [])
    market = Market(facts=None, calendar=None, target=TARGET, window=WINDOW)
    assert trained(family, market, WINDOWS, ORIGINS).manifest.density == ()
