"""The service as a process of its own, on a port of this machine."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Live:
    """`python -m serving` on a home; what it says is in `log`."""

    def __init__(self, home: Path, *arguments: str, **environment: object) -> None:
        self.port = free_port()
        self.log = home / "service.log"
        self._command = [sys.executable, "-m", "serving", "--port", str(self.port), *arguments]
        named = {f"FORECASTER_{name}".upper(): str(value) for name, value in environment.items()}
        self._environment = {**os.environ, "FORECASTER_HOME": str(home), "FORECASTER_LOG": "text", **named}

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self._command, env=self._environment, cwd=ROOT, stderr=log, stdout=log)
        until = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until, self.log.read_text()
            try:
                self.get("/healthz")
                return self
            except OSError:
                time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def get(self, path: str, **headers: str) -> http.client.HTTPResponse:
        """An answer over a connection of its own; its body is in `content`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.content = answer.read()
        finally:
            connection.close()
        return answer

    def connect(self) -> socket.socket:
        """A connection that has said nothing."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def stop(self) -> float:
        """SIGTERM, and the seconds until it has ended."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        return time.monotonic() - began
