"""A run once more: the same to the bit from its statement and snapshot alone, or what differs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save
from sqlalchemy import insert, update

from forecaster.artifact import Artifact
from forecaster.errors import ConfigError, RunError, SnapshotCorrupt, SnapshotMissing
from forecaster.snapshot import path_of, read_snapshot, write_snapshot
from forecaster.store.artifacts import add_artifact, add_run, find_run, load_weights, require_run
from forecaster.store.schema import artifact, run, weights
from pipelines.config import RunConfig
from pipelines.jobs import Job
from pipelines.reproduce import Reproduced, compared, reproduce, stated
from pipelines.statement import Statement
from pipelines.train import Trained, refit_job, scored_jobs, select, train, train_all
from pipelines.workers import Made
from pipelines.workspace import Workspace
from tests.forecaster.small_market import ONE_OF_EACH
from tests.pipelines.small_runs import GARCH, GRU, NOW, fetched, levels, moved, prices, workspace, write_load

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*")  # mlflow, when it is imported

EACH = [family.model_dump(mode="json") | {"name": family.family} for family in ONE_OF_EACH if family.family != "naive"]
ALL = {"name": "all", "family": "pool", "members": [model["name"] for model in EACH]}
SHORT = {"validation_from": "2002-01-01", "test_from": "2003-01-01", "test_until": "2004-01-01"}
WIDE = {"window": {"context": 32, "burn_in": 24, "channels": ["log_return", "log_range"]}, "split": SHORT}
SCORED = {"name": "scored", "family": "pool", "members": ["gru", "garch"], "weights": "log_score"}
LADDER = prices([GRU, GARCH, SCORED], {"seeds": 2, "seed": 5}, split=SHORT)


def again(made: Workspace, name: str, folder: Path = Path()) -> Reproduced:
    return reproduce(made.engine, made.home.snapshots, name, folder)


def named(trained: list[Trained], name: str) -> Trained:
    return next(one for one in trained if one.name == name)


def all_trained(made: Workspace) -> list[Trained]:
    return train_all(made.bench, scored_jobs(made.bench, made.spans), lambda _: None)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with data in it and nothing trained. Tests must not change it: they take a copy."""
    root = tmp_path_factory.mktemp("reproduce") / "home"
    fetched(root, prices([GRU])).engine.dispose()
    return root


@pytest.fixture(scope="module")
def ladder(home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, list[Trained]]:
    """The random walk, two seeds of a network, a volatility model, and a pool of the two. Tests take a copy."""
    made = moved(home, tmp_path_factory.mktemp("ladder") / "home", workspace(home, LADDER))
    return made, all_trained(made)


@pytest.fixture
def copied(ladder: tuple[Workspace, list[Trained]], tmp_path: Path) -> tuple[Workspace, list[Trained]]:
    """The same in a home that a test may spoil."""
    made, trained = ladder
    return replace(moved(made.home.root, tmp_path / "home", made), config=made.config), trained


@pytest.fixture(scope="module")
def families(home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, list[Trained]]:
    """One of each family, and a pool of them all."""
    made = moved(home, tmp_path_factory.mktemp("families") / "home", workspace(home, prices([*EACH, ALL], **WIDE)))
    return made, all_trained(made)


# The statement


def test_a_statement_gives_the_key_and_the_job_again(ladder):
    made, trained = ladder
    for one in trained:
        for job in (one.job, refit_job(made.bench, one)):
            statement = Statement.of(job.node, made.bench.snapshot, made.config)
            assert (statement.data, statement.key) == (made.bench.data, made.bench.key(job))
            assert statement.spec == made.bench.spec
            assert Statement.model_validate(statement.record()) == statement
            rebuilt = Job.again(Statement.model_validate(statement.record()).node, made.universe)
            for before, after in zip(job.nodes(), rebuilt.nodes(), strict=True):
                assert made.bench.key(before) == made.bench.key(after)
                for span in ("train", "validation"):
                    pairs = zip(getattr(before.task, span), getattr(after.task, span), strict=True)
                    assert all(one.windows is other.windows for one, other in pairs)
                    pairs = zip(getattr(before.task, span), getattr(after.task, span), strict=True)
                    assert all(np.array_equal(one.origins, other.origins) for one, other in pairs)


def test_a_run_keeps_its_statement(ladder):
    made, trained = ladder
    for whole in trained:
        for one in (whole, *whole.members):
            found = find_run(made.engine, one.run.key)
            assert found is not None
            assert stated(found).node == one.job.node


# Identical


@pytest.mark.slow
def test_every_family_is_identical_in_a_fresh_process(families):
    """The pool of them all names the digest of each: it is the same only if each of them is."""
    made, trained = families
    found = again(made, named(trained, "all").run.key)
    assert found.lines[1:] == []
    assert (found.verdict, found.causes, found.weights, found.golden) == ("identical", (), 0.0, 0.0)
    assert len(named(trained, "all").artifact.manifest.made_from) == len(ONE_OF_EACH) - 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ["naive", *(model["name"] for model in EACH)])
def test_a_family_is_identical_in_a_fresh_process(families, name):
    made, trained = families
    found = again(made, named(trained, name).artifact.digest)
    assert (found.verdict, found.again) == ("identical", named(trained, name).artifact.digest)


def test_a_refit_is_identical_and_nothing_stored_of_it_is_read_before(copied):
    """Whatever its members are in the store, they are trained again: spoil them, and the pool comes out as it was."""
    made, trained = copied
    refit = train(made.bench, refit_job(made.bench, named(trained, "scored")))
    with made.engine.begin() as connection:
        connection.execute(update(weights).where(weights.c.key != refit.run.key).values(tensors=b"spoiled"))
        connection.execute(update(artifact).where(artifact.c.digest != refit.run.digest).values(model=b"spoiled"))
    found = again(made, refit.run.tracking_id)
    assert found.identical, found.lines
    assert found.lines[0].startswith(f"identical: scored {refit.run.digest[:12]} (trained again in a fresh process")
    assert len(found.lines) == 1
    assert found.record()["verdict"] == "identical"


@pytest.mark.slow
def test_a_fit_that_went_on_from_stored_weights_says_so(copied):
    made, trained = copied
    begun = named(trained, "gru").members[0].artifact.digest
    later = replace(made, config=RunConfig.model_validate(prices([GRU], {"mode": "warm", "start": begun}, split=SHORT)))
    gone_on = train(later.bench, select(later.bench, later.spans, ["gru"])[0])
    found = again(later, gone_on.run.key)
    assert found.identical, found.lines
    assert found.start == (begun,)
    assert f"going on from the stored weights of {begun[:12]}" in found.lines[0]


@pytest.mark.slow
def test_a_level_of_several_symbols_is_stated_whole(tmp_path):
    write_load(tmp_path)
    level = fetched(tmp_path / "level", levels(tmp_path, []), NOW)
    both = prices([], target={"symbols": ["^GSPC", "^IXIC"], "venue": "XNYS", "horizon": 2})
    for made in (level, fetched(tmp_path / "both", both)):
        (trained,) = all_trained(made)
        run = find_run(made.engine, trained.run.key)
        assert run is not None
        assert len(stated(run).node.train) == len(made.universe)
        found = again(made, run.key)
        assert found.identical, found.lines


FEATURE = """
from forecaster.features import feature
import numpy as np

@feature(unit="none", warm_up=0)
def mine(panel, subject):
    return np.full(len(panel.sessions), {value})
"""


@pytest.mark.slow
def test_the_users_own_features_are_asked_for_and_checked(home, tmp_path):
    (tmp_path / "my_own.py").write_text(FEATURE.format(value=0.5))
    channels = {"context": 24, "burn_in": 12, "channels": ["log_return", "mine"]}
    spoken = prices([], window=channels, features={"modules": ["my_own"]})
    config = RunConfig.model_validate(spoken, context=tmp_path)
    made = moved(home, tmp_path / "home", replace(workspace(home, prices([])), config=config))
    (trained,) = all_trained(made)
    assert again(made, trained.run.key, tmp_path).identical
    with pytest.raises(ConfigError, match=r"no module my_own: put my_own\.py into"):
        again(made, trained.run.key, tmp_path / "home")
    (tmp_path / "my_own.py").write_text(FEATURE.format(value=0.25))
    with pytest.raises(ConfigError, match="not as the run was trained with"):
        again(made, trained.run.key, tmp_path)


# What is not as it was


def test_a_missing_or_changed_snapshot_is_said(copied):
    made, trained = copied
    path = path_of(made.home.snapshots, made.snapshot.digest)
    facts = read_snapshot(made.home.snapshots, made.snapshot.digest)
    values = facts.values.copy()
    values[-1] *= 1.0001
    other = write_snapshot(replace(facts, values=values), made.home.snapshots)
    path_of(made.home.snapshots, other).replace(path)
    with pytest.raises(SnapshotCorrupt, match="does not match the digest in its name"):
        again(made, named(trained, "naive").run.key)
    path.unlink()
    with pytest.raises(SnapshotMissing, match="no snapshot at"):
        again(made, named(trained, "naive").run.key)


def _reseeded(said: dict[str, Any]) -> dict[str, Any]:
    return said | {"node": said["node"] | {"seed": said["node"]["seed"] + 1}}


def test_a_changed_statement_is_refused_and_a_missing_one(copied):
    made, trained = copied
    one = named(trained, "gru").members[0].run
    assert one.statement is not None
    for said, problem in (
        (_reseeded(one.statement), "its statement gives another key"),
        ({"snapshot": "x"}, "its statement cannot be read"),
        (None, "older than statements"),
    ):
        with made.engine.begin() as connection:
            connection.execute(update(run).where(run.c.key == one.key).values(statement=said))
        with pytest.raises(RunError, match=problem):
            again(made, one.key)


def test_another_seed_gives_other_weights_and_both_are_said(copied):
    """An artifact under a run that did not make it: the statement fits its key, the outcome is not the stored one."""
    made, trained = copied
    one = named(trained, "gru").members[0].run
    assert one.statement is not None
    other = Statement.model_validate(_reseeded(one.statement))
    other = other.model_copy(update={"node": other.node.model_copy(update={"seed": 99})})
    false = replace(one, key=other.key, tracking_id="false", statement=other.record())
    with made.engine.begin() as connection:
        add_run(connection, false, load_weights(made.engine, one.key), NOW)
    found = again(made, other.key)
    assert (found.verdict, found.causes) == ("differs", ())
    assert {one.what for one in found.differences} >= {"model_sha256", "golden forecast", "weights"}
    assert found.golden > 0
    assert 1e-3 < found.weights < 10
    assert found.lines[0].startswith(f"differs: gru {one.digest[:12]}, again {found.again[:12]}")
    assert any("most of all" in line for line in found.lines)


@pytest.fixture
def same(ladder: tuple[Workspace, list[Trained]]) -> tuple[Statement, Trained, bytes, Made]:
    """A stored training, and the same as if made again."""
    made, trained = ladder
    one = named(trained, "naive")
    tensors = load_weights(made.engine, one.run.key)
    return stated(one.run), one, tensors, Made(one.artifact, tensors, (), 1.0)


def test_other_code_is_said_first(same):
    statement, one, tensors, made = same
    older = Artifact.seal(one.artifact.manifest.model_copy(update={"code": "0" * 64}), one.artifact.model)
    before = statement.model_copy(update={"made_with": statement.made_with | {"torch": "1.0", "gone": "2"}})
    found = compared(replace(one.run, digest=older.digest), before, older, tensors, made)
    assert [cause.what for cause in found.causes] == ["code", "gone", "torch"]
    assert found.verdict == "the same weights and graph, by other code"
    assert found.lines[1].split() == ["code", "0" * 12, "->", one.artifact.manifest.code[:12]]
    assert not found.identical


def test_weights_that_were_changed_beside_their_artifact_are_found(same):
    statement, one, tensors, made = same
    kept = load(tensors)
    name = max(kept, key=lambda name: kept[name].size)
    tensor = kept[name].copy()
    tensor.flat[0] += 0.25
    found = compared(one.run, statement, one.artifact, save(kept | {name: tensor}), made)
    assert found.again == found.digest
    assert found.verdict == "differs"
    assert found.weights == pytest.approx(0.25)
    gone = compared(one.run, statement, one.artifact, save({k: v for k, v in kept.items() if k != name}), made)
    assert gone.weights == float("inf")


def test_what_differs_in_the_manifest_and_the_golden_forecast_is_named(same):
    statement, one, tensors, made = same
    golden = tuple(tuple(value + 1e-3 for value in row) for row in one.artifact.manifest.golden)
    changed = one.artifact.manifest.model_copy(update={"epochs": 7, "golden": golden})
    older = Artifact.seal(changed, one.artifact.model)
    found = compared(replace(one.run, digest=older.digest), statement, older, tensors, made)
    assert [one.what for one in found.differences] == ["epochs", "golden forecast"]
    assert found.differences[0].line.split() == ["epochs", "7", "->", "0"]
    assert found.golden == pytest.approx(1e-3)
    assert compared(one.run, statement, one.artifact, tensors, made).identical


# Names


def test_a_run_is_found_by_any_of_its_names(ladder):
    made, trained = ladder
    one = named(trained, "garch").run
    for name in (one.key, one.key[:6], one.digest, one.digest[:8], one.tracking_id):
        assert require_run(made.engine, name) == one


@pytest.mark.parametrize(
    ("name", "said"),
    [("abcde", "too short"), ("", "too short"), ("f" * 64, "nothing here is called so"), ("%%%%%%", "nothing here")],
)
def test_a_name_that_fits_no_run_is_refused_in_one_line(ladder, name, said):
    with pytest.raises(RunError, match=said) as caught:
        require_run(ladder[0].engine, name)
    assert len(str(caught.value).splitlines()) == 1


def test_an_artifact_that_two_runs_made_is_asked_about(copied):
    made, trained = copied
    one = named(trained, "garch").run
    with made.engine.begin() as connection:
        connection.execute(
            insert(run).values(
                key="e" * 64, digest=one.digest, tracking_id="other", train_seconds=1.0, created_at=NOW, statement=None
            )
        )
        add_artifact(connection, named(trained, "garch").artifact, NOW)
    with pytest.raises(RunError, match="2 runs are called so; choose one by its key") as caught:
        require_run(made.engine, one.digest)
    assert one.key[:12] in str(caught.value)
    assert require_run(made.engine, "e" * 12).tracking_id == "other"
