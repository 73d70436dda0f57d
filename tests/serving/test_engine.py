import asyncio
import logging
from pathlib import Path

import pytest
from small_store import BY_DEFAULT, PASSED, SmallStore, graph, small_artifact, table
from sqlalchemy import text

from forecaster.store.champions import Champion
from serving.app import create_app
from serving.database import open_database
from serving.engine import ChampionEngine
from serving.settings import Settings
from serving.shelf import Shelf

TARGET = "^IXIC-return-2"


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


def bad_artifact(kind: str, store: SmallStore) -> tuple[str, str]:
    """Promote something that must be refused: (digest, part of the reason)."""
    if kind == "damaged":
        artifact = small_artifact(seed=1)
        store.promote(artifact)
        store.damage(artifact)
        return artifact.digest, "bytes do not match"
    model = {"no graph": b"no graph", "other graph": graph(2 * table(2)), "other length": graph(table(2), 9)}.get(kind)
    if kind == "other target":
        artifact = small_artifact("MSFT")
        store.promote(artifact, target=TARGET)
        return artifact.digest, "expected target ^IXIC-return-2"
    artifact = small_artifact(seed=1, model=model)
    store.promote(artifact)
    reasons = {"no graph": "does not load", "other graph": "golden", "other length": "expected a graph that takes"}
    return artifact.digest, reasons[kind]


@pytest.mark.parametrize("kind", ["damaged", "no graph", "other graph", "other length", "other target"])
def test_a_bad_champion_is_refused_and_the_last_good_one_stays(store, service, kind):
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
