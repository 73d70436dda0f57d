"""Ten thousand hostile requests, and faults 27, 28 and 38: refused, not repeated, and without a trace outside.

Where a symbol or a target is well-formed but not there, the answer names it; its letters are from our list. Nothing else
of a request comes back, reaches a file, a socket, a statement or a log.
"""

import asyncio
import json
import logging
import re
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from answered import answered_store
from fastapi import FastAPI, Request, Response
from hostile import MARK, Asked, Routes, hostile, rude
from live import free_port
from small_store import NOW, SmallStore
from sqlalchemy import text
from watch import Watch

from forecaster.contract import SYMBOL
from forecaster.store.keys import Key
from pipelines.keys import create
from serving.app import create_app
from serving.routes import TARGET
from serving.server import Server
from serving.settings import Settings

COUNT, AT_ONCE = 5_000, 50
ALL = ("read", "predict", "metrics")
PAGES = ("/", "/docs", "/page/{name}", "/openapi.json")
STORED = re.compile(
    rf"{SYMBOL.pattern}|{TARGET[1:-1]}|[0-9a-f]{{64}}|[a-z]{{2,9}}|[0-9-]{{10}}( [0-9:]{{8}}\.[0-9]{{6}})?"
)
"""What a statement may be told: symbols, targets, digests, our own words, moments."""
OUTSIDE = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind", "os.system",
           "subprocess.Popen", "os.exec", "os.posix_spawn", "urllib.Request", "http.client.connect", "pickle.find_class")  # fmt: skip


@dataclass(frozen=True)
class Reply:
    """A request and what came of it."""

    asked: Asked
    route: str
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def wrong(self, documented: dict[str, Any]) -> list[str]:
        """What an answer to such a request must not be."""
        found = []
        if not (200 <= self.status < 300 or self.status == 304 or 400 <= self.status < 500):
            found.append(f"status {self.status}")
        if self.status >= 400 and not self._is_problem():
            found.append("no problem")
        if MARK.encode() in (self.body + repr(self.headers).encode()).lower():
            found.append("repeated")
        methods = documented.get(self.route, {})
        allowed = methods.get(self.asked.method.lower(), {}).get("responses", {}) if self.asked.method.isupper() else {}
        if allowed and str(self.status) not in allowed:
            found.append(f"{self.status} is not documented")
        return found

    def _is_problem(self) -> bool:
        named = dict(self.headers)[b"content-type"] == b"application/problem+json"
        return named and (self.asked.method == "HEAD" or json.loads(self.body)["status"] == self.status)


@dataclass(frozen=True)
class Told:
    """All that was seen of many requests."""

    replies: list[Reply]
    watch: Watch
    documented: dict[str, Any]
    metrics: str
    keys: list[tuple[str, Key]]


async def send(app: FastAPI, asked: Asked) -> Reply:
    """A request as uvicorn would hand it on."""
    path, _, query = asked.target.partition(b"?")
    scope: dict[str, Any] = {
        "type": "http",
        "method": asked.method,
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "headers": list(asked.headers),
        "client": ("127.0.0.1", 1),
        "state": {},
    } | {"asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "root_path": "", "server": ("a", 80)}
    left, sent = list(asked.chunks) or [b""], []

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.sleep(3600)
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def note(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, note)
    start, *rest = sent
    route = app.state.door.template(scope)
    return Reply(asked, route, start["status"], start["headers"], b"".join(one.get("body", b"") for one in rest))


def settings_of(store: SmallStore, **more: Any) -> Settings:
    return Settings(home=store.home, refresh_seconds=3600, rate_per_second=1e6, burst=10**6, concurrency=2, **more)


def queries(documented: dict[str, Any]) -> Routes:
    """Every path that answers GET, and what may be asked of it."""
    gets = {path: methods["get"] for path, methods in documented.items() if "get" in methods}
    found = {
        path: [one["name"] for one in said.get("parameters", ()) if one["in"] == "query"] for path, said in gets.items()
    }
    return found | {path: () for path in PAGES}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallStore]:
    made = answered_store(tmp_path_factory.mktemp("hostile") / "home")
    yield made
    made.engine.dispose()


@pytest.fixture(scope="module", params=[False, True], ids=["open", "keys required"])
def told(request, store) -> Told:
    """Half of the requests, to an app that asks everybody for a key, or nobody."""
    keys = [create(store.engine, name, ALL, NOW) for name in ("one", "two", "three")]
    app = create_app(settings_of(store, require_key=request.param), clock=lambda: NOW)
    documented = app.openapi()["paths"]
    all_asked = list(hostile(int(request.param), COUNT, queries(documented), [key for key, _ in keys]))
    if request.param:
        all_asked = [with_key(asked, keys[0][0]) for asked in all_asked]

    async def ask() -> list[Reply]:
        replies = []
        async with app.router.lifespan_context(app):
            for begin in range(0, COUNT, AT_ONCE):
                replies += await asyncio.gather(*(send(app, asked) for asked in all_asked[begin : begin + AT_ONCE]))
        return replies

    with Watch(app.state.engine.store, [MARK]) as watch:
        replies = asyncio.run(ask())
    return Told(replies, watch, documented, app.state.metrics.text().decode(), keys)


def with_key(asked: Asked, key: str) -> Asked:
    if any(name.lower() == b"authorization" for name, _ in asked.headers):
        return asked
    header = (b"authorization", b"Bearer " + key.encode())
    return Asked(asked.method, asked.target, (*asked.headers, header), asked.chunks)


def test_they_are_answered_or_refused_as_documented_and_not_repeated(told):
    wrong = [(found, one) for one in told.replies if (found := one.wrong(told.documented))]
    assert [f"{found}: {str(one)[:1000]}" for found, one in wrong[:5]] == []
    assert len(told.replies) == COUNT


def test_they_hold_the_mark_and_get_everywhere(told):
    for asked in (one.asked for one in told.replies):
        whole = asked.wire().lower()
        assert MARK.encode() in whole
    assert {one.route for one in told.replies} == {*told.documented, *PAGES, "unmatched"}
    statuses = Counter(one.status for one in told.replies)
    assert {200, 304, 401, 404, 405, 413, 415, 422} <= set(statuses)
    for route in told.documented:
        assert any(one.status in (200, 422) for one in told.replies if one.route == route), route


def test_they_leave_no_trace_in_a_file_a_socket_a_statement_or_a_log(told):
    assert told.watch.leaks == []
    assert set(told.watch.events) & set(OUTSIDE) == set()
    assert "open" in told.watch.events
    said = {one for one in told.watch.parameters if isinstance(one, str)}
    assert {"^IXIC", "^IXIC-return-5"} <= said
    assert {one for one in said if not STORED.fullmatch(one)} == set()
    home = str(told.watch.home)
    assert home


def test_fault_38_no_key_and_no_hash_is_in_an_answer_a_log_or_the_metrics(told):
    secrets = [secret for key, kept in told.keys for secret in (key.split("_", 2)[2], kept.hash)]
    pattern = re.compile("|".join(map(re.escape, secrets)), re.IGNORECASE)
    assert pattern.search("".join(str(one.asked) for one in told.replies))
    answers = "\n".join(f"{one.headers!r}{one.body!r}" for one in told.replies)
    done = "\n".join(line for lines in told.watch.events.values() for line in lines)
    for place in (answers, told.metrics, "\n".join(told.watch.lines), done, repr(told.watch.parameters)):
        assert not pattern.search(place)
    assert "forecaster_requests_total" in told.metrics
    assert "champion loaded" in "".join(told.watch.lines)
