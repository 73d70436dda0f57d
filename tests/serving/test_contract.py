"""What the OpenAPI description promises, the service keeps: every operation, asked in all ways by Schemathesis."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from answered import TARGET, answered_store
from fastapi import Depends, FastAPI, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from in_process import Service
from pydantic import BaseModel
from schemathesis.engine import events, from_schema
from small_store import NOW, SmallStore

from pipelines.keys import create
from serving.app import create_app
from serving.settings import Settings

FEW, MANY = 8, 300
PHASES = ("examples", "coverage", "fuzzing", "stateful")
REFUSED = [400, 401, 403, 404, 405, 413, 415, 422]
NOT_IN_THE_SCHEMA = {
    "GET /v1/forecasts/{symbol}": "a day is at most today, a horizon at most the forecast's",
    "POST /v1/forecasts": "the same, and prices must reach back as far",
    "POST /v1/predict": "rows are as the model in charge reads them",
}
"""Where a request may be refused that the schema allows, and why it cannot say so."""


@dataclass
class Run:
    """What came of asking."""

    statuses: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    checks: set[str] = field(default_factory=set)
    """Those that looked at an answer."""
    broken: list[str] = field(default_factory=list)


def ask(app: FastAPI, key: str | None, examples: int = FEW, phases: tuple[str, ...] = PHASES) -> Run:
    """Put every operation of an app to Schemathesis' checks, all of them, with the same requests each time."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, config=_config(key, examples, phases))
    run = Run()
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError):
            run.broken.append(f"{event.label}: {event.info.title}: {event.info.message}")
        if isinstance(event, events.FatalError):
            raise event.exception
        if isinstance(event, events.ScenarioFinished):
            _note(run, event)
    return run


def _config(key: str | None, examples: int, phases: tuple[str, ...]) -> schemathesis.Config:
    said: dict[str, Any] = {
        "seed": 1,
        "cache": {"enabled": False},  # it would remember the run before
        "continue-on-failure": True,
        "generation": {
            "max-examples": examples,
            "deterministic": True,
            "database": "none",
            "with-security-parameters": key is not None,  # a made-up key is refused: the routes would see little
        },
        "phases": {phase: {"enabled": phase in phases} for phase in PHASES},
        "checks": {
            "enabled": True,
            "positive_data_acceptance": {"expected-statuses": [200, 404]},
            "negative_data_rejection": {"expected-statuses": REFUSED},
        },
        "operations": [
            {"include-name": name, "checks": {"positive_data_acceptance": {"expected-statuses": [200, 404, 422]}}}
            for name in NOT_IN_THE_SCHEMA
        ],
        "dictionaries": {"symbols": {"values": ["^IXIC", "MSFT"]}, "targets": {"values": [TARGET]}},
        "parameters": {
            place: {"dictionary": words, "probability": 0.7}
            for place, words in (("path.symbol", "symbols"), ("query.target", "targets"), ("path.name", "targets"))
        },
    }
    if key is not None:
        said["auth"] = {"openapi": {"key": {"bearer": key}}}
    return schemathesis.Config.from_dict(said)


def _note(run: Run, event: events.ScenarioFinished) -> None:
    told = event.recorder
    for case, exchange in told.interactions.items():
        if exchange.response is not None:
            run.statuses[told.cases[case].value.operation.label][exchange.response.status_code] += 1
    for checks in told.checks.values():
        for check in checks:
            run.checks.add(check.name)
            if check.failure_info is not None:
                said, sent = check.failure_info.failure, str(check.failure_info.code_sample)
                run.broken.append(f"{event.label}: {check.name}: {said.message}\n{sent[:500]}")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallStore]:
    made = answered_store(tmp_path_factory.mktemp("contract") / "home")
    yield made
    made.engine.dispose()


@pytest.fixture(params=[False, True], ids=["open", "keys required"])
def served(request, store) -> tuple[FastAPI, str | None]:
    """The app, and a key with all scopes where it takes one."""
    key, _ = create(store.engine, "contract", ("read", "predict", "metrics"), NOW)
    chosen = Settings(
        home=store.home, refresh_seconds=3600, rate_per_second=1e6, burst=10**6, require_key=request.param
    )
    return create_app(chosen, clock=lambda: NOW), key if request.param else None


def operations(app: FastAPI) -> dict[str, dict[str, Any]]:
    """By method and path, as Schemathesis names them."""
    paths = app.openapi()["paths"]
    return {f"{method.upper()} {path}": said for path, methods in paths.items() for method, said in methods.items()}


@pytest.mark.parametrize("examples", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_every_operation_keeps_its_word(served, examples):
    run = ask(*served, examples)
    assert run.broken == []
    documented = operations(served[0])
    assert set(run.statuses) == set(documented)
    for name, statuses in run.statuses.items():
        assert statuses[200], name
        assert max(statuses) < 500, name
        assert (401 in statuses) == (served[1] is not None and "security" in documented[name]), name
        # What comes of a method that is not there Schemathesis looks at, but not whether it is documented.
        assert {str(status) for status in statuses} <= {*documented[name]["responses"], "405"}, name


def test_examples_are_answered(served):
    app, key = served
    run = ask(app, key, phases=("examples",))
    assert run.broken == []
    asked = {name for name, said in operations(app).items() if said.get("parameters") or "requestBody" in said}
    assert len(asked) > 10
    assert set(run.statuses) == asked
    probed = [] if key is None else [401]  # asked again without a key, and with a wrong one
    for name, statuses in run.statuses.items():
        assert set(statuses) <= {200, *probed}, name
        assert statuses[200], name


def described(node: Any, place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of a description that has examples, and where it stands."""
    if isinstance(node, dict):
        if isinstance(node.get("examples"), list):
            yield place, node
        node = node.items()
    elif isinstance(node, list):
        node = enumerate(node)
    else:
        return
    for name, child in node:
        yield from described(child, f"{place}/{name}")


def test_examples_are_what_they_are_examples_of(served):
    schema = served[0].openapi()
    found = dict(described(schema))
    assert len(found) > 50
    wrong = [
        f"{place}: {example}"
        for place, node in found.items()
        for example in node["examples"]
        if not jsonschema_rs.is_valid({**node, "components": schema["components"]}, example, validate_formats=True)
    ]
    assert wrong == []
    assert not jsonschema_rs.is_valid({"type": "string", "format": "date"}, "2018-13-01", validate_formats=True)


def test_who_has_an_answer_is_told_so_and_that_is_documented(store):
    chosen = Settings(home=store.home, refresh_seconds=3600)
    tagged = set()
    with Service(create_app(chosen, clock=lambda: NOW)) as service:
        for name, said in operations(service.app).items():
            method, path = name.split()
            if method != "GET":
                continue
            named = {one["name"]: one["schema"] for one in said.get("parameters", ()) if one["in"] == "path"}
            asked = path.format(**{place: schema["examples"][0] for place, schema in named.items()})
            answer = service.get(asked)
            assert answer.status_code == 200, name
            assert ("304" in said["responses"]) == ("etag" in answer.headers), name
            if "etag" in answer.headers:
                tagged.add(name)
                again = service.send("GET", asked, headers={"If-None-Match": answer.headers["etag"]})
                assert (again.status_code, again.content) == (304, b"")
                assert again.headers["etag"] == answer.headers["etag"]
    assert tagged == {name for name in operations(service.app) if name.startswith("GET /v1/")}


class Number(BaseModel):
    value: int


def lying() -> FastAPI:
    """An app that breaks its word, by the name of the check that is to notice."""
    app = FastAPI()

    def lie(check: str, status: int = 200, value: object = 1, **told: Any) -> None:
        async def answer() -> Response:
            return JSONResponse({"value": value}, status)

        app.get(f"/{check}", response_model=Number, **told)(answer)

    def needing(name: str, place: str) -> dict[str, Any]:
        return {"parameters": [{"name": name, "in": place, "required": True, "schema": {"type": "integer"}}]}

    lie("not_a_server_error", status=500, responses={500: {}})
    lie("status_code_conformance", status=418)
    lie("response_schema_conformance", value="one")
    lie("response_headers_conformance", responses={200: {"headers": {"ETag": {"required": True, "schema": {}}}}})
    lie("negative_data_rejection", openapi_extra=needing("count", "query"))
    lie("positive_data_acceptance", status=422, responses={422: {}}, openapi_extra=needing("count", "query"))
    lie("missing_required_header", openapi_extra=needing("X-Count", "header"))
    lie("ignored_auth", dependencies=[Depends(HTTPBearer(scheme_name="key", auto_error=False))])

    @app.get("/content_type_conformance", response_model=Number)
    async def text() -> Response:
        return Response("{}", media_type="text/html")

    @app.get("/unsupported_method", response_model=Number)
    @app.delete("/unsupported_method", include_in_schema=False)
    async def more() -> Number:
        return Number(value=1)

    return app


def test_a_broken_word_is_noticed():
    app = lying()
    run = ask(app, "some key", examples=2)
    noticed = {check for check in run.checks if any(f"/{check}: {check}: " in one for one in run.broken)}
    assert {f"GET /{check}" for check in noticed} == set(operations(app))
