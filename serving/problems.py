"""How each error is answered: one table, as RFC 9457 problems.

An answer with status 500 says nothing of what went wrong; the log does.
"""

import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from forecaster import errors
from forecaster.errors import ForecasterError
from serving.database import AWAY
from serving.schemas import Problem

log = logging.getLogger(__name__)

_RETRY_SECONDS = "5"


@dataclass(frozen=True)
class Kind:
    """A kind of problem."""

    status: int
    slug: str
    title: str


KINDS: dict[type[ForecasterError], Kind] = {
    errors.UnknownSymbol: Kind(404, "unknown-symbol", "Unknown symbol"),
    errors.ForecastMissing: Kind(404, "forecast-missing", "No forecast issued yet"),
    errors.NoChampion: Kind(404, "no-champion", "No champion yet"),
    errors.FetchIncomplete: Kind(500, "fetch", "Some data were not fetched"),
    errors.SourceError: Kind(502, "source", "A data source did not deliver"),
    errors.DataError: Kind(422, "data", "The data cannot carry a forecast"),
    errors.StoreOutdated: Kind(503, "store-outdated", "The database needs a migration"),
    errors.ArtifactError: Kind(503, "artifact-refused", "The model cannot be trusted"),
    errors.OutputInvalid: Kind(503, "output-invalid", "The model gave no usable forecast"),
    errors.ConfigError: Kind(500, "misconfigured", "Misconfigured"),
    errors.HomeUnwritable: Kind(500, "home-unwritable", "The service cannot write to its disk"),
    errors.SnapshotError: Kind(500, "snapshot", "A snapshot cannot be read"),
    errors.RunError: Kind(500, "run", "A run cannot be trained again"),
    errors.NotTrained: Kind(500, "not-trained", "A model is not trained"),
    errors.NothingBefore: Kind(500, "nothing-before", "No earlier champion"),
    errors.RefreshRefused: Kind(500, "refresh-refused", "Refit not sound"),
    errors.PromotionConflict: Kind(500, "promotion-conflict", "Promoted in between"),
}
"""The table; a class is answered as its nearest ancestor in it."""

_INVALID = Kind(422, "invalid-request", "The request is not valid")
_AWAY = Kind(503, "database-away", "The database does not answer")
_INTERNAL = Kind(500, "internal", "Internal error")


def kind_of(error: type[ForecasterError]) -> Kind | None:
    """The row of an error class; None where the table has forgotten it."""
    return next((KINDS[ancestor] for ancestor in error.__mro__ if ancestor in KINDS), None)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems of a route, for OpenAPI."""
    schema = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {status: {"description": HTTPStatus(status).phrase, "content": schema} for status in statuses}


def answer_problems(app: FastAPI) -> None:
    """Make the app answer every error as a problem."""
    app.exception_handler(ForecasterError)(_forecaster_error)
    app.exception_handler(RequestValidationError)(_invalid_request)
    app.exception_handler(HTTPException)(_http_error)
    for away in AWAY:
        app.exception_handler(away)(_database_away)
    app.exception_handler(Exception)(_internal_error)


async def _forecaster_error(request: Request, error: ForecasterError) -> JSONResponse:
    kind = kind_of(type(error)) or _INTERNAL
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s on %s", kind.slug, request.url.path, exc_info=error)
    return _answer(kind, None if kind.status == HTTPStatus.INTERNAL_SERVER_ERROR else str(error))


async def _invalid_request(_request: Request, error: RequestValidationError) -> JSONResponse:
    # Not pydantic's own list: that repeats what was sent.
    found = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
    return _answer(_INVALID, errors=found)


async def _http_error(_request: Request, error: HTTPException) -> JSONResponse:
    title = HTTPStatus(error.status_code).phrase
    problem = Problem(
        type="about:blank",
        title=title,
        status=error.status_code,
        detail=None if error.detail == title else error.detail,
    )
    return _respond(problem, dict(error.headers or {}))


async def _database_away(request: Request, error: Exception) -> JSONResponse:
    log.error("%s on %s", _AWAY.slug, request.url.path, exc_info=error)
    return _respond(_problem(_AWAY, "try again soon; /readyz says what is wrong"), {"Retry-After": _RETRY_SECONDS})


async def _internal_error(request: Request, error: Exception) -> JSONResponse:
    # Without the trace: Starlette raises the error again after this answer, and the server logs it.
    log.error("%s on %s: %s", _INTERNAL.slug, request.url.path, type(error).__name__)
    return _answer(_INTERNAL)


def _answer(kind: Kind, detail: str | None = None, errors: list[str] | None = None) -> JSONResponse:
    return _respond(_problem(kind, detail, errors), {})


def _problem(kind: Kind, detail: str | None = None, errors: list[str] | None = None) -> Problem:
    return Problem(
        type=f"urn:forecaster:{kind.slug}", title=kind.title, status=kind.status, detail=detail, errors=errors
    )


def _respond(problem: Problem, headers: dict[str, str]) -> JSONResponse:
    body = problem.model_dump(exclude_none=True)
    return JSONResponse(body, problem.status, headers, media_type="application/problem+json")
