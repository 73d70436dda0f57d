"""A small store, and the service on it."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from fastapi import FastAPI
from small_store import NOW, SmallStore

from serving.app import create_app
from serving.engine import ChampionEngine
from serving.settings import Settings


class Service:
    """A started app, asked in process."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self._runner = asyncio.Runner()
        self._lifespan = app.router.lifespan_context(app)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://service")

    @property
    def engine(self) -> ChampionEngine:
        return self.app.state.engine

    def get(self, path: str, **query: str) -> httpx.Response:
        return self._runner.run(self._client.get(path, params=query or None))

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **request))

    def __enter__(self) -> Self:
        self._runner.run(self._lifespan.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.aclose())
        self._runner.run(self._lifespan.__aexit__(None, None, None))
        self._runner.close()


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
