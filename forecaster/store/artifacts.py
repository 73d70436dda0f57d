"""Artifacts and the runs that made them, at rest."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, or_, select

from forecaster.artifact import Artifact, Manifest, serialise
from forecaster.errors import ArtifactMissing, NotTrained, RunError
from forecaster.store.database import reading
from forecaster.store.schema import artifact, run, weights

SHORTEST = 6
"""Characters that a run must be named by."""
_NAMES = "a run is named by its key, its MLflow run id or its artifact's digest"


@dataclass(frozen=True)
class Run:
    """A finished training: its key (what went in), and the artifact that came out."""

    key: str
    digest: str
    tracking_id: str
    """Run in MLflow."""
    train_seconds: float
    statement: dict[str, Any] | None = None
    """All that decides the outcome, to train it again; None in a store that is older than statements."""


def add_artifact(connection: Connection, made: Artifact, now: datetime) -> None:
    """Store an artifact once."""
    if connection.scalar(select(artifact.c.digest).where(artifact.c.digest == made.digest)) is None:
        row = {"digest": made.digest, "manifest": serialise(made.manifest), "model": made.model, "created_at": now}
        connection.execute(insert(artifact).values(row))


def load_artifact(engine: Engine, digest: str) -> Artifact:
    """An artifact, verified against its digest.

    Raises:
        ArtifactMissing: The store has none of that digest.
        ArtifactCorrupt: What is stored is not what the digest names.
    """
    with reading(engine).connect() as connection:
        row = connection.execute(select(artifact).where(artifact.c.digest == digest)).one_or_none()
    if row is None:
        raise ArtifactMissing(digest)
    return Artifact.verify(digest, row.manifest, row.model)


def load_manifest(engine: Engine, digest: str) -> Manifest:
    """The manifest of a stored artifact, without its graph.

    Raises:
        ArtifactMissing: The store has none of that digest.
    """
    with reading(engine).connect() as connection:
        found = connection.scalar(select(artifact.c.manifest).where(artifact.c.digest == digest))
    if found is None:
        raise ArtifactMissing(digest)
    return Manifest.model_validate_json(found)


def add_run(connection: Connection, entry: Run, tensors: bytes, now: datetime) -> None:
    """Record a finished training once.

    Arguments:
        tensors: Its weights and buffers as safetensors, for trainings that go on from them.
    """
    if connection.scalar(select(run.c.key).where(run.c.key == entry.key)) is None:
        connection.execute(insert(run).values(created_at=now, **vars(entry)))
        connection.execute(insert(weights).values(key=entry.key, tensors=tensors))


def load_weights(engine: Engine, key: str) -> bytes:
    """Weights and buffers of a finished training, as safetensors.

    Raises:
        NotTrained: The store has none under that key.
    """
    with reading(engine).connect() as connection:
        found = connection.scalar(select(weights.c.tensors).where(weights.c.key == key))
    if found is None:
        raise NotTrained([f"the run {key[:12]}"])
    return bytes(found)


def find_run(engine: Engine, key: str) -> Run | None:
    """The finished training with that key, if there is one."""
    with reading(engine).connect() as connection:
        row = connection.execute(select(run).where(run.c.key == key)).one_or_none()
    return None if row is None else _run(row)


def find_run_of(engine: Engine, digest: str) -> Run | None:
    """A training that made the artifact of that digest, if there is one."""
    with reading(engine).connect() as connection:
        row = connection.execute(select(run).where(run.c.digest == digest).limit(1)).one_or_none()
    return None if row is None else _run(row)


def require_run(engine: Engine, name: str) -> Run:
    """The one run of that name: a key or an artifact's digest, or how one begins, or an MLflow run id.

    Raises:
        RunError: None or several are called so.
    """
    if len(name) < SHORTEST:
        raise RunError(name, f"too short for a name; write at least {SHORTEST} characters; {_NAMES}")
    whole = or_(run.c.key == name, run.c.tracking_id == name)
    begun = or_(run.c.key.startswith(name, autoescape=True), run.c.digest.startswith(name, autoescape=True))
    with reading(engine).connect() as connection:
        found = connection.execute(select(run).where(whole)).all()
        found = found or connection.execute(select(run).where(begun).order_by(run.c.key)).all()
    if len(found) == 1:
        return _run(found[0])
    if not found:
        raise RunError(name, f"nothing here is called so; {_NAMES}; `forecaster train --json` prints the last two")
    keys = ", ".join(row.key[:12] for row in found[:5]) + (", ..." if len(found) > 5 else "")
    raise RunError(name, f"{len(found)} runs are called so; choose one by its key: {keys}")


def _run(row: Row[Any]) -> Run:
    return Run(row.key, row.digest, row.tracking_id, row.train_seconds, row.statement)


def load_start(engine: Engine, digest: str) -> bytes:
    """Weights of the training that made an artifact, for another that goes on from them.

    Raises:
        ArtifactMissing: No training here made it.
    """
    query = select(weights.c.tensors).join(run, run.c.key == weights.c.key).where(run.c.digest == digest).limit(1)
    with reading(engine).connect() as connection:
        found = connection.scalar(query)
    if found is None:
        raise ArtifactMissing(digest)
    return bytes(found)
