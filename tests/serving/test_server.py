"""The server as a process with real clients: it stops without dropping anybody, and nobody holds it up."""

import http.client
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import get_args

import pytest
from live import ROOT, Live, free_port
from small_store import small_artifact

from forecaster.errors import ConfigError
from serving import problems
from serving.metrics import Metrics, Reason
from serving.server import serve
from serving.settings import Settings

FORECAST = "/v1/forecasts/%5EIXIC"
RARELY_LIMITED = {"rate_per_second": 1e6, "burst": 10**6}


class Callers:
    """Threads that ask all the time, on connections they keep or on new ones, until nobody lets them in."""

    def __init__(self, port: int, keeping: int, renewing: int) -> None:
        self.answers: list[tuple[float, int, bool]] = []
        self.dropped: list[str] = []
        self._port = port
        loops = [self._keep] * keeping + [self._renew] * renewing
        self._threads = [threading.Thread(target=loop, daemon=True) for loop in loops]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _connect(self) -> http.client.HTTPConnection | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        try:
            connection.connect()
        except ConnectionRefusedError:
            return None  # never let in
        return connection

    def _ask(self, connection: http.client.HTTPConnection) -> bool:
        """Whether the connection stays."""
        try:
            connection.request("GET", FORECAST)
            answer = connection.getresponse()
            json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.dropped.append(repr(error))
            return False
        self.answers.append((time.monotonic(), answer.status, answer.will_close))
        return not answer.will_close

    def _keep(self) -> None:
        while (connection := self._connect()) is not None:
            while self._ask(connection):
                pass
            connection.close()

    def _renew(self) -> None:
        while (connection := self._connect()) is not None:
            self._ask(connection)
            connection.close()


@pytest.mark.parametrize("pause", [0.5, 0.8, 1.1])
def test_fault_32_sigterm_under_load_drops_nobody(store, pause):
    store.issue(store.promote(small_artifact()))
    with Live(store.home, **RARELY_LIMITED) as live:
        callers = Callers(live.port, keeping=4, renewing=4)
        time.sleep(pause)
        told = time.monotonic()
        took = live.stop()
        callers.join()
    before = [answer for answer in callers.answers if answer[0] < told]
    after = [answer for answer in callers.answers if answer[0] >= told]
    assert callers.dropped == []
    assert len(before) > 20
    assert {status for _, status, _ in callers.answers} == {200}
    assert not any(closes for _, _, closes in before)
    assert after[-1][2]  # told to go
    assert took < 3
    assert live.process.returncode == -signal.SIGTERM


def test_who_connected_before_is_answered_after(store):
    store.promote(small_artifact())
    with Live(store.home, drain_seconds=10) as live, live.connect() as kept, live.connect() as early:
        assert one_answer(kept).startswith(b"HTTP/1.1 200 ")
        live.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        for waiting in (kept, early):
            answer = one_answer(waiting)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nconnection: close\r\n" in answer
            assert b"about to stop" in answer
            assert waiting.recv(65536) == b""
        with pytest.raises(ConnectionRefusedError):
            live.connect()
        assert live.process.wait(5) == -signal.SIGTERM


def test_who_starts_it_in_a_terminal_is_told_where_the_page_is(tmp_path):
    ours, theirs = pty.openpty()
    port = free_port()
    words = [sys.executable, "-m", "serving", "--port", str(port)]
    around = os.environ | {"FORECASTER_HOME": str(tmp_path)}
    with subprocess.Popen(words, env=around, stdout=theirs, stderr=subprocess.DEVNULL, cwd=ROOT) as process:
        try:
            assert select.select([ours], [], [], 60)[0]
            told = os.read(ours, 1000).decode()
        finally:
            process.terminate()
    assert told.startswith(f"http://127.0.0.1:{port} is the page")


def test_who_says_nothing_does_not_keep_it_from_stopping(store):
    store.promote(small_artifact())
    with Live(store.home, drain_seconds=1) as live, live.connect(), live.connect() as slow:
        slow.sendall(b"GET /readyz HT")
        assert 1 <= live.stop() < 3


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104
def test_other_machines_are_not_let_in_without_a_key(tmp_path, host):
    with pytest.raises(ConfigError, match="FORECASTER_REQUIRE_KEY"):
        serve(Settings(home=tmp_path), host, 8000)
    assert list(tmp_path.iterdir()) == []


def test_head_is_get_without_its_body(store):
    store.issue(store.promote(small_artifact()))
    with Live(store.home) as live:
        heads = []
        for method in ("GET", "HEAD"):
            connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=20)
            connection.request(method, FORECAST)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name != "date"}
            heads.append((answer.status, kept))
            assert bool(answer.read()) == (method == "GET")
            connection.close()
    assert heads[0] == heads[1]
    assert heads[0][0] == 200


@pytest.mark.parametrize(
    ("setting", "value", "says"),
    [("burst", "-1", "greater than or equal to 1"), ("require_key", "maybe", "boolean"), ("queue", "x", "integer")],
)
def test_a_setting_that_does_not_hold_is_named(monkeypatch, setting, value, says):
    monkeypatch.setenv(f"FORECASTER_{setting.upper()}", value)
    with pytest.raises(ConfigError, match=f"FORECASTER_{setting.upper()}: .*{says}"):
        Settings.read()


def test_they_are_where_that_is_meant(store):
    store.promote(small_artifact())
    with Live(store.home, "--host", "0.0.0.0", "--open") as live:  # noqa: S104
        assert live.get("/readyz").status == 200
    with Live(store.home, "--host", "0.0.0.0", require_key=True) as live:  # noqa: S104
        assert live.get("/readyz").status == 200
        assert live.get(FORECAST).status == 401


def one_answer(connection: socket.socket) -> bytes:
    """Whether it is ready."""
    connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = b""
    while not answer.endswith(b"}"):
        answer += connection.recv(65536)
    return answer


def test_the_docs_name_every_setting_metric_and_refusal():
    page = (ROOT / "docs" / "serving.md").read_text("utf-8")
    metrics = Metrics()
    metrics.count("/x", "GET", 200, 0.1)
    families = {family.name for family in metrics.registry.collect() if family.name.startswith("forecaster_")}
    refusals = {one.slug for one in vars(problems).values() if isinstance(one, problems.Kind) and one.status < 500}
    variables = {f"FORECASTER_{name}".upper() for name in Settings.model_fields}
    assert variables - set(re.findall(r"`(FORECASTER_\w+)`", page)) == set()
    assert {name for name in families if f"`{name}`" not in page and f"`{name}_total`" not in page} == set()
    assert {slug for slug in refusals if f"`urn:forecaster:{slug}`" not in page} == set()
    assert {reason for reason in get_args(Reason) if f"`{reason}`" not in page} == set()
