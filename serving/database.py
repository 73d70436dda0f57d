"""The database as the service sees it: read only, and perhaps away."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import URL, Engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.pool import ConnectionPoolEntry

from forecaster.errors import ConfigError
from forecaster.store.database import connect

AWAY = (DBAPIError, PoolExhausted)
"""What SQLAlchemy raises when the database is not there, is no database, or does not answer in time."""

State = Literal["up", "away", "outdated"]

_NO_URL = (
    "no database can be opened by it; write postgresql+psycopg://user:password@host/name, with %40 for @ and %2F for / "
    "in the password"
)
_SECONDS = 5
_SERVER = {  # of PostgreSQL: libpq waits minutes for one that does not answer, and hours for one that has gone
    "connect_timeout": f"{_SECONDS}",
    "tcp_user_timeout": f"{1000 * _SECONDS}",
    "keepalives_idle": f"{_SECONDS}",
    "keepalives_interval": "1",
}


@dataclass(frozen=True)
class Database:
    """What the last look at the database found."""

    state: State
    advice: str = ""
    """What to do about it; empty where nothing is wrong."""
    cause: str = ""
    """What the driver said; for the log, not for an answer."""


def open_database(url: str) -> Engine:
    """An engine that never makes a database: a SQLite file that is missing stays missing, and is an error when read.

    Nothing is opened yet. A PostgreSQL server that does not answer fails within seconds instead of minutes.

    Raises:
        ConfigError: There is no such database. What the URL is, is not said: there may be a password in it.
    """
    try:
        parsed = make_url(url)
        if "@" not in (parsed.host or ""):  # else it is the end of a password, and drivers name the host in complaints
            return _open(parsed)
    except (ConfigError, ArgumentError, ImportError, ValueError):
        pass
    raise ConfigError("FORECASTER_DATABASE_URL", _NO_URL)


def _open(parsed: URL) -> Engine:
    path = parsed.database or ":memory:"
    if parsed.get_backend_name() == "sqlite" and not path.startswith((":memory:", "file:")):
        file = Path(path).absolute()
        parsed = parsed.set(database=file.as_uri()).update_query_dict({"mode": "rw", "uri": "true"})
        engine = connect(parsed.render_as_string(hide_password=False))
        _follow_file(engine, file)
        return engine
    if parsed.get_backend_name() == "postgresql":
        parsed = parsed.update_query_dict({**_SERVER, **parsed.query})
        engine = connect(parsed.render_as_string(hide_password=False))
        event.listen(engine, "connect", _wait_no_longer)
        return engine
    return connect(parsed.render_as_string(hide_password=False))


def _follow_file(engine: Engine, file: Path) -> None:
    """Have it opened again once it is another: who has a file open still reads it after it was removed or replaced."""

    def opened(_connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        record.info["file"] = _identity(file)

    def taken(_connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        if record.info["file"] != _identity(file):
            raise DisconnectionError("the file is another")  # the pool opens it again

    event.listen(engine, "connect", opened)
    event.listen(engine, "checkout", taken)


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _wait_no_longer(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    # A table may be locked for as long as somebody else likes. By a statement: a pooler in between takes no `options`.
    cursor = connection.cursor()
    cursor.execute(f"SET lock_timeout = '{_SECONDS}s'")
    cursor.close()
    connection.commit()
