"""Whether a home is sound: nobody in charge without papers, nothing half written, nothing twice."""

from collections import Counter

from sqlalchemy import Engine, select

from benchmarks.job_stage import TARGET, Stage
from benchmarks.same_record import Record, differences, record_of
from forecaster.errors import ForecasterError
from forecaster.snapshot import read_snapshot
from forecaster.store.artifacts import load_artifact
from forecaster.store.champions import all_champions, find_promotions, require_champion
from forecaster.store.database import connect, reading
from forecaster.store.schema import artifact, champion
from pipelines.home import Home


def faults(stage: Stage, undisturbed: Record | None = None) -> list[str]:
    """What is wrong with a stage's store, snapshots and notebook; and where it is not as an undisturbed one.

    Arguments:
        undisturbed: None while the runs are not over.
    """
    engine = connect(stage.url)
    try:
        found = [*_halves(stage, engine), *_orphans(engine)]
        if undisturbed is not None:
            found += [line[:200] for line in differences(undisturbed, record_of(engine))]
            found += _untold(stage, engine) if all_champions(engine) else ["nobody is in charge"]
    finally:
        engine.dispose()
    return found


def _halves(stage: Stage, engine: Engine) -> list[str]:
    """Artifacts and snapshots that are not what their digest says."""
    with reading(engine).connect() as connection:
        digests = connection.scalars(select(artifact.c.digest)).all()
    found = []
    for digest in digests:
        try:
            load_artifact(engine, digest)
        except ForecasterError as error:
            found.append(str(error))
    for path in stage.home.glob("snapshots/*.parquet"):
        try:
            read_snapshot(path.parent, path.stem)
        except ForecasterError as error:
            found.append(str(error))
    return found


def _orphans(engine: Engine) -> list[str]:
    """Champions without an artifact, or whom no promotion put there."""
    found = []
    told = all_champions(engine)  # joined with their promotions: one without is not among them
    for one in told:
        move = find_promotions(engine, [(one.target, one.version)]).get((one.target, one.version))
        if move is None or move.digest != one.digest:
            found.append(f"champion {one.digest[:12]} of {one.target} has no promotion")
    with reading(engine).connect() as connection:
        count = len(connection.execute(select(champion)).all())
    return found + ([] if count == len(told) else ["a champion without a promotion"])


def _untold(stage: Stage, engine: Engine) -> list[str]:
    """Where MLflow does not show who is in charge, or shows a training twice."""
    from mlflow import MlflowClient

    from pipelines.tracking import Notebook

    home = Home(stage.home, stage.database, stage.tracking)
    one = require_champion(engine, TARGET)
    alias = Notebook(home.tracking_uri, home.models, TARGET).alias(TARGET)
    client = MlflowClient(home.tracking_uri)
    experiment = client.get_experiment_by_name(TARGET)
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    jobs = Counter(run.data.tags["job"] for run in runs if "job" in run.data.tags)
    found = [f"MLflow has {count} runs of {job[:12]}" for job, count in jobs.items() if count > 1]
    found += [f"MLflow run {run.info.run_name} is {run.info.status}" for run in runs if run.info.status != "FINISHED"]
    versions = client.search_model_versions(f"name = '{TARGET}'")
    found += [] if len(versions) == one.version else [f"{len(versions)} registered versions"]
    return found + ([] if alias.digest == one.digest else [f"the alias shows {alias.digest}"])
