"""How often a caller may ask, and how much is done at once."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import ParamSpec, TypeVar

from starlette.requests import ClientDisconnect, Request

from forecaster.errors import DeadlineExceeded, Overloaded
from serving.metrics import Metrics

Asked = ParamSpec("Asked")
Answer = TypeVar("Answer")

_RETRY_SECONDS = 1


class Buckets:
    """A token bucket a caller, as the moment at which it will be full again.

    Of too many callers, the one not heard longest is forgotten. That fills its bucket, which was full anyway, unless
    more callers ask within seconds than there is room for.
    """

    def __init__(
        self, per_second: float, burst: int, callers: int = 10_000, clock: Callable[[], float] = monotonic
    ) -> None:
        self._interval = 1 / per_second
        self._slack = (burst - 1) / per_second
        self._callers = callers
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, caller: str) -> float:
        """Take a token: 0, or the seconds until there is one."""
        now = self._clock()
        full_at = max(self._full_at.get(caller, now), now)
        wait = full_at - now - self._slack
        self._full_at[caller] = full_at if wait > 0 else full_at + self._interval
        self._full_at.move_to_end(caller)
        if len(self._full_at) > self._callers:
            self._full_at.popitem(last=False)
        return max(wait, 0.0)


class Slots:
    """Work, so much at once; the rest waits in order, so many, and is turned away beyond that."""

    def __init__(self, concurrency: int, queue: int, deadline_seconds: float, metrics: Metrics) -> None:
        self._free = concurrency
        self._queue = queue
        self._deadline = deadline_seconds
        self._metrics = metrics
        self._here = 0
        self._places: deque[asyncio.Future[None]] = deque()
        self._threads = ThreadPoolExecutor(concurrency, "slot")
        metrics.watch_slots(lambda: concurrency - self._free, lambda: len(self._places) + self._here)

    async def run(
        self, request: Request, work: Callable[Asked, Answer], *args: Asked.args, **kwargs: Asked.kwargs
    ) -> Answer:
        """What the work returns or raises: in a thread, for what blocks or takes long.

        A thread cannot be stopped: its slot is free when it ends, though its caller went away or was told to.

        Raises:
            Overloaded: Too many wait already.
            DeadlineExceeded: It has not ended in time, be it for waiting.
            ClientDisconnect: Nobody waits for the answer any more.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._deadline
        if self._free:
            self._free -= 1
        else:
            await self._wait_for_a_slot(request, until)
        running = loop.run_in_executor(self._threads, partial(work, *args, **kwargs))
        running.add_done_callback(self._release)
        await asyncio.wait([running], timeout=until - loop.time())
        if not running.done():
            raise self._late()
        return running.result()

    async def run_here(self, work: Callable[Asked, Answer], *args: Asked.args, **kwargs: Asked.kwargs) -> Answer:
        """What the work returns or raises: on the event loop, for what takes less time than handing it to a thread.

        All that came at once are counted before the first of them is done: that is how many wait.

        Raises:
            Overloaded: Too many wait already.
        """
        if self._here > self._queue:
            raise self._overloaded()
        self._here += 1
        try:
            await asyncio.sleep(0)
            return work(*args, **kwargs)
        finally:
            self._here -= 1

    def close(self) -> None:
        """Take no more work; what runs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _wait_for_a_slot(self, request: Request, until: float) -> None:
        if len(self._places) >= self._queue:
            raise self._overloaded()
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        self._places.append(place)
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait([place, gone], timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if place.done():
                self._hand_on()
            raise
        finally:
            gone.cancel()
            if not place.done():
                self._places.remove(place)
        if not place.done():
            raise ClientDisconnect if gone.done() else self._late()

    def _release(self, ended: "asyncio.Future[Answer]") -> None:
        if not ended.cancelled():
            ended.exception()  # seen, though nobody may have waited for it
        self._hand_on()

    def _hand_on(self) -> None:
        if self._places:
            self._places.popleft().set_result(None)
        else:
            self._free += 1

    def _overloaded(self) -> Overloaded:
        self._metrics.refuse("overload")
        return Overloaded(_RETRY_SECONDS)

    def _late(self) -> DeadlineExceeded:
        self._metrics.refuse("deadline")
        return DeadlineExceeded(self._deadline)


async def _gone(request: Request) -> None:
    """Until the client is: what else it sends is not for us."""
    with suppress(Exception):  # its body is too long, say
        while (await request.receive())["type"] != "http.disconnect":
            pass
