"""Bringing the schema of a database up to date."""

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from forecaster.store.database import MIGRATIONS


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


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config
