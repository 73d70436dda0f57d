"""Real clients that never finish, or ask what is no request, on a real server in a thread: they hold up nobody."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from fastapi import Request
from live import free_port
from small_store import NOW, small_artifact

from serving import protocol
from serving.app import create_app
from serving.server import Server
from serving.settings import Settings

ARRIVAL = 0.5


class Threaded:
    """A server in a thread, with a route that works in a slot until it is told to stop."""

    def __init__(self, settings: Settings) -> None:
        self.app = create_app(settings, clock=lambda: NOW)
        self.port = free_port()
        self.may_end = threading.Event()
        self.started = 0

        @self.app.get("/slow")
        async def slow(request: Request) -> str:
            return await self.app.state.slots.run(request, self._work)

        @self.app.post("/echo")
        async def echo(body: list[int]) -> list[int]:
            return body

        self.server = Server(self.app, "127.0.0.1", self.port)
        self._thread = threading.Thread(target=self.server.run)

    def __enter__(self) -> "Threaded":
        self._thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.may_end.set()
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _work(self) -> str:
        self.started += 1
        assert self.may_end.wait(20)
        return "done"

    def connect(self, said: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.sendall(said)
        return connection

    def ask(self, path: str) -> bytes:
        """A whole answer, over a connection of its own."""
        with self.connect(b"GET %s HTTP/1.1\r\nConnection: close\r\n\r\n" % path.encode()) as connection:
            return everything(connection)

    def slots(self, state: str) -> float:
        return self.app.state.metrics.registry.get_sample_value("forecaster_slots", {"state": state})


def everything(connection: socket.socket) -> bytes:
    """Until the other side has closed."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def pour(connection: socket.socket, more: bytes) -> bytes:
    """Say more and more until there is an answer."""
    connection.settimeout(0.05)
    for _ in range(200):
        try:
            connection.sendall(more)
            answer = connection.recv(65536)
        except TimeoutError:
            continue
        return answer
    return b""


def soon(holds) -> bool:
    """Whether it comes to hold within a few seconds."""
    for _ in range(300):
        if holds():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def running(store, monkeypatch) -> Iterator[Threaded]:
    monkeypatch.setattr(protocol, "ARRIVAL_SECONDS", ARRIVAL)
    store.promote(small_artifact())
    settings = Settings(home=store.home, concurrency=1, queue=2, drain_seconds=0.2, rate_per_second=1e6, burst=10**6)
    with Threaded(settings) as threaded:
        yield threaded


UNFINISHED = {
    "nothing": b"",
    "half a line": b"GET /slow HT",
    "half a head": b"GET /slow HTTP/1.1\r\nX: y\r\n",
    "half a body": b"POST /echo HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n[1,",
    "half a chunk": b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[1",
    "half of the second": b"GET /healthz HTTP/1.1\r\n\r\nGET /healthz HT",
}


@pytest.mark.parametrize("said", UNFINISHED.values(), ids=UNFINISHED)
def test_fault_31_who_never_finishes_asking_is_sent_away(running, said):
    with running.connect(said) as connection:
        began = time.monotonic()
        answer = everything(connection)
        assert ARRIVAL - 0.1 < time.monotonic() - began < ARRIVAL + 2
    if said:
        head, _, body = answer.rpartition(b"\r\n\r\n")
        assert b"HTTP/1.1 408 " in head
        assert json.loads(body)["title"] == "Request Timeout"
    else:
        assert answer == b""  # a browser may open a connection in advance


def test_fault_31_a_hundred_who_drip_take_no_slot_and_delay_nobody(running):
    dripping = [running.connect(b"POST /echo HTTP/1.1\r\nContent-Length: 1000\r\n\r\n") for _ in range(100)]
    asked = 0
    until = time.monotonic() + 1.5 * ARRIVAL
    while time.monotonic() < until:
        for connection in dripping[:10]:
            with suppress(OSError):
                connection.send(b"1")
        began = time.monotonic()
        assert running.ask("/healthz").startswith(b"HTTP/1.1 200 ")
        assert time.monotonic() - began < 1
        assert (running.slots("running"), running.slots("waiting")) == (0, 0)
        asked += 1
    assert asked > 5
    assert soon(lambda: not running.server.server_state.connections)  # a byte now and then is not enough to stay
    for connection in dripping:
        connection.close()


def test_a_request_may_pause_between_requests(running):
    with running.connect() as connection:
        for _ in range(2):
            connection.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            time.sleep(ARRIVAL * 1.5)


def test_fault_31_who_leaves_gives_a_place_in_the_queue_up(running):
    asking = b"GET /slow HTTP/1.1\r\n\r\n"
    with running.connect(asking) as first:
        assert soon(lambda: running.slots("running") == 1)
        leaving = [running.connect(asking) for _ in range(2)]
        assert soon(lambda: running.slots("waiting") == 2)
        answer = running.ask("/slow")
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in answer
        assert b"urn:forecaster:overloaded" in answer
        for connection in leaving:
            connection.close()
        assert soon(lambda: running.slots("waiting") == 0)
        with running.connect(asking) as patient:
            assert soon(lambda: running.slots("waiting") == 1)
            running.may_end.set()
            for connection in (first, patient):
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert running.started == 2  # nothing was done for those who left
    assert running.slots("running") == 0


def test_fault_31_who_reads_slowly_holds_no_slot(running):
    running.may_end.set()
    with running.connect() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        slow.sendall(b"GET /slow HTTP/1.1\r\n\r\n" * 50)  # and reads none of the answers
        assert soon(lambda: running.started > 10)
        assert soon(lambda: running.slots("running") == 0)
        assert running.ask("/slow").startswith(b"HTTP/1.1 200 ")


def test_fault_27_ten_megabytes_in_chunks_are_answered_and_not_kept(running):
    chunk = b"10000\r\n" + b"1" * 0x10000 + b"\r\n"
    with running.connect(
        b"POST /echo HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ) as caller:
        for _ in range(160):
            caller.sendall(chunk)
        caller.sendall(b"0\r\n\r\n")
        assert caller.recv(65536).startswith(b"HTTP/1.1 413 ")
        caller.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")  # all of it was taken off the line
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_fault_30_ten_times_too_many_get_an_answer_each(running):
    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET /slow HTTP/1.1\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def ask_all() -> list[bytes]:
        asked = [asyncio.ensure_future(ask()) for _ in range(30)]
        await asyncio.sleep(0.5)
        running.may_end.set()
        return await asyncio.gather(*asked)

    statuses = [answer.split(b" ", 2)[1] for answer in asyncio.run(ask_all())]
    assert statuses.count(b"200") == 3  # one that runs and two that wait
    assert statuses.count(b"503") == 27
    assert running.ask("/slow").startswith(b"HTTP/1.1 200 ")


def test_a_head_without_end_is_refused(running):
    with running.connect(b"GET /healthz HTTP/1.1\r\nX: ") as endless:
        answer = pour(endless, b"a" * 4096)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GET /%s HTTP/1.1\r\n\r\n" % (b"a" * 20_000), 431),
        (b"GET /healthz HTTP/1.1\r\n%s\r\n" % (b"X: %s\r\n" % (b"a" * 1000) * 20), 431),
        (b"rubbish\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 400),
    ],
    ids=["long line", "many headers", "rubbish", "negative length", "no ascii"],
)
def test_what_is_no_request_is_a_problem(running, said, status, caplog):
    with running.connect(said) as caller:
        head, _, body = everything(caller).partition(b"\r\n\r\n")
        assert int(head.split()[1]) == status
        assert json.loads(body)["status"] == status
        assert b"aaaa" not in body
        assert "aaaa" not in caplog.text
