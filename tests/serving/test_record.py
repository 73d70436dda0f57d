"""What the service says of forecasts it issued before: from the ledger and from nowhere else."""

from dataclasses import replace
from datetime import timedelta
from math import exp

import numpy as np
import pytest
from small_store import CLOSE, NOW, ORIGIN, small_artifact, table

from forecaster.contract import LEVELS
from forecaster.store.ledger import Entry, add_entries
from forecaster.store.scores import Score, add_scores, track


def issue_for(store, champion, count, kind="live", first=0):
    """Forecasts from so many days in a row, the oldest first."""
    for day in range(first, first + count):
        entries = [
            Entry(
                target=champion.target,
                symbol="^IXIC",
                origin=ORIGIN - timedelta(days=1000 - day),
                horizon=horizon,
                session=ORIGIN - timedelta(days=1000 - day - horizon),
                digest=champion.digest,
                version=champion.version,
                origin_close=CLOSE,
                quantiles=(0.01 * table(2)[horizon - 1]).tolist(),
                issued_at=NOW,
                kind=kind,
            )
            for horizon in (1, 2)
        ]
        add_entries(store.engine, entries)


def score_all(store, champion, outcome=0.01):
    matured = track(store.engine, champion.target)
    below = [bool(outcome <= level) for level in np.linspace(-1, 1, len(LEVELS))]
    add_scores(store.engine, [Score(one.id, outcome, 0.9, 1.0, 1.2, below, NOW) for one in matured])


def test_history_comes_newest_first_page_by_page_without_gap_or_repeat(store, service):
    issue_for(store, store.promote(small_artifact()), 7)
    seen, cursor = [], None
    with service() as running:
        while True:
            query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
            page = running.get("/v1/forecasts/^IXIC/history", params=query).json()
            seen += [one["origin"] for one in page["forecasts"]]
            cursor = page["next"]
            if cursor is None:
                break
    expected = [(ORIGIN - timedelta(days=1000 - day)).isoformat() for day in range(7)]
    assert seen == expected[::-1]


def test_history_shows_what_came_once_it_is_scored(store, service):
    champion = store.promote(small_artifact())
    issue_for(store, champion, 1)
    with service() as running:
        before = running.get("/v1/forecasts/^IXIC/history").json()["forecasts"][0]["steps"]
        score_all(store, champion)
        after = running.get("/v1/forecasts/^IXIC/history").json()["forecasts"][0]["steps"]
    assert [step["price"] for step in before] == [None, None]
    assert [step["price"] for step in after] == pytest.approx([CLOSE * exp(0.01)] * 2)
    assert [step["crps"] for step in after] == [0.9, 0.9]
    assert [step["price_quantiles"] for step in after] == [step["price_quantiles"] for step in before]


def test_until_something_matures_the_record_says_so(store, service):
    issue_for(store, store.promote(small_artifact()), 2)
    with service() as running:
        said = running.get("/v1/track-record").json()
    assert said["remark"] == "nothing issued has matured yet"
    assert [(line["n"], line["waiting"], line["skill"]) for line in said["live"]] == [(0, 2, None)] * 2
    assert said["backfilled"] == []


def test_the_record_is_skill_and_coverage_by_horizon(store, service):
    champion = store.promote(small_artifact())
    issue_for(store, champion, 5)
    score_all(store, champion)
    with service() as running:
        said = running.get("/v1/track-record?symbol=^IXIC").json()
    assert said["remark"] is None
    for line in said["live"]:
        assert (line["n"], line["waiting"]) == (5, 0)
        assert line["skill"] == pytest.approx(1 - 0.9 / 1.2)
        assert line["skill_se"] is None  # five sessions tell nothing of it
        assert set(line["coverage"]) == {"50%", "80%", "90%", "95%"}


def test_a_backfill_stands_apart(store, service):
    champion = store.promote(small_artifact())
    issue_for(store, champion, 4, kind="backfill")
    issue_for(store, champion, 1, first=10)
    score_all(store, champion)
    with service() as running:
        said = running.get("/v1/track-record").json()
        kinds = [one["kind"] for one in running.get("/v1/forecasts/^IXIC/history").json()["forecasts"]]
    assert [line["n"] for line in said["live"]] == [1, 1]
    assert [line["n"] for line in said["backfilled"]] == [4, 4]
    assert kinds == ["live", *["backfill"] * 4]


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "cursor=x", "cursor=-1", "cursor=" + "9" * 19])
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
    issue_for(store, champion, 1)
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
