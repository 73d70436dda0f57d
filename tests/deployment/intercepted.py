"""What a worker asks of the world, answered on loopback: a proxy that speaks TLS as whoever is asked for.

The clients are the real ones with their real addresses; that there is a proxy, and whom to trust, is said by the
environment, as on a machine behind a company's.
"""

import shutil
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Self

import trustme


class Intercepted:
    """Every HTTPS request of who is told of it goes to one HTTP server on this machine."""

    def __init__(self, port: int, folder: Path) -> None:
        """Arguments:
        port: Of that server.
        folder: Where the authority's certificate is kept.
        """
        self._authority, self._port, self._bundle = trustme.CA(), port, folder / "authority.pem"
        self._authority.cert_pem.write_to_path(str(self._bundle))
        self.asked: set[str] = set()
        self._server = ThreadingTCPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self) -> dict[str, str]:
        """What a process has to be told."""
        proxy = f"http://127.0.0.1:{self._server.server_address[1]}"
        return {"HTTPS_PROXY": proxy, "REQUESTS_CA_BUNDLE": str(self._bundle)}

    def _handler(self) -> type[StreamRequestHandler]:
        outer = self

        class Handler(StreamRequestHandler):
            def handle(self) -> None:
                with suppress(OSError, ValueError):
                    _, address, _ = self.rfile.readline().decode().split(" ", 2)
                    while self.rfile.readline().strip():
                        pass
                    host = address.partition(":")[0]
                    outer.asked.add(host)
                    self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    outer._pass_on(self.connection, host)

        return Handler

    def _pass_on(self, connection: socket.socket, host: str) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert(host).configure_cert(context)
        with (
            context.wrap_socket(connection, server_side=True) as theirs,
            socket.create_connection(("127.0.0.1", self._port)) as ours,
        ):
            answers = threading.Thread(target=_copy, args=(ours, theirs), daemon=True)
            answers.start()
            _copy(theirs, ours)
            answers.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError), source.makefile("rb", buffering=0) as read, target.makefile("wb", buffering=0) as write:
        shutil.copyfileobj(read, write)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
