"""What is asked of a service whose database is away, and a line to a server that can be cut or fall silent."""

import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from live import Live, free_port
from small_store import SmallStore
from traded import keep, model, trade

from forecaster.store.champions import Champion

RARELY_LIMITED = {"rate_per_second": 1e6, "burst": 10**6}
LATEST = "/v1/forecasts/%5EIXIC"
HISTORY = f"{LATEST}/history"
Question = tuple[str, str, object]
FROM_MEMORY: tuple[Question, ...] = (
    ("GET", LATEST, None),
    ("GET", "/v1/models", None),
    ("GET", "/v1/models/champion", None),
    ("GET", "/v2/models/%5EIXIC-return-2", None),
    ("POST", "/v1/predict", {"context": [[0.01, -0.2]] * 8, "close": 100.0}),
)
FROM_STORE: tuple[Question, ...] = (
    ("GET", HISTORY, None),
    ("GET", f"{LATEST}?horizon=1", None),
    ("GET", "/v1/track-record", None),
    ("GET", "/v1/leaderboard", None),
    ("GET", "/v1/bars/%5EIXIC", None),
    ("POST", "/v1/forecasts", {"symbols": ["^IXIC"]}),
)
AS_ANYBODY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
"""Root reads and writes whatever the modes say; under this it does not."""


def whole_store(home: Path, url: str | None = None) -> SmallStore:
    """With a champion, prices, sessions and an issued forecast: every question has an answer."""
    store = SmallStore(home, url)
    trade(store)
    keep(store)
    new_champion(store)
    return store


def new_champion(store: SmallStore, seed: int = 0) -> Champion:
    """Promoted, and heard of in the ledger."""
    champion = store.promote(model(seed=seed))
    store.issue(champion)
    return champion


class Asked(Live):
    """A service that looks at its store all the time, and questions to it.

    Arguments:
        anybody: It is bound by the modes of files, also where root runs the tests.
    """

    def __init__(self, home: Path, anybody: bool = False, **environment: object) -> None:
        super().__init__(home, **{**RARELY_LIMITED, "refresh_seconds": 0.1, **environment})
        if anybody and os.geteuid() == 0:
            self._command[:0] = AS_ANYBODY

    def ask(self, method: str, path: str, body: object = None) -> "Answer":
        """Over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        began = time.monotonic()
        sent = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, json.loads(answer.read()), time.monotonic() - began)
        finally:
            connection.close()

    def database(self) -> str:
        """What it says of its database."""
        return self.ask("GET", "/readyz").said["database"]

    def answers(self, *questions: Question) -> bool:
        """Whether each of these is answered."""
        return all(self.ask(*question).status == 200 for question in questions)

    def refuses(self, *questions: Question, within: float) -> bool:
        """Whether each of these, asked at the same time, is told soon to come back later."""
        with ThreadPoolExecutor(len(questions)) as asking:
            answers = list(asking.map(lambda question: self.ask(*question), questions))
        for question, answer in zip(questions, answers, strict=True):
            assert answer.status == 503, (question, answer)
            assert answer.said["type"] in ("urn:forecaster:database-away", "urn:forecaster:deadline"), answer
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
            assert answer.took < within, (question, answer.took)
        return True


@dataclass(frozen=True)
class Answer:
    """What came, and the seconds it took."""

    status: int
    headers: http.client.HTTPMessage
    said: dict
    took: float


def soon(holds: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether it comes to hold."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


class Line:
    """From a port of this machine to a socket in the file system: closed, open, or silent for a while."""

    def __init__(self, place: str) -> None:
        self.port = free_port()
        self._place = place
        self._flowing = threading.Event()
        self._flowing.set()
        self._listener: socket.socket | None = None
        self._ends: list[socket.socket] = []

    def open(self) -> None:
        """Let callers through."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def silence(self) -> None:
        """Take what is said, and pass nothing on."""
        self._flowing.clear()

    def speak(self) -> None:
        """Pass it all on."""
        self._flowing.set()

    def cut(self) -> None:
        """Hang up on everybody, and let nobody in."""
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._flowing.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.socket(socket.AF_UNIX)
                self._ends += [near, far]
                far.connect(self._place)
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=(one, other), daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while said := one.recv(65536):
                self._flowing.wait()
                other.sendall(said)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
