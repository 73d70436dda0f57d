"""The door: what happens to every request before the routes see it, and to every answer on its way out.

It finds out who asks and whether the key opens what is asked for, how often the caller has asked and how much it sends,
and counts and times the answer. It is plain ASGI and does the same few things for every request: no task, no thread.
"""

import logging
import math
from collections.abc import Callable, Iterable
from datetime import datetime
from time import perf_counter
from types import MappingProxyType
from typing import Any

from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forecaster.store import keys as stored
from serving import problems
from serving.keys import KeyRing
from serving.limits import Buckets
from serving.metrics import Metrics
from serving.settings import Settings

log = logging.getLogger(__name__)

_READING = frozenset({"GET", "HEAD"})
_PROBES = frozenset({"/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"})
_CLOSE = (b"connection", b"close")
_CHALLENGE = MappingProxyType({"WWW-Authenticate": "Bearer"})
_UNKNOWN = "the database that holds the keys has not answered since the start; ask again soon"
_DIGITS = 15  # more are no length
_BROKEN = 500
_HOW = "send a key as `Authorization: Bearer fk_...`; `forecaster key create` makes one"


def scope_of(method: str, path: str) -> stored.Scope | None:
    """What a key must open for this; None where nobody is asked for one."""
    if path.startswith(("/v1", "/v2/models")):
        return "read" if method in _READING else "predict"
    return "metrics" if path == "/metrics" else None


def guarded(schema: dict[str, Any], required: bool) -> dict[str, Any]:
    """The OpenAPI description, saying of every operation what a key must open."""
    schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["key"] = {"type": "http", "scheme": "bearer", "description": "`forecaster key create` makes one."}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            needed = scope_of(method.upper(), path)
            if needed is not None:
                operation["security"] = [{"key": [needed]}] if required else [{}, {"key": [needed]}]
    return schema


class Door:
    """Stands around an app; `draining` is set when it is about to stop."""

    def __init__(
        self,
        app: ASGIApp,
        routes: Iterable[BaseRoute],
        settings: Settings,
        clock: Callable[[], datetime],
        keys: KeyRing,
        metrics: Metrics,
    ) -> None:
        self.draining = False
        self._app = app
        self._settings = settings
        self._clock = clock
        self._keys = keys
        self._metrics = metrics
        self._buckets = Buckets(settings.rate_per_second, settings.burst)
        self._pace = f"at most {settings.rate_per_second:g} requests a second"
        self._size = f"at most {settings.max_body_bytes} bytes"
        # FastAPI names the route in the scope of its own routes only.
        named = [(one.endpoint, one.path_format) for one in iter_route_contexts(list(routes))]
        self._templates: dict[object, str | None] = {end: path for end, path in named if end is not None}

    def template(self, scope: Scope) -> str:
        """The route of a request, as it was declared."""
        route = scope.get("route")
        found = self._templates.get(scope.get("endpoint", "")) if route is None else route.path_format
        return found or "unmatched"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; what goes wrong inside is answered and logged, and ends here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        status, method = 0, scope["method"]
        if method == "HEAD":  # the routes need not know: the server sends no body
            scope = {**scope, "method": "GET"}

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self.draining:
                    message["headers"] = [*message.get("headers", ()), _CLOSE]
            await send(message)

        try:
            refusal = self._refuse(scope)
            if refusal is not None:
                await refusal(scope, receive, answer)
            else:
                await self._app(scope, self._measured(scope, receive), answer)
        except Exception as error:  # answered and logged inside; the server would log it again, with its message
            if not status:
                log.error("%s in the door\n%s", problems.INTERNAL.slug, problems.lines(error))
                await problems.answer(problems.INTERNAL)(scope, receive, answer)
        finally:
            self._metrics.count(self.template(scope), method, status or _BROKEN, perf_counter() - began)

    def _refuse(self, scope: Scope) -> Response | None:
        """The answer to a request that does not get in."""
        credentials, length = None, b"0"
        for name, value in scope["headers"]:
            if name == b"authorization":
                credentials = value
            elif name == b"content-length":
                length = value
        key, refusal = self._check(scope, credentials)
        return self._hold_back(scope, key) or refusal or self._measure(length)

    def _check(self, scope: Scope, credentials: bytes | None) -> tuple[stored.Key | None, Response | None]:
        """Who asks, and the answer to one whose key does not open this."""
        needed = scope_of(scope["method"], scope["path"])
        if needed is None or (credentials is None and not self._settings.require_key):
            return None, None
        if not self._keys.known:
            return None, problems.answer(problems.KEYS_UNKNOWN, _UNKNOWN, retry=problems.RETRY_SECONDS)
        key = self._keys.find(credentials or b"", self._clock())
        if key is None:
            return None, problems.answer(problems.NO_KEY, _HOW, _CHALLENGE)
        if needed not in key.scopes:
            return key, problems.answer(problems.NO_SCOPE, f"this takes a key with the scope {needed}")
        return key, None

    def _hold_back(self, scope: Scope, key: stored.Key | None) -> Response | None:
        """The answer to a caller who asks too often.

        Who has no valid key is counted by address, so guessing keys is slow and spends nobody else's requests.
        """
        if scope["path"] in _PROBES:
            return None
        client = scope.get("client")
        wait = self._buckets.take(key.id if key is not None else client[0] if client else "")
        return problems.answer(problems.TOO_OFTEN, self._pace, retry=math.ceil(wait)) if wait else None

    def _measure(self, length: bytes) -> Response | None:
        """The answer to a body that says it is too long."""
        if len(length) <= _DIGITS and int(length) <= self._settings.max_body_bytes:
            return None
        return problems.answer(problems.TOO_LONG, self._size)

    def _measured(self, scope: Scope, receive: Receive) -> Receive:
        """The same body, until it is too long: in chunks it does not say so before."""
        if scope["method"] in _READING:
            return receive
        seen = 0

        async def measured() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._settings.max_body_bytes:
                raise HTTPException(problems.TOO_LONG.status, self._size)
            return message

        return measured
