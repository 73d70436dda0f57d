"""Every family is asked the same questions, through its public contract: build, estimate, parameters_at, forward."""

import numpy as np
import onnxruntime
import pytest
import pytorch_lightning as pl
import torch
from small_market import FAMILIES, SHORT, Market, is_trained, seal, stirred, task, trained, windows_from
from torch import Tensor
from torch.utils.data import DataLoader

from forecaster.contract import LEVELS, MEDIAN, Target, WindowSpec
from forecaster.densities import width
from forecaster.families.base import Model, Network, Spec
from forecaster.families.distributions import JohnsonSU
from forecaster.training.config import TrainingConfig
from forecaster.diagnostics.gradient import gradient_by_age
from forecaster.training.export import to_onnx
from forecaster.training.fit import fit
from forecaster.training.learner import Batch, Learner
from forecaster.windows import Windows, blocks

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
    assert {"naive", "ar-3", "mlp", "rnn-tanh", "rnn-relu", "lstm", "gru", "transformer"} <= {f.name for f in FAMILIES}


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


@pytest.mark.parametrize("family", [f for f in FAMILIES if not is_trained(f, SPEC)], ids=lambda family: family.name)
def test_the_ewma_random_walk_is_in_units_of_its_context(family):
    model = stirred(family, SPEC, WINDOWS)
    plain, scaled = (answer(model, CONTEXTS * factor)[0] for factor in (1.0, 4.0))
    if family.scale == "ewma":
        torch.testing.assert_close(scaled, 4 * plain, rtol=1e-4, atol=0)  # the variance has a floor
    else:
        assert torch.equal(scaled, plain)


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
        quantiles, parameters = answer(network, prefix)
        exported = session.run(["quantiles", "parameters"], {"context": prefix.numpy()})
        expected = inside[:, place]
        # Sums of another length round otherwise; a position too many or too few shows at 1e-2.
        assert_close(parameters, expected, 5e-6)
        assert_close(quantiles, network.head.quantiles(expected), 5e-6)
        assert_close(exported[1], expected, 1e-5)
        assert_close(exported[0], quantiles, 1e-5)


@trained_family
def test_the_loss_is_taken_at_the_supervised_positions_and_only_there(family):
    learner = Learner(stirred_network(family), SHORT)
    full = batch_of()
    assert full.targets.shape[1] == WINDOW.context - WINDOW.burn_in
    rng = np.random.default_rng(0)
    masks = [np.ones_like(full.weight), rng.random(full.weight.shape) < 0.5, np.eye(1, full.weight.shape[1], 2)]
    for mask in masks:
        weight = torch.from_numpy(np.broadcast_to(mask, full.weight.shape).astype(np.float32))
        # A density moves with its location: the gradient by the target is that by the location, turned round.
        targets = full.targets.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(learner.loss(Batch(full.inputs, targets, weight)), targets)
        assert ((gradient != 0) == (weight[..., None] > 0)).all()


@trained_family
def test_the_loss_is_the_mean_negative_log_density_in_units_of_the_horizon(family):
    network = stirred_network(family)
    full = batch_of()
    found = float(Learner(network, SHORT).loss(full).detach())
    total, count = 0.0, 0
    scale = float(WINDOWS.values[: ORIGINS[-1] + 1, 0].std(ddof=1))
    with torch.inference_mode():
        for inputs, targets, weight in zip(*full, strict=True):
            for place in np.flatnonzero(weight.numpy()):
                parameters = network.parameters_at(inputs[None, : WINDOW.burn_in + place + 1], 1)[0, 0]
                nats = -network.head.log_density(parameters, targets[place])
                steps = torch.arange(1, 4)
                total += float((nats - torch.log(scale * steps.sqrt())).mean())
                count += 1
    assert count == len(ORIGINS)
    assert found == pytest.approx(total / count, abs=1e-4)


@trained_family
def test_training_learns_a_series_that_can_be_learned(family):
    rng = np.random.default_rng(0)
    returns = 0.01 * np.sin(2 * np.pi * np.arange(240) / 8) + 0.001 * rng.standard_normal(240)
    windows = windows_from(returns, 0.1 * rng.standard_normal((240, 2)), WINDOW, SPEC.horizon)
    config = TrainingConfig(epochs=12, batch=4, learning_rate=1e-2)
    history = fit(family, SPEC, config, task(windows, windows.span(None, None)), seed=0).history
    losses = [epoch["train_loss"] for epoch in history]
    assert len(losses) == 12
    assert losses[-1] < losses[0] - 0.1


@trained_family
def test_an_untrained_network_is_close_to_a_random_walk(family):
    torch.manual_seed(0)
    network = family.build(SPEC)
    network.estimate(WINDOWS, ORIGINS)
    location = answer(network.eval(), CONTEXTS)[1][..., 0]
    assert location.abs().max() < 0.1 * WINDOWS.values[:, 0].std()


@every_family
def test_the_same_seed_gives_the_same_artifact_to_the_bit(family):
    market = Market(facts=None, calendar=None, target=TARGET, window=WINDOW)
    fits = [fit(family, SPEC, SHORT, task(WINDOWS, ORIGINS), seed=0) for _ in range(2)]
    assert weights(fits[0].model) == weights(fits[1].model)
    digests = {seal(family, one, market, WINDOWS, ORIGINS).digest for one in fits}
    assert len(digests) == 1


@trained_family
def test_another_seed_gives_other_weights(family):
    one, other = (
        fit(family, SPEC, SHORT.model_copy(update={"seed": seed}), task(WINDOWS, ORIGINS), seed=0) for seed in (0, 1)
    )
    assert weights(one.model) != weights(other.model)


@trained_family
def test_fitting_does_not_depend_on_what_was_drawn_before(family):
    one = fit(family, SPEC, SHORT, task(WINDOWS, ORIGINS), seed=0)
    torch.rand(17)
    np.random.default_rng().random(3)
    other = fit(family, SPEC, SHORT, task(series(), ORIGINS), seed=0)
    assert weights(one.model) == weights(other.model)


@trained_family
def test_early_stopping_keeps_the_weights_of_the_best_epoch(family):
    train, validation = ORIGINS[:120], ORIGINS[130:180]
    config = TrainingConfig(epochs=4, learning_rate=0.05, batch=2)
    fitted = fit(family, SPEC, config, task(WINDOWS, train, validation), seed=0)
    losses = [epoch["validation_loss"] for epoch in fitted.history]
    assert fitted.epochs == 1 + int(np.argmin(losses))
    tiled = blocks(WINDOWS, validation, 0)
    batch = Batch(*(torch.from_numpy(part) for part in (tiled.inputs, tiled.targets, tiled.weight)))
    with torch.inference_mode():
        assert float(Learner(fitted.model, config).loss(batch)) == pytest.approx(min(losses), abs=1e-5)
    assert not fitted.model.training


class Loud(Learner):
    """The same loss, a million times as large."""

    def loss(self, batch: Batch) -> Tensor:
        return 1e6 * super().loss(batch)


class Norms(pl.Callback):
    """Gradient norms as the optimiser met them."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_train_batch_end(self, _trainer, module, *_: object) -> None:
        squares = [float(weight.grad.double().square().sum()) for weight in module.parameters()]
        self.norms.append(sum(squares) ** 0.5)


@trained_family
@pytest.mark.parametrize("learner", [Learner, Loud])
def test_an_applied_gradient_is_never_larger_than_the_clip(family, learner):
    config = TrainingConfig(clip=0.05)
    seen = Norms()
    trainer = pl.Trainer(
        max_epochs=3,
        callbacks=[seen],
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        log_every_n_steps=1,
    )
    trainer.fit(learner(stirred_network(family).train(), config), DataLoader([batch_of()], batch_size=None))
    assert len(seen.norms) == 3
    assert max(seen.norms) <= config.clip * (1 + 1e-5)
    if learner is Loud:
        assert trainer.callback_metrics["clip_rate"] == 1
        assert trainer.callback_metrics["gradient_norm"] > 1000 * config.clip


@trained_family
def test_the_history_tells_how_often_clipping_fired(family):
    tight, loose = (
        fit(family, SPEC, SHORT.model_copy(update={"clip": clip}), task(WINDOWS, ORIGINS), seed=0).history
        for clip in (1e-6, 1e6)
    )
    assert [epoch["clip_rate"] for epoch in (*tight, *loose)] == [1, 1, 0, 0]
    assert all(epoch["gradient_norm"] > 0 for epoch in (*tight, *loose))


@trained_family
def test_the_gradient_by_age_reaches_no_further_than_the_window_and_not_nowhere(family):
    by_age = gradient_by_age(stirred_network(family), WINDOWS, ORIGINS[:50])
    assert by_age.shape == (WINDOW.context,)
    assert np.isfinite(by_age).all()
    assert by_age[0] > 0


def test_estimated_families_report_no_epochs_and_close_the_same_door():
    family = FAMILIES[0]
    fitted = fit(family, SPEC, SHORT, task(WINDOWS, ORIGINS), seed=0)
    assert (fitted.epochs, list(fitted.history)) == (0, [])
    market = Market(facts=None, calendar=None, target=TARGET, window=WINDOW)
    assert trained(family, market, WINDOWS, ORIGINS).manifest.density == ()


@pytest.mark.parametrize(
    "parameters", [(0.0, 0.01, 0.0, 1.0), (0.003, 0.02, -1.5, 0.7), (-0.01, 0.005, 0.8, 2.5), (0.0, 0.1, 1.9, 20.0)]
)
def test_the_density_and_the_quantiles_are_of_one_distribution(parameters):
    head = JohnsonSU()
    quantiles = head.quantiles(torch.tensor(parameters)).double().numpy()
    low, high = quantiles[0], quantiles[-1]
    grid = torch.linspace(low, high, 200_001, dtype=torch.float64)
    tensor = torch.tensor(parameters, dtype=torch.float64).expand(len(grid), -1)
    density = head.log_density(tensor, grid).exp().numpy()
    step = float(grid[1] - grid[0])
    mass = np.concatenate(([0.0], np.cumsum((density[1:] + density[:-1]) / 2 * step)))
    found = LEVELS[0] + np.interp(quantiles, grid.numpy(), mass)
    np.testing.assert_allclose(found, LEVELS, atol=1e-4)
