import threading
import time
from itertools import pairwise

import pytest

from forecaster.errors import EmptyRange, NotListed, RateLimited, ReplyRefused, SourceTemporary
from pipelines.sources.patience import Limits, Patience

AT_ONCE = Limits(per_minute=60_000, deadline=5, attempts=3, first_wait=0.01)


def failing(error: Exception, times: int):
    """An `ask` that fails `times` times, and the list of its calls."""
    calls = []

    def ask() -> str:
        calls.append(time.monotonic())
        if len(calls) <= times:
            raise error
        return "answer"

    return ask, calls


def test_a_failure_that_passes_is_asked_again():
    ask, calls = failing(SourceTemporary("s", "AAPL", "down"), times=2)
    assert Patience(AT_ONCE).call("s", "AAPL", ask) == "answer"
    assert len(calls) == 3


def test_after_the_last_attempt_its_own_failure_is_reported():
    ask, calls = failing(SourceTemporary("s", "AAPL", "down"), times=99)
    with pytest.raises(SourceTemporary, match=r"^s: AAPL: down$"):
        Patience(AT_ONCE).call("s", "AAPL", ask)
    assert len(calls) == 3


@pytest.mark.parametrize(
    "error", [kind("s", "AAPL", "no") for kind in (RateLimited, NotListed, EmptyRange, ReplyRefused)]
)
def test_what_does_not_pass_is_not_asked_again(error):
    ask, calls = failing(error, times=1)
    with pytest.raises(type(error)):
        Patience(AT_ONCE).call("s", "AAPL", ask)
    assert len(calls) == 1


@pytest.mark.parametrize("error", [KeyError("x"), TimeoutError("its own"), SystemExit(3)])
def test_any_other_error_comes_out_as_it_is(error):
    ask, _ = failing(error, times=1)
    with pytest.raises(type(error)) as caught:
        Patience(AT_ONCE).call("s", "AAPL", ask)
    assert caught.value is error


def test_waits_grow_and_are_jittered():
    def gaps() -> list[float]:
        ask, calls = failing(SourceTemporary("s", "AAPL", "down"), times=99)
        with pytest.raises(SourceTemporary):
            Patience(Limits(60_000, deadline=5, attempts=4, first_wait=0.05)).call("s", "AAPL", ask)
        return [later - earlier for earlier, later in pairwise(calls)]

    once, again = gaps(), gaps()
    for gap, least in zip(once, (0.05, 0.1, 0.2), strict=True):
        assert least <= gap < least + 0.5
    assert once != pytest.approx(again, abs=1e-4)


def test_one_deadline_holds_for_all_attempts():
    ask, calls = failing(SourceTemporary("s", "AAPL", "down"), times=999)
    start = time.monotonic()
    with pytest.raises(SourceTemporary, match="down"):  # at once, not after a last wait that leads nowhere
        Patience(Limits(60_000, deadline=0.4, attempts=999, first_wait=0.03)).call("s", "AAPL", ask)
    assert time.monotonic() - start < 0.8
    assert 1 < len(calls) < 10


def test_a_call_that_hangs_is_given_up_on_and_sends_nothing_more():
    patience, released, found = (
        Patience(Limits(60_000, deadline=0.2, attempts=3, first_wait=0.01)),
        threading.Event(),
        [],
    )

    def hang() -> None:
        released.wait()
        found.append(patience.left())
        try:
            patience.pace()
        except SourceTemporary as refused:
            found.append(refused)
            raise
        found.append("sent")

    start = time.monotonic()
    with pytest.raises(SourceTemporary, match=r"^s: AAPL: no answer within the deadline of 0\.2 s$"):
        patience.call("s", "AAPL", hang)
    assert time.monotonic() - start < 1.0
    # A later call has a deadline of its own; the one that was left behind still sees that its own is past.
    assert patience.call("s", "MSFT", patience.left) > 0.0
    released.set()
    for thread in threading.enumerate():
        if thread.name == "s-AAPL":
            thread.join(2)
    assert found[0] == 0.0
    assert isinstance(found[1], SourceTemporary)
    assert "sent" not in found


def test_the_pace_is_kept_by_all_threads_together():
    # 10 a second; six seconds' worth may go at once, the next ten take a second.
    patience, sent = Patience(Limits(600, deadline=10, attempts=1, first_wait=0)), []

    def ask() -> None:
        for _ in range(35):
            patience.pace()
            sent.append(time.monotonic())

    threads = [threading.Thread(target=patience.call, args=("s", f"S{n}", ask)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == 70
    assert sorted(sent)[59] - min(sent) < 0.6
    assert max(sent) - min(sent) == pytest.approx(1.2, abs=0.4)


def test_no_request_is_waited_for_beyond_the_deadline():
    patience = Patience(Limits(per_minute=6, deadline=0.5, attempts=1, first_wait=0))
    patience.call("s", "AAPL", patience.pace)
    start = time.monotonic()
    with pytest.raises(SourceTemporary, match=r"deadline of 0\.5 s leaves no time"):
        patience.call("s", "AAPL", patience.pace)
    assert time.monotonic() - start < 0.4
