"""A webhook against a real server that behaves, and one that does not: told once, in time, its token in no message."""

import hashlib
import hmac
import json
import logging
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from pydantic import SecretStr

from forecaster.errors import ConfigError, WebhookFailed
from pipelines.webhook import SIGNATURE, Event, Webhook

EVENT = Event(
    "alarm", "^GSPC-return-5", date(2018, 12, 3), "scores", "^GSPC", "scores worsen", datetime(2018, 12, 4, tzinfo=UTC)
)
TOKEN = "T0ken-in-the-path"  # noqa: S105  # made up
KEY = "shared by both"
WELL = b"HTTP/1.1 204 No Content\r\n\r\n"

Answer = Callable[[socket.socket], None]


class Told:
    """What a server got."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hooks/{TOKEN}?token={TOKEN}"
        self.requests: list[tuple[str, dict[str, str], bytes]] = []


@contextmanager
def server(answer: Answer) -> Iterator[Told]:
    """Reads a whole request on each connection, then does as told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        told = Told(listener.getsockname()[1])

        def work() -> None:
            with suppress(OSError):  # the listener is closed
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        told.requests.append(whole(connection))
                        answer(connection)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        yield told
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(30)


def whole(connection: socket.socket) -> tuple[str, dict[str, str], bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536)
    return line, headers, body


def well(connection: socket.socket) -> None:
    connection.sendall(WELL)


def hook(told: Told, **facts: object) -> Webhook:
    return replace(Webhook(SecretStr(told.url)), **facts)


def test_an_event_is_posted_with_its_key_and_a_signature_that_can_be_verified():
    with server(well) as told:
        hook(told, secret=SecretStr(KEY)).tell(EVENT)
    ((line, headers, body),) = told.requests
    assert line == f"POST /hooks/{TOKEN}?token={TOKEN} HTTP/1.1"
    assert headers["content-type"] == "application/json"
    assert headers["idempotency-key"] == EVENT.key
    assert headers[SIGNATURE.lower()] == "sha256=" + hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()
    assert json.loads(body) == {
        "event": "alarm",
        "target": "^GSPC-return-5",
        "session": "2018-12-03",
        "kind": "scores",
        "subject": "^GSPC",
        "says": "scores worsen",
        "at": "2018-12-04T00:00:00+00:00",
        "key": EVENT.key,
    }


def test_without_a_secret_there_is_no_signature():
    with server(well) as told:
        hook(told).tell(EVENT)
    assert SIGNATURE.lower() not in told.requests[0][1]


def test_the_key_is_of_what_happened_and_not_of_when_it_was_told():
    assert replace(EVENT, at=datetime(2020, 1, 1, tzinfo=UTC), says="again").key == EVENT.key
    others = [
        replace(EVENT, event="run"),
        replace(EVENT, target="^IXIC-return-5"),
        replace(EVENT, session=date(2018, 12, 4)),
        replace(EVENT, kind="coverage"),
        replace(EVENT, subject=""),
        replace(EVENT, kind="scores^GSPC", subject=""),
    ]
    assert len({one.key for one in (EVENT, *others)}) == 7
    assert replace(EVENT, subject="Größe").key.isascii()


def drip(connection: socket.socket) -> None:
    connection.settimeout(5)
    for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"." * 60:
        connection.sendall(bytes([byte]))
        threading.Event().wait(0.05)


def redirect(connection: socket.socket) -> None:
    place = connection.getsockname()[1]
    connection.sendall(f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{place}/x\r\n\r\n".encode())


def fails(status: bytes) -> Answer:
    return lambda connection: connection.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (drip, "no answer within 1 s"),
        (lambda connection: connection.recv(1), "(the request failed|no answer within 1 s)"),  # silence
        (lambda _: None, r"the request failed \(ConnectionError\)"),  # closes
        (lambda connection: connection.sendall(b"what?\r\n\r\n"), "the request failed"),
        (redirect, "it answered 302, and no redirect is followed"),
        (fails(b"500 Oh"), "it answered 500"),
        (fails(b"404 No"), "it answered 404"),
    ],
    ids=["drip", "silence", "closes", "nonsense", "redirect", "500", "404"],
)
def test_a_failure_is_one_line_without_the_address(answer, problem, caplog):
    with server(answer) as told, caplog.at_level(logging.DEBUG), pytest.raises(WebhookFailed, match=problem) as caught:
        hook(told, seconds=1.0).tell(EVENT)
    assert len(told.requests) == 1  # neither tried again nor followed
    said, one = str(caught.value), caught.value
    assert said.startswith("the webhook at 127.0.0.1 was not told: ")
    assert len(said.splitlines()) == 1
    assert TOKEN not in said + "".join(traceback.format_exception(one)) + repr(hook(told))


def test_an_endless_answer_is_not_read():
    sent = [0]

    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent[0] += connection.send(b"x" * 65536)

    with server(endless) as told:
        hook(told).tell(EVENT)  # the server's sending ends because we hang up, else leaving `server` would hang
    assert sent[0] < 2**26


def test_nobody_listens():
    with server(well) as gone:
        pass
    with pytest.raises(WebhookFailed, match=r"the request failed \(ConnectionError\)") as caught:
        hook(gone).tell(EVENT)
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


def test_it_is_read_from_the_environment_or_from_files(tmp_path):
    assert Webhook.read({}) is None
    assert Webhook.read({"FORECASTER_WEBHOOK_URL": "", "FORECASTER_WEBHOOK_SECRET": KEY}) is None
    (tmp_path / "url").write_text("https://hooks.example/x\n")
    (tmp_path / "secret").write_text(f"{KEY}\n")
    files = {f"FORECASTER_WEBHOOK_{name.upper()}_FILE": str(tmp_path / name) for name in ("url", "secret")}
    found = Webhook.read(files)
    assert found == Webhook(SecretStr("https://hooks.example/x"), SecretStr(KEY))
    assert found == Webhook.read(
        {"FORECASTER_WEBHOOK_URL": "https://hooks.example/x", "FORECASTER_WEBHOOK_SECRET": KEY}
    )
    with pytest.raises(ConfigError, match=r"FORECASTER_WEBHOOK_URL_FILE: cannot be read \(FileNotFoundError\)"):
        Webhook.read({"FORECASTER_WEBHOOK_URL_FILE": str(tmp_path / "none")})


@pytest.mark.parametrize(
    "url", [f"file:///etc/{TOKEN}", f"ftp://h/{TOKEN}", TOKEN, f"http:///{TOKEN}", f"http://[{TOKEN}"]
)
def test_an_address_that_is_none_is_refused_without_being_repeated(url):
    with pytest.raises(ConfigError, match="is no http or https address") as caught:
        Webhook.read({"FORECASTER_WEBHOOK_URL": url})
    assert TOKEN not in str(caught.value)
    with pytest.raises(WebhookFailed):
        Webhook(SecretStr(url)).tell(EVENT)
