"""Every error is one shape, says what to do, and repeats nothing of the request, in the answer or in the log."""

import json
from typing import Annotated, Literal

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from small_store import small_artifact
from sqlalchemy import text
from starlette.requests import ClientDisconnect

from forecaster.errors import (
    ConfigError,
    DataError,
    DeadlineExceeded,
    ForecasterError,
    NotTrained,
    OutputInvalid,
    Overloaded,
    TooShort,
)
from serving.problems import KINDS, documented, kind_of
from serving.routes import Engine

SECRET = "s3cr3t"  # noqa: S105


def descendants(error: type[ForecasterError]) -> list[type[ForecasterError]]:
    return [each for child in error.__subclasses__() for each in (child, *descendants(child))]


def is_problem(answer: httpx.Response, status: int, slug: str) -> bool:
    body = answer.json()
    return (
        (answer.status_code, body["status"]) == (status, status)
        and answer.headers["content-type"] == "application/problem+json"
        and body["type"] == (slug if slug == "about:blank" else f"urn:forecaster:{slug}")
    )


def test_every_error_is_mapped():
    forgotten = [error.__name__ for error in descendants(ForecasterError) if kind_of(error) is None]
    assert forgotten == []
    assert len({kind.slug for kind in KINDS.values()}) == len(KINDS)


def test_a_forgotten_error_is_noticed():
    assert kind_of(ForecasterError) is None
    assert kind_of(TooShort) is KINDS[DataError]


def test_a_route_documents_what_the_door_answers():
    assert set(documented(404)) == {401, 403, 404, 413, 429, 500, 503}
    assert set(documented(503, public=True)) == {413, 429, 500, 503}


@pytest.mark.usefixtures("store")
def test_an_invalid_parameter_is_named_and_not_repeated(service):
    with service() as running:
        answer = running.get("/v1/track-record", symbol=SECRET * 1000)
    assert is_problem(answer, 422, "invalid-request")
    assert answer.json()["errors"][0].startswith("query.symbol: ")
    assert SECRET not in answer.text


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Asked(BaseModel):
    """A strict request; it passes for one of the service's, whose fields may be named."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
    __module__ = "serving.schemas.test"

    symbols: list[str] = Field(max_length=3)
    weights: dict[str, float] = {}
    animal: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    horizon: int = 1


@pytest.fixture
def asking(store, service):  # noqa: ARG001
    with service() as running:

        @running.app.post("/v1/asked")
        async def asked(body: Asked) -> None:
            """Take it."""

        yield lambda content, **headers: running.send(
            "POST",
            "/v1/asked",
            content=content if isinstance(content, (bytes, str)) else json.dumps(content),
            headers={"Content-Type": "application/json", **headers},
        )


def test_fault_27_what_is_wrong_is_said_by_our_names_and_not_by_the_callers(asking):
    answer = asking(
        {
            "symbols": [SECRET, 1],
            "weights": {SECRET: SECRET},
            "animal": {"kind": SECRET},
            "horizon": "3",
            SECRET: 1,
            SECRET * 2: 2,
        }
    )
    assert is_problem(answer, 422, "invalid-request")
    assert SECRET not in answer.text
    assert answer.json()["errors"] == [
        "body.symbols.1: Input should be a valid string",
        "body.weights.?: Input should be a valid number",
        "body.animal: is of no kind that is known here",
        "body.horizon: Input should be a valid integer",
        "unknown keys: 2; /docs lists those that are known",
    ]


def test_fault_27_thousands_of_faults_are_not_all_told(asking):
    answer = asking({"symbols": [], "weights": {f"{SECRET}{number}": None for number in range(2000)}})
    assert is_problem(answer, 422, "invalid-request")
    assert len(answer.content) < 2000
    assert answer.json()["errors"][-1] == "... and 1980 more"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"null", 422),
        (b"{", 422),
        (b'{"symbols": NaN}', 422),
        (b'{"symbols": [], "weights": {"a": Infinity}}', 422),
        (b'{"symbols": [], "weights": {"a": 1e400}}', 422),
        (b'{"symbols": [], "horizon": true}', 422),
        (b'{"symbols": [], "horizon": 1.0}', 422),
        (b"[" * 60_000, 400),
        (b"\xff\xfe\xfa", 400),
        (b'{"symbols": ["\xff"]}', 400),
        (b'{"symbols": []}', 200),
    ],
)
def test_fault_27_what_is_no_json_or_not_ours_is_the_callers_fault(asking, content, status):
    answer = asking(content)
    assert answer.status_code == status
    assert answer.headers["content-type"] == ("application/json" if status == 200 else "application/problem+json")


@pytest.mark.parametrize(
    "declared", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "x"]
)
def test_fault_27_what_is_not_declared_as_json_is_not_read_as_json(asking, declared):
    answer = asking({"symbols": []}, **{"Content-Type": declared})
    assert is_problem(answer, 415, "not-json")
    assert asking({"symbols": []}, **{"Content-Type": "application/json; charset=utf-8"}).status_code == 200


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("path", ["/nothing/here", "/v1/forecasts/a/b", "/healthz/", "/%00", "/%ff%fe"])
def test_what_is_not_there_is_a_problem_and_no_redirect(service, path):
    with service() as running:
        answer = running.get(path)
    assert answer.json() == {"type": "about:blank", "title": "Not Found", "status": 404}
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.usefixtures("store")
def test_a_wrong_method_is_a_problem_that_says_the_right_one(service):
    with service() as running:
        for method in ("DELETE", "POST", "TRACE", "BREW"):
            answer = running.send(method, "/healthz")
            assert is_problem(answer, 405, "about:blank")
            assert answer.headers["allow"] == "GET"


def raising(app: FastAPI, error: Exception) -> None:
    @app.get("/broken/{what}")
    async def broken() -> None:
        try:
            raise KeyError(SECRET)
        except KeyError as cause:
            raise error from cause


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("error", [RuntimeError(SECRET), NotTrained(["x"]), ConfigError("x", "y")])
def test_an_internal_error_says_nothing_and_the_log_says_where(service, caplog, error):
    with service() as running:
        raising(running.app, error)
        answer = running.get(f"/broken/{SECRET}", q=SECRET)
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {"type", "title", "status"}
    assert SECRET not in answer.text + caplog.text
    assert "on /broken/{what}" in caplog.text
    assert type(error).__name__ in caplog.text
    assert "KeyError" in caplog.text
    assert "test_problems.py" in caplog.text


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("error", "slug", "retry"),
    [
        (Overloaded(3), "overloaded", "3"),
        (DeadlineExceeded(2), "deadline", "5"),
        (OutputInvalid("d", "p"), "output-invalid", None),
    ],
)
def test_what_passes_says_when_to_ask_again(service, caplog, error, slug, retry):
    with service() as running:
        raising(running.app, error)
        answer = running.get("/broken/x")
    assert is_problem(answer, 503, slug)
    assert answer.headers.get("retry-after") == retry
    assert answer.json()["detail"] == str(error)
    assert bool(caplog.text) == (slug == "output-invalid")  # under load a line for each would fill the disk


def test_what_the_database_says_of_a_statement_is_not_logged(store, service, caplog):
    store.promote(small_artifact())
    with service() as running:

        @running.app.get("/broken/{what}")
        async def broken(what: str, engine: Engine) -> None:
            with engine.store.connect() as connection:
                connection.execute(text("SELECT * FROM nothing WHERE x = :what"), {"what": what})

        answer = running.get(f"/broken/{SECRET}")
    assert is_problem(answer, 503, "database-away")
    assert SECRET not in caplog.text
    assert "OperationalError" in caplog.text


@pytest.mark.usefixtures("store")
def test_a_client_that_has_gone_is_counted_as_one(service):
    with service() as running:

        @running.app.get("/gone")
        async def gone() -> None:
            raise ClientDisconnect

        assert running.get("/gone").status_code == 499
