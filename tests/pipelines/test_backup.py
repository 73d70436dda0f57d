"""A backup is the whole store of one moment; what is restored is the same row by row, or nothing is."""

import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine, insert, select, text
from sqlalchemy.exc import DatabaseError

from forecaster.errors import BackupRefused, BackupUnwritten, StoreOutdated
from forecaster.store.database import MIGRATIONS, connect, sqlite_url
from forecaster.store.migrate import migrate
from forecaster.store.schema import artifact, bar, instrument, metadata, visit, worker
from pipelines.backup import MANIFEST, TABLES, Manifest, backup, part_of
from pipelines.restore import restore
from tests.pipelines.any_rows import fill, rows_of
from tests.pipelines.conftest import forecaster

NOW = datetime(2026, 11, 22, 3, tzinfo=UTC)
FORECASTER = str(Path(sys.executable).parent / "forecaster")


def made(folder: Path) -> Engine:
    """An empty SQLite store."""
    folder.mkdir(parents=True)
    engine = connect(sqlite_url(folder))
    migrate(engine)
    return engine


def everything(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    return {table.name: rows_of(engine, table) for table in TABLES}


def is_empty(engine: Engine, snapshots: Path) -> bool:
    return not any(everything(engine).values()) and not list(snapshots.glob("*"))


@pytest.fixture
def snapshots(tmp_path: Path) -> Path:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for n in range(3):
        data = random.Random(n).randbytes(3_000_000 * n)  # noqa: S311  # no secret
        (folder / f"{hashlib.sha256(data).hexdigest()}.parquet").write_bytes(data)
    (folder / "half.123.part").write_bytes(b"of a snapshot that is being written")
    return folder


@pytest.fixture
def whole(tmp_path: Path, snapshots: Path) -> tuple[Engine, Path]:
    """A filled store and its backup."""
    engine = made(tmp_path / "source")
    fill(engine)
    backup(engine, snapshots, tmp_path / "b.zip", NOW)
    return engine, tmp_path / "b.zip"


# Back and forth


def test_from_sqlite_to_postgresql_and_back_row_by_row(whole, postgres, tmp_path, snapshots):
    source, path = whole
    postgres.psql(f'CREATE DATABASE "{tmp_path.name}"')
    between = connect(postgres.get_uri(database=tmp_path.name, driver="psycopg"))
    migrate(between)
    restore(between, tmp_path / "s1", path)
    assert everything(between) == everything(source)
    backup(between, tmp_path / "s1", tmp_path / "again.zip", NOW)
    between.dispose()
    postgres.psql(f'DROP DATABASE "{tmp_path.name}"')
    last = made(tmp_path / "last")
    restore(last, tmp_path / "s2", tmp_path / "again.zip")
    assert everything(last) == everything(source)
    assert min(map(len, everything(last).values())) == 7
    kept = {one.name: one.read_bytes() for one in snapshots.glob("*.parquet")}
    assert {one.name: one.read_bytes() for one in (tmp_path / "s2").iterdir()} == kept


def test_a_restored_store_still_refuses_changes_and_counts_on(whole, store, tmp_path):
    restore(store, tmp_path / "s", whole[1])
    for change in ("UPDATE forecast SET origin_close = 1", "DELETE FROM promotion", "DELETE FROM bar"):
        with pytest.raises(DatabaseError, match="append-only"), store.begin() as connection:
            connection.execute(text(change))
    with store.begin() as connection:
        highest = max(row.id for row in connection.execute(select(visit)))
        given = {"subject": "T", "source": "sample", "asked_at": NOW, "asked": True, "status": "ok"}
        assert connection.execute(insert(visit).values(given)).inserted_primary_key == (highest + 1,)


def test_who_works_is_not_in_it(whole, store, tmp_path):
    engine, path = whole
    assert rows_of(engine, worker)
    restore(store, tmp_path / "s", path)
    assert rows_of(store, worker) == []
    with zipfile.ZipFile(path) as archive:
        assert "tables/worker.parquet" not in archive.namelist()


def test_every_table_is_in_it_and_the_manifest_says_so(whole, tmp_path, snapshots):
    engine, path = whole
    with zipfile.ZipFile(path) as archive:
        manifest = Manifest.model_validate_json(archive.read(MANIFEST))
        assert archive.testzip() is None
        for part in manifest.parts:
            data = archive.read(part.name)
            assert (len(data), hashlib.sha256(data).hexdigest()) == (part.size, part.sha256)
            if part.rows is not None:
                assert pq.read_table(BytesIO(data)).num_rows == part.rows == 7
    tables = {part.name for part in manifest.parts if part.rows is not None}
    assert tables == {part_of(table) for table in metadata.tables.values() if table is not worker}
    again = backup(engine, snapshots, tmp_path / "again.zip", NOW)
    assert again == manifest  # the same store, the same bytes
    assert (tmp_path / "again.zip").read_bytes().count(b"PK\x01\x02") == len(manifest.parts) + 1


# Refused, and nothing changed


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A backup with other files in it."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def stated(files: dict[str, bytes], change: Callable[[dict[str, object]], None]) -> None:
    manifest = json.loads(files[MANIFEST])
    change(manifest)
    files[MANIFEST] = json.dumps(manifest).encode()


def escaping(files: dict[str, bytes]) -> None:
    name = "snapshots/../../escaped.parquet"
    files[name] = b"x"
    part = {"name": name, "rows": None, "size": 1, "sha256": hashlib.sha256(b"x").hexdigest()}
    stated(files, lambda manifest: manifest["parts"].append(part))


def without_calendar(files: dict[str, bytes]) -> None:
    del files["tables/venue_session.parquet"]
    stated(files, lambda m: m.update(parts=[one for one in m["parts"] if "venue_session" not in one["name"]]))


def twice_the_same(files: dict[str, bytes]) -> None:
    """The last table has a row that breaks its key, under a checksum that holds."""
    name = part_of(TABLES[-1])
    table = pq.read_table(BytesIO(files[name]))
    sink = BytesIO()
    pq.write_table(pa.concat_tables([table, table]), sink)
    files[name] = sink.getvalue()
    fresh = {"size": len(files[name]), "sha256": hashlib.sha256(files[name]).hexdigest(), "rows": 2 * table.num_rows}
    stated(files, lambda m: [one.update(fresh) for one in m["parts"] if one["name"] == name])


BROKEN = {
    "no zip": (lambda path: path.write_text("hello"), "it is no zip file"),
    "nothing": (lambda path: path.write_bytes(b""), "it is no zip file"),
    "cut short": (lambda path: os.truncate(path, path.stat().st_size // 2), "it is no zip file"),
    "without its end": (lambda path: os.truncate(path, path.stat().st_size - 30), "it is no zip file"),
    "away": (lambda path: path.unlink(), "there is no such file"),
    "another zip": (lambda path: rewritten(path, lambda files: files.pop(MANIFEST)), "no manifest"),
    "a table changed": (
        lambda path: rewritten(path, lambda files: files.update({"tables/bar.parquet": files["tables/look.parquet"]})),
        "tables/bar.parquet does not match its checksum",
    ),
    "a file more": (lambda path: rewritten(path, lambda files: files.update(more=b"")), "not those of its manifest"),
    "a table less": (lambda path: rewritten(path, without_calendar), "its tables are not those of this version"),
    "out of its folder": (lambda path: rewritten(path, escaping), "its tables are not those of this version"),
    "another schema": (
        lambda path: rewritten(path, lambda files: stated(files, lambda m: m.update(revision="0003"))),
        "it is of revision 0003 and the store of",
    ),
    "another format": (
        lambda path: rewritten(path, lambda files: stated(files, lambda m: m.update(format=2))),
        "no manifest that this version can read",
    ),
    "a key twice": (lambda path: rewritten(path, twice_the_same), "its rows do not fit (IntegrityError)"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_backup_that_is_not_whole_changes_nothing(how, whole, store, tmp_path):
    spoil, said = BROKEN[how]
    spoil(whole[1])
    with pytest.raises(BackupRefused) as caught:
        restore(store, tmp_path / "s", whole[1])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert is_empty(store, tmp_path / "s")
    assert not list(tmp_path.rglob("escaped*"))


def test_a_flipped_bit_is_noticed_or_does_not_matter(tmp_path):
    source = made(tmp_path / "source")
    fill(source, 3)
    backup(source, tmp_path / "none", tmp_path / "b.zip", NOW)
    data = (tmp_path / "b.zip").read_bytes()
    rng, refused, expected = random.Random(1), 0, everything(source)  # noqa: S311  # no secret
    for trial in range(30):
        spoiled = bytearray(data)
        place = rng.randrange(len(data)) if trial % 2 else len(data) - 1 - rng.randrange(3000)  # the directory is small
        spoiled[place] ^= 1 << rng.randrange(8)
        (tmp_path / "spoiled.zip").write_bytes(spoiled)
        target = made(tmp_path / f"t{trial}")
        try:
            restore(target, tmp_path / "s", tmp_path / "spoiled.zip")
        except BackupRefused:
            refused += 1
            assert is_empty(target, tmp_path / "s")
        else:
            assert everything(target) == expected
        target.dispose()
    assert refused > 15


def test_a_store_with_a_row_in_it_is_left_alone(whole, store, tmp_path):
    with store.begin() as connection:
        connection.execute(insert(instrument).values(symbol="T", venue="XNYS", currency="USD", source="sample"))
    before = everything(store)
    with pytest.raises(BackupRefused, match="the store is not empty, there are rows in instrument; choose an empty"):
        restore(store, tmp_path / "s", whole[1])
    assert everything(store) == before
    assert not (tmp_path / "s").exists()


def test_a_database_without_the_schema_is_told_to_migrate(whole, empty, tmp_path):
    with pytest.raises(StoreOutdated, match="run `forecaster migrate`"):
        restore(empty, tmp_path / "s", whole[1])
    with pytest.raises(StoreOutdated, match="run `forecaster migrate`"):
        backup(empty, tmp_path / "s", tmp_path / "c.zip", NOW)
    assert not (tmp_path / "c.zip").exists()


def test_where_nothing_can_be_written_it_says_so(whole, tmp_path):
    engine, path = whole
    before = path.read_bytes()
    for place in (tmp_path / "nowhere" / "b.zip", tmp_path / "b.zip" / "b.zip", tmp_path):
        with pytest.raises(BackupUnwritten):
            backup(engine, tmp_path / "s", place, NOW)
    assert path.read_bytes() == before
    assert not list(tmp_path.parent.glob(".*.part"))


# At the command line, with a disk that is too small


def limited(size: int, *words: str, home: Path) -> "subprocess.CompletedProcess[str]":
    """The command line where no file may grow beyond `size` bytes."""
    return subprocess.run(
        [FORECASTER, *words, "--home", str(home)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A home with eight megabytes of artifacts."""
    home = tmp_path / "home"
    engine = made(home)
    with engine.begin() as connection:
        for n in range(4):
            values = {"digest": f"{n}" * 64, "manifest": "{}", "model": os.urandom(2 * 2**20), "created_at": NOW}
            connection.execute(insert(artifact).values(values))
    engine.dispose()
    return home


def test_a_full_disk_leaves_the_backup_before(large, tmp_path):
    path = tmp_path / "b.zip"
    path.write_text("of yesterday")
    done = limited(3 * 2**20, "backup", str(path), home=large)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"forecaster: cannot write the backup {path}: File too large; free space there")
    assert path.read_text() == "of yesterday"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["b.zip", "home"]


def test_a_full_disk_leaves_the_store_empty(large, tmp_path):
    path, target = tmp_path / "b.zip", tmp_path / "target"
    assert forecaster("backup", str(path), home=large).returncode == 0
    assert forecaster("migrate", home=target).stdout.startswith("migrated from nothing to 0")
    done = limited(3 * 2**20, "restore", str(path), home=target)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"forecaster: cannot write to the home directory {target}")
    assert is_empty(connect(sqlite_url(target)), target / "snapshots")
    done = forecaster("restore", str(path), "--json", home=target)
    assert json.loads(done.stdout)["revision"] == max(one.name[:4] for one in (MIGRATIONS / "versions").glob("0*.py"))
    assert everything(connect(sqlite_url(target))) == everything(connect(sqlite_url(large)))
    said = forecaster("restore", str(path), home=target).stderr
    assert "the store is not empty, there are rows in artifact" in said


def test_migrate_says_from_where_to_where(tmp_path):
    home = tmp_path / "home"
    engine = made(home)
    migrate(engine, "0005")
    newest = max(one.name[:4] for one in (MIGRATIONS / "versions").glob("0*.py"))
    assert forecaster("migrate", home=home).stdout == f"migrated from 0005 to {newest}\n"
    assert forecaster("migrate", home=home).stdout == f"the store is at revision {newest}\n"
    told = json.loads(forecaster("migrate", "--json", home=home).stdout)
    assert told == {"before": newest, "after": newest}
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    done = forecaster("migrate", home=home)
    assert done.returncode == 1
    assert "a newer version migrated it: move to that version" in done.stderr


# While others write; and large ones

WRITER = """
import sys, itertools
from datetime import UTC, datetime
from sqlalchemy import insert
from forecaster.store.database import connect
from forecaster.store.schema import bar, instrument, visit
engine, now = connect(sys.argv[1]), datetime(2020, 1, 1, tzinfo=UTC)
for n in itertools.count():
    with engine.begin() as connection:
        connection.execute(insert(instrument).values(symbol=f"S{n}", venue="V", currency="C", source="s"))
        connection.execute(insert(visit).values(subject="S", source="s", asked_at=now, asked=True, status="ok"))
    print(n, flush=True)
"""


def test_a_backup_is_of_one_moment_while_another_process_writes(store, tmp_path):
    with store.begin() as connection:
        day = {"known_at": NOW, "recorded_at": NOW, "assumed": True} | dict.fromkeys(
            ("open", "high", "low", "close", "volume"), 1.0
        )
        rows = [{"symbol": f"T{n}", "session": NOW.date(), **day} for n in range(30_000)]
        connection.execute(insert(bar), rows)
    url = store.url.render_as_string(hide_password=False)
    with subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None
            written = 0
            for n in range(4):
                for _ in range(20):
                    written = int(writer.stdout.readline())
                made_of = backup(store, tmp_path / "s", tmp_path / f"{n}.zip", NOW)
                rows_in = {part.name: part.rows for part in made_of.parts}
                assert rows_in["tables/instrument.parquet"] == rows_in["tables/visit.parquet"] > written
                with store.connect() as connection:  # it was not kept waiting
                    assert len(connection.execute(select(instrument.c.symbol)).all()) > rows_in["tables/visit.parquet"]
        finally:
            writer.kill()


def peak(*words: str) -> int:
    """Bytes of memory that a command took at most."""
    with subprocess.Popen([FORECASTER, *words], stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024


def test_memory_does_not_grow_with_the_store(tmp_path):
    took = {}
    for count in (2, 40):
        home, target, path = tmp_path / f"h{count}", tmp_path / f"t{count}", tmp_path / f"{count}.zip"
        engine = made(home)
        with engine.begin() as connection:
            for n in range(count):
                values = {"digest": f"{n:064}", "manifest": "{}", "model": os.urandom(4 * 2**20), "created_at": NOW}
                connection.execute(insert(artifact).values(values))
        engine.dispose()
        made(target).dispose()
        took[count] = (
            peak("backup", str(path), "--home", str(home)),
            peak("restore", str(path), "--home", str(target)),
        )
    assert (tmp_path / "40.zip").stat().st_size > 160 * 2**20
    for little, much in zip(took[2], took[40], strict=True):
        assert much - little < 64 * 2**20
