"""A change of model under load, in small; `python -m benchmarks.hot_swap` is the same a hundred times."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from benchmarks.hot_swap import NOW, QUESTIONS, Found, Shop, run
from benchmarks.hot_swap_clients import Answer
from benchmarks.hot_swap_truth import Change, Truth

REASONS = {
    "no number": "a quantile is not finite",
    "another output": "expected outputs ['quantiles'], found ['answers']",
    "another channel": "expected an input `context` [B, L, 2]",
    "a pickle": "the graph does not load",
    "numbers in a file": "the graph does not load",
    "damaged": "the model's bytes do not match the manifest",
    "another target": "expected target ^GSPC-return-5, found ^GSPC-return-2",
}
KINDS = list(dict.fromkeys(question.kind for question in QUESTIONS))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    made = Shop(tmp_path_factory.mktemp("home"))
    made.open()
    yield made
    made.engine.dispose()


@pytest.fixture(scope="module")
def found(shop: Shop) -> Found:
    return run(shop, promotions=6, clients=3)


def test_promotions_under_load_cost_no_request_and_every_answer_is_its_digests(found):
    assert (found.failed, found.wrong, found.old) == ([], [], [])
    assert list(found.answers) == KINDS
    assert found.spoke > 6
    assert found.holds


def test_faults_22_26_what_must_not_answer_is_refused_by_name(found):
    assert found.let_in == []
    assert found.refused.keys() == REASONS.keys()
    for name, reason in REASONS.items():
        assert reason in found.refused[name]


def spoilt(said: dict, name: str) -> dict:
    """The same answer, but for one thing."""
    forecast = said["forecasts"][0] if "forecasts" in said else said
    if name == "version":
        forecast["model"][name] += 1
    elif name == "digest":
        forecast["model"][name] = "0" * 64
    elif name == "reason":
        forecast[name] += "!"
    else:
        forecast["steps"][-1][name][3] *= 1 + 1e-6
    return said


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_is_off_is_noticed(shop, found, kind):
    """What looks at the answers is looked at: a millionth in one number is enough."""
    truth = Truth(shop.engine, NOW)
    answer = next(one for one in found.said if one.question.kind == kind)
    assert truth.differs(answer) is None
    for name in ("price_quantiles", "return_quantiles", "walk_price_quantiles", "version", "digest", "reason"):
        content = json.dumps(spoilt(json.loads(answer.content), name)).encode()
        assert truth.differs(replace(answer, content=content)) is not None, name


def test_an_answer_of_a_model_that_had_been_replaced_is_noticed(shop):
    truth = Truth(shop.engine, NOW)
    changes = [Change(at=5.0, target="T", version=2)]

    def old(kind: str, version: int, began: float) -> bool:
        content = json.dumps({"target": "T", "model": {"version": version}}).encode()
        question = next(one for one in QUESTIONS if one.kind == kind)
        return truth.is_old(Answer(question, content, 1, began), changes)

    assert old("prediction", 1, 5.1)
    assert not old("prediction", 1, 4.9)
    assert not old("prediction", 2, 5.1)
    assert not old("latest", 1, 5.1)
