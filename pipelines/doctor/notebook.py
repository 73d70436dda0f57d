"""MLflow: does it answer, and is its alias `champion` the store's champion."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import requests
from sqlalchemy import column, create_engine, inspect, select, table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from forecaster.store.champions import find_champion
from forecaster.store.database import reading
from pipelines.doctor.finding import Patient, Unwell
from pipelines.doctor.server import Server

_ALIAS = "champion"
_OK, _FORBIDDEN, _MISSING = 200, 403, 404
_START = "see that it runs and that MLFLOW_TRACKING_URI is right; until then nothing is trained or promoted"
_MIRROR = "the store decides; the next promotion or refresh sets the alias right"

Digests = Callable[[str], str | None]
"""The digest that the alias of a target stands for; None where there is no alias."""


def notebook(patient: Patient) -> str:
    """It answers, and its alias mirrors the store."""
    server = Server.of(patient)
    said, digest_of = _file(patient) if server is None else (f"version {_version(server)}", _asking(server))
    target = patient.config.target.key
    try:
        ours = find_champion(patient.engine, target)
    except SQLAlchemyError:
        return f"{said}; without the database nobody knows which alias is right"
    there = digest_of(target)
    if ours is None and there is None:
        return f"{said}; no champion of {target} yet"
    mirrored, right = _short(there), _short(None if ours is None else ours.digest)
    if ours is None or mirrored != right:
        raise Unwell(f"{said}; alias {_ALIAS} of {target} is {mirrored}, the store's champion {right}; {_MIRROR}")
    return f"{said}; alias {_ALIAS} of {target} is the store's, version {ours.version}"


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest[:12]


def _version(server: Server) -> str:
    theirs, ours = _ask(server, "/version").text.strip()[:20], version("mlflow")
    return theirs if theirs == ours else f"{theirs} (its client here is {ours})"


def _ask(server: Server, path: str, **query: str) -> requests.Response:
    """A good answer, or one that says that there is no such thing."""
    try:
        answer = server.get(path, **query)
    except requests.RequestException as error:
        raise Unwell(f"no answer ({type(error).__name__}); {_START}") from None
    if answer.status_code == _FORBIDDEN:
        raise Unwell("it refuses us (403); set MLFLOW_SERVER_ALLOWED_HOSTS on it to the name it is called by")
    if answer.status_code not in (_OK, _MISSING):
        raise Unwell(f"it answered {answer.status_code}; {_START}")
    return answer


def _asking(server: Server) -> Digests:
    def digest_of(target: str) -> str | None:
        answer = _ask(server, "/api/2.0/mlflow/registered-models/alias", name=target, alias=_ALIAS)
        if answer.status_code == _MISSING:
            return None
        try:
            tags: list[dict[str, Any]] = answer.json()["model_version"].get("tags", [])
            return next(str(tag["value"]) for tag in tags if tag["key"] == "digest")
        except (ValueError, KeyError, TypeError, AttributeError, StopIteration):
            raise Unwell(f"its answer about the alias is none that MLflow gives; {_START}") from None

    return digest_of


def _file(patient: Patient) -> tuple[str, Digests]:
    """MLflow's own tables, where no server stands before them: its client would make them, and loads for seconds."""
    uri = patient.home.tracking_uri
    if uri.startswith("sqlite:") and not (patient.home.root / "mlflow.db").exists() and patient.home.tracking is None:
        return "not made yet, the first training does", lambda _target: None
    engine = create_engine(uri, poolclass=NullPool)
    try:
        there = inspect(engine).has_table("registered_model_aliases")
    except SQLAlchemyError as error:
        raise Unwell(f"its database cannot be read ({type(error).__name__}); {_START}") from None
    alias = table("registered_model_aliases", column("name"), column("alias"), column("version"))
    tag = table("model_version_tags", column("name"), column("version"), column("key"), column("value"))
    same = (tag.c.name == alias.c.name) & (tag.c.version == alias.c.version) & (tag.c.key == "digest")

    def digest_of(target: str) -> str | None:
        wanted = select(tag.c.value).join(alias, same).where(alias.c.name == target, alias.c.alias == _ALIAS)
        if not there:
            return None
        with reading(engine).connect() as connection:
            return connection.scalar(wanted)

    return f"{engine.dialect.name}, no server", digest_of
