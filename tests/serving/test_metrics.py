"""What Prometheus collects: right, and of bounded size whatever is asked."""

import random
import string
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from small_store import NOW, small_artifact

from serving.metrics import Metrics

SERIES = 1000


def collected(running) -> dict[str, dict[tuple, float]]:
    answer = running.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found: dict[str, dict[tuple, float]] = {}
    for family in text_string_to_metric_families(answer.text):
        for one in family.samples:
            found.setdefault(one.name, {})[tuple(sorted(one.labels.items()))] = one.value
    return found


def labels(**named: str) -> tuple:
    return tuple(sorted(named.items()))


def test_requests_are_counted_and_timed_by_route(store, service):
    store.promote(small_artifact())
    with service() as running:
        for _ in range(3):
            running.get("/healthz")
        running.get("/openapi.json")
        running.get("/v1/forecasts/MSFT/history")
        running.get("/v1/forecasts/^IXIC/history")
        running.get("/nothing/here")
        running.send("DELETE", "/healthz")
        running.send("BREW", "/healthz")
        found = collected(running)
        assert found["forecaster_requests_total"] == {
            labels(route="/healthz", method="GET", status="200"): 3,
            labels(route="/openapi.json", method="GET", status="200"): 1,
            labels(route="/v1/forecasts/{symbol}/history", method="GET", status="404"): 2,
            labels(route="unmatched", method="GET", status="404"): 1,
            labels(route="/healthz", method="DELETE", status="405"): 1,
            labels(route="/healthz", method="other", status="405"): 1,
        }
        assert found["forecaster_request_seconds_count"][labels(route="/healthz")] == 5
        assert 0 < found["forecaster_request_seconds_sum"][labels(route="/openapi.json")] < 10


def test_the_latest_forecast_has_its_route_too(store, service):
    store.issue(store.promote(small_artifact()))
    with service() as running:
        for symbol in ("^IXIC", "MSFT"):
            running.get(f"/v1/forecasts/{symbol}")
        requests = collected(running)["forecaster_requests_total"]
    assert requests == {
        labels(route="/v1/forecasts/{symbol}", method="GET", status=status): 1 for status in ("200", "404")
    }


@pytest.mark.usefixtures("store")
def test_what_was_refused_is_counted_by_reason(service):
    with service(rate_per_second=0.01, burst=4) as running:
        running.send("GET", "/v1/models", headers={"Authorization": "Bearer x"})
        running.send("POST", "/nowhere", headers={"Content-Length": "1000000"})
        for _ in range(5):
            running.get("/nowhere")
        value = running.app.state.metrics.registry.get_sample_value
        counted = {
            reason: value("forecaster_refused_total", {"reason": reason})
            for reason in ("key", "rate", "body", "overload", "deadline")
        }
    assert counted == {"key": 1, "rate": 3, "body": 1, "overload": 0, "deadline": 0}


def test_it_says_what_is_in_charge_and_what_was_not_trusted(store, service):
    good = store.promote(small_artifact())
    with service() as running:
        in_charge = {labels(target="^IXIC-return-2", version="1", digest=good.digest[:12]): 1}
        found = collected(running)
        assert found["forecaster_champion"] == in_charge
        assert found.get("forecaster_champion_refused", {}) == {}
        bad = small_artifact(seed=1)
        store.promote(bad)
        store.damage(bad)
        running.engine.refresh()
        found = collected(running)
        assert found["forecaster_champion"] == in_charge
        assert found["forecaster_champion_refused"] == {labels(target="^IXIC-return-2", digest=bad.digest[:12]): 1}


def test_it_says_whether_the_database_is_up_and_how_old_the_answers_are(store, service):
    with service() as running:
        found = collected(running)
        assert found["forecaster_database_up"] == {(): 1}
        assert found["forecaster_book_age_seconds"] == {(): 0}
        running.app.state.looked_at = NOW - timedelta(minutes=2)
        assert collected(running)["forecaster_book_age_seconds"] == {(): 120}
        running.engine.store.dispose()  # an open file is read though it is gone
        store.remove()
        running.engine.refresh()
        assert collected(running)["forecaster_database_up"] == {(): 0}


def test_before_the_first_look_there_is_no_age(store, service):
    store.remove()
    with service() as running:
        assert "forecaster_book_age_seconds" not in collected(running)


@pytest.mark.usefixtures("store")
def test_hostile_requests_make_no_series_and_leave_no_words(service):
    draw = random.Random(38)  # noqa: S311
    with service(rate_per_second=1e6, burst=10**6) as running:
        for _ in range(300):
            word = "".join(draw.choices(string.ascii_letters, k=12))
            method = draw.choice(["GET", "POST", "PUT", word.upper()])
            path = draw.choice([f"/{word}", f"/v1/forecasts/{word}", f"/v1/{word}/{word}?{word}={word}"])
            running.send(method, path, headers={word: word, "Authorization": f"Bearer {word}"})
        text = running.get("/metrics").text
        counted = [line for line in text.splitlines() if line.startswith("forecaster_requests_total")]
        assert len(counted) < 30
        assert len(text.splitlines()) < SERIES
        assert word not in text


def test_every_app_has_its_own(service):
    with service() as one, service() as other:
        one.get("/healthz")
        assert "forecaster_requests_total" in collected(one)
        assert "forecaster_requests_total" not in collected(other)


def test_a_status_that_refuses_is_a_refusal():
    metrics = Metrics()
    for status in (200, 401, 403, 404, 413, 429, 503):
        metrics.count("/x", "GET", status, 0.1)
    value = metrics.registry.get_sample_value
    assert [value("forecaster_refused_total", {"reason": one}) for one in ("key", "body", "rate")] == [2, 1, 1]
