"""Ten thousand hostile requests, and faults 27, 28 and 38: refused, not repeated, and without a trace outside.

Where a symbol or a target is well-formed but not there, the answer names it; its letters are from our list. Nothing
else of a request comes back, or reaches a file, a socket, a statement or a log.
"""

import asyncio
import json
import logging
import os
import re
import socket
import sqlite3
import subprocess
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from answered import answered_store, copy_store
from fastapi import FastAPI, Request, Response
from hostile import MARK, Asked, Routes, hostile, rude
from in_process import Service
from live import free_port
from small_store import NOW, SmallStore
from sqlalchemy import Engine, text
from watch import Watch

from forecaster.contract import SYMBOL
from forecaster.errors import ConfigError
from forecaster.store.database import connect
from forecaster.store.keys import Key
from pipelines.keys import create
from serving.app import create_app
from serving.routes import TARGET
from serving.server import Server
from serving.settings import Settings

SHARES = {"open": 5000, "keys required": 4000, "postgresql": 1000}
AT_ONCE = 50
ALL = ("read", "predict", "metrics")
PAGES = ("/", "/docs", "/page/{name}", "/openapi.json")
STORED = re.compile(
    rf"{SYMBOL.pattern}|{TARGET[1:-1]}|[0-9a-f]{{64}}|[a-z_]{{1,15}}|[0-9-]{{10}}( [0-9:]{{8}}\.[0-9]{{6}})?"
)
"""What a statement may be told: symbols, targets, digests, our own words, moments."""
OUTSIDE = {
    "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind", "os.system",
    "subprocess.Popen", "os.exec", "os.posix_spawn", "urllib.Request", "http.client.connect", "pickle.find_class",
}  # fmt: skip
"""What Python does to reach another process or machine, or to make anything of bytes."""


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
    return found | dict.fromkeys(PAGES, ())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallStore]:
    made = answered_store(tmp_path_factory.mktemp("hostile") / "home")
    yield made
    made.engine.dispose()


@pytest.fixture(scope="module", params=SHARES)
def told(request, store) -> Told:
    """A share of the requests, to an app that asks nobody for a key, or everybody, or reads another database."""
    how, count = request.param, SHARES[request.param]
    keys = [create(store.engine, name, ALL, NOW) for name in ("one", "two", "three")]
    chosen = settings_of(store, require_key=how == "keys required")
    if how == "postgresql":
        server = request.getfixturevalue("postgres")
        server.psql("CREATE DATABASE hostile")
        chosen = settings_of(store, database_url=server.get_uri(database="hostile", driver="psycopg"))
        other = connect(chosen.database_url)
        copy_store(store, other)
        other.dispose()
    app = create_app(chosen, clock=lambda: NOW)
    documented = app.openapi()["paths"]
    all_asked = list(hostile(count, count, queries(documented), [key for key, _ in keys]))
    if chosen.require_key:
        all_asked = [with_key(asked, keys[0][0]) for asked in all_asked]
    with Watch(app.state.engine.store, [MARK]) as watch:
        replies = asyncio.run(send_all(app, all_asked))
    return Told(replies, watch, documented, app.state.metrics.text().decode(), keys)


async def send_all(app: FastAPI, requests: list[Asked]) -> list[Reply]:
    replies = []
    async with app.router.lifespan_context(app):
        for begin in range(0, len(requests), AT_ONCE):
            replies += await asyncio.gather(*(send(app, asked) for asked in requests[begin : begin + AT_ONCE]))
    return replies


def with_key(asked: Asked, key: str) -> Asked:
    if any(name.lower() == b"authorization" for name, _ in asked.headers):
        return asked
    header = (b"authorization", b"Bearer " + key.encode())
    return Asked(asked.method, asked.target, (*asked.headers, header), asked.chunks)


def test_they_are_answered_or_refused_as_documented_and_not_repeated(told):
    wrong = [(found, one) for one in told.replies if (found := one.wrong(told.documented))]
    assert [f"{found}: {str(one)[:1000]}" for found, one in wrong[:5]] == []


def test_they_hold_the_mark_and_get_everywhere(told):
    assert len(told.replies) in SHARES.values()
    assert sum(SHARES.values()) == 10_000
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
    assert set(told.watch.events) & OUTSIDE == set()
    assert "open" in told.watch.events
    said = {one for one in told.watch.parameters if isinstance(one, str)}
    assert {"^IXIC", "^IXIC-return-5"} <= said
    assert {one for one in said if not STORED.fullmatch(one)} == set()


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


def select(said: str, store: Engine) -> None:
    with store.connect() as connection:
        connection.execute(text("SELECT :said"), {"said": said})


LEAKS: dict[str, Callable[[str, Any], object]] = {
    "log": lambda said, _: logging.getLogger("uvicorn.error").debug("asked for %s", said),
    "sql": select,
    "open": lambda said, _: Path(f"/nowhere/{said}").read_bytes(),
    "os.scandir": lambda said, _: os.scandir(f"/nowhere/{said}"),
    "os.mkdir": lambda said, _: Path(f"/nowhere/{said}").mkdir(),
    "sqlite3.connect": lambda said, _: sqlite3.connect(f"/nowhere/{said}"),
    "socket.getaddrinfo": lambda said, _: socket.getaddrinfo(said, 80, flags=socket.AI_NUMERICHOST),
    "subprocess.Popen": lambda said, _: subprocess.run([f"/nowhere/{said}"], check=False),
    "import": lambda said, _: __import__(f"nowhere_{said}"),
}


@pytest.fixture
def leaky(store) -> FastAPI:
    """An app with a route that lets its input out, `way` by `way`, and answers all the same."""
    app = create_app(settings_of(store), clock=lambda: NOW)

    @app.get("/leak/{way}", include_in_schema=False)
    def leak(way: str, request: Request) -> None:
        with suppress(OSError, ImportError, sqlite3.Error):
            LEAKS[way](request.headers["user-agent"], app.state.engine.store)

    @app.get("/repeated/{place}", include_in_schema=False)
    async def repeated(place: str, request: Request) -> Response:
        said = request.headers["user-agent"]
        return Response(said) if place == "body" else Response(headers={"x-said": said.upper()})

    @app.get("/broken/{status}", include_in_schema=False)
    async def broken(status: int) -> Response:
        return Response(status_code=status, media_type="text/plain")

    return app


def once(app: FastAPI, target: str) -> Reply:
    return asyncio.run(send(app, Asked("GET", target.encode(), ((b"user-agent", MARK.encode()),))))


@pytest.mark.parametrize("way", LEAKS)
def test_what_gets_out_is_seen(leaky, way):
    with Watch(leaky.state.engine.store, [MARK.upper()]) as watch:
        once(leaky, "/healthz")
        assert watch.leaks == []
        assert once(leaky, f"/leak/{way}").status == 200
    leaky.state.engine.store.dispose()
    assert {one.partition(":")[0] for one in watch.leaks} >= {way}


@pytest.mark.parametrize(
    ("target", "wrong"),
    [
        ("/healthz", []),
        ("/repeated/body", ["repeated"]),
        ("/repeated/header", ["repeated"]),
        ("/broken/500", ["status 500", "no problem"]),
        ("/broken/404", ["no problem"]),
        ("/broken/302", ["status 302"]),
    ],
)
def test_what_is_wrong_with_an_answer_is_seen(leaky, target, wrong):
    assert once(leaky, target).wrong(leaky.openapi()["paths"]) == wrong


def test_an_undocumented_status_is_seen(leaky):
    documented = {"/healthz": {"get": {"responses": {"429": {}}}}}
    assert once(leaky, "/healthz").wrong(documented) == ["200 is not documented"]


@contextmanager
def listening(app: FastAPI) -> Iterator[int]:
    """The server itself, in a thread, on a port."""
    server = Server(app, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def test_on_the_wire_too(store, monkeypatch):
    monkeypatch.setattr("serving.protocol.ARRIVAL_SECONDS", 2.0)  # some never end
    key, kept = create(store.engine, "wire", ALL, NOW)
    app = create_app(settings_of(store), clock=lambda: NOW)
    polite = [one.wire() for one in hostile(7, 300, queries(app.openapi()["paths"]), [key])]
    with Watch(app.state.engine.store, [MARK, kept.hash, key.split("_", 2)[2]]) as watch, listening(app) as port:

        def tell(sent: bytes) -> bytes:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                with suppress(ConnectionError):  # it may have answered and gone before all was sent
                    connection.sendall(sent)
                return read(connection)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(tell, [*polite, *rude(key)]))
        metrics = app.state.metrics.text().decode()
    assert watch.leaks == []
    assert "^IXIC" in watch.parameters
    assert "Invalid HTTP request received." in watch.lines
    statuses = Counter(answer.split(b" ", 2)[1] if answer else b"none" for answer in answers)
    assert {b"200", b"400", b"404", b"422", b"431"} <= set(statuses)
    assert {one for one in statuses if one >= b"500" and one != b"none"} == set()
    assert statuses[b"none"] < 10
    for said in (MARK, kept.hash, key.split("_", 2)[2]):
        assert said.encode().lower() not in b"".join(answers).lower() + metrics.encode().lower()


def read(connection: socket.socket) -> bytes:
    """All that comes."""
    parts = []
    with suppress(ConnectionError):
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("kept", [True, False], ids=["a champion on disk", "nothing on disk"])
def test_fault_38_the_databases_password_is_nowhere(store, tmp_path, kept):
    password = "s3cr3t-and-long"  # noqa: S105
    chosen = settings_of(store)
    with Service(create_app(chosen, clock=lambda: NOW)):
        pass  # what it keeps on disk answers when the database is away
    url = f"postgresql+psycopg://somebody:{password}@127.0.0.1:{free_port()}/none"
    away = {"database_url": url, "home": chosen.home if kept else tmp_path}
    app = create_app(chosen.model_copy(update=away), clock=lambda: NOW)
    with Watch(app.state.engine.store, [password]) as watch, Service(app) as service:
        paths = ("/readyz", "/metrics", "/v1/models", "/v1/models/1", "/v1/bars/^IXIC", "/v1/x")
        answers = [service.get(path) for path in paths]
        service.engine.refresh()
    assert {answer.status_code for answer in answers} == {200, 404, 503}
    assert ("database away" in answers[0].text) == (not kept)
    assert not any(password in f"{answer.headers}{answer.text}" for answer in answers)
    assert "database away" in "\n".join(watch.lines)
    assert watch.leaks == []


@pytest.mark.parametrize(
    "url",
    [
        "s3cr3t",
        "postgresql+psycopg://somebody:s3cr3t@127.0.0.1:port/none",
        "postgresql+psycopg://somebody:an@s3cr3t@127.0.0.1/none",
        "postgresql+s3cr3t://somebody:s3cr3t@127.0.0.1/none",
        "mysql://somebody:s3cr3t@127.0.0.1/none",
    ],
)
def test_fault_38_a_url_that_is_none_is_refused_and_not_repeated(store, url):
    with pytest.raises(ConfigError, match=r"^FORECASTER_DATABASE_URL: no database") as refused:
        create_app(settings_of(store, database_url=url))
    assert "s3cr3t" not in "".join(traceback.format_exception(refused.value))
