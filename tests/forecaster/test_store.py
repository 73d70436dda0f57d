"""The store, on SQLite and on a real PostgreSQL alike."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from threading import Barrier

import numpy as np
import pytest
from small_artifact import small_artifact
from sqlalchemy import Engine, insert, inspect, text
from sqlalchemy.exc import DatabaseError

from forecaster.artifact import Artifact
from forecaster.contract import LEVELS
from forecaster.errors import (
    ArtifactCorrupt,
    ArtifactMissing,
    NoChampion,
    NotTrained,
    PromotionConflict,
    StoreOutdated,
)
from forecaster.store.alarms import Alarm, add_alarms
from forecaster.store.artifacts import (
    Run,
    add_artifact,
    add_run,
    find_run,
    load_artifact,
    load_start,
    load_weights,
)
from forecaster.store.challenges import Challenge, add_challenge, add_looks, challenges, count_recipes
from forecaster.store.champions import Champion, all_champions, crown, find_champion, require_champion
from forecaster.store.database import connect, require_current
from forecaster.store.history import (
    Instrument,
    Rejected,
    Row,
    actions_of,
    add_instrument,
    add_rejected,
    add_rows,
    bars_of,
    observations_of,
)
from forecaster.store.ledger import Entry, add_entries, issued, latest
from forecaster.store.migrate import migrate
from forecaster.store.schema import api_key, metadata, venue_rules, venue_session
from forecaster.store.scores import Score, add_scores, track
from forecaster.store.tunings import Tuning, add_tuning
from forecaster.store.visits import Visit, add_visit
from forecaster.store.workers import beat

NOW = datetime(2020, 6, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
TARGET = "T-return-2"
DECISION = {"passed": True, "reason": "beats the random walk"}
FIRST, SECOND = small_artifact("first"), small_artifact("second")


BAR = Row(date(2020, 5, 4), datetime(2020, 5, 4, 20, 30, tzinfo=UTC), (9.5, 11.5, 8.5, 10.5, 1000.0))


CHALLENGE = Challenge(TARGET, 1, "c" * 64, "r" * 64, 0.005, True, DECISION, NOW)


def put_artifacts(store: Engine, *artifacts: Artifact) -> None:
    with store.begin() as connection:
        for artifact in artifacts:
            add_artifact(connection, artifact, NOW)


def entries_of(champion: Champion, horizons: tuple[int, ...] = (1, 2)) -> list[Entry]:
    return [
        Entry(
            target=champion.target,
            symbol="T",
            origin=date(2020, 5, 29),
            horizon=horizon,
            session=date(2020, 5, 31) + timedelta(days=horizon),
            digest=champion.digest,
            version=champion.version,
            origin_close=11.0,
            quantiles=(0.01 * np.linspace(-1, 1, len(LEVELS))).tolist(),
            issued_at=NOW,
        )
        for horizon in horizons
    ]


def filled(store: Engine) -> Champion:
    """A row in every table."""
    with store.begin() as connection:
        add_instrument(connection, Instrument("T", "XNYS", "USD", "sample"))
        add_rows(connection, bars_of("T"), [BAR], NOW)
        add_rows(connection, actions_of("T", "split"), [replace(BAR, values=(2.0,))], NOW)
        add_rows(connection, observations_of("M"), [Row(date(2020, 4, 1), NOW, (1.5,))], NOW)
        add_visit(connection, Visit("T", "sample", NOW, True, "ok"))
        add_rejected(connection, "T", [Rejected(date(2020, 5, 3), "volume negative", {"volume": "-1.0"})], NOW)
        add_artifact(connection, FIRST, NOW)
        add_run(connection, Run("k" * 64, FIRST.digest, "run", 1.5), b"tensors", NOW)
        connection.execute(insert(venue_session).values(venue="XNYS", session=NOW.date(), opens=NOW, closes=LATER))
        span = {"start": NOW.date(), "end": LATER.date()}
        connection.execute(insert(venue_rules).values(venue="XNYS", zone="UTC", rules="0" * 64, **span))
        connection.execute(insert(api_key).values(id="k", hash="h", name="one", scopes=["read"], created_at=NOW))
    beat(store, "w")
    add_alarms(store, [Alarm(TARGET, "age", "T", date(2020, 5, 1), 2.0, 1.0, "T is late", NOW)])
    add_tuning(store, Tuning("s" * 64, 1, TARGET, "gru", "gru", "5" * 64, 1, 0, 0, None, {"hidden": 4}), NOW)
    add_looks(store, TARGET, {"r" * 64: "gru"}, date(2020, 1, 2), date(2020, 4, 30), NOW)
    champion = crown(store, TARGET, FIRST.digest, None, DECISION, NOW, CHALLENGE)
    add_entries(store, entries_of(champion))
    add_scores(store, [Score(track(store, TARGET)[0].id, 0.01, 0.9, 1.0, None, [True] * len(LEVELS), NOW)])
    return champion


def counts(store: Engine) -> dict[str, int]:
    with store.connect() as connection:
        return {name: connection.scalar(text(f"SELECT count(*) FROM {name}")) for name in metadata.tables}


# Schema


def test_it_migrates_up_down_and_up_again_with_data_in_the_tables(empty):
    migrate(empty)
    filled(empty)
    assert min(counts(empty).values()) > 0
    migrate(empty, "base")
    assert not set(inspect(empty).get_table_names()) & set(metadata.tables)
    migrate(empty)
    assert set(counts(empty).values()) == {0}
    filled(empty)
    assert min(counts(empty).values()) > 0


def test_a_store_from_before_weights_were_kept_is_taken_along(empty):
    """Up from the revision before, down to it and up again, with data in the tables: nothing but the new is lost."""
    migrate(empty)
    filled(empty)
    before = counts(empty)
    assert before["weights"] == before["tuning"] == 1
    later = ("weights", "tuning", "look", "challenge", "score", "venue_session", "api_key", "worker", "alarm")
    lost = dict.fromkeys((*later, "venue_rules"), 0)
    for _ in range(2):
        migrate(empty, "0002")
        assert not {"weights", "tuning"} & set(inspect(empty).get_table_names())
        with pytest.raises(StoreOutdated, match="at revision 0002"):
            require_current(empty)
        migrate(empty)
        assert counts(empty) == before | lost
    assert find_run(empty, "k" * 64) == Run("k" * 64, FIRST.digest, "run", 1.5)
    assert load_artifact(empty, FIRST.digest) == FIRST
    with pytest.raises(NotTrained):
        load_weights(empty, "k" * 64)


def test_migrating_twice_changes_nothing(store):
    filled(store)
    before = counts(store)
    migrate(store)
    assert counts(store) == before
    require_current(store)


def test_the_migrated_schema_is_the_declared_one(store):
    found = inspect(store)
    for name, table in metadata.tables.items():
        columns = {column["name"]: column["nullable"] for column in found.get_columns(name)}
        assert columns == {column.name: column.nullable for column in table.columns}
        assert found.get_pk_constraint(name)["constrained_columns"] == [column.name for column in table.primary_key]
        references = {key["constrained_columns"][0]: key["referred_table"] for key in found.get_foreign_keys(name)}
        assert references == {key.parent.name: key.column.table.name for key in table.foreign_keys}


def test_an_empty_or_an_old_database_is_refused_and_not_touched(empty):
    with pytest.raises(StoreOutdated, match="at revision none"):
        require_current(empty)
    assert inspect(empty).get_table_names() == []
    migrate(empty)
    migrate(empty, "base")
    with pytest.raises(StoreOutdated, match="at revision none"):
        require_current(empty)


def test_a_database_of_another_version_is_refused(store):
    with store.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreOutdated, match="at revision 9999"):
        require_current(store)


def test_several_that_migrate_at_once_wait_for_each_other(empty):
    together = Barrier(4)

    def run(_: int) -> tuple[str | None, str | None]:
        engine = connect(empty.url.render_as_string(hide_password=False))
        together.wait()
        try:
            return migrate(engine)
        finally:
            engine.dispose()

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(run, range(4)))
    newest = done[0][1]
    assert sorted(before or "" for before, _ in done) == ["", newest, newest, newest]
    assert {after for _, after in done} == {newest}


def test_what_a_newer_version_migrated_is_left_alone(store):
    with store.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreOutdated, match="a newer version migrated it"):
        migrate(store)


# Artifacts


def test_an_artifact_is_stored_once_and_verified_when_loaded(store):
    put_artifacts(store, FIRST, SECOND, FIRST)
    assert counts(store)["artifact"] == 2
    assert load_artifact(store, FIRST.digest) == FIRST
    with pytest.raises(ArtifactMissing, match="dddd"):
        load_artifact(store, "d" * 64)
    with store.begin() as connection:
        spoilt = {"model": FIRST.model[:-1] + b"?", "digest": FIRST.digest}
        connection.execute(text("UPDATE artifact SET model = :model WHERE digest = :digest"), spoilt)
    with pytest.raises(ArtifactCorrupt):
        load_artifact(store, FIRST.digest)
    assert load_artifact(store, SECOND.digest) == SECOND


def test_a_run_is_recorded_once(store):
    put_artifacts(store, FIRST)
    run = Run("k" * 64, FIRST.digest, "tracked", 1.5)
    for entry, tensors in ((run, b"first"), (replace(run, train_seconds=9.0), b"second")):
        with store.begin() as connection:
            add_run(connection, entry, tensors, NOW)
    assert find_run(store, run.key) == run
    assert load_weights(store, run.key) == b"first"
    assert find_run(store, "x" * 64) is None


def test_weights_are_found_by_the_run_and_by_the_artifact_that_came_of_it(store):
    put_artifacts(store, FIRST, SECOND)
    whole = bytes(range(256)) * 40
    with store.begin() as connection:
        add_run(connection, Run("k" * 64, FIRST.digest, "tracked", 1.5), whole, NOW)
    assert load_weights(store, "k" * 64) == whole
    assert load_start(store, FIRST.digest) == whole
    with pytest.raises(NotTrained, match="xxxx"):
        load_weights(store, "x" * 64)
    with pytest.raises(ArtifactMissing, match=SECOND.digest[:12]):  # stored, but by no training here
        load_start(store, SECOND.digest)


# Champions


def test_a_champion_is_crowned_and_followed(store):
    put_artifacts(store, FIRST, SECOND)
    assert find_champion(store, TARGET) is None
    with pytest.raises(NoChampion, match=TARGET):
        require_champion(store, TARGET)
    first = crown(store, TARGET, FIRST.digest, None, DECISION, NOW)
    assert require_champion(store, TARGET) == first == Champion(TARGET, FIRST.digest, 1, DECISION, NOW)
    second = crown(store, TARGET, SECOND.digest, first, {"passed": False}, LATER)
    other = crown(store, "U-return-1", FIRST.digest, None, DECISION, NOW)
    assert all_champions(store) == [second, other]
    assert second.version == 2
    with store.connect() as connection:
        moves = connection.execute(text("SELECT target, version, previous FROM promotion ORDER BY target, version"))
        assert [tuple(row) for row in moves] == [
            (TARGET, 1, None),
            (TARGET, 2, FIRST.digest),
            ("U-return-1", 1, None),
        ]


@pytest.mark.parametrize("expected", ["none", "old", "future"])
def test_a_wrong_expectation_conflicts_and_changes_nothing(store, expected):
    put_artifacts(store, FIRST, SECOND)
    first = crown(store, TARGET, FIRST.digest, None, DECISION, NOW)
    second = crown(store, TARGET, SECOND.digest, first, DECISION, NOW)
    believed = {"none": None, "old": first, "future": replace(second, version=7)}[expected]
    before = counts(store)
    with pytest.raises(PromotionConflict, match=TARGET):
        crown(store, TARGET, FIRST.digest, believed, {"passed": False}, LATER)
    assert counts(store) == before
    assert require_champion(store, TARGET) == second


def test_of_two_that_promote_at_once_one_wins_each_time(store):
    put_artifacts(store, FIRST, SECOND)
    barrier = Barrier(2)

    def promote(digest: str, expected: Champion | None) -> Champion | None:
        barrier.wait()
        try:
            return crown(store, TARGET, digest, expected, DECISION, NOW)
        except PromotionConflict:
            return None

    champion = None
    with ThreadPoolExecutor(2) as threads:
        for turn in range(50):
            racing = [threads.submit(promote, artifact.digest, champion) for artifact in (FIRST, SECOND)]
            won = [one for race in racing if (one := race.result()) is not None]
            assert len(won) == 1
            champion = require_champion(store, TARGET)
            assert champion == won[0]
            assert champion.version == turn + 1
    assert counts(store)["promotion"] == 50


def test_a_recipe_seen_twice_counts_once_and_anew_after_a_challenge_that_passed(store):
    put_artifacts(store, FIRST)
    spring, autumn = (date(2020, 1, 2), date(2020, 6, 30)), (date(2020, 7, 1), date(2020, 12, 31))
    for later, models in enumerate(({"a": "gru", "b": "lstm"}, {"b": "lstm", "c": "mlp"})):
        add_looks(store, TARGET, models, *spring, NOW + timedelta(hours=later))
    add_looks(store, TARGET, {"d": "ar"}, *autumn, NOW)
    add_looks(store, "U-return-2", {"e": "ar"}, *spring, NOW)
    assert count_recipes(store, TARGET, *spring) == 3
    assert count_recipes(store, TARGET, spring[0], autumn[1]) == 4
    assert counts(store)["look"] == 5
    passed = replace(CHALLENGE, created_at=NOW + timedelta(hours=1))
    crown(store, TARGET, FIRST.digest, None, DECISION, passed.created_at, passed)
    assert count_recipes(store, TARGET, *spring) == 1  # c, seen as the champion came
    add_looks(store, TARGET, {"a": "gru", "c": "mlp"}, *spring, NOW + timedelta(hours=2))
    assert count_recipes(store, TARGET, *spring) == 2
    refused = replace(CHALLENGE, number=2, key="other", passed=False, created_at=NOW + timedelta(hours=3))
    with store.begin() as connection:
        add_challenge(connection, refused)
    assert count_recipes(store, TARGET, *spring) == 2  # a refusal gives nobody a fresh start
    assert [one.number for one in challenges(store, TARGET)] == [2, 1]


def test_only_a_stored_artifact_can_be_crowned(store):
    # It is missing; nobody else promoted.
    with pytest.raises((ArtifactMissing, DatabaseError)):
        crown(store, TARGET, "d" * 64, None, DECISION, NOW)
    assert counts(store)["champion"] == counts(store)["promotion"] == 0


# Ledger


def test_a_forecast_is_issued_once(store):
    champion = filled(store)
    written = entries_of(champion)
    assert add_entries(store, written) == 0
    again = [replace(entry, quantiles=[0.0] * 25, issued_at=LATER) for entry in entries_of(champion, (1, 2, 3))]
    assert add_entries(store, again) == 1
    assert latest(store, "T") == [*written, again[2]]
    assert add_entries(store, again) == 0
    assert counts(store)["forecast"] == 3


def test_the_latest_forecast_is_of_the_newest_origin(store):
    champion = filled(store)
    assert latest(store, "NONE") == []
    add_entries(store, [replace(entry, origin=date(2020, 5, 28)) for entry in entries_of(champion)])
    assert latest(store, "T") == entries_of(champion)


def test_from_one_origin_the_artifact_in_charge_speaks(store):
    first = filled(store)
    put_artifacts(store, SECOND)
    second = crown(store, TARGET, SECOND.digest, first, DECISION, NOW)
    assert latest(store, "T") == entries_of(first)  # the new one has not issued yet
    add_entries(store, entries_of(second))
    assert latest(store, "T") == entries_of(second)
    crown(store, TARGET, FIRST.digest, second, DECISION, LATER)
    assert latest(store, "T") == entries_of(first)


def test_what_an_artifact_issued_from_an_origin_is_found(store):
    champion = filled(store)
    origin = entries_of(champion)[0].origin
    assert issued(store, TARGET, "T", origin, champion.digest) == entries_of(champion)
    assert issued(store, TARGET, "T", origin - timedelta(days=1), champion.digest) == []
    assert issued(store, "U-return-2", "T", origin, champion.digest) == []
    assert issued(store, TARGET, "T", origin, SECOND.digest) == []
    assert issued(store, TARGET, "U", origin, champion.digest) == []


def test_two_symbols_of_one_target_are_kept_apart(store):
    champion = filled(store)
    others = [replace(entry, symbol="U", origin_close=99.0) for entry in entries_of(champion)]
    assert add_entries(store, others) == 2
    assert add_entries(store, others) == 0
    assert issued(store, TARGET, "U", others[0].origin, champion.digest) == others
    assert issued(store, TARGET, "T", others[0].origin, champion.digest) == entries_of(champion)
    assert latest(store, "U") == others
    assert latest(store, "T") == entries_of(champion)


ATTEMPTS = {
    "promotion": ["version = 9", "digest = digest", "decision = NULL"],
    "forecast": ["origin_close = 1", "quantiles = NULL", "issued_at = NULL", "horizon = horizon"],
    "look": ["model = 'other'", "recipe = recipe"],
    "score": ["outcome = 0", "crps = crps"],
    "challenge": ["passed = NOT passed", "alpha = 0", "decision = NULL"],
}


@pytest.mark.parametrize(("table", "change"), [(table, change) for table in ATTEMPTS for change in ATTEMPTS[table]])
def test_history_cannot_be_changed_by_anyone(store, table, change):
    filled(store)
    with pytest.raises(DatabaseError, match=f"{table} is append-only"), store.begin() as connection:
        connection.execute(text(f"UPDATE {table} SET {change}"))


@pytest.mark.parametrize("table", ATTEMPTS)
def test_history_cannot_be_deleted_by_anyone(store, table):
    filled(store)
    attempts = [f"DELETE FROM {table}", f"DELETE FROM {table} WHERE 1 = 1"]
    if store.dialect.name == "postgresql":
        attempts.append(f"TRUNCATE {table} CASCADE")
    for attempt in attempts:
        with pytest.raises(DatabaseError, match=f"{table} is append-only"), store.begin() as connection:
            connection.execute(text(attempt))
    assert counts(store)[table] > 0


@pytest.mark.parametrize("table", ATTEMPTS)
def test_history_cannot_be_replaced_by_an_insert(store, table):
    filled(store)
    with store.connect() as connection:
        row = dict(connection.execute(text(f"SELECT * FROM {table}")).mappings().first())
    columns, values = ", ".join(row), ", ".join(f":{name}" for name in row)
    if store.dialect.name == "postgresql":
        keys = ", ".join(column.name for column in metadata.tables[table].primary_key)
        values = values.replace(":decision", "CAST(:decision AS JSON)").replace(
            ":quantiles", "CAST(:quantiles AS JSON)"
        )
        first = next(iter(row))
        conflict = f"ON CONFLICT ({keys}) DO UPDATE SET {first} = EXCLUDED.{first}"
        attempt = f"INSERT INTO {table} ({columns}) VALUES ({values}) {conflict}"
    else:
        attempt = f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({values})"
    changed = row | {"decision": "{}", "quantiles": "[]"}
    with pytest.raises(DatabaseError), store.begin() as connection:
        connection.execute(text(attempt), {name: changed[name] for name in row})
