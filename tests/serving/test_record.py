"""What the service says of forecasts it issued before: from the ledger and from nowhere else."""

from dataclasses import replace
from datetime import timedelta
from math import exp, nan

import numpy as np
import pytest
from small_past import issue_past, score_all, steps
from small_store import CLOSE, ORIGIN, small_artifact, table

from forecaster.store.ledger import add_entries
from forecaster.store.scores import track


def test_history_comes_newest_first_page_by_page_without_gap_or_repeat(store, service):
    issue_past(store, store.promote(small_artifact()), 7)
    seen, cursor = [], None
    with service() as running:
        while True:
            query = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
            page = running.get("/v1/forecasts/^IXIC/history", **query).json()
            assert len(page["forecasts"]) <= 3
            seen += [one["origin"] for one in page["forecasts"]]
            cursor = page["next"]
            if cursor is None:
                break
    expected = [(ORIGIN - timedelta(days=1000 - day)).isoformat() for day in range(7)]
    assert seen == expected[::-1]


def test_history_shows_what_came_once_it_is_scored(store, service):
    champion = store.promote(small_artifact())
    issue_past(store, champion, 1)
    with service() as running:
        before = running.get("/v1/forecasts/^IXIC/history").json()["forecasts"][0]["steps"]
        assert [step["horizon"] for step in before] == [1, 2]
        score_all(store, champion)
        after = running.get("/v1/forecasts/^IXIC/history").json()["forecasts"][0]["steps"]
    assert [step["price"] for step in before] == [None, None]
    assert [step["price"] for step in after] == pytest.approx([CLOSE * exp(0.01)] * 2)
    assert [step["crps"] for step in after] == [0.9, 0.9]
    assert [step["price_quantiles"] for step in after] == [step["price_quantiles"] for step in before]


def test_until_something_matures_the_record_says_so(store, service):
    issue_past(store, store.promote(small_artifact()), 2)
    with service() as running:
        said = running.get("/v1/track-record").json()
    assert said["remark"] == "nothing issued has matured yet"
    assert [(line["n"], line["waiting"], line["skill"]) for line in said["live"]] == [(0, 2, None)] * 2
    assert said["backfilled"] == []


def test_the_record_is_skill_and_coverage_by_horizon(store, service):
    champion = store.promote(small_artifact())
    issue_past(store, champion, 5)
    score_all(store, champion)
    with service() as running:
        said = running.get("/v1/track-record?symbol=^IXIC").json()
    assert said["remark"] is None
    for line in said["live"]:
        assert (line["n"], line["waiting"]) == (5, 0)
        assert line["skill"] == pytest.approx(1 - 0.9 / 1.2)
        assert line["skill_se"] is None  # five sessions tell nothing of it
        assert line["coverage"] == {"50%": 1.0, "80%": 1.0, "90%": 1.0, "95%": 1.0}


@pytest.fixture
def two_targets(store):
    """^IXIC alone, and ^IXIC one session further."""
    shorter, longer = (store.promote(small_artifact(horizon=horizon)) for horizon in (2, 3))
    issue_past(store, shorter, 2)
    issue_past(store, longer, 3)
    score_all(store, shorter)
    return shorter, longer


@pytest.mark.usefixtures("two_targets")
@pytest.mark.parametrize("path", ["/v1/track-record", "/v1/forecasts/^IXIC/history"])
def test_of_several_targets_one_must_be_named(service, path):
    with service() as running:
        asked = running.get(path)
        unknown = running.get(path, target="^IXIC-return-4")
    assert (asked.status_code, asked.json()["type"]) == (422, "urn:forecaster:several-champions")
    assert "^IXIC-return-2, ^IXIC-return-3" in asked.json()["detail"]
    assert unknown.status_code == 404


@pytest.mark.usefixtures("two_targets")
def test_the_record_and_the_history_of_one_target(service):
    with service() as running:
        records = [running.get("/v1/track-record", target=f"^IXIC-return-{h}").json() for h in (2, 3)]
        pages = [running.get("/v1/forecasts/^IXIC/history", target=f"^IXIC-return-{h}").json() for h in (2, 3)]
    assert [[(line["n"], line["waiting"]) for line in said["live"]] for said in records] == [[(2, 0)] * 2, [(0, 3)] * 2]
    assert [{one["target"] for one in page["forecasts"]} for page in pages] == [{"^IXIC-return-2"}, {"^IXIC-return-3"}]
    assert [len(page["forecasts"]) for page in pages] == [2, 3]


def test_another_symbol_has_another_record(store, service):
    champion, other = store.promote(small_artifact()), store.promote(small_artifact("MSFT"))
    issue_past(store, champion, 4)
    issue_past(store, other, 2, symbol="MSFT")
    score_all(store, champion)
    with service() as running:
        told = [running.get("/v1/track-record", symbol=symbol).json() for symbol in ("^IXIC", "MSFT")]
    assert [[line["n"] for line in one["live"]] for one in told] == [[4, 4], [0, 0]]


def test_a_backfill_stands_apart(store, service):
    champion = store.promote(small_artifact())
    issue_past(store, champion, 4, kind="backfill")
    issue_past(store, champion, 1, first=-990)
    score_all(store, champion)
    with service() as running:
        said = running.get("/v1/track-record").json()
        kinds = [one["kind"] for one in running.get("/v1/forecasts/^IXIC/history").json()["forecasts"]]
    assert [line["n"] for line in said["live"]] == [1, 1]
    assert [line["n"] for line in said["backfilled"]] == [4, 4]
    assert kinds == ["live", *["backfill"] * 4]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "cursor=x", "cursor=-1", "cursor=" + "9" * 19, "target=%00", "page=2"]
)
def test_what_is_no_page_is_refused(store, service, query):
    store.promote(small_artifact())
    with service() as running:
        answer = running.get(f"/v1/forecasts/^IXIC/history?{query}")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_symbol_without_forecasts_has_no_history(store, service):
    store.promote(small_artifact())
    with service() as running:
        known, unknown = (running.get(f"/v1/forecasts/{symbol}/history") for symbol in ("^IXIC", "NOPE"))
    assert (known.status_code, unknown.status_code) == (404, 404)
    assert known.json()["type"] != unknown.json()["type"]


def test_stated_prices_are_the_calibrated_ones(store, service):
    champion = store.promote(small_artifact())
    issue_past(store, champion, 1)
    (first, second) = (one.entry for one in track(store.engine, champion.target))
    moved = [
        replace(one, origin=ORIGIN, calibrated=[2 * q for q in one.quantiles], calibration="c" * 64)
        for one in (first, second)
    ]
    add_entries(store.engine, moved)
    with service() as running:
        latest = running.get("/v1/forecasts/^IXIC").json()["steps"][0]
        past = running.get("/v1/forecasts/^IXIC/history?limit=1").json()["forecasts"][0]["steps"][0]
    assert latest["return_quantiles"] == pytest.approx([2 * q for q in first.quantiles])
    assert past["price_quantiles"] == pytest.approx(latest["price_quantiles"])


def test_the_random_walk_stands_beside_each_step(store, service):
    champion = store.promote(small_artifact())
    walk = (0.02 * table(2)).tolist()
    issue_past(store, champion, 1)
    add_entries(store.engine, [replace(one, walk=walk[h]) for h, one in enumerate(steps(champion))])
    with service() as running:
        newest, oldest = running.get("/v1/forecasts/^IXIC/history").json()["forecasts"]
    assert [one["walk_price_quantiles"] for one in newest["steps"]] == [
        pytest.approx(CLOSE * np.exp(row)) for row in walk
    ]
    assert [one["walk_price_quantiles"] for one in oldest["steps"]] == [None, None]


@pytest.mark.parametrize("value", [nan, 1000.0])
def test_fault_29_a_past_forecast_that_is_none_is_not_answered(store, service, value):
    issue_past(store, store.promote(small_artifact()), 1, quantiles=[*[0.0] * 24, value])
    with service() as running:
        answer = running.get("/v1/forecasts/^IXIC/history")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:forecaster:output-invalid")


def test_a_cursor_beyond_the_end_gives_an_empty_page(store, service):
    issue_past(store, store.promote(small_artifact()), 1)
    with service() as running:
        said = running.get("/v1/forecasts/^IXIC/history", cursor="1").json()
    assert said == {"symbol": "^IXIC", "forecasts": [], "next": None}
