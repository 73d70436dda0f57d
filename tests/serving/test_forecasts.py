from datetime import timedelta
from math import exp, inf, nan

import pytest
from small_store import BY_DEFAULT, CLOSE, NOW, ORIGIN, small_artifact, table

from forecaster.contract import LEVELS
from forecaster.store.visits import Visit, add_visit


def is_problem(answer, status, slug):
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:forecaster:{slug}"
    assert answer.json()["status"] == status
    return True


def test_a_forecast_is_answered_as_it_was_issued(store, service):
    champion = store.promote(small_artifact())
    store.issue(champion)
    with service() as running:
        answer = running.get("/v1/forecasts/%5EIXIC")
    assert answer.status_code == 200
    body = answer.json()
    steps = body.pop("steps")
    assert body == {
        "symbol": "^IXIC",
        "target": "^IXIC-return-2",
        "origin": "2018-12-28",
        "origin_close": CLOSE,
        "issued_at": "2018-12-29T12:00:00Z",
        "model": {"family": "naive", "version": 1, "digest": champion.digest},
        "levels": list(LEVELS),
        "age_days": 1,
        "stale": False,
        "no_skill": False,
        "reason": "beats the random walk",
    }
    assert [(step["horizon"], step["session"]) for step in steps] == [(1, "2018-12-31"), (2, "2019-01-01")]
    for step, returns in zip(steps, 0.01 * table(2), strict=True):
        assert step["return_quantiles"] == returns.tolist()
        assert step["price_quantiles"] == pytest.approx([CLOSE * exp(value) for value in returns])


def test_the_random_walk_in_charge_says_so(store, service):
    store.issue(store.promote(small_artifact(), BY_DEFAULT))
    with service() as running:
        body = running.get("/v1/forecasts/^IXIC").json()
    assert (body["no_skill"], body["reason"]) == (True, "nothing beats the random walk")


def test_reason_and_model_are_those_of_the_version_that_issued_it(store, service):
    first = store.promote(small_artifact(), BY_DEFAULT)
    store.issue(first)
    store.promote(small_artifact(seed=1))
    with service() as running:
        body = running.get("/v1/forecasts/^IXIC").json()
    assert body["model"]["version"] == 1
    assert body["no_skill"] is True


@pytest.mark.parametrize(("days", "stale"), [(4, False), (5, True)])
def test_an_old_forecast_is_stale(store, service, days, stale):
    store.issue(store.promote(small_artifact()))
    with service(NOW + timedelta(days=days)) as running:
        body = running.get("/v1/forecasts/^IXIC").json()
    assert (body["age_days"], body["stale"]) == (days + 1, stale)


@pytest.mark.parametrize(
    ("status", "stale_since", "stale"),
    [("deferred", ORIGIN, True), ("temporary", ORIGIN, True), ("deferred", None, False), ("ok", ORIGIN, False)],
)
def test_fault_01_a_forecast_that_a_failed_fetch_left_behind_is_served_as_stale(
    store, service, status, stale_since, stale
):
    store.issue(store.promote(small_artifact()))
    with store.engine.begin() as connection:
        add_visit(connection, Visit("^IXIC", "yahoo", NOW, True, status, "too many requests", stale_since))
    with service() as running:
        answer = running.get("/v1/forecasts/^IXIC")
    assert (answer.status_code, answer.json()["stale"]) == (200, stale)


@pytest.mark.usefixtures("store")
def test_an_unknown_symbol_is_not_found(service):
    with service() as running:
        answer = running.get("/v1/forecasts/AAPL")
    assert is_problem(answer, 404, "unknown-symbol")
    assert answer.json()["detail"] == "unknown symbol 'AAPL'; known here: MSFT, ^IXIC"


@pytest.mark.parametrize(
    ("symbol", "status"),
    [
        ("AAPL%2F..%2FMSFT", 404),  # no route
        *(
            (text, 422)
            for text in ("AAPL/../%2e%2e", "%3Fx", "%F0%9F%98%80", "A" * 10_000, "%00", "aapl", "MSFT%0A", "'--")
        ),
    ],
)
def test_fault_13_a_hostile_symbol_is_refused_and_not_repeated(store, service, symbol, status):
    store.remove()  # refused before the database is asked
    with service() as running:
        answer = running.get(f"/v1/forecasts/{symbol}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 250


@pytest.mark.usefixtures("store")
def test_a_known_symbol_without_a_forecast(service):
    with service() as running:
        answer = running.get("/v1/forecasts/MSFT")
    assert is_problem(answer, 404, "forecast-missing")
    assert "forecaster forecast MSFT" in answer.json()["detail"]


@pytest.mark.parametrize(
    "quantiles",
    [
        [nan] * len(LEVELS),
        [0.0] * (len(LEVELS) - 1) + [inf],
        [0.0] * (len(LEVELS) - 1) + [1000.0],
        [-1000.0] + [0.0] * (len(LEVELS) - 1),
        [0.1] + [0.0] * (len(LEVELS) - 1),
        [0.0],
        [],
    ],
    ids=["nan", "infinite", "price overflows", "price vanishes", "crossing", "too few", "none"],
)
def test_what_is_no_forecast_is_not_answered(store, service, quantiles):
    store.issue(store.promote(small_artifact()), quantiles=quantiles)
    with service() as running:
        assert is_problem(running.get("/v1/forecasts/^IXIC"), 503, "output-invalid")


def test_a_forecast_nobody_promoted_is_not_answered(store, service):
    champion = store.promote(small_artifact())
    store.issue(type(champion)(**{**vars(champion), "version": 7}))
    with service() as running:
        assert is_problem(running.get("/v1/forecasts/^IXIC"), 503, "output-invalid")


def test_without_the_database_it_says_when_to_come_back(store, service):
    store.remove()
    with service() as running:
        answer = running.get("/v1/forecasts/^IXIC")
    assert is_problem(answer, 503, "database-away")
    assert answer.headers["retry-after"] == "5"
    assert "sqlite" not in answer.text
    assert not store.file.exists()
