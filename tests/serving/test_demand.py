"""Forecasts on demand from the store: what they say, what they refuse, and that they leave no trace."""

from dataclasses import replace
from datetime import UTC, date, datetime

import numpy as np
import pytest
from odd_graphs import odd_graph
from small_store import BY_DEFAULT, NOW, ORIGIN, PASSED, SmallStore
from sqlalchemy import text
from traded import NYSE, WINDOW, bars, keep, model, trade

from forecaster.calibration import State
from forecaster.contract import LEVELS
from forecaster.outlook import Outlook
from forecaster.runtime import Runtime
from forecaster.store.artifacts import add_artifact
from forecaster.store.history import Row, actions_of, add_rows, bars_of, observations_of, read_facts
from forecaster.store.schema import metadata
from forecaster.store.visits import Visit, add_visit

PATH = "/v1/forecasts"


@pytest.fixture
def traded(store: SmallStore) -> SmallStore:
    """^IXIC with bars up to the origin, sessions, and a champion."""
    trade(store)
    keep(store)
    store.promote(model())
    return store


@pytest.fixture
def ask(service):
    """Asks a service that was started once."""
    with service(rate_per_second=1e6, burst=10**6) as started:

        def asked(*symbols: str, path: str = PATH, **body: object):
            return started.send("POST", path, json={"symbols": list(symbols or ("^IXIC",)), **body})

        asked.service = started
        yield asked


def errors(answer) -> list[str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == 422, answer.text
    return answer.json()["errors"]


def counts(store: SmallStore) -> dict[str, int]:
    with store.engine.connect() as connection:
        return {name: connection.scalar(text(f"SELECT count(*) FROM {name}")) for name in metadata.tables}


def test_it_is_the_champions_forecast_from_what_is_known_now(traded, ask):
    answer = ask()
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["as_of"] == NOW.isoformat().replace("+00:00", "Z")
    assert said["problems"] == []
    (found,) = said["forecasts"]
    facts = read_facts(traded.engine, NOW, {"^IXIC"})
    outlook = Outlook.of(facts, NYSE, Runtime(model()), "^IXIC")
    prices = outlook.close * np.exp(outlook.quantiles)
    assert [step["return_quantiles"] for step in found["steps"]] == outlook.quantiles.tolist()
    assert [step["price_quantiles"] for step in found["steps"]] == prices.tolist()
    assert [step["session"] for step in found["steps"]] == ["2018-12-31", "2019-01-02"]
    assert (found["origin"], found["origin_close"]) == (ORIGIN.isoformat(), bars()[-1].values[3])
    assert (found["symbol"], found["target"], found["levels"]) == ("^IXIC", "^IXIC-return-2", list(LEVELS))
    assert found["model"] == {"family": "naive", "version": 1, "digest": model().digest}
    assert (found["age_days"], found["stale"]) == (1, False)
    assert [line["n"] for line in found["trailing"]] == [0, 0]


def test_it_says_that_it_was_not_issued_and_leaves_no_trace(traded, ask):
    before = counts(traded)
    (found,) = ask().json()["forecasts"]
    assert (found["issued"], found["issued_at"]) == (False, None)
    assert (found["calibrated"], found["calibration"]) == (True, State.start(2).digest)
    assert counts(traded) == before
    assert ask.service.get("/v1/forecasts/^IXIC").status_code == 404  # nothing was issued


def test_the_random_walk_stands_beside_it(traded, ask):
    walk = model(seed=9)
    with traded.engine.begin() as connection:
        add_artifact(connection, walk, NOW)
    champion = model(seed=3)
    traded.promote(champion, PASSED | {"walk": walk.digest})
    ask.service.engine.refresh()
    (found,) = ask().json()["forecasts"]
    outlook = Outlook.of(read_facts(traded.engine, NOW, {"^IXIC"}), NYSE, Runtime(champion), "^IXIC")
    expected = outlook.close * np.exp(Runtime(walk).quantiles(outlook.context)[0])
    assert [step["walk_price_quantiles"] for step in found["steps"]] == expected.tolist()
    assert found["steps"][0]["walk_price_quantiles"] != found["steps"][0]["price_quantiles"]


def test_where_nothing_beats_the_random_walk_it_says_so(traded, ask):
    walk = model(seed=4)
    traded.promote(walk, BY_DEFAULT | {"walk": walk.digest})
    ask.service.engine.refresh()
    (found,) = ask().json()["forecasts"]
    assert (found["no_skill"], found["remark"]) == (True, "no skill over the random walk")
    assert [step["walk_price_quantiles"] for step in found["steps"]] == [
        step["price_quantiles"] for step in found["steps"]
    ]


# As of a day


@pytest.mark.parametrize(
    ("day", "origin"),
    [
        ("2018-12-21", "2018-12-21"),
        ("2018-12-23", "2018-12-21"),  # a Sunday
        ("2018-12-25", "2018-12-24"),  # a holiday
        ("2018-12-29", "2018-12-28"),  # today
    ],
)
def test_as_of_a_day_is_from_what_was_known_at_its_end(traded, ask, day, origin):
    said = ask(as_of=day).json()
    (found,) = said["forecasts"]
    assert found["origin"] == origin
    assert found["age_days"] == (NOW.date() - date.fromisoformat(origin)).days
    assert said["as_of"][:19] == ("2018-12-29T12:00:00" if day == "2018-12-29" else f"{day}T23:59:59")
    moment = min(NOW, datetime.fromisoformat(f"{day}T23:59:59.999999+00:00"))
    outlook = Outlook.of(read_facts(traded.engine, moment, {"^IXIC"}), NYSE, Runtime(model()), "^IXIC")
    assert [step["return_quantiles"] for step in found["steps"]] == outlook.quantiles.tolist()


def test_what_became_known_after_that_day_changes_no_bit(store, ask):
    trade(store, rows=bars(until=date(2018, 12, 21)))
    keep(store)
    store.promote(model())
    ask.service.engine.refresh()
    before = ask(as_of="2018-12-21").json()
    monday = datetime(2018, 12, 24, 9, tzinfo=UTC)
    restated = [replace(row, values=tuple(1.5 * value for value in row.values)) for row in bars()[-15:]]
    split = Row(date(2018, 12, 20), monday, (2.0,))
    with store.engine.begin() as connection:
        add_rows(connection, bars_of("^IXIC"), restated, monday)
        add_rows(connection, actions_of("^IXIC", "split"), [split], monday)
    assert ask(as_of="2018-12-21").json() == before
    assert ask().json()["forecasts"][0]["origin_close"] == 1.5 * bars()[-1].values[3]  # and it is not deaf


@pytest.mark.usefixtures("traded")
def test_fault_28_a_day_to_come_is_refused_with_the_limit(ask):
    for day in ("2018-12-30", "2019-01-02", "9999-12-31"):
        assert errors(ask(as_of=day)) == ["body.as_of: at most today, 2018-12-29"]


@pytest.mark.usefixtures("traded")
@pytest.mark.parametrize("day", ["2018-09-28", "1990-01-01", "0001-01-01"])
def test_fault_28_before_history_there_is_nothing(ask, day):
    answer = ask(as_of=day)
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:forecaster:data"
    assert "nothing stored that was known by then" in answer.json()["detail"]


@pytest.mark.usefixtures("traded")
def test_too_little_history_is_said(ask):
    assert "have 5 sessions, need 8" in ask(as_of="2018-10-08").json()["detail"]


def test_an_origin_that_the_model_was_trained_or_chosen_on_is_marked(traded, ask):
    traded.promote(model(seed=1, trained_until=date(2018, 12, 12), chosen_until=date(2018, 12, 21)))
    ask.service.engine.refresh()
    found = {day: ask(as_of=day).json()["forecasts"][0] for day in ("2018-12-20", "2018-12-21")}
    assert (found["2018-12-20"]["in_sample"], found["2018-12-21"]["in_sample"]) == (True, False)
    assert found["2018-12-20"]["remark"].startswith("the model was trained or chosen on prices of after the origin")
    assert found["2018-12-21"]["remark"] is None


# How much of it


@pytest.mark.usefixtures("traded")
def test_horizon_and_levels_cut_it(ask):
    (whole,), (part,) = (ask(**body).json()["forecasts"] for body in ({}, {"horizon": 1, "levels": [0.95, 0.05]}))
    (step,) = part["steps"]
    places = [LEVELS.index(0.05), LEVELS.index(0.95)]
    assert part["levels"] == [0.05, 0.95]
    assert step["price_quantiles"] == [whole["steps"][0]["price_quantiles"][place] for place in places]
    assert len(part["trailing"]) == 1


@pytest.mark.usefixtures("traded")
@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"horizon": 3}, "body.horizon: at most 2"),
        ({"horizon": 0}, "body.horizon: Input should be greater than or equal to 1"),
        ({"horizon": -1}, "body.horizon: Input should be greater than or equal to 1"),
        ({"horizon": 10**9}, "body.horizon: Input should be less than or equal to 720"),
        ({"levels": []}, "body.levels: List should have at least 1 item"),
        ({"levels": [0.5, 0.5]}, "body.levels: one is named twice"),
        ({"levels": [0.51]}, "body.levels.0: a level is one of 0.005, 0.01"),
        ({"symbols": []}, "body.symbols: List should have at least 1 item"),
        ({"symbols": ["ixic"]}, "body.symbols.0: is no symbol; those are of capital letters"),
        ({"symbols": ["^IXIC"] * 2}, "body.symbols: one is named twice"),
        ({"symbols": [f"A{number}" for number in range(101)]}, "body.symbols: List should have at most 100 items"),
        ({"symbols": [f"A{number}" for number in range(10**5)]}, "body.symbols: List should have at most 100 items"),
    ],
)
def test_fault_28_too_much_is_refused_with_the_limit(service, body, said):
    with service(max_body_bytes=10**7) as started:
        (found,) = errors(started.send("POST", PATH, json={"symbols": ["^IXIC"], **body}))
    assert found.startswith(said)


# Several symbols


def test_ones_trouble_does_not_keep_the_others_from_being_answered(traded, ask):
    trade(traded, "MSFT", bars(1)[:5])
    traded.promote(model("MSFT"))
    ask.service.engine.refresh()
    said = ask("NONE", "^IXIC", "MSFT").json()
    assert [one["symbol"] for one in said["forecasts"]] == ["^IXIC"]
    assert [(one["symbol"], one["status"], one["type"]) for one in said["problems"]] == [
        ("NONE", 404, "urn:forecaster:unknown-symbol"),
        ("MSFT", 422, "urn:forecaster:data"),
    ]
    assert "have 4 sessions, need 8" in said["problems"][1]["detail"]
    assert said["forecasts"] == ask().json()["forecasts"]


def test_they_come_in_the_order_in_which_they_were_asked_for(traded, ask):
    trade(traded, "MSFT", bars(1))
    traded.promote(model("MSFT"))
    ask.service.engine.refresh()
    for order in (["MSFT", "^IXIC"], ["^IXIC", "MSFT"]):
        assert [one["symbol"] for one in ask(*order).json()["forecasts"]] == order


def test_what_else_is_asked_for_does_not_say_how_far_a_series_reaches(traded, ask):
    """Nobody is on record as having asked its source, so it reaches as far as its own last value does."""
    values = [Row(row.date, row.known_at, row.values[3:4]) for row in bars(2, date(2018, 12, 20))]
    with traded.engine.begin() as connection:
        add_rows(connection, observations_of("LOAD"), values, NOW)
    target = model().manifest.target.model_copy(update={"symbols": ("LOAD",), "kind": "level"})
    traded.promote(model(target=target, window=WINDOW.model_copy(update={"channels": ("change", "level")})))
    ask.service.engine.refresh()
    (alone,), (beside, _) = (ask(*symbols).json()["forecasts"] for symbols in (["LOAD"], ["LOAD", "^IXIC"]))
    assert alone["origin"] == "2018-12-20"
    assert beside == alone


@pytest.mark.usefixtures("traded")
def test_where_none_can_be_forecast_the_first_problem_is_the_answer(ask):
    answer = ask("MSFT", "NONE")
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:forecaster:no-champion")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_symbol_of_two_targets_needs_one_named(traded, ask):
    both = model(seed=2, target=model().manifest.target.model_copy(update={"symbols": ("^IXIC", "MSFT")}))
    traded.promote(both)
    ask.service.engine.refresh()
    answer = ask()
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:forecaster:several-champions")
    key = both.manifest.target.key
    assert ask(target=key).json()["forecasts"][0]["target"] == key
    assert ask(target="^GSPC-return-5").status_code == 404


# What cannot be asked


def test_a_champion_with_features_of_the_users_own_speaks_only_when_it_issues(traded, ask):
    traded.promote(model(seed=1, features="f" * 64))
    ask.service.engine.refresh()
    answer = ask()
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:forecaster:not-on-demand")
    assert "features of the user's own" in answer.json()["detail"]


def test_a_champion_with_a_channel_that_is_not_known_here_is_named(traded, ask):
    window = WINDOW.model_copy(update={"channels": ("log_return", "volume")})
    traded.promote(model(seed=1, window=window))
    ask.service.engine.refresh()
    assert "unknown channel 'volume'" in ask().json()["detail"]


def test_a_delisted_symbol_is_not_forecast_but_as_of_before_it_was(traded, ask):
    asked_at = datetime(2018, 12, 27, 9, tzinfo=UTC)
    with traded.engine.begin() as connection:
        visit = Visit("^IXIC", "sample", asked_at, True, "delisted", stale_since=date(2018, 12, 20))
        add_visit(connection, visit)
    assert "looks delisted" in ask().json()["detail"]
    assert "looks delisted" in ask(as_of="2018-12-27").json()["detail"]
    assert ask(as_of="2018-12-26").status_code == 200


def test_a_hole_in_the_context_is_named(traded, ask):
    rows = [row for row in bars(1) if row.date != date(2018, 12, 20)]
    trade(traded, "MSFT", rows)
    traded.promote(model("MSFT"))
    ask.service.engine.refresh()
    assert "2018-12-20" in ask("MSFT").json()["detail"]


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        (None, None, "the store has no sessions of venue XNYS"),
        ("2018-10-15", "2019-12-31", "sessions of XNYS only from 2018-10-15"),
        ("2018-09-03", "2018-12-31", "only loaded up to 2018-12-31"),
    ],
)
def test_sessions_that_do_not_reach_far_enough_are_never_made_up(store, ask, first, last, said):
    trade(store)
    if first is not None:
        keep(store, NYSE.between(np.datetime64(first), np.datetime64(last)))
    store.promote(model())
    ask.service.engine.refresh()
    answer = ask()
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_without_the_database_it_says_so(traded, ask):
    traded.remove()
    ask.service.engine.store.dispose()
    answer = ask()
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:forecaster:database-away")


@pytest.mark.usefixtures("traded")
def test_it_takes_a_turn_among_the_slots(service):
    with service(deadline_seconds=1e-9) as started:
        answer = started.send("POST", PATH, json={"symbols": ["^IXIC"]})
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:forecaster:deadline")


# What the model says


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("nan", "a quantile is not finite"),
        ("endless", "a quantile is not finite"),
        ("crossing", "quantiles cross"),
        ("short", "quantiles (2, 24), not (2, 25)"),
    ],
)
def test_fault_29_what_is_no_forecast_is_never_answered(traded, ask, fault, said):
    trade(traded, "MSFT", bars(1))
    traded.promote(model("MSFT", graph=odd_graph(fault)))
    ask.service.engine.refresh()
    assert ask.service.engine.refused == []  # it passed every check when it was loaded
    alone = ask("MSFT")
    assert (alone.status_code, alone.json()["type"]) == (503, "urn:forecaster:output-invalid")
    assert said in alone.json()["detail"]
    both = ask("MSFT", "^IXIC")
    assert [one["status"] for one in both.json()["problems"]] == [503]
    assert both.json()["forecasts"] == ask().json()["forecasts"]


def test_fault_29_nor_where_the_walk_beside_it_is_none(traded, ask):
    walk = model(graph=odd_graph("nan"), name="walk")
    with traded.engine.begin() as connection:
        add_artifact(connection, walk, NOW)
    traded.promote(model(seed=3), PASSED | {"walk": walk.digest})
    ask.service.engine.refresh()
    assert ask().status_code == 503
