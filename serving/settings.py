"""Settings of the service, from the environment; read by the app factory, never at import."""

import os
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from forecaster.errors import ConfigError
from forecaster.store.database import sqlite_url


class Settings(BaseSettings):
    """Environment variables: the name of a field in capitals after `FORECASTER_`."""

    model_config = SettingsConfigDict(env_prefix="FORECASTER_", frozen=True, allow_inf_nan=False)

    home: Path = Path(".forecaster")
    """Directory of the embedded database, and of what is kept for a start without one."""
    database_url: str | None = None
    """SQLAlchemy URL of a shared database; None: the SQLite file of the home."""
    refresh_seconds: float = Field(default=5, gt=0)
    """Pause between two looks at the store: champions, forecasts, keys."""
    require_key: bool = False
    """Whether nobody is answered without a key, but on public routes."""
    rate_per_second: float = Field(default=100, gt=0)
    """Requests a second that one caller (a key, or an address without one) may make in the long run."""
    burst: int = Field(default=200, ge=1)
    """Requests that it may make at once after a pause."""
    max_body_bytes: int = Field(default=65536, ge=0)
    """Longest body of a request."""
    concurrency: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    """Database reads side by side, and as many model runs that need none."""
    queue: int = Field(default=64, ge=0)
    """How many more of each may wait for their turn."""
    deadline_seconds: float = Field(default=10, gt=0)
    """Longest that a caller waits for one of them, its turn included."""
    drain_seconds: float = Field(default=5, ge=0)
    """How long open connections may finish after SIGTERM."""

    @classmethod
    def read(cls, **given: Any) -> Self:
        """What is given, and the rest from the environment.

        Raises:
            ConfigError: A variable does not hold; it is named.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ConfigError(f"FORECASTER_{first['loc'][0]}".upper(), first["msg"]) from error

    @property
    def store_url(self) -> str:
        """Where the store is."""
        return self.database_url or sqlite_url(self.home)
