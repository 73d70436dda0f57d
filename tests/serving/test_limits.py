"""Token buckets and slots: what is bounded stays bounded, and what was taken is given back."""

import asyncio
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request

from forecaster.errors import DeadlineExceeded, Overloaded
from serving.limits import Buckets, Slots
from serving.metrics import Metrics


class Clock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.floats(0, 3), max_size=60), st.integers(1, 6))
def test_a_bucket_lets_in_what_tokens_say(pauses, burst):
    clock = Clock()
    buckets = Buckets(2.0, burst, clock=clock)
    tokens = float(burst)
    for pause in pauses:
        clock.now += pause
        tokens = min(burst, tokens + 2.0 * pause)
        wait = buckets.take("somebody")
        if abs(tokens - 1) > 1e-6:  # at the very edge floating point decides
            assert (wait == 0) == (tokens > 1)
        if wait == 0:
            tokens -= 1
        else:
            assert wait == pytest.approx((1 - tokens) / 2.0, abs=1e-6)


def test_who_is_refused_gets_in_after_the_wait():
    clock = Clock()
    buckets = Buckets(0.5, 1, clock=clock)
    assert buckets.take("somebody") == 0
    assert buckets.take("somebody") == pytest.approx(2)
    clock.now += 2
    assert buckets.take("somebody") == 0


def test_fault_34_one_caller_does_not_spend_anothers_tokens():
    buckets = Buckets(1.0, 3, clock=Clock())
    assert [buckets.take("greedy") == 0 for _ in range(100)] == [True] * 3 + [False] * 97
    assert [buckets.take("other") == 0 for _ in range(4)] == [True] * 3 + [False]


def test_as_many_callers_as_there_are_take_bounded_room():
    buckets = Buckets(1.0, 1, callers=10, clock=Clock())
    buckets.take("kept")
    for number in range(1000):
        buckets.take(str(number))
        assert buckets.take("kept") > 0  # who asks all the time is not forgotten, though refused
    assert len(buckets._full_at) == 10


class Work:
    """Blocking work that ends when it is told to, and knows how much of it ran side by side."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.running = self.most = self.done = 0
        self._lock = threading.Lock()

    def __call__(self, answer: int) -> int:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        assert self.may_end.wait(10)
        with self._lock:
            self.running -= 1
            self.done += 1
        return answer


def caller(gone: asyncio.Event | None = None, body: int = 1) -> Request:
    """A request of one who stays, or goes away at some time."""
    left = [body]

    async def receive() -> dict:
        if left[0]:
            left[0] -= 1
            return {"type": "http.request", "body": b"x", "more_body": bool(left[0])}
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http"}, receive)


def in_slots(
    test: Callable, concurrency: int = 2, queue: int = 3, deadline: float = 5, metrics: Metrics | None = None
) -> Metrics:
    """Run a test on slots of its own."""
    metrics = metrics or Metrics()

    async def run() -> None:
        slots = Slots(concurrency, queue, deadline, metrics)
        try:
            await test(slots)
        finally:
            slots.close()

    asyncio.run(run())
    return metrics


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0.01)


def state(metrics: Metrics) -> tuple[float, float]:
    value = metrics.registry.get_sample_value
    return value("forecaster_slots", {"state": "running"}), value("forecaster_slots", {"state": "waiting"})


def refused(metrics: Metrics, reason: str) -> float:
    return metrics.registry.get_sample_value("forecaster_refused_total", {"reason": reason})


def test_fault_30_so_much_at_once_so_many_wait_and_the_rest_is_turned_away():
    work = Work()

    async def test(slots: Slots) -> None:
        asked = [asyncio.ensure_future(slots.run(caller(), work, number)) for number in range(50)]
        await settle()
        turned_away = [one for one in asked if one.done()]
        assert len(turned_away) == 45
        assert {type(one.exception()) for one in turned_away} == {Overloaded}
        assert turned_away[0].exception().retry_after_seconds >= 1
        work.may_end.set()
        assert await asyncio.gather(*asked[:5]) == [0, 1, 2, 3, 4]
        assert await slots.run(caller(), work, 99) == 99  # as before

    metrics = in_slots(test)
    assert work.most == 2
    assert refused(metrics, "overload") == 45
    assert state(metrics) == (0, 0)


def test_turns_are_taken_in_order():
    order = []

    async def test(slots: Slots) -> None:
        work.may_end.set()
        await asyncio.gather(*(slots.run(caller(), lambda one=number: order.append(one)) for number in range(4)))

    work = Work()
    in_slots(test, concurrency=1)
    assert order == [0, 1, 2, 3]


def test_what_the_work_raises_comes_back_and_frees_the_slot():
    async def test(slots: Slots) -> None:
        for _ in range(5):
            with pytest.raises(ZeroDivisionError):
                await slots.run(caller(), lambda: 1 // 0)

    assert state(in_slots(test)) == (0, 0)


def test_nobody_waits_longer_than_the_deadline_be_it_for_a_turn_or_for_the_work():
    work, metrics = Work(), Metrics()

    async def test(slots: Slots) -> None:
        began = time.monotonic()
        asked = [slots.run(caller(), work, number) for number in range(3)]
        errors = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(error) for error in errors] == [DeadlineExceeded] * 3
        assert 0.1 <= time.monotonic() - began < 2
        assert state(metrics) == (2, 0)  # a thread cannot be stopped
        with pytest.raises(DeadlineExceeded):
            await slots.run(caller(), work, 3)
        work.may_end.set()
        await settle()
        assert await slots.run(caller(), work, 4) == 4

    in_slots(test, deadline=0.1, metrics=metrics)
    assert refused(metrics, "deadline") == 4
    assert work.done == 3  # who never had a turn has nothing done
    assert state(metrics) == (0, 0)


def test_fault_31_a_client_that_has_gone_gives_its_place_up():
    work = Work()

    async def test(slots: Slots) -> None:
        gone = asyncio.Event()
        running = [asyncio.ensure_future(slots.run(caller(), work, number)) for number in range(2)]
        leaving = [asyncio.ensure_future(slots.run(caller(gone, body=3), work, 9)) for _ in range(3)]
        await settle()
        with pytest.raises(Overloaded):
            await slots.run(caller(), work, 0)
        gone.set()
        await settle()
        assert {type(one.exception()) for one in leaving} == {ClientDisconnect}
        staying = asyncio.ensure_future(slots.run(caller(), work, 5))
        await settle()
        work.may_end.set()
        assert await asyncio.gather(*running, staying) == [0, 1, 5]

    assert state(in_slots(test)) == (0, 0)
    assert work.done == 3  # nothing was done for those who went


@pytest.mark.parametrize("turns", [None, *range(8)])
def test_a_cancelled_request_gives_its_place_up(turns):
    work = Work()

    async def test(slots: Slots) -> None:
        first = asyncio.ensure_future(slots.run(caller(), work, 1))
        second = asyncio.ensure_future(slots.run(caller(), work, 2))
        await settle()
        if turns is not None:  # the slot is handed on at one of these, and is not lost at any
            work.may_end.set()
            while not work.done:
                time.sleep(0.001)
            for _ in range(turns):
                await asyncio.sleep(0)
        second.cancel()
        work.may_end.set()
        await asyncio.wait([first, second])
        assert await slots.run(caller(), work, 3) == 3
        await settle()

    assert state(in_slots(test, concurrency=1)) == (0, 0)


def test_quick_work_is_done_on_the_loop_and_no_more_of_it_waits_than_may():
    async def test(slots: Slots) -> None:
        asked = [asyncio.ensure_future(slots.run_here(threading.get_ident)) for _ in range(50)]
        await asyncio.sleep(0)
        assert state(metrics) == (0, 4)
        done = await asyncio.gather(*asked, return_exceptions=True)
        assert done[:4] == [threading.get_ident()] * 4
        assert {type(one) for one in done[4:]} == {Overloaded}
        assert await slots.run_here(int) == 0  # as before

    metrics = Metrics()
    in_slots(test, queue=3, metrics=metrics)
    assert refused(metrics, "overload") == 46
    assert state(metrics) == (0, 0)


@pytest.mark.parametrize("leaves", [False, True])
def test_quick_work_that_fails_or_is_not_wanted_any_more_gives_its_place_up(leaves):
    async def test(slots: Slots) -> None:
        for _ in range(5):
            asked = asyncio.ensure_future(slots.run_here(lambda: 1 // 0))
            await asyncio.sleep(0)
            if leaves:
                asked.cancel()
            with pytest.raises(asyncio.CancelledError if leaves else ZeroDivisionError):
                await asked
        assert await slots.run_here(int) == 0

    assert state(in_slots(test, queue=0)) == (0, 0)
