"""Who is, was and wanted to be in charge."""

from datetime import timedelta
from math import nan

import pytest
from small_store import BY_DEFAULT, NOW, PASSED, SmallStore, small_artifact

from forecaster.store.challenges import Challenge, add_challenge
from forecaster.store.champions import Champion, crown, find_champion

TARGET = "^IXIC-return-2"
CHECK = {"question": "better than the random walk", "passed": True, "figures": "skill +1.2% (s.e. 0.3%)"}
ROWS = [
    {"name": "small", "family": "naive", "skill": 0.012, "skill_se": 0.003, "dm_p": 3e-5, "dm_p_holm": 6e-5,
     "crps": 0.6, "coverage_80": 0.81},
    {"name": "other", "family": "lstm", "skill": -0.1, "skill_se": nan, "dm_p": 0.9, "dm_p_holm": 0.9,
     "crps": 0.7, "coverage_80": 0.7},
]  # fmt: skip
SAID = {"candidate": "small", "passed": True, "reason": "small beats the random walk", "checks": [CHECK],
        "comparison": "k" * 64, "origins": 250, "first": "2017-01-03", "last": "2017-12-28", "recipes": 2,
        "leaderboard": ROWS, "kind": "challenge"}  # fmt: skip


def challenge(store: SmallStore, number: int, **said: object) -> None:
    decision = {**SAID, **said}
    when = NOW + timedelta(days=number)
    entry = Challenge(TARGET, number, f"{number:064x}", "r" * 64, 0.005, bool(decision["passed"]), decision, when)
    with store.engine.begin() as connection:
        add_challenge(connection, entry)


def roll_back(store: SmallStore, to: Champion) -> Champion:
    now = find_champion(store.engine, to.target)
    return crown(store.engine, to.target, to.digest, now, {**to.decision, "kind": "rollback"}, NOW)


def test_every_target_has_its_line(store, service):
    first = store.promote(small_artifact(), BY_DEFAULT)
    second = store.promote(small_artifact("MSFT", horizon=3), SAID)
    with service() as running:
        listed = running.get("/v1/models").json()["models"]
    assert listed == [
        {"target": "MSFT-return-3", "symbols": ["MSFT"], "horizon": 3, "family": "naive", "name": "small",
         "version": 1, "digest": second.digest, "passed": True, "reason": SAID["reason"],
         "since": "2018-12-29T12:00:00Z"},
        {"target": TARGET, "symbols": ["^IXIC"], "horizon": 2, "family": "naive", "name": "small",
         "version": 1, "digest": first.digest, "passed": False, "reason": BY_DEFAULT["reason"],
         "since": "2018-12-29T12:00:00Z"},
    ]  # fmt: skip


@pytest.mark.usefixtures("store")
def test_without_a_champion_the_list_is_empty(service):
    with service() as running:
        assert running.get("/v1/models").json() == {"models": []}


def test_a_model_is_found_by_version_by_digest_and_as_champion(store, service):
    first = store.promote(small_artifact(), {**BY_DEFAULT, "kind": "fallback"})
    second = store.promote(small_artifact(seed=1), SAID)
    with service() as running:
        by_version, by_digest = (running.get(f"/v1/models/{named}").json() for named in ("1", first.digest))
        champion, newest = (running.get(f"/v1/models/{named}").json() for named in ("champion", "2"))
    assert by_version == by_digest
    assert champion == newest
    assert (by_version["digest"], by_version["in_charge"], by_version["passed"]) == (first.digest, False, False)
    assert (champion["digest"], champion["in_charge"], champion["checks"]) == (second.digest, True, [CHECK])
    assert [(move["version"], move["kind"]) for move in champion["history"]] == [(2, "challenge"), (1, "fallback")]


def test_a_digest_that_came_back_is_told_of_its_newest_promotion(store, service):
    first = store.promote(small_artifact())
    store.promote(small_artifact(seed=1))
    roll_back(store, first)
    with service() as running:
        told = running.get(f"/v1/models/{first.digest}").json()
    assert (told["version"], told["in_charge"]) == (3, True)
    assert [move["kind"] for move in told["history"]] == ["rollback", None, None]


def test_versions_are_those_of_a_target(store, service):
    store.promote(small_artifact())
    other = store.promote(small_artifact("MSFT"))
    with service() as running:
        several = running.get("/v1/models/1")
        by_target = running.get("/v1/models/1", target="MSFT-return-2").json()
        by_symbol = running.get("/v1/models/1", symbol="MSFT").json()
        elsewhere = running.get(f"/v1/models/{other.digest}", target=TARGET)
    assert several.json()["type"] == "urn:forecaster:several-champions"
    assert by_target["digest"] == by_symbol["digest"] == other.digest
    assert elsewhere.status_code == 404


@pytest.mark.parametrize("named", ["2", "f" * 64])
def test_what_was_never_in_charge_is_not_found(store, service, named):
    store.promote(small_artifact())
    with service() as running:
        answer = running.get(f"/v1/models/{named}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("named", ["0", "01", "-1", "1.0", "latest", "champion%00", "F" * 64, "f" * 63, "9" * 7])
def test_what_is_no_version_is_refused(store, service, named):
    store.promote(small_artifact())
    with service() as running:
        assert running.get(f"/v1/models/{named}").status_code == 422


def test_while_the_database_is_away_what_is_loaded_is_told_from_memory(store, service):
    first, second = store.promote(small_artifact()), store.promote(small_artifact(seed=1))
    with service() as running:
        third = store.promote(small_artifact(seed=2))
        running.engine.refresh()
        whole = running.get("/v1/models/champion").json()
        store.remove()
        running.engine.store.dispose()
        for _ in range(2):  # before and after the engine has noticed
            told = {named: running.get(f"/v1/models/{named}") for named in ("champion", "2", third.digest, "1")}
            assert told["champion"].json() == told[third.digest].json() == {**whole, "history": None}
            assert (told["2"].json()["digest"], told["2"].json()["in_charge"]) == (second.digest, False)
            assert told["1"].status_code == 503  # not loaded any more
            assert running.get(f"/v1/models/{first.digest}").json()["type"] == "urn:forecaster:database-away"
            assert running.get("/v1/models").json()["models"][0]["digest"] == third.digest
            running.engine.refresh()


def test_the_leaderboard_is_that_of_the_newest_decision(store, service):
    store.promote(small_artifact())
    challenge(store, 1, first="2016-01-04")
    challenge(store, 2)
    challenge(store, 3, passed=False, candidate="other", leaderboard=None)  # as from before leaderboards were kept
    with service() as running:
        told = running.get("/v1/leaderboard").json()
    assert (told["target"], told["in_charge"]["version"]) == (TARGET, 1)
    assert [(one["number"], one["candidate"], one["passed"]) for one in told["decisions"]] == [
        (3, "other", False), (2, "small", True), (1, "small", True)]  # fmt: skip
    assert (told["comparison"]["first"], told["comparison"]["last"]) == ("2017-01-03", "2017-12-28")
    assert told["comparison"]["rows"] == [
        {"model": "small", "family": "naive", "skill": 0.012, "skill_se": 0.003, "p": 3e-5, "p_holm": 6e-5,
         "crps": 0.6, "coverage_80": 0.81, "in_charge": True, "candidate": True},
        {"model": "other", "family": "lstm", "skill": -0.1, "skill_se": None, "p": 0.9, "p_holm": 0.9,
         "crps": 0.7, "coverage_80": 0.7, "in_charge": False, "candidate": False},
    ]  # fmt: skip


def test_the_last_ten_decisions_are_shown(store, service):
    store.promote(small_artifact())
    for number in range(1, 13):
        challenge(store, number)
    with service() as running:
        told = running.get("/v1/leaderboard").json()["decisions"]
    assert [one["number"] for one in told] == list(range(12, 2, -1))
    assert told[0] == {
        "number": 12, "candidate": "small", "passed": True, "reason": SAID["reason"], "alpha": 0.005, "recipes": 2,
        "checks": [CHECK], "at": "2019-01-10T12:00:00Z"}  # fmt: skip


def test_without_challenges_the_leaderboard_is_empty(store, service):
    store.promote(small_artifact(), PASSED)
    with service() as running:
        told = running.get("/v1/leaderboard").json()
    assert (told["comparison"], told["decisions"]) == (None, [])


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("path", ["/v1/leaderboard", "/v1/models/champion", "/v1/models/1", f"/v2/models/{TARGET}"])
def test_without_a_champion_there_is_nothing_to_tell(service, path):
    with service() as running:
        answer = running.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:forecaster:no-champion")


def test_kserve_knows_what_is_loaded(store, service):
    store.promote(small_artifact())
    store.promote(small_artifact(seed=1))
    with service() as running:
        server, alive, ready = (running.get(path).json() for path in ("/v2", "/v2/health/live", "/v2/health/ready"))
        model, there = (running.get(f"/v2/models/{TARGET}{tail}").json() for tail in ("", "/ready"))
        store.promote(small_artifact(seed=2))
        running.engine.refresh()
        now, before, gone = (running.get(f"/v2/models/{TARGET}/versions/{version}") for version in (3, 2, 1))
    assert (server["name"], server["extensions"]) == ("forecaster", [])
    assert (alive, ready, there) == ({"live": True}, {"ready": True}, {"name": TARGET, "ready": True})
    assert model == {
        "name": TARGET,
        "versions": ["2"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "context", "datatype": "FP32", "shape": [-1, 8, 2]}],
        "outputs": [{"name": "quantiles", "datatype": "FP32", "shape": [-1, 2, 25]}],
    }
    assert now.json() == before.json() == {**model, "versions": ["3", "2"]}
    assert gone.status_code == 404


@pytest.mark.usefixtures("store")
def test_kserve_is_not_ready_without_a_champion(service):
    with service() as running:
        answer = running.get("/v2/health/ready")
        assert running.get("/v2/health/live").status_code == 200
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"]


@pytest.mark.parametrize("name", ["x", "%5EIXIC", "%5EIXIC-return-2%00", "..%5C", "a" * 1000])
def test_what_is_no_target_is_refused(store, service, name):
    store.promote(small_artifact())
    with service() as running:
        assert running.get(f"/v2/models/{name}").status_code == 422
        assert running.get(f"/v1/leaderboard?target={name}").status_code == 422
