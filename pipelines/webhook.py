"""Webhook: tell somebody's address what happened, once, and be done with it in ten seconds.

Every telling of the same event has the same key, so who is told twice can know it. Whoever shares a secret with us can
check that it was us: docs/observability.md.
"""

import hashlib
import hmac
import json
import threading
from collections.abc import Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Self
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr

from forecaster import __version__
from forecaster.errors import ConfigError, WebhookFailed
from forecaster.hidden import secret

SIGNATURE = "X-Forecaster-Signature"

_URL = "FORECASTER_WEBHOOK_URL"
_SECRET = "FORECASTER_WEBHOOK_SECRET"  # noqa: S105  # the name of a variable
_TAKEN, _ELSEWHERE = range(200, 300), range(300, 400)


@dataclass(frozen=True)
class Event:
    """Something that happened to a target."""

    event: Literal["alarm", "run", "promotion"]
    target: str
    session: date
    kind: str
    """Of alarm, job or decision."""
    subject: str
    """A channel, a symbol or a series; empty for the whole target."""
    says: str
    """In one line."""
    at: datetime

    @property
    def key(self) -> str:
        """The same for the same event, whenever and by whomever it is told."""
        named = (self.event, self.target, str(self.session), self.kind, self.subject)
        return hashlib.sha256(json.dumps(named).encode()).hexdigest()[:32]

    def body(self) -> bytes:
        """As JSON."""
        told = {"event": self.event, "target": self.target, "session": str(self.session), "kind": self.kind,
                "subject": self.subject, "says": self.says, "at": self.at.isoformat(), "key": self.key}  # fmt: skip
        return json.dumps(told).encode()


@dataclass(frozen=True)
class Webhook:
    """Who is told."""

    url: SecretStr
    """It may hold a token."""
    secret: SecretStr | None = None
    seconds: float = 10.0
    """For one event: connecting, sending and the answer's status."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self | None:
        """That of FORECASTER_WEBHOOK_URL and _SECRET, or of the files that ..._FILE name; None where it is unset.

        Raises:
            ConfigError: A file cannot be read, or the address is none that can be told anything.
        """
        url, shared = secret(environment, _URL), secret(environment, _SECRET)
        if url is None:
            return None
        if _host(url) is None:
            raise ConfigError(_URL, "is no http or https address; choose one, or leave it unset")
        return cls(SecretStr(url), None if shared is None else SecretStr(shared))

    def tell(self, event: Event) -> None:
        """Post an event; it was taken when this returns.

        Raises:
            WebhookFailed: It was not; no redirect is followed, and nothing is told twice.
        """
        url = self.url.get_secret_value()
        host = _host(url)
        if host is None:
            raise WebhookFailed("no host", "its address is not http or https")
        answer = Future[str | None]()
        # A timeout for each read does not end an answer that drips: the thread is left behind, until its socket ends.
        threading.Thread(target=lambda: answer.set_result(self._post(url, event)), name="webhook", daemon=True).start()
        wait([answer], timeout=self.seconds)
        problem = answer.result() if answer.done() else f"no answer within {self.seconds:g} s"
        if problem is not None:
            raise WebhookFailed(host, problem)

    def _post(self, url: str, event: Event) -> str | None:
        """What went wrong, in words of ours: a client's exception holds the address."""
        body = event.body()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"forecaster/{__version__}",
            "Idempotency-Key": event.key,
        }
        if self.secret is not None:
            headers[SIGNATURE] = f"sha256={sign(self.secret.get_secret_value(), body)}"
        try:
            # Streamed and closed: whatever it says beyond its status is not read.
            with requests.post(
                url, data=body, headers=headers, timeout=self.seconds, allow_redirects=False, stream=True
            ) as reply:
                status = reply.status_code
        except Exception as error:  # whatever it was: nobody would see it in this thread
            return f"the request failed ({type(error).__name__})"
        if status in _ELSEWHERE:
            return f"it answered {status}, and no redirect is followed"
        return None if status in _TAKEN else f"it answered {status}"


def sign(key: str, body: bytes) -> str:
    """HMAC-SHA256 of a body, in hexadecimal."""
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def _host(url: str) -> str | None:
    """The host of an http or https address; None for anything else."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return parts.hostname if parts.scheme in ("http", "https") else None
