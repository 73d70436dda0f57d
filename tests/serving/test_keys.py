"""The key ring: keys in memory and by hash on disk; nothing but a hash is kept anywhere."""

import json
import stat
import time
from datetime import timedelta
from statistics import median

import pytest
from live import Live
from small_store import NOW, small_artifact
from sqlalchemy import text

from forecaster.store.keys import revoke_key
from pipelines.keys import create, rotate
from serving.database import open_database
from serving.keys import KeyRing

ALL = ("read", "predict", "metrics")


@pytest.fixture
def ring(store):
    made = start(store)
    made.refresh()
    yield made
    made._store.dispose()


def start(store) -> KeyRing:
    return KeyRing(open_database(f"sqlite:///{store.file}"), store.home / "serving" / "keys.json")


def find(ring: KeyRing, key: str, now=NOW):
    return ring.find(f"Bearer {key}".encode(), now)


def test_it_finds_who_holds_a_key(store, ring):
    key, kept = create(store.engine, "somebody", ("read", "metrics"), NOW)
    assert find(ring, key) is None
    ring.refresh()
    assert find(ring, key) == kept
    assert ring.find(f"bearer {key}".encode(), NOW) == kept
    assert kept.scopes == ("metrics", "read")


def test_a_key_ends_when_it_says(store, ring):
    key, _ = create(store.engine, "somebody", ALL, NOW, timedelta(hours=1))
    ring.refresh()
    assert find(ring, key, NOW + timedelta(minutes=59)) is not None
    assert find(ring, key, NOW + timedelta(hours=1)) is None


def test_a_replaced_key_opens_until_the_overlap_has_passed(store, ring):
    old, kept = create(store.engine, "somebody", ALL, NOW)
    new, _ = rotate(store.engine, kept, NOW, timedelta(hours=24))
    ring.refresh()
    for hours, opens in ((23, True), (24, False)):
        assert (find(ring, old, NOW + timedelta(hours=hours)) is not None) == opens
        assert find(ring, new, NOW + timedelta(hours=hours)).name == "somebody"


def test_a_start_without_the_database_knows_the_keys(store, ring):
    key, kept = create(store.engine, "somebody", ALL, NOW, timedelta(days=1))
    out, revoked = create(store.engine, "nobody", ALL, NOW)
    revoke_key(store.engine, revoked, NOW)
    ring.refresh()
    store.remove()
    again = start(store)
    assert not again.known
    again.restore()
    again.refresh()
    assert again.known
    assert find(again, key) == kept
    assert find(again, out) is None
    assert find(again, key, NOW + timedelta(days=2)) is None
    again._store.dispose()


def test_on_disk_are_hashes_that_only_their_owner_reads(store, ring):
    key, kept = create(store.engine, "somebody", ALL, NOW)
    ring.refresh()
    file = store.home / "serving" / "keys.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one["hash"] for one in json.loads(file.read_text())] == [kept.hash]
    assert key.split("_", 2)[2] not in file.read_text()
    assert [path.name for path in file.parent.iterdir()] == ["keys.json"]
    before = file.stat().st_mtime_ns, file.stat().st_ino
    ring.refresh()
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == before


@pytest.mark.parametrize("harm", [b"", b"rubbish", b'[{"id": 1}]', None], ids=["empty", "rubbish", "other", "gone"])
def test_a_damaged_file_opens_nothing(store, ring, harm):
    key, _ = create(store.engine, "somebody", ALL, NOW)
    ring.refresh()
    file = store.home / "serving" / "keys.json"
    file.unlink()
    if harm is not None:
        file.write_bytes(harm)
    again = start(store)
    again.restore()
    assert not again.known
    again.refresh()
    assert find(again, key) is not None
    again._store.dispose()


def test_a_row_that_is_no_key_keeps_nothing_else_from_being_followed(store, service, caplog):
    key, kept = create(store.engine, "somebody", ALL, NOW)
    with service(refresh_seconds=0.05) as running:
        with store.engine.begin() as connection:
            connection.execute(text("UPDATE api_key SET scopes = 'no json'"))
        champion = store.promote(small_artifact())
        for _ in range(100):
            running.get("/healthz")  # the app's loop turns while it is asked
            time.sleep(0.01)
        assert running.get("/readyz").json()["champions"][0]["digest"] == champion.digest
        assert find(running.app.state.keys, key) == kept
    assert "refresh failed: KeyRing" in caplog.text


def test_a_disk_that_cannot_be_written_keeps_nobody_out(store, ring, caplog):
    key, _ = create(store.engine, "somebody", ALL, NOW)
    folder = store.home / "serving"
    (folder / "keys.json").unlink()
    folder.rmdir()
    folder.write_text("in the way")
    ring.refresh()
    assert find(ring, key) is not None
    assert "keys not kept on disk" in caplog.text


def test_fault_34_it_takes_as_long_whatever_is_wrong(store, ring):
    good, kept = create(store.engine, "somebody", ALL, NOW)
    out, revoked = create(store.engine, "nobody", ALL, NOW)
    revoke_key(store.engine, revoked, NOW)
    ring.refresh()
    asked = {
        "right": f"Bearer {good}",
        "first letter": f"Bearer fk_{kept.id}_{'x' * 43}",
        "last letter": f"Bearer {good[:-1]}",
        "no such key": f"Bearer fk_{'0' * 12}_{'x' * 43}",
        "another scheme": f"Basic  {good}",
        "revoked": f"Bearer {out}",
    }
    taken: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(3000):
        for name, sent in asked.items():
            credentials = sent.encode()
            began = time.perf_counter()
            ring.find(credentials, NOW)
            taken[name].append(time.perf_counter() - began)
    middle = {name: median(times) for name, times in taken.items()}
    assert max(middle.values()) < 1.6 * min(middle.values()), middle


def test_fault_38_no_key_is_in_a_log_a_metric_a_file_or_an_answer(store):
    keys = [create(store.engine, "somebody", scopes, NOW)[0] for scopes in (ALL, ("metrics",))]
    _, refused = create(store.engine, "nobody", ALL, NOW)
    revoke_key(store.engine, refused, NOW)
    wrong = [f"fk_{refused.id}_{'w' * 43}", "w" * 43]
    store.issue(store.promote(small_artifact()))
    said = []
    with Live(store.home, require_key=True, refresh_seconds=0.2) as live:
        for key in (*keys, *wrong):
            for path in ("/metrics", "/v1/models", "/v1/forecasts/%5EIXIC", f"/v1/{key}", f"/{key}?{key}", "/readyz"):
                answer = live.get(path, Authorization=f"Bearer {key}")
                said += [answer.content, str(answer.headers).encode()]
        store.remove()
        store.file.write_bytes(b"no database" * 1000)
        time.sleep(0.5)
        said += [live.get("/v1/track-record", Authorization=f"Bearer {key}").content for key in keys]
        live.stop()
    said += [path.read_bytes() for path in store.home.rglob("*") if path.is_file()]
    assert b"forecaster_requests_total" in b"".join(said)
    for key in (*keys, *wrong):
        assert key.split("_", 2)[-1].encode() not in b"".join(said)
