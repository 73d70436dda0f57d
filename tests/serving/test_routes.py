import pytest
from small_store import small_artifact

from forecaster.contract import LEVELS


def test_the_champion_is_described(store, service):
    champion = store.promote(small_artifact())
    with service() as running:
        answers = [running.get("/v1/models/champion"), running.get("/v1/models/champion", symbol="^IXIC")]
    for answer in answers:
        assert answer.status_code == 200
        assert answer.json() == {
            "target": "^IXIC-return-2",
            "symbols": ["^IXIC"],
            "horizon": 2,
            "family": "naive",
            "name": "small",
            "version": 1,
            "digest": champion.digest,
            "promoted_at": "2018-12-29T12:00:00Z",
            "in_charge": True,
            "reason": "beats the random walk",
            "passed": True,
            "checks": [],
            "walk": None,
            "trained_from": "2010-01-04",
            "trained_until": "2016-12-30",
            "data_until": "2016-12-30",
            "snapshot": "5" * 64,
            "code": "c" * 64,
            "parameters": 0,
            "epochs": 0,
            "levels": list(LEVELS),
            "channels": ["log_return", "volume"],
            "context": 8,
            "history": [
                {
                    "version": 1,
                    "digest": champion.digest,
                    "kind": None,
                    "passed": True,
                    "reason": "beats the random walk",
                    "at": "2018-12-29T12:00:00Z",
                }
            ],
        }


@pytest.mark.usefixtures("store")
def test_without_a_champion_there_is_none(service):
    with service() as running:
        for answer in (running.get("/v1/models/champion"), running.get("/v1/models/champion", symbol="MSFT")):
            assert answer.status_code == 404
            assert answer.json()["type"] == "urn:forecaster:no-champion"


def test_of_several_champions_one_must_be_named(store, service):
    store.promote(small_artifact())
    store.promote(small_artifact("MSFT"))
    with service() as running:
        answer = running.get("/v1/models/champion")
        named = running.get("/v1/models/champion", symbol="MSFT")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "MSFT-return-2, ^IXIC-return-2" in answer.json()["detail"]
    assert named.json()["target"] == "MSFT-return-2"


def test_health_does_not_need_the_database(store, service):
    store.remove()
    with service() as running:
        answer = running.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_ready_with_a_champion(store, service):
    champion = store.promote(small_artifact())
    with service() as running:
        answer = running.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "champions": [{"target": "^IXIC-return-2", "version": 1, "digest": champion.digest}],
        "database": "up",
        "refused": [],
    }


@pytest.mark.usefixtures("store")
def test_not_ready_without_one_and_says_what_to_do(service):
    with service() as running:
        answer = running.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert "forecaster promote" in answer.json()["detail"]


def test_not_ready_without_a_database_and_does_not_make_one(store, service):
    store.remove()
    with service() as running:
        answer = running.get("/readyz")
    assert answer.status_code == 503
    assert "database away" in answer.json()["detail"]
    assert list(store.home.iterdir()) == []


def test_every_route_documents_its_problems(service):
    schema = service().app.openapi()
    asked = [
        (path, method, route)
        for path, operations in schema["paths"].items()
        for method, route in operations.items()
        if path.startswith(("/v1", "/v2", "/healthz", "/readyz"))
    ]
    assert len(asked) >= 16
    for path, method, route in asked:
        assert route["summary"], path
        assert route["description"], path
        problems = {status: answer for status, answer in route["responses"].items() if int(status) >= 400}
        assert {"413", "429", "500"} <= set(problems), (path, method)
        assert all("application/problem+json" in answer["content"] for answer in problems.values()), path


def test_every_answer_names_its_content(store, service):
    champion = store.promote(small_artifact())
    store.issue(champion)
    places = {"{symbol}": "^IXIC", "{version}": "champion"}
    with service() as running:
        paths = [
            path for path, route in running.app.openapi()["paths"].items() if path.startswith("/v1") and "get" in route
        ]
        assert len(paths) >= 7
        for path in paths:
            for name, value in places.items():
                path = path.replace(name, value)
            answer = running.get(path)
            assert answer.status_code == 200, path
            assert answer.headers["cache-control"] == "no-cache"
            again = running.send("GET", path, headers={"If-None-Match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b""), path
            assert again.headers["etag"] == answer.headers["etag"]
            assert running.get(path, nonsense="1").status_code == 422, path


def test_another_content_has_another_name(store, service):
    store.promote(small_artifact())
    with service() as running:
        before = running.get("/v1/models").headers["etag"]
        store.promote(small_artifact(seed=1))
        running.engine.refresh()
        answer = running.send("GET", "/v1/models", headers={"If-None-Match": before})
    assert answer.status_code == 200
    assert answer.headers["etag"] != before
