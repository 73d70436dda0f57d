"""MLflow's alias shows who is in charge; moved by hand it is a request, and MLflow away stops nothing."""

from dataclasses import replace

import mlflow
import pytest
from mlflow import MlflowClient

from forecaster.store.artifacts import find_run_of
from forecaster.store.champions import find_champion
from pipelines.mirror import mirror
from pipelines.train import scored_jobs, train_all
from pipelines.work import daily
from pipelines.workspace import Workspace
from tests.pipelines.at_work.stage import DAYS, KEY, TABLE, at_work, see_to

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*")  # mlflow, when it is imported


def client(made: Workspace) -> MlflowClient:
    return MlflowClient(made.home.tracking_uri)


def test_alias_pointed_at_a_foreign_model_is_set_back_at_once(made: Workspace) -> None:
    champion = find_champion(made.engine, KEY)
    assert champion is not None
    foreign = client(made).create_model_version(KEY, "s3://elsewhere/model")
    client(made).set_registered_model_alias(KEY, "champion", foreign.version)
    assert made.notebook.alias(KEY).moved
    assert mirror(made) is None
    assert made.notebook.alias(KEY).digest == champion.digest
    assert "version 1 is in charge" in client(made).get_registered_model(KEY).tags["reason"]


def test_alias_moved_by_hand_is_a_request(made: Workspace) -> None:
    """It is asked for a challenge, answered, and set back with the reason."""
    jobs = scored_jobs(made.bench, made.spans)
    (har,) = [one for one in train_all(made.bench, jobs, lambda _: None) if one.artifact.manifest.name == "har"]
    made.notebook.crown(KEY, har.run.tracking_id, har.artifact.digest, 2)
    client(made).set_registered_model_tag(KEY, "mirrored", str(find_champion(made.engine, KEY).digest))
    assert mirror(made) == "har"
    assert made.notebook.alias(KEY).digest == har.artifact.digest  # until the gate has spoken
    assert mirror(made, "har, asked for by hand: no better than the random walk") is None
    assert made.notebook.alias(KEY).digest == find_champion(made.engine, KEY).digest
    assert "no better" in client(made).get_registered_model(KEY).tags["reason"]


def test_a_process_that_trained_nothing_registers_the_champion(made: Workspace) -> None:
    """As one that takes over between a refit and its crown: what it never told MLflow's globals must not matter."""
    jobs = scored_jobs(made.bench, made.spans)
    (har,) = [one for one in train_all(made.bench, jobs, lambda _: None) if one.artifact.manifest.name == "har"]
    mlflow.set_tracking_uri(f"sqlite:///{made.home.root}/elsewhere.db")
    made.notebook.crown(KEY, har.run.tracking_id, har.artifact.digest, 2)
    assert made.notebook.alias(KEY).digest == har.artifact.digest


def test_a_model_that_was_deleted_in_mlflow_stops_nothing(made: Workspace) -> None:
    for version in client(made).search_model_versions(f"name = '{KEY}'"):
        client(made).delete_registered_model_alias(KEY, "champion")
        client(made).delete_model_version(KEY, version.version)
    champion = find_champion(made.engine, KEY)
    assert champion is not None
    run = find_run_of(made.engine, champion.digest)
    assert run is not None
    experiment = client(made).get_experiment_by_name(KEY)
    for model in client(made).search_logged_models([experiment.experiment_id]):
        client(made).delete_logged_model(model.model_id)
    assert f"no model of run {run.tracking_id}" in daily.mirror(made)["problem"]
    with at_work(made, TABLE.due_at(DAYS[0])) as (one, _):
        (done,) = see_to(one)
    assert done.state == "done"


def test_mlflow_away_does_not_stop_a_session(made: Workspace) -> None:
    away = replace(made, home=replace(made.home, tracking="http://127.0.0.1:9"))
    with at_work(away, TABLE.due_at(DAYS[0])) as (one, _):
        (done,) = see_to(one)
    assert done.state == "done"
    assert daily.mirror(away)["problem"] is not None
