"""A small store, and the service on it."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from in_process import Service
from small_store import NOW, SmallStore

from serving.app import create_app
from serving.settings import Settings


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SmallStore]:
    small = SmallStore(tmp_path / "home")
    yield small
    small.engine.dispose()


@pytest.fixture
def service(tmp_path: Path) -> Callable[..., Service]:
    """Makes a service on the home directory; the tests call refresh themselves."""

    def make(now: datetime = NOW, **settings: Any) -> Service:
        chosen = Settings(home=tmp_path / "home", **{"refresh_seconds": 3600, **settings})
        return Service(create_app(chosen, clock=lambda: now))

    return make
