"""Opening the database, and bringing its schema up to date."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from forecaster.errors import StoreOutdated

MIGRATIONS = Path(__file__).parent / "migrations"


def sqlite_url(home: Path) -> str:
    """Where the embedded database of a home directory lives."""
    return URL.create("sqlite", database=str(home / "forecaster.db")).render_as_string()


def connect(url: str) -> Engine:
    """An engine on SQLite or PostgreSQL; nothing is opened yet."""
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _configure_sqlite(connection: object, _record: ConnectionPoolEntry) -> None:
    # The driver's own implicit BEGIN is deferred: two writers would both read first and one would fail with "locked".
    connection.isolation_level = None  # type: ignore[attr-defined]  # DB-API connections are untyped
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "busy_timeout=20000", "foreign_keys=ON", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    deferred = connection.get_execution_options().get("readonly", False)
    connection.exec_driver_sql("BEGIN" if deferred else "BEGIN IMMEDIATE")


def reading(engine: Engine) -> Engine:
    """The same engine for transactions that only read, so that readers never wait for a writer."""
    return engine.execution_options(readonly=True)


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring the schema to `revision`, up or down; does nothing where it is there already."""
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        script = ScriptDirectory.from_config(config)
        current = MigrationContext.configure(connection).get_current_revision()
        wanted = script.get_revision(revision)
        ahead = revision == "head" or current is None or wanted in script.iterate_revisions("head", current)
        (command.upgrade if ahead else command.downgrade)(config, revision)


def require_current(engine: Engine) -> None:
    """Check that the schema is the one this code was written for, without changing it.

    Raises:
        StoreOutdated: It is older, newer, or not there at all.
    """
    expected = ScriptDirectory.from_config(_config()).get_current_head()
    with reading(engine).connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != expected:
        raise StoreOutdated(found, str(expected))


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config
