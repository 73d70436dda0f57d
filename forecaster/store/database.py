"""Opening the database, and checking that its schema is the one this code was written for."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import ArgumentError, IntegrityError
from sqlalchemy.pool import ConnectionPoolEntry

from forecaster.errors import ConfigError, StoreOutdated

Written = TypeVar("Written")

MIGRATIONS = Path(__file__).parent / "migrations"


def sqlite_url(home: Path) -> str:
    """Where the embedded database of a home directory lives."""
    return URL.create("sqlite", database=str(home / "forecaster.db")).render_as_string()


def connect(url: str) -> Engine:
    """An engine on SQLite or PostgreSQL; nothing is opened yet.

    Raises:
        ConfigError: The URL is none of theirs.
    """
    try:
        engine = create_engine(url)
    except (ArgumentError, ImportError):  # whose text may hold the password
        wanted = "postgresql+psycopg://user:password@host/name; or leave it out for a SQLite file in the home"
        raise ConfigError("--database", f"is no URL of a database that is supported; write {wanted}") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _configure_sqlite(connection: object, _record: ConnectionPoolEntry) -> None:
    # The driver's own implicit BEGIN is deferred: two writers would both read first and one would fail with "locked".
    connection.isolation_level = None  # type: ignore[attr-defined]  # DB-API connections are untyped
    cursor = connection.cursor()  # type: ignore[attr-defined]
    # The timeout first: of several that make a new database, all but one wait to switch it to WAL.
    for pragma in ("busy_timeout=20000", "journal_mode=WAL", "foreign_keys=ON", "synchronous=NORMAL"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    deferred = connection.get_execution_options().get("readonly", False)
    connection.exec_driver_sql("BEGIN" if deferred else "BEGIN IMMEDIATE")


def reading(engine: Engine) -> Engine:
    """The same engine for transactions that only read, so that readers never wait for a writer."""
    return engine.execution_options(readonly=True)


def look_then_write(engine: Engine, write: Callable[[Connection], Written]) -> Written:
    """A transaction that writes only what it does not find, done again where another one wrote the same in between.

    On SQLite writers wait for each other. PostgreSQL lets both look first; the second one's insert is then refused.
    """
    try:
        with engine.begin() as connection:
            return write(connection)
    except IntegrityError:
        with engine.begin() as connection:
            return write(connection)


def require_current(engine: Engine) -> None:
    """Check that the schema is the one this code was written for, without changing it.

    Raises:
        StoreOutdated: It is older, newer, or not there at all.
    """
    # By the names of the files, which are the revisions in order: alembic takes as long to load as numpy, and the
    # service, which asks this every few seconds, has no other use for it.
    expected = max(path.stem for path in (MIGRATIONS / "versions").glob("[0-9]*.py")).partition("_")[0]
    with reading(engine).connect() as connection:
        empty = not inspect(connection).has_table("alembic_version")
        found = None if empty else connection.scalar(text("SELECT version_num FROM alembic_version"))
    if found != expected:
        raise StoreOutdated(found, expected)
