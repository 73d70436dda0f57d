"""What the doctor is given, what a look is, and what comes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from sqlalchemy import Engine

from forecaster.store.database import connect
from pipelines.config import RunConfig
from pipelines.home import Home


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    ok: bool
    says: str


class Unwell(Exception):
    """What a look found wrong, and what to do. Never leaves the doctor."""


@dataclass(frozen=True)
class Patient:
    """Whom to look at."""

    home: Home
    config: RunConfig
    now: datetime
    environment: Mapping[str, str]
    """Where sources and MLflow find their secrets."""
    ask: bool = False
    """Really ask each source about one subject."""

    @cached_property
    def engine(self) -> Engine:
        """The store, as it is."""
        return connect(self.home.database_url)


Look = Callable[[Patient], str]
"""Says how it is where all is well.

Raises:
    Unwell, ForecasterError, SQLAlchemyError: It is not.
"""
