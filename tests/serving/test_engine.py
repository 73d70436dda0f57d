import asyncio
import logging
import os
import pickle
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper
from small_store import BY_DEFAULT, NOW, PASSED, SmallStore, graph, small_artifact, table
from sqlalchemy import text

from forecaster.artifact import Artifact, golden_context
from forecaster.runtime import Runtime
from forecaster.store.artifacts import add_artifact
from forecaster.store.champions import Champion, crown
from serving.app import create_app
from serving.database import open_database
from serving.engine import ChampionEngine
from serving.settings import Settings
from serving.shelf import Shelf

TARGET = "^IXIC-return-2"
HARM = Path(gettempdir()) / f"harm-was-done-{os.getpid()}"


@pytest.fixture
def engine(store: SmallStore):
    made = start(store)
    yield made
    made.close()


def start(store: SmallStore) -> ChampionEngine:
    return ChampionEngine(open_database(f"sqlite:///{store.file}"), Shelf(store.home / "serving"))


def loaded(engine: ChampionEngine) -> list[Champion]:
    return [one.champion for one in engine.loaded]


def test_a_new_champion_is_followed(store, engine):
    first = store.promote(small_artifact())
    engine.refresh()
    assert loaded(engine) == [first]
    second = store.promote(small_artifact(seed=1), BY_DEFAULT)
    engine.refresh()
    assert loaded(engine) == [second]
    again = store.promote(small_artifact(seed=1), PASSED)
    engine.refresh()
    assert loaded(engine) == [again]
    assert engine.database.state == "up"


def test_what_is_loaded_is_not_loaded_again(store, engine):
    store.promote(
        small_artifact(), {**PASSED, "checks": [{"question": "?", "passed": True, "figures": [float("nan")]}]}
    )
    engine.refresh()
    before = engine.loaded
    engine.refresh()
    assert engine.loaded[0].runtime is before[0].runtime


class Harmful:
    """What a pickle can do when it is read."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (HARM,)


def emitting(value: float) -> bytes:
    """A graph that adds something to what it should say."""
    model = onnx.load_from_string(graph(table(2)))
    model.graph.node[-1].output[0] = "good"
    model.graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=np.float32), "more"))
    model.graph.node.append(helper.make_node("Add", ["good", "more"], ["quantiles"]))
    return model.SerializeToString()


def outside(place: str) -> bytes:
    """A graph whose table of quantiles lies in a file."""
    model = onnx.load_from_string(graph(table(2)))
    found = next(one for one in model.graph.initializer if one.name == "table")
    external_data_helper.set_external_data(found, location=place, offset=0, length=len(found.raw_data))
    found.ClearField("raw_data")
    found.data_location = TensorProto.EXTERNAL
    return model.SerializeToString()


def renamed(graph_of: bytes, name: str) -> bytes:
    """A graph with another output."""
    model = onnx.load_from_string(graph_of)
    model.graph.node[-1].output[0] = model.graph.output[0].name = name
    return model.SerializeToString()


BAD = {
    "no graph": (b"no graph", "does not load"),
    "a pickle": (pickle.dumps(Harmful()), "does not load"),
    "outside, by an absolute path": (outside("/etc/passwd"), "does not load"),
    "outside, by a way out": (outside("../../../../../../etc/passwd"), "does not load"),
    "other graph": (graph(2 * table(2)), "golden"),
    "other length": (graph(table(2), 9), "expected a graph that takes"),
    "other horizon": (graph(table(3)), "expected quantiles (2, 25), found (3, 25)"),
    "other levels": (graph(table(2)[:, 1:]), "expected quantiles (2, 25), found (2, 24)"),
    "other output": (renamed(graph(table(2)), "answers"), "expected outputs ['quantiles']"),
    "not a number": (emitting(np.nan), "a quantile is not finite"),
    "infinite": (emitting(np.inf), "a quantile is not finite"),
    "crossing": (graph(-table(2)), "quantiles cross"),
}


def bad_artifact(kind: str, store: SmallStore) -> tuple[str, str]:
    """Promote something that must be refused: (digest, part of the reason)."""
    if kind == "damaged":
        artifact = small_artifact(seed=1)
        store.promote(artifact)
        store.damage(artifact)
        return artifact.digest, "bytes do not match"
    if kind == "missing":
        artifact = small_artifact(seed=1)
        store.promote(artifact)
        with closing(sqlite3.connect(store.file)) as connection, connection:  # which does not mind foreign keys
            connection.execute("DELETE FROM artifact WHERE digest = ?", (artifact.digest,))
        return artifact.digest, "in the store"
    if kind == "carried":
        facts = small_artifact(seed=1).manifest.model_copy(update={"mode": "carried", "made_from": ("5" * 64,)})
        artifact = Artifact.seal(facts, small_artifact(seed=1).model)
        store.promote(artifact)
        return artifact.digest, "is carried, where a windowed one is needed"
    if kind == "other target":
        artifact = small_artifact("MSFT")
        store.promote(artifact, target=TARGET)
        return artifact.digest, "expected target ^IXIC-return-2"
    model, reason = BAD[kind]
    artifact = small_artifact(seed=1, model=model)
    store.promote(artifact)
    return artifact.digest, reason


@pytest.mark.parametrize("kind", ["damaged", "missing", "other target", "carried", *BAD])
def test_faults_22_26_29_a_bad_champion_is_refused_and_the_last_good_one_stays(store, service, kind):
    good = store.promote(small_artifact())
    other = store.promote(small_artifact("MSFT"))
    with service() as running:
        digest, reason = bad_artifact(kind, store)
        later = store.promote(small_artifact("MSFT", seed=1))
        running.engine.refresh()
        body = running.get("/readyz").json()
        assert running.get("/v1/models/champion", symbol="^IXIC").json()["digest"] == good.digest
        assert [one["digest"] for one in body["champions"]] == [later.digest, good.digest]
        assert later.version == other.version + 1
        assert [(one["target"], one["digest"]) for one in body["refused"]] == [(TARGET, digest)]
        assert reason in body["refused"][0]["reason"]
        assert not HARM.exists()
        better = store.promote(small_artifact(seed=2))
        running.engine.refresh()
        assert running.engine.refused == []
        assert better in loaded(running.engine)


def test_a_refusal_is_logged_once(store, engine, caplog):
    bad_artifact("damaged", store)
    with caplog.at_level(logging.ERROR):
        engine.refresh()
        engine.refresh()
    assert len([record for record in caplog.records if "refused" in record.message]) == 1


def test_with_only_a_bad_champion_readiness_names_the_refusal(store, service):
    bad_artifact("damaged", store)
    with service() as running:
        answer = running.get("/readyz")
    assert answer.status_code == 503
    assert "bytes do not match" in answer.json()["detail"]


def test_it_starts_from_disk_when_the_database_is_away(store, service):
    champion = store.promote(small_artifact())
    with service():
        pass
    store.remove()
    with service() as running:
        body = running.get("/readyz").json()
        assert (body["status"], body["database"]) == ("ready", "away")
        assert running.get("/v1/models/champion").json()["digest"] == champion.digest
        assert loaded(running.engine) == [champion]
    assert not store.file.exists()


def test_a_returning_database_is_followed(store, engine):
    store.promote(small_artifact())
    away = store.file.rename(store.home / "away")
    engine.refresh()
    assert (engine.database.state, engine.loaded) == ("away", [])
    away.rename(store.file)
    engine.refresh()
    assert engine.database.state == "up"
    assert len(engine.loaded) == 1


@pytest.mark.parametrize("name", ["champion.json", "manifest.json", "model.onnx"])
@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_a_tampered_copy_is_refused(store, service, name, harm):
    champion = store.promote(small_artifact())
    with service():
        pass
    (kept,) = (store.home / "serving").glob(f"*/*/{name}")
    kept.write_bytes(kept.read_bytes().replace(b"small", b"SMALL"))
    if harm == "gone":
        kept.unlink()
    away = store.file.rename(store.home / "away")
    with service() as running:
        answer = running.get("/readyz")
        assert answer.status_code == 503
        if (name, harm) != ("champion.json", "gone"):  # without it there is no copy
            assert [one.target for one in running.engine.refused] == [TARGET]
            assert TARGET in answer.json()["detail"]
        away.rename(store.file)
        running.engine.refresh()
        assert loaded(running.engine) == [champion]
        assert running.engine.refused == []


def test_only_the_last_good_champion_is_kept(store, engine):
    for seed in range(3):
        champion = store.promote(small_artifact(seed=seed))
        engine.refresh()
    bad_artifact("no graph", store)
    engine.refresh()
    assert len(Shelf(store.home / "serving").copies()) == 1
    assert not list((store.home / "serving").glob(".new-*"))
    fresh = start(store)
    fresh.restore()
    assert loaded(fresh) == [champion]


def test_of_two_copies_the_newer_answers(store, engine):
    shelf = Shelf(store.home / "serving")
    first, second = small_artifact(), small_artifact(seed=1)
    old = store.promote(first)
    new = Champion(**{**vars(store.promote(second)), "created_at": old.created_at.replace(year=2019)})
    shelf.keep(new, second)
    (kept,) = shelf.copies()
    kept.rename(store.home / "aside")
    shelf.keep(old, first)
    (store.home / "aside").rename(kept)
    engine.restore()
    assert loaded(engine) == [new]


def test_a_disk_that_cannot_be_written_is_not_fatal(store, engine, caplog):
    (store.home / "serving").write_text("a file, where a folder should be")
    champion = store.promote(small_artifact())
    engine.refresh()
    assert loaded(engine) == [champion]
    assert "not kept on disk" in caplog.text


def test_a_wrong_schema_is_named(store, service):
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with service() as running:
        answer = running.get("/readyz")
    assert answer.status_code == 503
    assert "database outdated: the database is at revision 0000" in answer.json()["detail"]


def test_a_file_that_is_no_database_is_away(store, engine):
    store.remove()
    store.file.write_bytes(b"not a database" * 100)
    engine.refresh()
    assert engine.database.state == "away"


def test_a_home_with_odd_characters(tmp_path: Path):
    store = SmallStore(tmp_path / "a b#c é")
    champion = store.promote(small_artifact())
    engine = start(store)
    engine.refresh()
    assert loaded(engine) == [champion]
    engine.close()
    store.engine.dispose()


def test_the_service_follows_by_itself_and_survives_errors(store, caplog):
    store.promote(small_artifact())
    app = create_app(Settings(home=store.home, refresh_seconds=0.01))
    engine: ChampionEngine = app.state.engine
    refresh, calls = engine.refresh, []

    def failing_first() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("a bug")
        refresh()

    async def until_loaded() -> None:
        async with app.router.lifespan_context(app):
            while not engine.loaded:
                await asyncio.sleep(0.01)

    engine.refresh = failing_first
    asyncio.run(asyncio.wait_for(until_loaded(), timeout=10))
    assert "refresh failed" in caplog.text
    assert len(calls) >= 2


def with_walk(store: SmallStore, walk: Artifact) -> dict:
    with store.engine.begin() as connection:
        add_artifact(connection, walk, NOW)
    return {**PASSED, "walk": walk.digest}


def says(runtime: Runtime | None) -> list:
    assert runtime is not None
    return runtime.quantiles(golden_context(runtime.manifest.window)).tolist()


def test_the_random_walk_is_loaded_beside_the_champion(store, engine):
    walk = small_artifact(seed=7)
    store.promote(small_artifact(), with_walk(store, walk))
    engine.refresh()
    (one,) = engine.loaded
    assert one.walk is not None
    assert one.walk.digest == walk.digest
    assert says(one.walk) == says(Runtime(walk))


def test_where_the_random_walk_is_in_charge_it_is_loaded_once(store, engine):
    walk = small_artifact()
    store.promote(walk, {**BY_DEFAULT, "walk": walk.digest})
    engine.refresh()
    (one,) = engine.loaded
    assert one.walk is one.runtime


def test_where_none_is_named_there_is_none(store, engine):
    store.promote(small_artifact())
    engine.refresh()
    assert engine.loaded[0].walk is None


@pytest.mark.parametrize("harm", ["damaged", "missing", "other target", "other window"])
def test_with_a_bad_random_walk_the_champion_is_refused(store, engine, harm):
    good = store.promote(small_artifact())
    engine.refresh()
    walk = small_artifact("MSFT" if harm == "other target" else "^IXIC", seed=7)
    if harm == "other window":
        window = walk.manifest.window.model_copy(update={"context": 9})
        golden = tuple(map(tuple, (np.abs(golden_context(window)).mean() * table(2, 7)).tolist()))
        walk = Artifact.seal(walk.manifest.model_copy(update={"window": window, "golden": golden}), walk.model)
    decision = {**PASSED, "walk": walk.digest} if harm == "missing" else with_walk(store, walk)
    if harm == "damaged":
        store.damage(walk)
    store.promote(small_artifact(seed=1), decision)
    engine.refresh()
    assert loaded(engine) == [good]
    assert walk.digest[:12] in engine.refused[0].reason


def test_champion_and_random_walk_start_from_disk(store, engine):
    walk = small_artifact(seed=7)
    champion = store.promote(small_artifact(), with_walk(store, walk))
    engine.refresh()
    store.remove()
    fresh = start(store)
    fresh.restore()
    assert loaded(fresh) == [champion]
    assert says(fresh.loaded[0].walk) == says(Runtime(walk))


def test_a_tampered_random_walk_on_disk_is_refused(store, engine):
    store.promote(small_artifact(), with_walk(store, small_artifact(seed=7)))
    engine.refresh()
    (kept,) = (store.home / "serving").glob("*/*/*/model.onnx")
    kept.write_bytes(kept.read_bytes()[:-1])
    fresh = start(store)
    fresh.restore()
    assert (fresh.loaded, len(fresh.refused)) == ([], 1)


def test_a_rollback_takes_what_is_still_loaded(store, engine):
    """Also the random walk of that time; and it is kept on disk again."""
    first = store.promote(small_artifact(), with_walk(store, small_artifact(seed=7)))
    engine.refresh()
    before = engine.loaded[0]
    second = store.promote(small_artifact(seed=1), with_walk(store, small_artifact(seed=8)))
    engine.refresh()
    kept = engine.before(TARGET)
    assert kept is not None
    assert kept.champion == first
    back = crown(store.engine, TARGET, first.digest, second, {**first.decision, "kind": "rollback"}, NOW)
    engine.refresh()
    (now,) = engine.loaded
    assert now.champion == back
    assert now.runtime is before.runtime
    assert now.walk is before.walk
    assert engine.before(TARGET).champion == second
    fresh = start(store)
    fresh.restore()
    assert loaded(fresh) == [back]


def test_the_same_artifact_promoted_again_is_not_the_one_before(store, engine):
    first = store.promote(small_artifact())
    engine.refresh()
    store.promote(small_artifact(seed=1))
    engine.refresh()
    store.promote(small_artifact(seed=1), BY_DEFAULT)
    engine.refresh()
    assert engine.before(TARGET).champion == first


def test_a_rollback_to_what_the_store_has_lost_still_answers(store, engine, caplog):
    artifact = small_artifact()
    first = store.promote(artifact)
    engine.refresh()
    second = store.promote(small_artifact(seed=1))
    engine.refresh()
    store.damage(artifact)
    back = crown(store.engine, TARGET, first.digest, second, first.decision, NOW)
    engine.refresh()
    assert loaded(engine) == [back]
    assert "not kept on disk" in caplog.text
