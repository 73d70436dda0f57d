"""Raw forecasts of a caller's own rows."""

import json

import numpy as np
import pytest
from odd_graphs import odd_graph
from small_store import BY_DEFAULT, NOW, PASSED, SmallStore
from sqlalchemy import text
from traded import WINDOW, model

from forecaster.contract import LEVELS, Target
from forecaster.paths import sample
from forecaster.runtime import Runtime
from forecaster.store.artifacts import add_artifact
from forecaster.store.schema import metadata

PATH = "/v1/predict"
ROWS = (0.01 * np.random.default_rng(3).standard_normal((8, 2))).tolist()
LEVEL = Target(symbols=("LOAD",), venue="XNYS", horizon=2, kind="level")
"""Of a champion that forecasts changes of a level."""


@pytest.fixture
def ask(store: SmallStore, service):
    """Asks a service that has a champion."""
    store.promote(model())
    with service(rate_per_second=1e6, burst=10**6) as started:

        def asked(**body: object):
            return started.send("POST", PATH, json={"context": ROWS, "close": 100.0, **body})

        asked.service = started
        yield asked


def errors(answer) -> list[str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == 422, answer.text
    return answer.json()["errors"]


def said_by(artifact, rows: list[list[float]] = ROWS) -> np.ndarray:
    return Runtime(artifact).quantiles(np.array([rows], dtype=np.float32))[0]


def test_it_is_what_the_model_says_of_these_rows(ask):
    answer = ask()
    assert answer.status_code == 200, answer.text
    said = answer.json()
    values = said_by(model())
    assert [step["return_quantiles"] for step in said["steps"]] == values.tolist()
    assert [step["price_quantiles"] for step in said["steps"]] == (100.0 * np.exp(values)).tolist()
    assert [step["horizon"] for step in said["steps"]] == [1, 2]
    assert said["levels"] == list(LEVELS)
    assert said["target"] == "^IXIC-return-2"
    assert said["model"] == {"family": "naive", "version": 1, "digest": model().digest}
    assert said["paths"] is None


def test_it_says_what_it_lacks_and_leaves_no_trace(store, ask):
    def counts() -> list[int]:
        with store.engine.connect() as connection:
            return [connection.scalar(text(f"SELECT count(*) FROM {name}")) for name in metadata.tables]

    before = counts()
    said = ask().json()
    assert (said["calibrated"], said["issued"]) == (False, False)
    assert said["remark"] == "raw: not calibrated and without a track record"
    assert (said["no_skill"], said["reason"]) == (False, "beats the random walk")
    assert counts() == before


def test_the_random_walk_stands_beside_it(store, ask):
    walk, champion = model(seed=9), model(seed=3)
    with store.engine.begin() as connection:
        add_artifact(connection, walk, NOW)
    assert ask().json()["steps"][0]["walk_price_quantiles"] is None
    store.promote(champion, PASSED | {"walk": walk.digest})
    ask.service.engine.refresh()
    said = ask().json()["steps"]
    assert [step["walk_price_quantiles"] for step in said] == (100 * np.exp(said_by(walk))).tolist()
    assert [step["price_quantiles"] for step in said] == (100 * np.exp(said_by(champion))).tolist()


def test_where_nothing_beats_the_random_walk_it_says_so(store, ask):
    walk = model(seed=4)
    store.promote(walk, BY_DEFAULT | {"walk": walk.digest})
    ask.service.engine.refresh()
    said = ask().json()
    assert said["no_skill"]
    assert said["steps"][0]["walk_price_quantiles"] == said["steps"][0]["price_quantiles"]


def test_the_last_rows_are_used(ask):
    longer = [[9.0, 9.0]] * 30 + ROWS
    assert ask(context=longer).json() == ask().json()


@pytest.mark.parametrize(
    "context",
    [ROWS[1:], [row[:1] for row in ROWS], [[*row, 0.0] for row in ROWS], [*ROWS[:-1], ROWS[-1][:1]]],
    ids=["a row too few", "a column too few", "a column too many", "ragged"],
)
def test_rows_that_do_not_fit_are_told_what_is_expected(ask, context):
    expected = "body.context: expected at least 8 rows, each of 2 numbers: log_return, volume_change"
    assert errors(ask(context=context)) == [expected]


def test_the_channel_of_the_symbol_is_never_sent_and_says_unknown(store, ask):
    window = WINDOW.model_copy(update={"channels": ("log_return", "symbol")})
    artifact = model(seed=1, window=window)
    store.promote(artifact)
    ask.service.engine.refresh()
    one = [row[:1] for row in ROWS]
    values = said_by(artifact, [[row[0], 0.0] for row in one])
    assert [step["return_quantiles"] for step in ask(context=one).json()["steps"]] == values.tolist()
    assert "each of 1 numbers: log_return" in errors(ask())[0]


def test_numbers_beyond_single_precision_are_refused_and_those_within_are_not(ask):
    beyond, within = ([[value, 0.0], *ROWS[1:]] for value in (4e38, 3.0))
    assert errors(ask(context=beyond)) == ["body.context: a number is beyond single precision"]
    assert ask(context=within).status_code == 200


def test_a_price_is_positive_and_a_level_is_any_number(store, ask):
    for close in (0, -1, -1e-300):
        assert errors(ask(close=close)) == ["body.close: must be above 0: it is a price"]
    level = model(seed=2, target=LEVEL)
    store.promote(level)
    ask.service.engine.refresh()
    for close in (0, -3.5):
        said = ask(close=close, target="LOAD-level-2").json()
        assert [step["price_quantiles"] for step in said["steps"]] == (close + said_by(level)).tolist()


def test_with_several_champions_one_is_named(store, ask):
    store.promote(model(seed=2, target=LEVEL))
    ask.service.engine.refresh()
    answer = ask()
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:forecaster:several-champions")
    assert ask(target="^IXIC-return-2").json()["target"] == "^IXIC-return-2"
    assert ask(target="MSFT-return-2").status_code == 404


@pytest.mark.usefixtures("store")
def test_without_a_champion_there_is_none_to_ask(service):
    with service() as started:
        answer = started.send("POST", PATH, json={"context": ROWS, "close": 1.0})
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:forecaster:no-champion")


def test_it_goes_on_without_the_database(store, ask):
    before = ask().json()
    store.remove()
    ask.service.engine.store.dispose()
    assert ask().json() == before


# How much of it


def test_horizon_and_levels_cut_it(ask):
    whole, part = ask().json(), ask(horizon=1, levels=[0.95, 0.05]).json()
    (step,) = part["steps"]
    places = [LEVELS.index(0.05), LEVELS.index(0.95)]
    assert part["levels"] == [0.05, 0.95]
    for name in ("price_quantiles", "return_quantiles"):
        assert step[name] == [whole["steps"][0][name][place] for place in places]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"horizon": 3}, "body.horizon: at most 2"),
        ({"horizon": 0}, "body.horizon: Input should be greater than or equal to 1"),
        ({"horizon": -1}, "body.horizon: Input should be greater than or equal to 1"),
        ({"horizon": 10**9}, "body.horizon: Input should be less than or equal to 720"),
        ({"context": []}, "body.context: List should have at least 1 item"),
        ({"context": [[0.0, 0.0]] * 4097}, "body.context: List should have at most 4096 items"),
        ({"context": [[0.0] * 257]}, "body.context.0: List should have at most 256 items"),
        ({"context": [[]]}, "body.context.0: List should have at least 1 item"),
        ({"paths": {"count": 0, "seed": 0}}, "body.paths.count: Input should be greater than or equal to 1"),
        ({"paths": {"count": 1001, "seed": 0}}, "body.paths.count: Input should be less than or equal to 1000"),
        ({"paths": {"count": 1, "seed": -1}}, "body.paths.seed: Input should be greater than or equal to 0"),
        ({"paths": {"count": 1}}, "body.paths.seed: Field required"),
    ],
)
def test_fault_28_too_much_is_refused_with_the_limit(ask, body, said):
    (found,) = errors(ask(**body))
    assert found.startswith(said)


# Sample paths


def test_paths_are_those_of_the_quantiles_as_prices(ask):
    said = ask(paths={"count": 50, "seed": 7}).json()
    expected = 100.0 * np.exp(sample(said_by(model()), 50, 7))
    assert said["paths"] == expected.tolist()
    assert ask(paths={"count": 50, "seed": 7}).json() == said
    assert ask(paths={"count": 50, "seed": 8}).json()["paths"] != said["paths"]


def test_fewer_steps_are_the_same_paths_cut(ask):
    whole, cut = (ask(paths={"count": 20, "seed": 1}, **body).json()["paths"] for body in ({}, {"horizon": 1}))
    assert cut == [path[:1] for path in whole]


# What the model says


@pytest.mark.parametrize(("fault", "status"), [("nan", 422), ("endless", 422), ("crossing", 422), ("short", 503)])
def test_fault_29_what_is_no_forecast_is_never_answered(store, ask, fault, status):
    """The model has answered its golden context, so what comes of a caller's rows is put down to them."""
    store.promote(model(graph=odd_graph(fault)))
    ask.service.engine.refresh()
    assert ask.service.engine.refused == []
    lively = (10 * np.array(ROWS)).tolist()
    answer = ask(context=lively)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    if status == 422:
        assert errors(answer) == ["body.context: no usable forecast comes of these rows and this close"]
    assert ask(context=(np.array(ROWS) / 100).tolist()).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"context": [[3e38, 3e38]] * 8},
        {"context": [[1e4, 1e4]] * 8},  # a return of which no finite price comes
        {"close": 1e308, "context": [[1.0, 1.0]] * 8},
        {"close": 5e-324, "context": [[1.0, 1.0]] * 8},
        {"close": 1e306, "paths": {"count": 1000, "seed": 0}, "context": [[1.9, 1.9]] * 8},
    ],
)
def test_a_price_that_is_none_is_never_answered(ask, body):
    assert errors(ask(**body)) == ["body.context: no usable forecast comes of these rows and this close"]


def test_what_is_answered_is_plain_json(ask):
    def refuse(name: str) -> float:
        raise AssertionError(name)

    for close in (1e-300, 1.0, 1e300):
        said = json.loads(ask(close=close, paths={"count": 100, "seed": 0}).text, parse_constant=refuse)
        prices = np.array([step["price_quantiles"] for step in said["steps"]])
        assert np.isfinite(prices).all()
        assert (prices > 0).all()
        assert (np.diff(prices) >= 0).all()


@pytest.mark.parametrize(("least_seconds", "paths"), [(0, None), (1, {"count": 1, "seed": 0})])
def test_what_takes_long_takes_a_turn_among_the_runs_and_not_among_those_who_read(
    store, service, monkeypatch, least_seconds, paths
):
    monkeypatch.setattr("serving.engine._QUICK", least_seconds)  # nothing is quick, then everything but paths
    store.promote(model())
    with service() as started:
        question = {"context": ROWS, "close": 1.0, "paths": paths}
        started.app.state.slots.close()
        assert started.send("POST", PATH, json=question).status_code == 200
        started.app.state.runs.close()
        assert started.send("POST", PATH, json=question).status_code == 500


def test_a_quick_model_answers_without_a_thread(store, service, monkeypatch):
    monkeypatch.setattr("serving.engine._QUICK", 1)
    store.promote(model())
    with service() as started:
        started.app.state.runs.close()
        assert started.send("POST", PATH, json={"context": ROWS, "close": 1.0}).status_code == 200
