"""A twin that carries a state is made by one command, and answers in no place that is a windowed model's."""

from dataclasses import replace

import numpy as np
import pytest

from forecaster.artifact import Artifact
from forecaster.errors import ConfigError, RunError, WrongMode
from forecaster.runtime import Runtime
from forecaster.store.artifacts import load_artifact
from forecaster.store.champions import crown
from forecaster.stream import Stream
from pipelines.carry import carry
from pipelines.issue import issue
from pipelines.scoring import Stage
from pipelines.train import Trained, Walked, scored_jobs, train_all
from pipelines.workspace import Workspace
from tests.pipelines.conftest import forecaster
from tests.pipelines.small_runs import GARCH, GRU, NOW, fetched, prices

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*")  # mlflow, when it is imported

SHORT = {"validation_from": "2002-01-01", "test_from": "2003-01-01", "test_until": "2004-01-01"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Trained, Trained]:
    """A recurrent network of two seeds, and a model without a state."""
    run = prices([GRU, GARCH], {"seeds": 2}, split=SHORT)
    workspace = fetched(tmp_path_factory.mktemp("carry") / "home", run)
    trained = train_all(workspace.bench, scored_jobs(workspace.bench, workspace.spans), lambda _: None)
    return workspace, next(one for one in trained if one.name == "gru"), next(o for o in trained if o.name == "garch")


@pytest.fixture(scope="module")
def twin(made: tuple[Workspace, Trained, Trained]) -> Artifact:
    workspace, gru, _ = made
    return carry(workspace.engine, gru.run.key, NOW)


def test_the_twin_is_in_the_store_and_says_what_the_model_says_of_real_windows(made, twin):
    workspace, gru, _ = made
    stored = load_artifact(workspace.engine, twin.digest)
    assert stored.manifest.made_from == (gru.artifact.digest,)
    windows = workspace.universe[0]
    contexts = windows.contexts(workspace.spans.test[0].origins[:40])
    stream = Stream(stored)
    told = stream.step(contexts, stream.begin(40)).quantiles[:, -1]
    np.testing.assert_allclose(told, Runtime(gru.artifact).quantiles(contexts), rtol=0, atol=1e-6)


def test_it_is_made_once_and_found_by_any_name_of_its_run(made, twin):
    workspace, gru, _ = made
    for name in (gru.run.key[:8], gru.artifact.digest, gru.run.tracking_id):
        assert carry(workspace.engine, name, NOW).digest == twin.digest


def test_a_model_without_a_state_and_a_name_that_fits_nothing_are_refused_in_one_line(made):
    workspace, _, garch = made
    with pytest.raises(ConfigError, match="garch: has no state to carry"):
        carry(workspace.engine, garch.run.key, NOW)
    with pytest.raises(RunError, match="nothing here is called so"):
        carry(workspace.engine, "0" * 12, NOW)


def test_compare_does_not_score_it(made, twin):
    workspace, gru, _ = made
    walked = Walked((replace(gru, artifact=twin),))
    with pytest.raises(WrongMode, match="is carried"):
        Stage.test(workspace.folds, "return").score(walked.artifacts)


def test_it_issues_nothing_even_where_it_was_crowned(made, twin):
    workspace, gru, _ = made
    crown(workspace.engine, workspace.config.target.key, twin.digest, None, {"reason": "by hand"}, NOW)
    with pytest.raises(WrongMode, match=f"choose {gru.artifact.digest[:12]}"):
        issue(workspace.engine, workspace.config, "^GSPC", NOW)


def test_the_command_says_what_it_made(made, twin):
    workspace, gru, garch = made
    done = forecaster("carry", gru.run.key[:12], "--json", home=workspace.home.root)
    assert done.returncode == 0, done.stderr
    assert f'"digest": "{twin.digest}"' in done.stdout
    refused = forecaster("carry", garch.run.key[:12], home=workspace.home.root)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "has no state to carry" in refused.stderr
