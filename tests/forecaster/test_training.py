"""The training engine: what a batch holds, what a fit promises, and that a killed one ends with the same weights."""

import hashlib
import multiprocessing
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from killable import CONFIG, RECIPE, SPEC, TASK, fit_to_file
from small_market import windows_from

from forecaster.contract import Floats
from forecaster.errors import ConfigError
from forecaster.families.gru import GruFamily
from forecaster.families.lstm import LstmFamily
from forecaster.families.mlp import MlpFamily
from forecaster.families.naive import NaiveFamily
from forecaster.families.rnn import RnnFamily
from forecaster.training import checkpoint
from forecaster.training.batches import Batch, Epochs, Table, held_out, streams, tiles
from forecaster.training.config import TrainingConfig
from forecaster.training.course import learning_rate
from forecaster.training.fit import fit, precision
from forecaster.training.learner import Learner, clip_
from forecaster.training.task import Task
from forecaster.windows import Sample, blocks

WINDOW = SPEC.window
LSTM = LstmFamily(name="lstm", hidden=4)
SHORT = TrainingConfig(epochs=2, batch=4)
(ONE,) = TASK.train
WINDOWS, ORIGINS = ONE.windows, ONE.origins


def other(seed: int = 3, count: int = 90) -> Sample:
    rng = np.random.default_rng(seed)
    windows = windows_from(0.02 * rng.standard_normal(count), rng.standard_normal((count, 1)), WINDOW, SPEC.horizon)
    return Sample(windows, windows.span(None, None))


TWO = (ONE, other())


def weights(model: torch.nn.Module) -> bytes:
    return b"".join(name.encode() + value.numpy().tobytes() for name, value in sorted(model.state_dict().items()))


def seen(batches: list[Batch]) -> list[tuple[float, ...]]:
    """Outcomes of all supervised positions."""
    return sorted(tuple(row) for batch in batches for row in batch.targets[batch.weight > 0].tolist())


def outcomes(samples: tuple[Sample, ...]) -> list[tuple[float, ...]]:
    rows = [one.windows.targets[one.origins].astype(np.float32) for one in samples]
    return sorted(tuple(row) for row in np.concatenate(rows).tolist())


# --- batches


@pytest.mark.parametrize("epoch", range(6))
def test_an_epoch_supervises_each_origin_of_each_symbol_once(epoch):
    batches = list(tiles(Table.of(TWO), 4, np.random.default_rng(epoch)))
    assert seen(batches) == outcomes(TWO)
    sizes = [len(batch.inputs) for batch in batches]
    assert max(sizes) <= 4
    assert max(sizes) - min(sizes) <= 1


def test_a_block_holds_what_its_origin_has_behind_it():
    known = {one.windows.contexts(one.origins)[row].tobytes() for one in TWO for row in range(len(one.origins))}
    for batch in tiles(Table.of(TWO), 4, np.random.default_rng(0)):
        assert {inputs.numpy().tobytes() for inputs in batch.inputs} <= known


def test_held_out_blocks_are_those_of_the_windows():
    (found,) = held_out(Table.of((ONE,)), as_served=False)
    tiled = blocks(WINDOWS, ORIGINS, 0)
    for part, expected in zip(found[:3], (tiled.inputs, tiled.targets, tiled.weight), strict=True):
        assert np.array_equal(part.numpy(), expected)


def test_as_served_each_origin_has_its_own_context():
    found = held_out(Table.of(TWO), as_served=True)
    contexts = np.concatenate([one.windows.contexts(one.origins) for one in TWO])
    assert np.array_equal(np.concatenate([batch.inputs.numpy() for batch in found]), contexts)
    assert seen(found) == outcomes(TWO)


def test_streams_read_on_where_the_chunk_before_ended():
    before: Batch | None = None
    for batch in streams(Table.of(TWO), 3, np.random.default_rng(1)):
        if not batch.fresh:
            assert before is not None
            ended = before.inputs[:, -WINDOW.burn_in :]
            alive = batch.weight.sum(1) > 0  # a stream that has ended repeats its last session
            assert torch.equal(batch.inputs[alive, : WINDOW.burn_in], ended[alive])
        before = batch


def test_streams_supervise_all_but_the_cold_beginning_of_a_state():
    table, covered = Table.of(TWO), set()
    for epoch in range(40):
        found = seen(list(streams(table, 3, np.random.default_rng(epoch))))
        assert len(found) == len(set(found))
        assert set(found) <= set(outcomes(TWO))
        assert len(found) >= len(outcomes(TWO)) - 5 * WINDOW.burn_in  # at most five stretches
        covered |= set(found)
    assert covered == set(outcomes(TWO))


def test_several_devices_share_a_batch():
    whole = next(iter(tiles(Table.of(TWO), 5, np.random.default_rng(0))))
    shares = [whole.share(rank, 2) for rank in range(2)]
    assert sorted(len(one.inputs) for one in shares) == sorted((len(whole.inputs) // 2, -(-len(whole.inputs) // 2)))
    assert seen(shares) == seen([whole])
    assert len(whole.share(7, 8).inputs) == 1  # nobody stays without


def test_a_folder_for_checkpoints_that_is_not_here_is_none(tmp_path):
    assert checkpoint.reachable(tmp_path) == tmp_path
    assert checkpoint.reachable(tmp_path / "of another machine") is None
    assert checkpoint.reachable(None) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_processes_that_average_their_gradients_learn_one_model_as_good_as_one_does(tmp_path):
    config = TrainingConfig(epochs=12, patience=12, batch=6, learning_rate=0.01)
    alone = fit(RECIPE, SPEC, config, TASK, seed=3)
    both = [
        fit(RECIPE, SPEC, config.model_copy(update={"devices": 2}), TASK, seed=3, checkpoints=tmp_path) for _ in "ab"
    ]
    assert weights(both[0].model) == weights(both[1].model)
    assert weights(both[0].model) != weights(alone.model)
    assert len(both[0].history) == len(alone.history) == 12
    first, best, other = (
        alone.history[0]["validation_loss"],
        *(min(epoch["validation_loss"] for epoch in one.history) for one in (alone, both[0])),
    )
    assert other - best < 0.1 * (first - best)
    assert not list(tmp_path.iterdir())  # nothing is left to go on from
    assert not os.environ.get("RANK")


# --- what a fit promises


@pytest.mark.parametrize("carry", [False, True])
def test_the_same_arguments_give_the_same_weights_whatever_was_drawn_before(carry):
    config = SHORT.model_copy(update={"carry": carry})
    one = fit(RECIPE, SPEC, config, Task(TWO), seed=3)
    torch.rand(17)
    same, another = (fit(RECIPE, SPEC, config, Task(TWO), seed=seed) for seed in (3, 4))
    assert weights(one.model) == weights(same.model)
    assert list(one.history) == list(same.history)
    assert weights(one.model) != weights(another.model)


@pytest.mark.parametrize("carry", [False, True])
def test_nothing_after_the_last_outcome_reaches_the_weights(carry):
    config, train = SHORT.model_copy(update={"carry": carry}), ORIGINS[: len(ORIGINS) // 2]
    until = int(train[-1])
    values, targets = WINDOWS.values.copy(), WINDOWS.targets.copy()
    values[until + 1 :] += 5.0
    targets[until + 1 :] -= 3.0
    worlds = (WINDOWS, replace(WINDOWS, values=values, targets=targets))
    one, perturbed = (fit(LSTM, SPEC, config, Task((Sample(world, train),)), seed=0) for world in worlds)
    assert weights(one.model) == weights(perturbed.model)


def test_early_stopping_keeps_the_best_epoch_and_waits_no_longer_than_its_patience():
    config = TrainingConfig(epochs=60, patience=2, learning_rate=0.05, batch=2)
    task = Task((Sample(WINDOWS, ORIGINS[:60]),), (Sample(WINDOWS, ORIGINS[70:]),))
    fitted = fit(LSTM, SPEC, config, task, seed=0)
    losses = [epoch["validation_loss"] for epoch in fitted.history]
    assert fitted.epochs == 1 + int(np.argmin(losses))
    assert len(losses) == fitted.epochs + 2 < 60
    (batch,) = held_out(Table.of(task.validation), as_served=False)
    with torch.inference_mode():
        assert float(Learner(fitted.model, config).loss(batch)) == pytest.approx(min(losses), abs=1e-5)
    assert not fitted.model.training


def test_the_validation_of_a_carried_model_is_that_of_fresh_contexts():
    config = SHORT.model_copy(update={"carry": True, "epochs": 1})
    task = Task((ONE,), (other(),))
    fitted = fit(LSTM, SPEC, config, task, seed=0)
    (sample,) = task.validation
    contexts = torch.from_numpy(sample.windows.contexts(sample.origins))
    outcome = torch.from_numpy(sample.windows.targets[sample.origins]).float()
    with torch.inference_mode():
        parameters = fitted.model(contexts)[1]
        loss = float(fitted.model.head.loss(parameters, outcome, fitted.model.unit).mean())
    assert fitted.history[0]["validation_loss"] == pytest.approx(loss, abs=1e-5)


def test_the_history_tells_how_often_clipping_fired():
    for clip, rate in ((1e-6, 1.0), (1e6, 0.0)):
        history = fit(LSTM, SPEC, SHORT.model_copy(update={"clip": clip}), Task((ONE,)), seed=0).history
        assert [epoch["clip_rate"] for epoch in history] == [rate, rate]
        assert all(epoch["gradient_norm"] > 1e-6 for epoch in history)


@pytest.mark.parametrize("factor", [1e-3, 1e6])
def test_a_gradient_is_scaled_to_the_limit_where_it_is_larger_and_left_alone_elsewhere(factor):
    weight = torch.nn.Parameter(torch.zeros(3))
    weight.grad = factor * torch.tensor([2.0, -1.0, 2.0])
    assert float(clip_([weight], 1.0)) == pytest.approx(3 * factor)
    assert float(weight.grad.norm()) == pytest.approx(min(3 * factor, 1.0), rel=1e-5)


def test_training_that_runs_away_says_so():
    with pytest.raises(ConfigError, match=r"learning_rate.*lower it"):
        fit(RnnFamily(name="r", nonlinearity="relu"), SPEC, SHORT.model_copy(update={"learning_rate": 1e30}),
            Task((ONE,), (ONE,)), seed=0)  # fmt: skip


def test_a_bar_changes_nothing_but_the_terminal(capsys):
    plain, shown = (fit(LSTM, SPEC, SHORT, Task((ONE,)), seed=0, progress_bar=bar) for bar in (False, True))
    assert weights(plain.model) == weights(shown.model)
    assert "lstm:" in capsys.readouterr().err


def test_schedules():
    cosine, plateau = (TrainingConfig(schedule=name, epochs=10, patience=8) for name in ("cosine", "plateau"))
    rates = [learning_rate(cosine, [0.0] * epoch) / 3e-3 for epoch in range(10)]
    assert rates[0] == 1
    assert rates[5] == pytest.approx(0.5)
    assert rates == sorted(rates, reverse=True)
    assert learning_rate(plateau, [3.0, 2.0, 2.5]) == 3e-3
    assert learning_rate(plateau, [3.0, 2.0, 2.5, 2.4]) == 1.5e-3
    assert learning_rate(plateau, [3.0, 2.0, 2.5, 2.4, 1.9, 1.9]) == 1.5e-3
    assert learning_rate(plateau, [3.0, 2.0, 2.5, 2.4, 1.9, 1.9, 2.0]) == 0.75e-3
    assert learning_rate(TrainingConfig(), [1.0] * 50) == 3e-3
    history = fit(LSTM, SPEC, SHORT.model_copy(update={"schedule": "cosine"}), Task((ONE,)), seed=0).history
    assert [epoch["learning_rate"] for epoch in history] == pytest.approx([3e-3, 1.5e-3])


def test_precision_is_what_the_processor_can_do():
    found = torch.cpu.get_capabilities()
    able = bool(found.get("amx_bf16") or found.get("avx512_bf16"))
    assert precision(TrainingConfig()) == "32-true"
    assert precision(TrainingConfig(precision="auto")) == ("bf16-mixed" if able else "32-true")
    if not able:
        with pytest.raises(ConfigError, match="no bf16 products"):
            fit(LSTM, SPEC, SHORT.model_copy(update={"precision": "bf16-mixed"}), Task((ONE,)), seed=0)


# --- carried state


@pytest.mark.parametrize("family", [RnnFamily(name="r"), LSTM, GruFamily(name="g", hidden=4)], ids=lambda one: one.name)
def test_a_state_is_carried_on_without_its_gradient(family):
    torch.manual_seed(0)
    network = family.build(SPEC)
    network.estimate((ONE,))
    torch.nn.init.normal_(network.body.readout.weight)
    first, second = list(streams(Table.of((ONE,)), 3, np.random.default_rng(1)))[:2]
    assert first.fresh
    assert not second.fresh
    learner = Learner(network, SHORT.model_copy(update={"carry": True}))
    before = first.inputs.clone().requires_grad_()
    learner._answers(first._replace(inputs=before))
    carried = learner._answers(second)
    (gradient,) = torch.autograd.grad(carried.sum(), before, allow_unused=True)
    assert gradient is None
    assert not torch.equal(carried, learner._answers(second._replace(fresh=True)))


def test_a_family_without_a_state_refuses_to_carry_one():
    with pytest.raises(ConfigError, match=r"carry: wide has no state to carry"):
        fit(MlpFamily(name="wide", lags=2), SPEC, SHORT.model_copy(update={"carry": True}), Task((ONE,)), seed=0)


def latched(count: int = 800) -> Sample:
    """Outcomes whose sign was told once, some twenty sessions ago, and nowhere else."""
    rng = np.random.default_rng(0)
    told = np.where(rng.random(count) < 0.04, rng.choice([-1.0, 1.0], count), 0.0)
    newest = np.maximum.accumulate(np.where(told != 0, np.arange(count), 0))
    sign: Floats = told[newest]
    windows = windows_from(rng.standard_normal(count), told[:, None], WINDOW, SPEC.horizon)
    targets = 2.0 * sign[:, None] + rng.standard_normal((count, SPEC.horizon))
    sample = replace(windows, targets=np.where(np.isfinite(windows.targets), targets, np.nan))
    return Sample(sample, sample.span(None, None))


def test_a_carried_state_remembers_what_lies_before_its_block():
    spec = replace(SPEC, kind="level")
    config = TrainingConfig(epochs=25, batch=8, learning_rate=0.03)
    carried, restarted = (
        fit(LSTM, spec, config.model_copy(update={"carry": carry}), Task((latched(),)), seed=0).history[-1]
        for carry in (True, False)
    )
    assert carried["train_loss"] < restarted["train_loss"] - 0.1


# --- where a fit begins


def start() -> dict[str, torch.Tensor]:
    return {
        name: value.clone() for name, value in fit(LSTM, SPEC, SHORT, Task((ONE,)), seed=5).model.state_dict().items()
    }


def test_warm_goes_on_with_all_weights_in_the_units_of_the_new_data():
    earlier, task = start(), Task((other(),))
    warm = fit(LSTM, SPEC, SHORT.model_copy(update={"mode": "warm"}), task, seed=0, start=earlier).model
    still = fit(
        LSTM, SPEC, SHORT.model_copy(update={"mode": "warm", "learning_rate": 1e-12}), task, seed=0, start=earlier
    )
    for name, value in still.model.named_parameters():
        torch.testing.assert_close(value, earlier[name], atol=1e-6, rtol=0)
    assert all(not torch.equal(value, earlier[name]) for name, value in warm.named_parameters())
    assert torch.equal(warm.spread, fit(LSTM, SPEC, SHORT, task, seed=0).model.spread)
    assert not torch.equal(warm.spread, earlier["spread"])


def test_finetuning_moves_the_readout_and_nothing_else():
    earlier = start()
    model = fit(
        LSTM, SPEC, SHORT.model_copy(update={"mode": "finetune"}), Task((other(),)), seed=0, start=earlier
    ).model
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, earlier[name])}
    assert moved == {"body.readout.weight", "body.readout.bias"}
    assert all(weight.requires_grad for weight in model.parameters())


def test_a_mode_that_does_not_fit_its_start_is_refused():
    warm = SHORT.model_copy(update={"mode": "warm"})
    with pytest.raises(ConfigError, match="none was given"):
        fit(LSTM, SPEC, warm, Task((ONE,)), seed=0)
    with pytest.raises(ConfigError, match="were given"):
        fit(LSTM, SPEC, SHORT, Task((ONE,)), seed=0, start=start())
    with pytest.raises(ConfigError, match="another build"):
        fit(LstmFamily(name="wider", hidden=5), SPEC, warm, Task((ONE,)), seed=0, start=start())
    with pytest.raises(ConfigError, match="another build"):
        fit(GruFamily(name="gru", layers=2), SPEC, warm, Task((ONE,)), seed=0, start=start())


def test_an_estimated_family_is_estimated_in_any_mode():
    fits = [fit(NaiveFamily(name="naive"), SPEC, SHORT.model_copy(update={"mode": mode}), Task((ONE,)), seed=0)
            for mode in ("scratch", "warm")]  # fmt: skip
    assert [(one.epochs, list(one.history)) for one in fits] == [(0, []), (0, [])]
    assert weights(fits[0].model) == weights(fits[1].model)


# --- killed and taken up again


@pytest.mark.parametrize("carry", [False, True])
def test_a_fit_that_is_killed_again_and_again_ends_with_the_same_weights(carry, tmp_path):
    """SIGKILL at random moments, in a process of its own each time."""
    config = CONFIG.model_copy(update={"carry": carry, "schedule": "plateau"})
    folder, answer = tmp_path / "checkpoints", tmp_path / "answer"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["forecaster.training.fit"])  # children are forked with the imports done
    rng, resumed = np.random.default_rng(7), 0
    for _ in range(3):
        found = written(folder)
        child = context.Process(target=fit_to_file, args=(config, folder, answer))
        child.start()
        while child.is_alive() and written(folder) == found:
            time.sleep(0.002)
        time.sleep(0.05 * rng.random())
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert child.exitcode == -signal.SIGKILL
        assert not answer.exists()
        resumed += found is not None
    assert resumed == 2
    last = context.Process(target=fit_to_file, args=(config, folder, answer))
    last.start()
    last.join()
    whole = fit(RECIPE, SPEC, config, TASK, seed=2)
    assert answer.read_text() == f"{hashlib.sha256(weights(whole.model)).hexdigest()} {whole.epochs}"
    assert list(folder.glob("*.ckpt")) == []


def written(folder: Path) -> int | None:
    """When the checkpoint was written; None where there is none."""
    return next((path.stat().st_mtime_ns for path in folder.glob("*.ckpt")), None)


def test_a_checkpoint_is_of_one_fit_only(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    kept: list[bytes] = []
    replaced = checkpoint.Checkpoint.on_train_epoch_end

    def keep(self, trainer, module) -> None:
        replaced(self, trainer, module)
        kept.append(self.path.name.encode())

    monkeypatch.setattr(checkpoint.Checkpoint, "on_train_epoch_end", keep)
    for config, task, seed in ((SHORT, Task((ONE,)), 0), (SHORT, Task((ONE,)), 1), (SHORT, Task(TWO), 0),
                               (SHORT.model_copy(update={"clip": 0.5}), Task((ONE,)), 0)):  # fmt: skip
        fit(LSTM, SPEC, config, task, seed=seed, checkpoints=tmp_path)
    assert len(set(kept)) == 4
    assert list(tmp_path.iterdir()) == []


def test_an_epoch_draws_the_same_however_it_was_reached():
    table = Table.of((ONE,))
    straight, jumped = Epochs(table, SHORT, seed=1), Epochs(table, SHORT, seed=1)
    for straight.epoch in range(4):
        drawn = [batch.inputs for batch in next(iter(straight))]
    jumped.epoch = 3
    for one, same in zip(drawn, next(iter(jumped)), strict=True):
        assert torch.equal(one, same.inputs)
