from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import exp, inf, nan
from typing import Any

import numpy as np
import pytest
from small_past import issue_past, score_all, steps
from small_store import BY_DEFAULT, CLOSE, NOW, ORIGIN, PASSED, small_artifact, table

from forecaster.contract import LEVELS
from forecaster.errors import OutputInvalid
from forecaster.store.champions import crown
from forecaster.store.ledger import add_entries
from forecaster.store.visits import Visit, add_visit
from forecaster.track import Line
from serving.forecasts import compose
from serving.schemas.forecasts import Forecast

PATH = "/v1/forecasts/^IXIC"


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
        "issued": True,
        "issued_at": "2018-12-29T12:00:00Z",
        "origin": "2018-12-28",
        "origin_close": CLOSE,
        "data_until": "2016-12-30",
        "model": {"family": "naive", "version": 1, "digest": champion.digest},
        "calibrated": False,
        "calibration": None,
        "levels": list(LEVELS),
        "age_days": 1,
        "stale": False,
        "trailing": [{"horizon": h, "n": 0, "skill": None, "skill_se": None, "coverage": {}} for h in (1, 2)],
        "no_skill": False,
        "reason": "beats the random walk",
        "remark": None,
    }
    assert [(step["horizon"], step["session"]) for step in steps] == [(1, "2018-12-31"), (2, "2019-01-01")]
    for step, returns in zip(steps, 0.01 * table(2), strict=True):
        assert step["return_quantiles"] == returns.tolist()
        assert step["price_quantiles"] == pytest.approx([CLOSE * exp(value) for value in returns])
        assert step["walk_price_quantiles"] is None


def test_calibration_and_the_random_walk_stand_beside_it(store, service):
    champion = store.promote(small_artifact())
    moved, walk = 0.012 * table(2), 0.02 * table(2)
    add_entries(store.engine, [
        replace(one, calibrated=moved[h].tolist(), calibration="c" * 64, walk=walk[h].tolist())
        for h, one in enumerate(steps(champion))
    ])  # fmt: skip
    with service() as running:
        body = running.get(PATH).json()
    assert (body["calibrated"], body["calibration"]) == (True, "c" * 64)
    for h, step in enumerate(body["steps"]):
        assert step["return_quantiles"] == moved[h].tolist()
        assert step["walk_price_quantiles"] == pytest.approx(CLOSE * np.exp(walk[h].astype(np.float64)))


def test_the_live_record_of_the_last_sessions_stands_beside_it(store, service):
    """Of this target and symbol, live, and no more than 252 sessions; what was backfilled is no record."""
    champion, other = store.promote(small_artifact()), store.promote(small_artifact("MSFT"))
    issue_past(store, champion, 3, first=-400)
    score_all(store, champion, crps=9.0)
    issue_past(store, champion, 252, first=-300)
    issue_past(store, champion, 5, first=-500, kind="backfill")
    issue_past(store, other, 5, symbol="MSFT")
    score_all(store, champion)
    score_all(store, other)
    store.issue(champion)
    with service() as running:
        record = running.get(PATH).json()["trailing"]
    assert [(line["horizon"], line["n"]) for line in record] == [(1, 252), (2, 252)]
    for line in record:
        assert line["skill"] == pytest.approx(1 - 0.9 / 1.2)
        assert line["skill_se"] == pytest.approx(0, abs=1e-9)
        assert line["coverage"] == {"50%": 1.0, "80%": 1.0, "90%": 1.0, "95%": 1.0}


@pytest.mark.parametrize(
    ("decision", "crps", "remark"),
    [
        (PASSED, 0.9, None),
        (PASSED, 1.3, "no skill over the random walk in what was issued live"),
        (BY_DEFAULT, 0.9, "no skill over the random walk"),
    ],
)
def test_where_there_is_no_skill_it_says_so(store, service, decision, crps, remark):
    champion = store.promote(small_artifact(), decision)
    issue_past(store, champion, 60)
    score_all(store, champion, crps=crps)
    with service() as running:
        assert running.get(PATH).json()["remark"] == remark


def test_five_sessions_are_too_few_to_say_that_there_is_none(store, service):
    champion = store.promote(small_artifact())
    issue_past(store, champion, 5)
    score_all(store, champion, crps=1.3)
    with service() as running:
        assert running.get(PATH).json()["remark"] is None


def issued_on(store, *days: int) -> Any:
    """A forecast issued at the last moment of each day after NOW, from the session before it."""
    champion = store.promote(small_artifact())
    for day in days:
        last = datetime(2018, 12, 29, 23, 59, 59, 999999, tzinfo=UTC) + timedelta(days=day)
        add_entries(store.engine, steps(champion, day, issued_at=last))
    return champion


def test_as_of_a_day_it_is_what_had_been_issued_by_its_end(store, service):
    issued_on(store, 0, 2, 3)
    with service(NOW + timedelta(days=9)) as running:
        origins = [
            running.get(PATH, as_of=(NOW + timedelta(days=day)).date().isoformat()).json()["origin"]
            for day in (0, 1, 2, 3, 9)
        ]
        before = running.get(PATH, as_of="2018-12-28")
    assert origins == ["2018-12-28", "2018-12-28", "2018-12-30", "2018-12-31", "2018-12-31"]
    assert is_problem(before, 404, "forecast-missing")


def test_looking_back_it_does_not_matter_who_came_to_be_in_charge(store, service):
    first = store.promote(small_artifact())
    add_entries(store.engine, steps(first))
    second = store.promote(small_artifact(seed=1))
    add_entries(store.engine, steps(second))
    crown(store.engine, first.target, first.digest, second, PASSED, NOW)
    with service() as running:
        told = [running.get(PATH, **query).json()["model"]["digest"] for query in ({}, {"as_of": "2018-12-29"})]
    assert told == [first.digest, second.digest]


def test_only_some_steps_and_levels(store, service):
    store.issue(store.promote(small_artifact()))
    with service() as running:
        whole = running.get(PATH).json()
        part = running.get(f"{PATH}?horizon=1&levels=0.95&levels=0.05").json()
    assert part["levels"] == [0.05, 0.95]
    (step,), (line,) = part["steps"], part["trailing"]
    places = [whole["levels"].index(level) for level in part["levels"]]
    for name in ("price_quantiles", "return_quantiles"):
        assert step[name] == [whole["steps"][0][name][place] for place in places]
    assert line == whole["trailing"][0]
    assert {key: part[key] for key in part.keys() - {"levels", "steps", "trailing"}} == {
        key: whole[key] for key in part.keys() - {"levels", "steps", "trailing"}
    }


def test_of_several_targets_one_can_be_named(store, service):
    for horizon in (2, 3):
        champion = store.promote(small_artifact(horizon=horizon))
        later = [replace(step, horizon=h, quantiles=(0.01 * table(3)[h - 1]).tolist())
                 for h in range(1, horizon + 1) for step in steps(champion)[:1]]  # fmt: skip
        add_entries(store.engine, later)
    with service() as running:
        told = [len(running.get(PATH, target=f"^IXIC-return-{horizon}").json()["steps"]) for horizon in (2, 3)]
        missing = running.get(PATH, target="^IXIC-return-4")
    assert told == [2, 3]
    assert is_problem(missing, 404, "forecast-missing")


@pytest.mark.parametrize(
    ("query", "limit"),
    [
        ("horizon=0", "greater than or equal to 1"),
        ("horizon=-1", "greater than or equal to 1"),
        ("horizon=3", "query.horizon: at most 2"),
        ("horizon=1000000000", "less than or equal to 720"),
        ("horizon=" + "9" * 5000, "query.horizon: "),
        ("horizon=nan", "valid integer"),
        ("as_of=2018-12-30", "query.as_of: at most today, 2018-12-29"),
        ("as_of=9999-12-31", "query.as_of: at most today, 2018-12-29"),
        ("as_of=2018-13-01", "query.as_of: "),
        ("as_of=1545955200", "write a date as 2018-12-28"),
        ("as_of=2018-12-28T00:00:00", "write a date as 2018-12-28"),
        ("levels=0.3141", "a level is one of 0.005, 0.01, "),
        ("levels=nan", "query.levels.0: "),
        ("levels=inf", "query.levels.0: "),
        ("&".join(["levels=0.5"] * 26), "at most 25 items"),
        ("target=x", "query.target: "),
        ("asof=2018-12-28", "unknown keys: 1"),
    ],
)
def test_fault_28_a_question_beyond_its_limits_is_told_them(store, service, query, limit):
    store.issue(store.promote(small_artifact()))
    with service() as running:
        answer = running.get(f"{PATH}?{query}")
    assert is_problem(answer, 422, "invalid-request")
    assert any(limit in error for error in answer.json()["errors"])
    assert "3141" not in answer.text


@pytest.mark.parametrize("query", ["as_of=0001-01-01", "as_of=2018-12-25"])
def test_fault_28_before_the_ledger_began_there_is_none(store, service, query):
    store.issue(store.promote(small_artifact()))
    with service() as running:
        assert is_problem(running.get(f"{PATH}?{query}"), 404, "forecast-missing")


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


WRONG = {
    "nan": [*[0.0] * 24, nan],
    "infinite": [*[0.0] * 24, inf],
    "price overflows": [*[0.0] * 24, 1000.0],
    "price vanishes": [-1000.0, *[0.0] * 24],
    "crossing": [0.1, *[0.0] * 24],
    "too few": [0.0],
}


@pytest.mark.parametrize("part", ["quantiles", "walk"])
@pytest.mark.parametrize("row", WRONG.values(), ids=WRONG)
def test_fault_29_nothing_is_put_together_from_what_is_no_forecast(part, row):
    good = {"quantiles": (0.01 * table(2)).tolist(), "walk": None}
    assert composed(**good).issued is False
    with pytest.raises(OutputInvalid):
        composed(**{**good, part: [row] * 2})


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fault_29_nor_with_a_step_too_few_or_too_many(count):
    with pytest.raises(OutputInvalid):
        composed(quantiles=[[0.0] * len(LEVELS)] * count, walk=None)


def test_a_horizon_without_a_record_has_n_0():
    told = composed((0.01 * table(2)).tolist(), None, trailing=[Line(2, 7, 1, 0.1, None, {0.8: 0.75})])
    assert [(line.horizon, line.n, line.skill) for line in told.trailing] == [(1, 0, None), (2, 7, 0.1)]
    assert told.trailing[1].coverage == {"80%": 0.75}


def composed(quantiles: Any, walk: Any, trailing: Any = ()) -> Forecast:
    return compose(
        symbol="^IXIC",
        target="^IXIC-return-2",
        manifest=small_artifact().manifest,
        version=1,
        digest="d" * 64,
        origin=ORIGIN,
        origin_close=CLOSE,
        sessions=[ORIGIN + timedelta(days=day) for day in range(1, 1 + len(quantiles))],
        quantiles=quantiles,
        walk=walk,
        calibrated=False,
        calibration=None,
        issued_at=None,
        decision=PASSED,
        trailing=trailing,
        today=NOW.date(),
        missed=False,
    )


def test_a_step_that_is_missing_is_no_forecast(store, service):
    champion = store.promote(small_artifact())
    add_entries(store.engine, [replace(one, horizon=one.horizon + 1) for one in steps(champion)])
    with service() as running:
        assert is_problem(running.get(PATH), 503, "output-invalid")


@pytest.mark.parametrize("version", [7, 2])
def test_a_forecast_nobody_promoted_is_not_answered(store, service, version):
    champion = store.promote(small_artifact())
    store.promote(small_artifact(seed=1))  # version 2 is another artifact
    store.issue(replace(champion, version=version))
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
