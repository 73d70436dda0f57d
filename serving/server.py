"""The server: uvicorn, with patience for its callers when it stops, and little for those who never finish asking."""

import asyncio
import ctypes
import errno
import gc
import ipaddress
import logging
import math
import os
import socket
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

from forecaster.errors import ConfigError
from serving.app import create_app
from serving.door import Door
from serving.protocol import Protocol
from serving.settings import Settings

log = logging.getLogger(__name__)

_KEEP_ALIVE_SECONDS = 15
_BACKLOG = 1024
_GREETED_SECONDS = 0.1
_SO_ATTACH_FILTER = 26  # of Linux; the module socket does not name it


def serve(settings: Settings, host: str, port: int, anyone: bool = False) -> None:
    """Answer until SIGTERM or SIGINT.

    Arguments:
        anyone: Let other machines in though no key is required.

    Raises:
        ConfigError: Other machines would be let in without a key, and nobody said that they may; or somebody else
            listens there already.
    """
    if not (settings.require_key or anyone or _is_loopback(host)):
        raise ConfigError(
            "--host",
            f"on {host} other machines are answered without a key: set FORECASTER_REQUIRE_KEY=true and make keys "
            "with `forecaster key create`, or say --open if that is meant",
        )
    _require_free(host, port)
    if settings.database_url is None and not (settings.home / "forecaster.db").exists():
        log.warning("no store in %s yet: `forecaster demo` makes one, and this service will find it", settings.home)
    with suppress(KeyboardInterrupt):  # raised again by uvicorn after it has stopped in order
        Server(create_app(settings), host, port).run()


def _require_free(host: str, port: int) -> None:
    """Check that the address can be listened on, before anything is opened."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            other = port + 1 if port < 65535 else port - 1
            problem = f"{port} is taken on {host}: stop what listens there, or type `forecaster serve --port {other}`"
            raise ConfigError("--port", problem) from error
        if error.errno == errno.EACCES:
            problem = f"{port} on {host} is not for everybody ({error.strerror}): choose one from 1024 on, such as 8000"
            raise ConfigError("--port", problem) from error
        problem = f"{host} is no address of this machine ({error.strerror}): leave it out for 127.0.0.1, or name one"
        raise ConfigError("--host", problem) from error


class Server(uvicorn.Server):
    """Stops by letting everybody who is in finish: no request that was let in stays without an answer."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        settings: Settings = app.state.settings
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            loop="uvloop",
            http=Protocol,
            ws="none",
            log_config=None,  # the caller's
            access_log=False,  # a path is what somebody else wrote
            proxy_headers=False,  # so is X-Forwarded-For; callers behind a proxy are told apart by their keys
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=math.ceil(settings.deadline_seconds),
        )
        super().__init__(config)
        self._door: Door = app.state.door
        self._drain_seconds = settings.drain_seconds

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; what is loaded by then stays for good, and the collector of garbage is spared looking through it."""
        await super().startup(sockets)
        if sys.stdout.isatty():
            there = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
            sys.stdout.write(f"http://{there}:{self.config.port} is the page, /docs there the API; Ctrl-C ends it\n")
            sys.stdout.flush()
        gc.freeze()
        gc.enable()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that it stops, let nobody in, wait until those inside have left, stop."""
        log.info("draining %d connections", len(self.server_state.connections))
        self._door.draining = True
        listening = [one for server in self.servers for one in server.sockets]
        _greet_no_more(listening)
        await asyncio.sleep(_GREETED_SECONDS)
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        until = loop.time() + self._drain_seconds
        while self.server_state.connections and loop.time() < until and not self.force_exit:
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)


def _greet_no_more(listening: Iterable[socket.socket]) -> None:
    """Have the kernel drop the first packet of every new caller: it tries again, and is refused once nobody listens.

    A caller whom the kernel has greeted, but whom we have not taken in when the listener closes, would be cut off with
    its request unread. After this there are none but those of a moment ago.
    """
    if sys.platform != "linux":
        return
    # Classic BPF on a TCP header: with SYN among the flags (bit 2 of byte 13) drop it, else keep all of it.
    steps = [(0x30, 0, 0, 13), (0x45, 0, 1, 2), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFF)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    for one in listening:
        with socket.socket(fileno=os.dup(one.fileno())) as listener:
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
