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
            "reason": "beats the random walk",
            "passed": True,
            "trained_until": "2016-12-30",
            "snapshot": "5" * 64,
            "levels": list(LEVELS),
            "channels": ["log_return", "volume"],
            "context": 8,
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
    assert "MSFT, ^IXIC" in answer.json()["detail"]
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
    for path in ("/v1/forecasts/{symbol}", "/v1/models/champion", "/healthz", "/readyz"):
        route = schema["paths"][path]["get"]
        assert route["summary"]
        assert route["description"]
        problems = {status: answer for status, answer in route["responses"].items() if status != "200"}
        assert problems
        assert all(set(answer["content"]) == {"application/problem+json"} for answer in problems.values())
