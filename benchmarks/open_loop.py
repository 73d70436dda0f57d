"""Requests at a fixed rate, whether the ones before have been answered or not: what a crowd does to a service."""

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Reply:
    """What came of a request."""

    status: int
    """0 where nothing came."""
    headers: Mapping[str, str]
    """Names in small letters."""
    body: bytes
    began: float
    """Monotonic."""
    seconds: float


@dataclass(frozen=True)
class Request:
    """An HTTP request, as bytes."""

    host: str
    port: int
    raw: bytes

    @classmethod
    def to(cls, url: str, body: object = None, key: Mapping[str, str] | None = None) -> "Request":
        """GET, or POST of JSON where there is a body."""
        parts = urlsplit(url)
        content = b"" if body is None else json.dumps(body).encode()
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        head = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", f"Host: {parts.netloc}"]
        head += [f"{name}: {value}" for name, value in (key or {}).items()]
        head += [] if body is None else ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        return cls(str(parts.hostname), int(parts.port or 80), "\r\n".join([*head, "", ""]).encode() + content)


class Crowd:
    """Connections to one service, each used again once it is free."""

    def __init__(self) -> None:
        self._free: deque[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = deque()

    async def ask(self, request: Request) -> Reply:
        """One request, on a connection of its own meanwhile."""
        began = time.monotonic()
        writer = None
        try:
            reader, writer = (
                self._free.pop() if self._free else await asyncio.open_connection(request.host, request.port)
            )
            writer.write(request.raw)
            status, headers, body = await _answer(reader)
        except (OSError, ValueError, asyncio.IncompleteReadError):
            if writer is not None:
                writer.close()
            return Reply(0, {}, b"", began, time.monotonic() - began)
        if headers.get("connection") == "close":
            writer.close()
        else:
            self._free.append((reader, writer))
        return Reply(status, headers, body, began, time.monotonic() - began)

    async def offer(self, request: Request, rate: float, seconds: float) -> "list[asyncio.Task[Reply]]":
        """So many a second, each when it is due; not all of them have been answered at the end."""
        start, asked = time.monotonic(), list[asyncio.Task[Reply]]()
        while (passed := time.monotonic() - start) < seconds:
            due = int(passed * rate) + 1 - len(asked)
            asked += [asyncio.create_task(self.ask(request)) for _ in range(due)]
            await asyncio.sleep(1 / rate)
        return asked

    async def keep_asking(self, request: Request, seconds: float, pause: float = 0) -> list[Reply]:
        """One after the other."""
        replies, until = [], time.monotonic() + seconds
        while time.monotonic() < until:
            replies.append(await self.ask(request))
            await asyncio.sleep(pause)
        return replies

    def leave(self) -> None:
        """Close what is free."""
        for _, writer in self._free:
            writer.close()
        self._free.clear()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(first.split()[1]), headers, body
