"""The service in the test's own process, asked without a network."""

import asyncio
from typing import Any, Self

import httpx
from fastapi import FastAPI

from serving.engine import ChampionEngine


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
