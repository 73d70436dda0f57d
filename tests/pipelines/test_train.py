"""Jobs, workers and training: the same whoever trains them, and never twice."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load
from scipy.special import logsumexp

from forecaster.artifact import Artifact
from forecaster.contract import Floats
from forecaster.densities import log_density
from forecaster.errors import ConfigError, NotTrained
from forecaster.runtime import Runtime
from forecaster.store.artifacts import load_weights
from forecaster.windows import Sample, Spans
from pipelines.compare import compare
from pipelines.config import RunConfig
from pipelines.engines.pool import Pool
from pipelines.train import Trained, Walked, find, refit_job, require, scored_jobs, select, train, train_all
from pipelines.workspace import Workspace
from tests.pipelines.small_runs import GARCH, GRU, fetched, moved, prices, toml, workspace

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*")  # mlflow, when it is imported

SEEDED = {"seeds": 2, "seed": 5}
SCORED = {"name": "scored", "family": "pool", "members": ["gru", "garch"], "weights": "log_score"}
LADDER = [GRU, GARCH, SCORED]


def quiet(_line: str) -> None:
    """Says nothing."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with data in it and nothing trained. Tests must not change it: they take a copy."""
    root = tmp_path_factory.mktemp("train") / "home"
    fetched(root, prices([GRU])).engine.dispose()
    return root


def copy(home: Path, root: Path, run: dict[str, Any], workers: int = 1) -> Workspace:
    return moved(home, root, workspace(home, run, workers=workers))


def all_trained(made: Workspace) -> list[Trained]:
    return train_all(made.bench, scored_jobs(made.bench, made.spans), quiet)


@pytest.fixture(scope="module")
def ladder(home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, list[Trained]]:
    """The random walk, two seeds of a network, a volatility model, and a pool of the two."""
    made = copy(home, tmp_path_factory.mktemp("ladder") / "home", prices(LADDER, SEEDED))
    return made, all_trained(made)


def named(trained: list[Trained], name: str) -> Trained:
    return next(one for one in trained if one.name == name)


# Jobs


def test_a_models_seeds_and_a_pools_members_are_its_tree(ladder):
    made, trained = ladder
    gru, pool = named(trained, "gru").job, named(trained, "scored").job
    assert [member.seed for member in gru.members] == [5, 6]
    assert [member.label for member in gru.members] == ["gru seed 5", "gru seed 6"]
    assert gru.label == "gru"
    assert [member.label for member in pool.members] == ["gru", "garch"]
    keys = [made.bench.key(node) for one in trained for node in one.job.nodes()]
    assert len(keys) == 1 + 3 + 1 + 5
    assert len(set(keys)) == 1 + 3 + 1 + 1  # what stands in two trees has one key


def test_each_part_of_a_job_moves_its_key(home):
    made = workspace(home, prices([GRU]))
    (job,) = select(made.bench, made.spans, ["gru"])
    shorter = tuple(replace(sample, origins=sample.origins[:-1]) for sample in job.task.train)
    others = [
        replace(job, seed=1),
        replace(job, shares=(1.0,)),
        replace(job, members=(job,)),
        replace(job, family=job.family.model_copy(update={"hidden": 4})),
        replace(job, training=job.training.model_copy(update={"epochs": 3})),
        replace(job, task=replace(job.task, train=shorter)),
        replace(job, task=replace(job.task, validation=())),
    ]
    keys = {made.bench.key(one) for one in (job, *others)} | {job.key("other data")}
    assert len(keys) == 2 + len(others)


# Workers


def artifacts(made: Workspace) -> dict[str, str]:
    return {one.job.label: one.artifact.digest for whole in all_trained(made) for one in (whole, *whole.members)}


def test_the_outcome_does_not_depend_on_the_number_of_workers(home, ladder, tmp_path):
    alone = {one.job.label: one.artifact for whole in ladder[1] for one in (whole, *whole.members)}
    together = all_trained(copy(home, tmp_path / "home", prices(LADDER, SEEDED), workers=2))
    for whole in together:
        for one in (whole, *whole.members):
            before = alone[one.job.label]
            assert one.artifact.manifest == before.manifest  # says what differs, where the digest would not
            assert one.artifact.digest == before.digest


def test_what_two_models_share_is_trained_once(home, tmp_path):
    made = copy(home, tmp_path / "home", prices([GARCH, *(SCORED | {"name": n, "members": ["garch"]} for n in "ab")]))
    said: list[str] = []
    trained = train_all(made.bench, scored_jobs(made.bench, made.spans), said.append)
    assert sorted(line.split()[2].rstrip(":") for line in said) == ["a", "b", "garch", "naive"]
    assert [one.fresh for one in trained] == [True] * 4
    again: list[str] = []
    assert [one.fresh for one in train_all(made.bench, [one.job for one in trained], again.append)] == [False] * 4
    assert again == []


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_worker_refuses_reaches_the_user_as_it_was_said(home, tmp_path, workers):
    run = prices([{"name": "mlp", "family": "mlp", "lags": 8}], {"carry": True})
    made = copy(home, tmp_path / "home", run, workers)
    with pytest.raises(ConfigError) as caught:
        all_trained(made)
    expected = "[training] carry: mlp has no state to carry; leave carry out, or this model"
    assert str(caught.value) == expected


def test_weights_by_log_score_need_densities(home, tmp_path):
    grid = GRU | {"name": "grid", "head": "quantiles"}
    made = copy(home, tmp_path / "home", prices([grid, GARCH, SCORED | {"members": ["grid", "garch"]}]))
    with pytest.raises(ConfigError, match=r'model scored: weights "log_score" need members that have a density'):
        all_trained(made)
    kept = require(made.bench, select(made.bench, made.spans, ["grid", "garch"]))  # what was trained is not lost
    assert [one.name for one in kept] == ["grid", "garch"]


def test_what_is_missing_is_named(home, tmp_path):
    made = copy(home, tmp_path / "home", prices([GRU]))
    with pytest.raises(NotTrained, match="naive, gru"):
        made.walked()
    with pytest.raises(ConfigError, match="it has naive, gru"):
        select(made.bench, made.spans, ["lstm"])


# Pools and seeds


def contexts(made: Workspace) -> Floats:
    sample = made.spans.validation[0]
    return sample.windows.contexts(sample.origins[:40])


def test_seeds_differ_and_their_pool_lies_between(ladder):
    made, trained = ladder
    gru = named(trained, "gru")
    assert len({member.artifact.digest for member in gru.members}) == 2
    assert gru.artifact.manifest.made_from == tuple(member.artifact.digest for member in gru.members)
    assert [part.weight for part in gru.artifact.manifest.density] == [0.5, 0.5]
    each = np.stack([Runtime(member.artifact).quantiles(contexts(made)) for member in gru.members])
    pooled = Runtime(gru.artifact).quantiles(contexts(made))
    assert (pooled >= each.min(0) - 1e-6).all()
    assert (pooled <= each.max(0) + 1e-6).all()
    assert gru.artifact.manifest.parameters == sum(member.artifact.manifest.parameters for member in gru.members)


def member_scores(artifact: Artifact, sample: Sample) -> Floats:
    _, parameters = Runtime(artifact).distributions(sample.windows.contexts(sample.origins))
    assert parameters is not None
    return log_density(artifact.manifest.density, parameters, sample.windows.targets[sample.origins]).ravel()


def test_a_scored_pools_weights_are_the_best_on_the_validation_years(ladder):
    """And on nothing later: they are found again from these years alone, by a search over the simplex."""
    made, trained = ladder
    scored = named(trained, "scored")
    share = load(load_weights(made.engine, scored.run.key))["share"]
    logs = np.stack([member_scores(one.artifact, made.spans.validation[0]) for one in scored.members])
    grid = np.linspace(1e-6, 1 - 1e-6, 2001)
    means = [logsumexp(logs + np.log([[w], [1 - w]]), axis=0).mean() for w in grid]
    assert share[0] == pytest.approx(grid[int(np.argmax(means))], abs=0.02)
    assert share.sum() == pytest.approx(1, abs=1e-6)


def test_weights_know_nothing_of_what_comes_after_the_validation_years(home, ladder, tmp_path):
    """Every row after the last validation target is another one; neither a weight nor a share moves by a bit."""
    made, trained = ladder
    other = copy(home, tmp_path / "home", prices(LADDER, SEEDED))
    whole = other.spans
    windows = whole.train[0].windows
    last = int(whole.validation[0].origins[-1]) + windows.targets.shape[1]
    values, targets = windows.values.copy(), windows.targets.copy()
    values[last + 1 :] *= -3
    for step in range(targets.shape[1]):
        targets[last - step :, step] *= -3  # these end after the last session that may be known
    changed = replace(windows, values=values, targets=targets)
    spans = replace(
        whole,
        train=(replace(whole.train[0], windows=changed),),
        validation=(replace(whole.validation[0], windows=changed),),
    )
    again = train_all(other.bench, scored_jobs(other.bench, spans), quiet)
    for one, before in zip(again, trained, strict=True):
        kept, fresh = (load_weights(bench.engine, each.run.key) for bench, each in ((made, before), (other, one)))
        assert kept == fresh, one.name
        assert one.artifact.digest == before.artifact.digest


def _shortened(samples: tuple[Sample, ...], count: int) -> tuple[Sample, ...]:
    return tuple(replace(sample, origins=sample.origins[:count]) for sample in samples)


def test_a_comparison_shows_how_seeds_scatter(ladder):
    made, trained = ladder
    spans = Spans(*(_shortened(part, 80) for part in (made.spans.train, made.spans.validation, made.spans.test)))
    found = compare([Walked((one,)) for one in trained], "naive", (spans,), "return", Pool())
    gru, both = found.row("gru"), found.row("scored")
    seeds = [replace(one, members=()) for one in named(trained, "gru").members]
    naive = Walked((named(trained, "naive"),))
    single = [compare([naive, Walked((seed,))], "naive", (spans,), "return", Pool()).row("gru").skill for seed in seeds]
    assert (gru.seeds, found.row("garch").seeds, both.seeds) == (2, 1, 1)
    assert gru.seed_skill == pytest.approx(np.mean(single))
    assert gru.seed_sd == pytest.approx(np.std(single, ddof=1))
    assert (both.seed_skill, found.row("naive").seed_sd) == (None, None)
    assert found.unit == "% log return"


def test_a_refit_keeps_the_shares_and_each_fits_epochs(ladder):
    made, trained = replace(ladder[0]), ladder[1]  # opened anew: mlflow writes where it was last told to
    scored = named(trained, "scored")
    job = refit_job(made.bench, scored)
    share = load(load_weights(made.engine, scored.run.key))["share"]
    assert job.shares == pytest.approx(share.tolist())
    for whole, before in zip(job.members, scored.members, strict=True):
        epochs = [one.artifact.manifest.epochs for one in before.members]
        assert [leaf.training.epochs for leaf in whole.members] == epochs
        assert [leaf.seed for leaf in whole.members] == ([5, 6] if whole.members else [])
    refit = train(made.bench, job)
    assert [part.weight for part in refit.artifact.manifest.density] == pytest.approx(
        [part.weight for part in scored.artifact.manifest.density]
    )
    assert refit.artifact.manifest.chosen_until is None
    assert refit.artifact.manifest.trained_until == date(2018, 12, 31)
    assert scored.artifact.manifest.trained_until < date(2010, 1, 6)


# Where a fit begins


def tensors(made: Workspace, trained: Trained) -> dict[str, np.ndarray]:
    return load(load_weights(made.engine, trained.run.key))


@pytest.mark.parametrize("mode", ["warm", "finetune"])
def test_a_fit_goes_on_from_given_weights(home, tmp_path, mode):
    first = copy(home, tmp_path / "home", prices([GRU]))
    begun = named(all_trained(first), "gru")
    digest = begun.artifact.digest
    later = replace(first, config=RunConfig.model_validate(prices([GRU], {"mode": mode, "start": digest})))
    (job,) = select(later.bench, later.spans, ["gru"])
    gone_on = train(later.bench, job)
    fresh = replace(first, config=RunConfig.model_validate(prices([GRU], {"seed": 1})))
    other = train(fresh.bench, select(fresh.bench, fresh.spans, ["gru"])[0])
    manifest = gone_on.artifact.manifest
    assert manifest.made_from == (digest,)
    assert (manifest.config["training"]["mode"], manifest.config["training"]["start"]) == (mode, digest)
    start, found, elsewhere = (tensors(first, one) for one in (begun, gone_on, other))
    moved_by = {name: float(np.abs(found[name] - start[name]).max()) for name in start}
    apart = {name: float(np.abs(elsewhere[name] - start[name]).max()) for name in start}
    cell = [name for name in start if name.startswith("body.") and "readout" not in name]
    readout = [name for name in start if "readout" in name]
    assert cell
    assert readout
    assert max(moved_by[name] for name in readout) > 0
    if mode == "finetune":
        assert {moved_by[name] for name in cell} == {0.0}
    else:  # it stays near where it began, where another seed begins elsewhere
        assert 0 < max(moved_by[name] for name in cell) < max(apart[name] for name in cell)


def test_each_seed_goes_on_from_its_own_weights(ladder, tmp_path):
    made, trained = ladder
    gru = named(trained, "gru")
    later = moved(made.home.root, tmp_path / "home", made)
    run = prices([GRU], SEEDED | {"mode": "finetune", "start": gru.artifact.digest})
    later = workspace(later.home.root, run)
    gone_on = train(later.bench, select(later.bench, later.spans, ["gru"])[0])
    for before, after in zip(gru.members, gone_on.members, strict=True):
        start, found = tensors(made, before), tensors(later, after)
        for name in start:
            if "readout" not in name:
                assert (start[name] == found[name]).all(), name


def test_weights_of_another_build_are_refused(home, tmp_path):
    first = copy(home, tmp_path / "home", prices([GRU]))
    digest = named(all_trained(first), "gru").artifact.digest
    plain = replace(first, config=RunConfig.model_validate(prices([GRU], {"mode": "warm", "start": digest})))
    walk = train(plain.bench, select(plain.bench, plain.spans, ["naive"])[0])
    assert walk.artifact.manifest.made_from == ()  # it has nothing to go on from
    wider = prices([GRU | {"hidden": 4}], {"mode": "warm", "start": digest})
    later = replace(first, config=RunConfig.model_validate(wider))
    with pytest.raises(ConfigError, match="of another build"):
        train(later.bench, select(later.bench, later.spans, ["gru"])[0])


@pytest.mark.parametrize(
    ("training", "said"), [({"mode": "warm"}, "needs a start"), ({"start": "d" * 64}, "takes no start")]
)
def test_a_mode_that_does_not_fit_its_start_is_refused(training, said):
    with pytest.raises(ValueError, match=said):
        RunConfig.model_validate(prices([GRU], training))


# Killed

CHECKPOINTED = """
from forecaster.training import checkpoint
checkpoint.EVERY = 0.0  # else a fit as short as this would leave none
from pipelines.cli import main
main()
"""


def training(home: Path, run: Path) -> subprocess.Popen[str]:
    """`forecaster train gru` in a process of its own, with a checkpoint after every epoch."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FORECASTER_", "MLFLOW_"))}
    return subprocess.Popen(
        [sys.executable, "-c", CHECKPOINTED, "train", "gru", "--json", "--workers", "1", "--run", str(run)],
        env=clean | {"FORECASTER_HOME": str(home)},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip


def test_a_training_that_was_killed_goes_on_to_the_same_weights(home, tmp_path):
    run = prices([GRU], {"epochs": 12, "patience": 12})
    path = tmp_path / "run.toml"
    path.write_text(toml(run))
    made = copy(home, tmp_path / "home", run)
    (job,) = select(made.bench, made.spans, ["gru"])
    checkpoints = made.home.checkpoints
    killed = training(made.home.root, path)
    while not list(checkpoints.rglob("*.ckpt")) and killed.poll() is None:
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL, "it was done before it could be killed"
    assert find(made.bench, job) is None
    (kept,) = checkpoints.rglob("*.ckpt")
    assert 0 < len(torch.load(kept, weights_only=True)["callbacks"]["Course"]["history"]) < 12
    second, _ = training(made.home.root, path).communicate(timeout=240)
    assert list(checkpoints.rglob("*.ckpt")) == []
    elsewhere = copy(home, tmp_path / "elsewhere", run)
    undisturbed = train(elsewhere.bench, job)
    assert json.loads(second)["trained"][0]["digest"] == undisturbed.artifact.digest
