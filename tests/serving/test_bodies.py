"""Bodies that are not what they should be: fault 27, and whatever else may be sent."""

import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_process import Service
from small_store import NOW, SmallStore
from traded import keep, model, trade

from serving.app import create_app
from serving.settings import Settings

ROWS = [[0.01, 0.02]] * 8
GOOD: dict[str, dict[str, Any]] = {
    "/v1/forecasts": {"symbols": ["^IXIC"], "as_of": "2018-12-28", "horizon": 2, "levels": [0.05, 0.5]},
    "/v1/predict": {"context": ROWS, "close": 100.0, "paths": {"count": 2, "seed": 0}},
}
MARK = "zebra"
"""Never part of an answer or of the log: only requests say it."""


@pytest.fixture(params=GOOD)
def path(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that has a champion and prices; nothing that is asked here changes them."""
    store = SmallStore(tmp_path_factory.mktemp("bodies") / "home")
    trade(store)
    keep(store)
    store.promote(model())
    chosen = Settings(home=store.home, refresh_seconds=3600, rate_per_second=1e6, burst=10**6)
    with Service(create_app(chosen, clock=lambda: NOW)) as made:
        yield made
    store.engine.dispose()


def post(started: Service, path: str, body: Any, declared: str | None = "application/json") -> httpx.Response:
    content = body if isinstance(body, bytes) or hasattr(body, "__aiter__") else json.dumps(body).encode()
    headers = {} if declared is None else {"content-type": declared}
    return started.send("POST", path, content=content, headers=headers)


def refused(answer: httpx.Response, status: int = 422) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == status
    assert MARK not in answer.text
    return found


def complaint(answer: httpx.Response) -> str:
    (found,) = refused(answer)["errors"]
    return found


def test_what_is_good_is_answered(started, path):
    for declared in ("application/json", "application/json; charset=utf-8", "Application/JSON"):
        assert post(started, path, GOOD[path], declared).status_code == 200
    spaced = json.dumps(GOOD[path], indent=8).encode() + b"\n\n"
    assert post(started, path, spaced).json() == post(started, path, GOOD[path]).json()


@pytest.mark.parametrize(
    "declared", [None, "", "text/plain", "application/x-www-form-urlencoded", "application/xml", "application/ld+json"]
)
def test_fault_27_only_json_is_read_as_json(started, path, declared):
    assert refused(post(started, path, GOOD[path], declared), 415)["type"] == "urn:forecaster:not-json"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{}x",
        b"{'close': 1}",
        json.dumps(GOOD["/v1/predict"]).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps(GOOD["/v1/predict"]).encode(),
        b'{"target": "\xff\xfe"}',
        b'{"target": "\xed\xa0\x80"}',
        b"[" * 30_000,
        b'{"context":' * 5_000,
        b"[" * 30_000 + b"]" * 30_000,
    ],
    ids=lambda body: f"{body[:12]!r} and {len(body)} in all",
)
def test_fault_27_what_is_no_json_is_told_so(started, path, body):
    assert complaint(post(started, path, body)) == "body: it is no JSON, not in UTF-8, or too deep"


def test_fault_27_a_number_of_five_thousand_digits_is_refused(started, path):
    assert "9" * 20 not in complaint(post(started, path, b'{"close": ' + b"9" * 5_000 + b"}"))


@pytest.mark.parametrize("body", [b"null", b"[]", b"1", b'"zebra"', b"true", b"[[[[1]]]]", b'{"a": "\\ud800"}'])
def test_fault_27_json_of_another_kind_is_refused(started, path, body):
    assert refused(post(started, path, body))["errors"]


@pytest.mark.parametrize(
    "twice",
    [
        b'{"close": 1.0, "close": 100.0, ',
        b'{"cl\\u006fse": 1.0, "close": 100.0, ',
        b'{"zebra": {"a": 1, "a": 2}, ',
        b'{"zebra": [[{"a": 1, "a": 1}]], ',
    ],
)
def test_fault_27_a_key_is_there_once(started, path, twice):
    rest = json.dumps(GOOD[path]).encode()[1:]
    assert complaint(post(started, path, twice + rest)) == "body: a key is given twice"


@pytest.mark.parametrize(
    "value", ["NaN", "Infinity", "-Infinity", "1e400", "-1e400", '"3"', '"NaN"', "true", "null", "[1]", "{}"]
)
@pytest.mark.parametrize("field", ["close", "context", "levels", "horizon", "count", "seed"])
def test_fault_27_a_number_is_a_finite_number(started, value, field):
    bodies = {
        "close": f'{{"close": {value}, "context": {ROWS}}}',
        "context": f'{{"close": 1, "context": [[{value}, 0.0]]}}',
        "levels": f'{{"close": 1, "context": {ROWS}, "levels": [{value}]}}',
        "horizon": f'{{"close": 1, "context": {ROWS}, "horizon": {value}}}',
        "count": f'{{"close": 1, "context": {ROWS}, "paths": {{"count": {value}, "seed": 0}}}}',
        "seed": f'{{"close": 1, "context": {ROWS}, "paths": {{"count": 1, "seed": {value}}}}}',
    }
    answer = post(started, "/v1/predict", bodies[field].encode())
    if (field, value) == ("horizon", "null"):
        assert answer.status_code == 200
    else:
        assert complaint(answer).startswith("body.")


@pytest.mark.parametrize("value", ["1.0", "1.5", "1e0", '"1"', "true", "[1]"])
def test_fault_27_a_count_is_a_whole_number(started, path, value):
    body = json.dumps(GOOD[path] | {"horizon": "here"}).replace('"here"', value).encode()
    assert complaint(post(started, path, body)) == "body.horizon: Input should be a valid integer"


@pytest.mark.parametrize(
    "day",
    [1546000000, 0, "0", "1546000000", "2018-12-28T00:00:00", "2018-12-28T00:00:00Z", "28.12.2018", "2018-13-01",
     "2018-02-30", "0000-01-01", " 2018-12-28", "2018-12-28\n", "\uff12\uff10\uff11\uff18-12-28", "zebra", "",
     True, [], {}],
)  # fmt: skip
def test_fault_27_a_day_is_a_day(started, day):
    assert complaint(post(started, "/v1/forecasts", {"symbols": ["^IXIC"], "as_of": day})).startswith("body.as_of: ")


@pytest.mark.parametrize(
    "symbol",
    ["", "aapl", "AAPL/../MSFT", "../etc/passwd", "?x", "%2e%2e", "^IXIC\n", "A B", "💥", "A" * 10_000,
     "'; DROP TABLE bar", "\u0000", 5, None, True, ["^IXIC"]],
)  # fmt: skip
def test_fault_13_what_may_be_no_symbol_reaches_nothing(started, symbol, caplog):
    caplog.set_level(logging.DEBUG, logger="forecaster")
    found = complaint(post(started, "/v1/forecasts", {"symbols": ["^IXIC", symbol]}))
    assert found.startswith("body.symbols.1: ")
    if isinstance(symbol, str) and len(symbol) > 3:
        assert symbol not in found + caplog.text


@pytest.mark.parametrize(
    "target", ["", "zebra", "^IXIC", "^IXIC-return-2\n", "^IXIC-return-2 ", "../^IXIC-return-2", 5, True]
)
def test_fault_27_a_target_is_the_key_of_one(started, path, target):
    assert complaint(post(started, path, GOOD[path] | {"target": target})).startswith("body.target: ")


def test_fault_27_keys_of_the_callers_own_are_counted_and_not_named(started, path):
    own = {MARK: MARK, "\u0000": 1, "__class__": {}}
    assert complaint(post(started, path, GOOD[path] | own)) == "unknown keys: 3; /docs lists those that are known"
    nested = GOOD["/v1/predict"] | {"paths": {"count": 1, "seed": 0, MARK: 1}}
    assert complaint(post(started, "/v1/predict", nested)) == "unknown keys: 1; /docs lists those that are known"


def test_a_body_full_of_faults_is_answered_shortly(started):
    body = {"context": [[MARK] * 200] * 300, "close": 1.0}
    with_many = json.dumps(body).encode()[:60_000].rsplit(b"]", 1)[0] + b"]]" + b', "close": 1}'
    answer = post(started, "/v1/predict", with_many)
    assert len(refused(answer)["errors"]) < 5
    assert len(answer.content) < 1_000


async def drip(count: int) -> AsyncIterator[bytes]:
    yield b'{"symbols": ["'
    for _ in range(count):
        yield b"A" * 65_536
    yield b'"]}'


def test_fault_27_ten_megabytes_in_chunks_are_not_read_to_the_end(started, path):
    refused(post(started, path, drip(160)), 413)
    assert post(started, path, GOOD[path]).status_code == 200


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates().map(str),
    lambda children: st.lists(children, max_size=5) | st.dictionaries(st.text(max_size=8), children, max_size=5),
    max_leaves=20,
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.sampled_from(sorted({name for body in GOOD.values() for name in (*body, "target", "horizon", "levels")}))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_sent_is_answered_or_refused_and_never_repeated(started, path, caplog, data):
    spoilt = data.draw(st.dictionaries(NAMES, JUNK, max_size=3), label="spoilt")
    own = data.draw(st.dictionaries(st.text(max_size=8), JUNK, max_size=2), label="own keys")
    body = data.draw(st.just(GOOD[path] | spoilt | own) | JUNK, label="body")
    raw = data.draw(st.just(json.dumps(body).encode()) | st.binary(max_size=200), label="raw")
    caplog.clear()
    answer = post(started, path, raw)
    assert answer.status_code in {200, 404, 422}, answer.text
    if answer.status_code != 200:
        refused(answer, answer.status_code)
        assert "Traceback" not in answer.text + caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(FINITE, min_size=2, max_size=2), min_size=8, max_size=9),
    close=st.floats(min_value=0, exclude_min=True, allow_infinity=False),
    count=st.integers(1, 3),
)
def test_rows_of_any_size_are_answered_with_prices_or_refused(started, rows, close, count):
    answer = post(started, "/v1/predict", {"context": rows, "close": close, "paths": {"count": count, "seed": 0}})
    if answer.status_code == 200:
        said = answer.json()
        prices = [price for step in said["steps"] for price in step["price_quantiles"]]
        assert all(0 < price < float("inf") for price in (*prices, *(one for path in said["paths"] for one in path)))
    else:
        assert complaint(answer).startswith("body.context: ")


def test_the_description_says_what_may_be_sent(started, path):
    said = started.get("/openapi.json").json()
    asked = said["paths"][path]["post"]
    name = asked["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = said["components"]["schemas"][name]
    assert asked["requestBody"]["required"]
    assert schema["additionalProperties"] is False
    assert set(GOOD[path]) <= set(schema["properties"])
    assert all("description" in one for one in schema["properties"].values())
    assert any("examples" in one for one in schema["properties"].values())
    assert {"200", "404", "415", "422", "503"} <= set(asked["responses"])
