"""The door: who gets in, how often, with how much; what is refused looks the same from outside, whatever was wrong."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from fastapi.routing import iter_route_contexts
from small_store import NOW, small_artifact

from forecaster.store.keys import find_key, revoke_key
from pipelines.keys import create
from serving.door import scope_of

READ, PREDICT, METRICS = "/v1/models", "/v1/forecasts", "/metrics"
PUBLIC = {
    "/", "/docs", "/page/{name}", "/openapi.json", "/healthz", "/readyz",
    "/v2", "/v2/health/live", "/v2/health/ready",
}  # fmt: skip
EVERYTHING = ("read", "predict", "metrics")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_every_route_is_guarded_or_meant_for_everybody(service):
    app = service().app
    routes = [(method, one.path) for one in iter_route_contexts(app.routes) for method in one.methods or ()]
    assert ("GET", "/healthz") in routes
    assert {path for method, path in routes if scope_of(method, path) is None} <= PUBLIC
    assert {scope_of(method, path) for method, path in routes if path.startswith("/v1/")} <= {"read", "predict"}


@pytest.mark.parametrize(
    ("method", "path", "needed"),
    [
        ("GET", "/v1/forecasts/MSFT", "read"),
        ("HEAD", "/v1/forecasts/MSFT", "read"),
        ("GET", "/v2/models/x/versions/1", "read"),
        ("POST", "/v1/predict", "predict"),
        ("DELETE", "/v1/forecasts/MSFT", "predict"),
        ("GET", "/metrics", "metrics"),
        ("GET", "/", None),
        ("GET", "/v2/health/live", None),
    ],
)
def test_what_a_key_must_open(method, path, needed):
    assert scope_of(method, path) == needed


def test_the_description_says_what_a_key_must_open(service):
    for required in (False, True):
        schema = service(require_key=required).app.openapi()
        assert schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
        assert "security" not in schema["paths"]["/healthz"]["get"]
        wanted = schema["paths"]["/metrics"]["get"]["security"]
        assert wanted == ([{"key": ["metrics"]}] if required else [{}, {"key": ["metrics"]}])


@pytest.mark.parametrize("scopes", [(), ("read",), ("predict",), ("metrics",), EVERYTHING])
def test_a_key_opens_its_scopes_and_nothing_else(store, service, scopes):
    key, _ = create(store.engine, "test", scopes, NOW)
    with service(require_key=True) as running:
        for scope, method, path in (("read", "GET", READ), ("predict", "POST", PREDICT), ("metrics", "GET", METRICS)):
            answer = running.send(method, path, headers=bearer(key))
            assert (answer.status_code == 403) == (scope not in scopes)
            if answer.status_code == 403:
                assert answer.json()["type"] == "urn:forecaster:scope-missing"
                assert scope in answer.json()["detail"]
            else:
                assert answer.status_code != 401
        for path in ("/healthz", "/openapi.json"):
            assert running.get(path).status_code == 200


def bad_credentials(store) -> dict[str, str | None]:
    good, kept = create(store.engine, "good", EVERYTHING, NOW)
    revoked, out = create(store.engine, "revoked", EVERYTHING, NOW)
    revoke_key(store.engine, out, NOW)
    expired, _ = create(store.engine, "expired", EVERYTHING, NOW - timedelta(days=2), timedelta(days=1))
    other, _ = create(store.engine, "other", EVERYTHING, NOW)
    return {
        "none": None,
        "empty": "",
        "no scheme": good,
        "another scheme": f"Basic {good}",
        "no key": "Bearer ",
        "no such key": f"Bearer fk_{'0' * 12}_{'a' * 43}",
        "wrong secret": f"Bearer {good[:-1]}{'a' if good[-1] != 'a' else 'b'}",
        "shortened": f"Bearer {good[:-1]}",
        "lengthened": f"Bearer {good}a",
        "another's secret": f"Bearer fk_{kept.id}_{other.split('_', 2)[2]}",
        "its hash": f"Bearer {kept.hash}",
        "revoked": f"Bearer {revoked}",
        "expired": f"Bearer {expired}",
        "long": "Bearer " + "a" * 10_000,
        "no text": "Bearer \xff\xfe",
    }


@pytest.mark.parametrize("required", [True, False])
def test_fault_34_whatever_is_wrong_with_a_key_the_answer_is_the_same(store, service, required):
    credentials = bad_credentials(store)
    answers = {}
    with service(require_key=required) as running:
        for name, sent in credentials.items():
            headers = {} if sent is None else {"Authorization": sent.encode("latin-1")}
            answers[name] = running.send("GET", READ, headers=headers)
    if not required:  # then no key is no fault, and a wrong one still is
        assert answers.pop("none").status_code != 401
    assert {answer.status_code for answer in answers.values()} == {401}
    assert len({(answer.content, str(answer.headers)) for answer in answers.values()}) == 1
    answer = answers["revoked"]
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:forecaster:key-refused"


def test_the_last_of_several_keys_counts(store, service):
    key, _ = create(store.engine, "test", EVERYTHING, NOW)
    good, bad = (b"Authorization", f"Bearer {key}".encode()), (b"Authorization", b"Bearer x")
    with service(require_key=True) as running:
        assert running.send("GET", METRICS, headers=[bad, good]).status_code == 200
        assert running.send("GET", METRICS, headers=[good, bad]).status_code == 401


def test_keys_made_revoked_and_ended_while_it_runs_are_followed(store, service):
    with service(require_key=True) as running:
        key, kept = create(store.engine, "late", ("metrics",), NOW)
        look = running.app.state.keys.refresh
        assert running.send("GET", METRICS, headers=bearer(key)).status_code == 401
        look()
        assert running.send("GET", METRICS, headers=bearer(key)).status_code == 200
        revoke_key(store.engine, kept, NOW)
        look()
        assert running.send("GET", METRICS, headers=bearer(key)).status_code == 401
        assert find_key(store.engine, kept.id).revoked_at == NOW


def test_before_it_ever_knew_a_key_it_lets_nobody_in(store, service):
    store.remove()
    with service(require_key=True) as running:
        for headers in ({}, bearer("fk_x")):
            answer = running.send("GET", METRICS, headers=headers)
            assert answer.status_code == 503
            assert answer.json()["type"] == "urn:forecaster:keys-unknown"
            assert answer.headers["retry-after"]
    with service() as running:
        assert running.get(METRICS).status_code == 200
        assert running.send("GET", METRICS, headers=bearer("fk_x")).status_code == 503


def test_fault_34_a_caller_has_so_many_requests_and_another_as_many(store, service):
    keys = [create(store.engine, name, ("read",), NOW)[0] for name in ("one", "two")]
    with service(rate_per_second=0.01, burst=3) as running:
        for headers in (bearer(keys[0]), bearer(keys[1]), {}):
            statuses = [running.send("GET", READ, headers=headers).status_code for _ in range(5)]
            assert 429 not in statuses[:3]
            assert statuses[3:] == [429, 429]
        answer = running.get(READ)
        assert answer.json()["type"] == "urn:forecaster:rate-limited"
        assert 0 < int(answer.headers["retry-after"]) <= 100


def test_who_guesses_keys_is_slowed_down_and_spends_nobody_elses_requests(store, service):
    key, _ = create(store.engine, "test", ("read",), NOW)
    with service(require_key=True, rate_per_second=0.01, burst=3) as running:
        guesses = [running.send("GET", READ, headers=bearer(key[:-1])).status_code for _ in range(5)]
        assert guesses == [401, 401, 401, 429, 429]
        assert running.send("GET", READ, headers=bearer(key)).status_code not in (401, 429)


def test_probes_are_always_answered(store, service):
    store.promote(small_artifact())
    with service(rate_per_second=0.01, burst=1) as running:
        assert [running.get(path).status_code for path in ("/healthz", "/readyz") * 5] == [200] * 10
        assert [running.get("/nowhere").status_code for _ in range(2)] == [404, 429]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size", "refused"), [(0, False), (1000, False), (1001, True), (10_000_000, True)])
def test_fault_27_a_body_is_read_up_to_its_limit(service, size, chunked, refused):
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for begin in range(0, size, 100):
            sent += min(100, size - begin)
            yield b" " * min(100, size - begin)

    with service(max_body_bytes=1000) as running:

        @running.app.post("/v1/echo")
        async def echo(asked: dict) -> None:  # noqa: ARG001
            raise AssertionError

        headers = {"Content-Type": "application/json"}
        answer = running.send("POST", "/v1/echo", content=chunks() if chunked else b" " * size, headers=headers)
        assert answer.status_code == (413 if refused else 422)
        assert answer.json().get("type") == f"urn:forecaster:{'body-too-long' if refused else 'invalid-request'}"
        assert sent <= 1100
        counted = running.app.state.metrics.registry.get_sample_value("forecaster_refused_total", {"reason": "body"})
        assert counted == refused


@pytest.mark.usefixtures("store")
def test_a_length_that_is_none_is_refused(service):
    with service() as running:
        assert running.send("POST", "/v1/forecasts", headers={"Content-Length": "9" * 5000}).status_code == 413


def test_while_it_drains_every_answer_ends_its_connection(store, service):
    store.promote(small_artifact())
    with service(require_key=True) as running:
        assert "connection" not in running.get("/healthz").headers
        running.app.state.door.draining = True
        for path, status in (("/healthz", 200), ("/readyz", 503), (READ, 401), ("/nowhere", 404)):
            answer = running.get(path)
            assert (answer.status_code, answer.headers["connection"]) == (status, "close")


@pytest.mark.usefixtures("store")
def test_what_fails_in_the_door_itself_is_a_problem_too(service, caplog, monkeypatch):
    with service() as running:
        monkeypatch.setattr(running.app.state.door, "_buckets", None)
        answer = running.get("/openapi.json")
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:forecaster:internal"
    assert "AttributeError" in caplog.text


@pytest.mark.usefixtures("store")
def test_an_answer_that_breaks_off_is_counted_and_raises_nothing(service):
    async def ask(scope: dict) -> list[dict]:
        sent: list[dict] = []

        async def send(message: dict) -> None:
            if message["type"] == "http.response.body":
                raise OSError("gone")
            sent.append(message)

        async def receive() -> dict:
            return {"type": "http.request", "body": b"", "more_body": False}

        await running.app(scope, receive, send)
        return sent

    with service() as running:
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/healthz",
            "headers": [],
            "query_string": b"",
            "client": None,
        }
        (started,) = asyncio.run(ask(scope))
        assert started["status"] == 200
        labels = {"route": "/healthz", "method": "GET", "status": "200"}
        assert running.app.state.metrics.registry.get_sample_value("forecaster_requests_total", labels) == 1
