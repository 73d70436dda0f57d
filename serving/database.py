"""The database as the service sees it: read only, and perhaps away."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import Engine, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from forecaster.store.database import connect

AWAY = (DBAPIError, PoolExhausted)
"""What SQLAlchemy raises when the database is not there, is no database, or does not answer in time."""

State = Literal["up", "away", "outdated"]

_CONNECT_SECONDS = "5"


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
    """
    parsed = make_url(url)
    path = parsed.database or ":memory:"
    if parsed.get_backend_name() == "sqlite" and not path.startswith((":memory:", "file:")):
        parsed = parsed.set(database=Path(path).absolute().as_uri())
        parsed = parsed.update_query_dict({"mode": "rw", "uri": "true"})
    if parsed.get_backend_name() == "postgresql" and "connect_timeout" not in parsed.query:
        parsed = parsed.update_query_dict({"connect_timeout": _CONNECT_SECONDS})
    return connect(parsed.render_as_string(hide_password=False))
