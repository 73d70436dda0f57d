"""Carry: the twin of a trained model that goes on from a state, into the store beside it.

Windows are what is scored, promoted, issued and served; the twin answers in none of these places.
"""

from datetime import datetime

from safetensors.torch import load
from sqlalchemy import Engine

from forecaster.artifact import Artifact
from forecaster.store.artifacts import add_artifact, load_artifact, load_weights, require_run
from forecaster.store.database import look_then_write
from forecaster.training.carrying import carry_state
from pipelines.reproduce import stated


def carry(engine: Engine, name: str, now: datetime) -> Artifact:
    """Make and keep the twin of a finished training; the same one where it was made before.

    Arguments:
        name: The run's key or its artifact's digest, or how one begins, or its MLflow run id.

    Raises:
        RunError: No one run has that name, or it has no statement that fits it.
        ConfigError: The model has no state to carry.
        ContractMismatch: Over one window the twin does not answer as the model does.
    """
    run = require_run(engine, name)
    statement = stated(run)
    model = statement.node.build(statement.spec)
    model.load_state_dict(load(load_weights(engine, run.key)))
    twin = carry_state(model, load_artifact(engine, run.digest))
    look_then_write(engine, lambda connection: add_artifact(connection, twin, now))
    return twin
