"""Bringing the schema of a database up to date."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from forecaster.errors import StoreOutdated
from forecaster.store.database import MIGRATIONS

_TURN = 0x666F7263
"""Of the lock for which those wait who migrate a PostgreSQL at once; SQLite's transactions wait by themselves."""


def migrate(engine: Engine, revision: str = "head") -> tuple[str | None, str | None]:
    """Bring the schema to `revision`, up or down; does nothing where it is there already.

    Returns:
        The revision before and after; None for a database with nothing in it.

    Raises:
        StoreOutdated: A version newer than this one has migrated it.
    """
    config = _config()
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:turn)"), {"turn": _TURN})
        config.attributes["connection"] = connection
        script = ScriptDirectory.from_config(config)
        context = MigrationContext.configure(connection)
        current = context.get_current_revision()
        if current not in {None, *(one.revision for one in script.walk_revisions())}:
            raise StoreOutdated(current, script.get_current_head() or "none")
        wanted = script.get_revision(revision)
        ahead = revision == "head" or current is None or wanted in script.iterate_revisions("head", current)
        (command.upgrade if ahead else command.downgrade)(config, revision)
        return current, context.get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config
