"""uvicorn's HTTP protocol with an end to a request: how long its head may be, and how long it may take to arrive.

httptools has neither limit, and uvicorn sets none for it. What is refused here never becomes a request; it is answered
in the shape of all problems.
"""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.schemas.problem import Problem

HEAD_BYTES = 16_384
"""Longest request line with headers."""
ARRIVAL_SECONDS = 10.0
"""Longest time from a connection, or from the first bytes of a later request on it, to the last byte of the request."""


class Protocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fault = HTTPStatus.BAD_REQUEST
        self._arriving = False
        self._head: int | None = None
        """Bytes of a head that is not complete."""
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody is there."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is, any more."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request, or several."""
        if self._head is not None:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                return
        super().data_received(data)
        if self._arriving and self._patience is None:
            self._wait()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._arriving, self._head = True, 0

    def on_headers_complete(self) -> None:
        """Its head is complete."""
        self._head = None
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD_BYTES:
            self._fault = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise ValueError("too long a head")  # the parser stops, and uvicorn calls send_400_response
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is here."""
        self._arriving = False
        self._wait_no_more()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # the parser's words
        """Refuse what is no request."""
        self._refuse(self._fault)

    def _wait(self) -> None:
        self._patience = self.loop.call_later(ARRIVAL_SECONDS, self._late)

    def _wait_no_more(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _late(self) -> None:
        if self._arriving:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus) -> None:
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if not answering:  # else these bytes would come into the middle of another answer
            problem = Problem(type="about:blank", title=status.phrase, status=status)
            body = problem.model_dump_json(exclude_none=True).encode()
            head = b"content-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head % len(body) + body)
        self.transport.close()
