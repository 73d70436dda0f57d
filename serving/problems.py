"""How each error is answered: one table, as RFC 9457 problems.

No answer repeats what was sent, and no log either: a request is named by the template of its route. An answer with
status 500 says nothing of what went wrong; the log does, by the kinds of error and the lines they came from.
"""

import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from forecaster import errors
from forecaster.errors import ForecasterError
from serving.complaints import complaints
from serving.database import AWAY
from serving.schemas.problem import Problem

log = logging.getLogger(__name__)

RETRY_SECONDS = 5
"""When to ask again where nothing says better."""

_GONE = 499  # what others call it, too: nobody is there to read it


@dataclass(frozen=True)
class Kind:
    """A kind of problem."""

    status: int
    slug: str
    title: str


KINDS: dict[type[ForecasterError], Kind] = {
    errors.UnknownSymbol: Kind(404, "unknown-symbol", "Unknown symbol"),
    errors.ForecastMissing: Kind(404, "forecast-missing", "No forecast issued yet"),
    errors.NotOnDemand: Kind(422, "not-on-demand", "Only issued forecasts"),
    errors.NoChampion: Kind(404, "no-champion", "No champion yet"),
    errors.SeveralChampions: Kind(422, "several-champions", "Several champions"),
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
    errors.BackupUnwritten: Kind(500, "backup-unwritten", "A backup cannot be written"),
    errors.BackupRefused: Kind(500, "backup-refused", "A backup cannot be restored"),
    errors.PromotionConflict: Kind(500, "promotion-conflict", "Promoted in between"),
    errors.WebhookFailed: Kind(500, "webhook", "A webhook was not told"),
    errors.NotebookAway: Kind(500, "notebook-away", "MLflow does not answer"),
    errors.WorkerDied: Kind(500, "worker-died", "A training process was killed"),
    errors.EngineUnavailable: Kind(500, "engine-unavailable", "No engine to work on"),
    errors.JobFailed: Kind(500, "job-failed", "A job failed"),
    errors.Overloaded: Kind(503, "overloaded", "Too much at once"),
    errors.DeadlineExceeded: Kind(503, "deadline", "It took too long"),
}
"""The table; a class is answered as its nearest ancestor in it."""

NO_KEY = Kind(401, "key-refused", "No valid API key")
NO_SCOPE = Kind(403, "scope-missing", "The API key does not open this")
TOO_OFTEN = Kind(429, "rate-limited", "Too many requests")
TOO_LONG = Kind(413, "body-too-long", "The body is too long")
KEYS_UNKNOWN = Kind(503, "keys-unknown", "API keys cannot be checked yet")
INTERNAL = Kind(500, "internal", "Internal error")
_INVALID = Kind(422, "invalid-request", "The request is not valid")
_NO_JSON = Kind(415, "not-json", "The body is not declared as JSON")
_AWAY = Kind(503, "database-away", "The database does not answer")
_BY_STATUS = {kind.status: kind for kind in (TOO_LONG,)}


def kind_of(error: type[ForecasterError]) -> Kind | None:
    """The row of an error class; None where the table has forgotten it."""
    return next((KINDS[ancestor] for ancestor in error.__mro__ if ancestor in KINDS), None)


def documented(*statuses: int, public: bool = False) -> dict[int | str, dict[str, Any]]:
    """The problems of a route, for OpenAPI: its own, and those of the door before it.

    Arguments:
        public: The door asks nobody for a key there.
    """
    schema = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    doors = (413, 429, 500) if public else (401, 403, 413, 429, 500, 503)
    return {
        status: {"description": HTTPStatus(status).phrase, "content": schema} for status in sorted({*statuses, *doors})
    }


def answer_problems(app: FastAPI) -> None:
    """Make the app answer every error as a problem."""
    app.exception_handler(ForecasterError)(_forecaster_error)
    app.exception_handler(RequestValidationError)(_invalid_request)
    app.exception_handler(HTTPException)(_http_error)
    app.exception_handler(ClientDisconnect)(_client_gone)
    for away in AWAY:
        app.exception_handler(away)(_database_away)
    app.exception_handler(Exception)(_internal_error)


def answer(
    kind: Kind,
    detail: str | None = None,
    headers: Mapping[str, str] | None = None,
    errors: list[str] | None = None,
    retry: int | None = None,
) -> JSONResponse:
    """A problem of a kind.

    Arguments:
        retry: Seconds after which asking again may help.
    """
    headers = dict(headers or {}) | ({} if retry is None else {"Retry-After": str(retry)})
    problem = Problem(
        type=f"urn:forecaster:{kind.slug}", title=kind.title, status=kind.status, detail=detail, errors=errors
    )
    return _respond(problem, headers)


async def _forecaster_error(request: Request, error: ForecasterError) -> JSONResponse:
    kind = kind_of(type(error)) or INTERNAL
    if isinstance(error, errors.Overloaded):
        return answer(kind, str(error), retry=error.retry_after_seconds)
    if isinstance(error, errors.DeadlineExceeded):
        return answer(kind, str(error), retry=RETRY_SECONDS)
    if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s on %s: %s\n%s", kind.slug, _route(request), error, lines(error))
    return answer(kind, None if kind.status == HTTPStatus.INTERNAL_SERVER_ERROR else str(error))


async def _invalid_request(_request: Request, error: RequestValidationError) -> JSONResponse:
    if isinstance(error.body, bytes):  # only what is declared as JSON is read as JSON
        return answer(_NO_JSON, "send it with `Content-Type: application/json`")
    return answer(_INVALID, errors=complaints(error.errors()))


async def _http_error(_request: Request, error: HTTPException) -> JSONResponse:
    if error.status_code in _BY_STATUS:
        return answer(_BY_STATUS[error.status_code], error.detail, error.headers)
    title = HTTPStatus(error.status_code).phrase
    problem = Problem(
        type="about:blank",
        title=title,
        status=error.status_code,
        detail=None if error.detail == title else error.detail,
    )
    return _respond(problem, dict(error.headers or {}))


async def _client_gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=_GONE)


async def _database_away(request: Request, error: Exception) -> JSONResponse:
    # A line and no more: this happens to every request until it is back. What the driver says is the engine's to log.
    log.error("%s on %s: %s", _AWAY.slug, _route(request), type(error).__name__)
    return answer(_AWAY, "try again soon; /readyz says what is wrong", retry=RETRY_SECONDS)


async def _internal_error(request: Request, error: Exception) -> JSONResponse:
    log.error("%s on %s\n%s", INTERNAL.slug, _route(request), lines(error))
    return answer(INTERNAL)


def lines(error: BaseException | None) -> str:
    """Kinds of an error and of its causes, and where they came from; not their messages."""
    told = []
    while error is not None:
        told += [*traceback.format_tb(error.__traceback__), type(error).__qualname__]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(told)


def _route(request: Request) -> str:
    template: str = request.app.state.door.template(request.scope)
    return template


def _respond(problem: Problem, headers: dict[str, str]) -> JSONResponse:
    body = problem.model_dump(exclude_none=True)
    return JSONResponse(body, problem.status, headers, media_type="application/problem+json")
