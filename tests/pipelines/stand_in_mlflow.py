"""MLflow's HTTP on a loopback port, as far as the doctor asks it, and its bad behaviour on demand."""

import json
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlsplit


class StandInMlflow:
    """`aliases` holds the digest of each model's alias; `fault` is "", a status, "hang", "drip" or "nonsense"."""

    def __init__(self) -> None:
        self.aliases: dict[str, str] = {}
        self.fault: int | str = ""
        self.ahead = 0.0
        """Seconds by which its clock is ahead."""
        self.credentials: set[str | None] = set()
        self.over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and body of a well-behaved answer."""
        parts = urlsplit(path)
        if parts.path == "/version":
            return 200, b"3.17.2"
        query = {name: value[0] for name, value in parse_qs(parts.query).items()}
        digest = self.aliases.get(query["name"])
        if parts.path != "/api/2.0/mlflow/registered-models/alias" or query["alias"] != "champion" or digest is None:
            return 404, json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not found"}).encode()
        tags = [{"key": "champion_version", "value": "1"}, {"key": "digest", "value": digest}]
        return 200, json.dumps({"model_version": {"name": query["name"], "version": "7", "tags": tags}}).encode()


def _handler(mlflow: StandInMlflow) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mlflow.credentials.add(self.headers["Authorization"])
            if mlflow.fault == "hang":
                mlflow.over.wait(60)
                return
            status, body = mlflow.answer(self.path)
            if isinstance(mlflow.fault, int):
                status, body = mlflow.fault, b"Invalid Host header"
            if mlflow.fault == "nonsense" and status == 200:
                body = b'{"model_version": 3}'
            self.send_response(status)
            self.send_header("Content-Length", str(1000 if mlflow.fault == "drip" else len(body)))
            self.end_headers()
            if mlflow.fault == "drip":
                while not mlflow.over.wait(0.2):
                    self.wfile.write(b"3")
                    self.wfile.flush()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate((time.time() if timestamp is None else timestamp) + mlflow.ahead, usegmt=True)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    return Handler
