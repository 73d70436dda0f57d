"""How a remote source is asked: paced, retried, and given up on in time.

One `Patience` belongs to one source. Its pace holds for every request, whoever makes it; its deadline is one total for
all that a subject costs, and it is kept even when a server hangs or sends a byte a minute.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_before_delay
from tenacity.wait import wait_exponential, wait_random

from forecaster.errors import SourceTemporary

T = TypeVar("T")


_BURST = 6.0
"""Seconds' worth of requests that may go out at once after a quiet time; never less than one request."""


def no_way(failure: str) -> str:
    """What is said where a source gave no answer at all, by the name of the client's own error."""
    if "timeout" in failure.lower():
        return f"no answer in time ({failure})"
    return f"there was no way to it ({failure}): see that this machine reaches the Internet, or set HTTPS_PROXY"


@dataclass(frozen=True)
class Limits:
    """What a source may be burdened with, and how long it is waited for."""

    per_minute: float
    """Requests a minute, retries and a client's own side calls included."""
    deadline: float
    """Seconds for one subject: pacing, every attempt and the waits between them."""
    attempts: int
    """How often a subject is asked for before its failure is reported."""
    first_wait: float
    """Seconds before the second attempt, doubled before each further one; up to as many are added by chance."""


class Patience:
    """Paces, retries and ends what is asked of one source; safe to share between threads."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bucket = _Bucket(limits.per_minute)
        # Of the thread that asks, so that one that was given up on sees its own, past deadline and sends nothing more.
        self._call = threading.local()

    def call(self, source: str, subject: str, ask: Callable[[], T]) -> T:
        """What `ask` returns, asked again after each `SourceTemporary`, all within one deadline.

        `ask` runs in a thread of its own: a timeout for each read does not end a reply that drips, and no client can
        be trusted to keep a total. A thread that hangs is left behind; it ends with its socket or with the process.

        Raises:
            SourceTemporary: The last attempt's, or the deadline passed.
            Exception: Whatever else `ask` raises, at once.
        """
        limits, answer = self._limits, Future[T]()
        deadline = time.monotonic() + limits.deadline
        retrying = Retrying(
            retry=retry_if_exception_type(SourceTemporary),
            stop=stop_after_attempt(limits.attempts) | stop_before_delay(limits.deadline),
            wait=wait_exponential(multiplier=limits.first_wait) + wait_random(0.0, limits.first_wait),
            reraise=True,
        )

        def work() -> None:
            self._call.source, self._call.subject, self._call.deadline = source, subject, deadline
            try:
                answer.set_result(retrying(ask))
            except BaseException as error:  # whatever it is belongs to the caller, who waits for it
                answer.set_exception(error)

        threading.Thread(target=work, name=f"{source}-{subject[:32]}", daemon=True).start()
        wait([answer], timeout=max(0.0, deadline - time.monotonic()))
        if not answer.done():
            raise SourceTemporary(source, subject, f"no answer within the deadline of {limits.deadline:g} s")
        return answer.result()

    def pace(self) -> None:
        """Wait for leave to send one request; called inside `call`, once for each HTTP request.

        Raises:
            SourceTemporary: The deadline is past, or comes before the next request is allowed.
        """
        if not self._bucket.take(self._call.deadline):
            problem = f"the deadline of {self._limits.deadline:g} s leaves no time for another request"
            raise SourceTemporary(self._call.source, self._call.subject, problem)

    def left(self) -> float:
        """Seconds left of the current `call`, for socket timeouts; 0 when it is past."""
        return max(0.0, float(self._call.deadline) - time.monotonic())


class _Bucket:
    """A token bucket whose waits end by a given moment.

    Own lines: pyrate-limiter would be one more dependency, and its wait would still have to be cut to a deadline that
    differs with every call.
    """

    def __init__(self, per_minute: float) -> None:
        self._rate = per_minute / 60.0
        self._most = self._tokens = max(1.0, self._rate * _BURST)
        self._counted = time.monotonic()
        self._lock = threading.Lock()

    def take(self, deadline: float) -> bool:
        """Wait for a token; False, at once and with nothing taken, if none comes before `deadline` (monotonic, s)."""
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self._most, self._tokens + (now - self._counted) * self._rate)
            self._counted = now
            ready = now + max(0.0, 1.0 - self._tokens) / self._rate
            if ready > deadline:
                return False
            self._tokens -= 1.0  # below zero: taken ahead of time, so that those who wait stand in a row
        time.sleep(ready - now)
        return True
