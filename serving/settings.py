"""Settings of the service, from the environment; read by the app factory, never at import."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from forecaster.store.database import sqlite_url


class Settings(BaseSettings):
    """Environment variables `FORECASTER_HOME`, `FORECASTER_DATABASE_URL`, `FORECASTER_REFRESH_SECONDS`."""

    model_config = SettingsConfigDict(env_prefix="FORECASTER_", frozen=True, allow_inf_nan=False)

    home: Path = Path(".forecaster")
    """Directory of the embedded database and of the last good champions."""
    database_url: str | None = None
    """SQLAlchemy URL of a shared database; None: the SQLite file of the home."""
    refresh_seconds: float = Field(default=5, gt=0)
    """Pause between two looks at which champions are in charge."""

    @property
    def store_url(self) -> str:
        """Where the store is."""
        return self.database_url or sqlite_url(self.home)
