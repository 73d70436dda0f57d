"""What does a crowd do to it? `python -m benchmarks.overload [--seconds 30] [--times 10]`

How many forecasts on demand the service gives is measured with as many callers as it has slots; then ten times as many
are asked for, at a fixed rate, whoever has been answered or not. Bounds, all within one run:

- every answer is a forecast, or a 503 that is a problem and says when to come back;
- of those that are let in 99 % are answered within what the full queue takes at the capacity, twice over, and within
  the deadline; at least half of the capacity is used, so that turning away does not eat what could be done;
- memory grows by less than 50 MB, and in the second half by less than 5;
- health, readiness and the latest forecast are answered all the time;
- 5 s after the last request it answers within twice the unloaded median.

Then callers who leave before they are answered, and callers who do not read: their slots are free again at once, as
/metrics says. The demo's LSTM is in charge. Exits 0 where all holds.
"""

import argparse
import asyncio
import json
import re
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.load import BIN, SYMBOL, Served, demo_home, started
from benchmarks.open_loop import Crowd, Reply, Request
from serving.settings import Settings

OURS = (str(BIN / "python"), "-m", "serving", "--port", "{port}")
GROWTH, LATE_GROWTH = 50.0, 5.0
USED, QUEUES, PROBE_SECONDS = 0.5, 2.0, 1.0
RECOVERY, SLOWER, FEW = 5.0, 2.0, 5
CROWD = 200
MUTE, ASKED = 6, 60
PROBES = ("/healthz", "/readyz", f"/v1/forecasts/{SYMBOL}")


@dataclass(frozen=True)
class Calm:
    """The service without a crowd."""

    p50: float
    """Seconds of a forecast on demand, asked for alone."""
    capacity: float
    """Such forecasts a second."""


class Overload:
    """A service, and what a crowd does to it."""

    def __init__(self, service: Served, settings: Settings) -> None:
        self.broken: list[str] = []
        """Figures that are beyond their bounds."""
        self._service = service
        self._settings = settings
        self._demand = Request.to(f"{service.url}/v1/forecasts", {"symbols": [SYMBOL]})

    async def run(self, seconds: float, times: float) -> None:
        """All of it."""
        calm = await self._calm()
        await self._crowded(calm, seconds, times)
        await self._left(calm)
        await self._unread()

    async def _calm(self) -> Calm:
        crowd, callers = Crowd(), self._settings.concurrency
        await crowd.keep_asking(self._demand, 2)  # warm
        alone = await crowd.keep_asking(self._demand, 6)
        together = await asyncio.gather(*(crowd.keep_asking(self._demand, 8) for _ in range(callers)))
        crowd.leave()
        replies = [reply for one in together for reply in one]
        calm = Calm(statistics.median(one.seconds for one in alone), _rate(replies))
        good = all(reply.status == 200 for reply in (*alone, *replies))
        self._say(good, f"calm: {calm.capacity:.1f} forecasts on demand a second, p50 {1000 * calm.p50:.0f} ms alone")
        return calm

    async def _crowded(self, calm: Calm, seconds: float, times: float) -> None:
        crowd, prober = Crowd(), Crowd()
        memory = asyncio.create_task(self._memory(seconds))
        probes = [Request.to(self._service.url + path) for path in PROBES]
        probing = [asyncio.create_task(prober.keep_asking(probe, seconds, pause=0.1)) for probe in probes]
        asked = await crowd.offer(self._demand, times * calm.capacity, seconds)
        await self._recovered(calm, time.monotonic())
        self._judge(calm, seconds, times, await asyncio.gather(*asked))
        self._judge_memory(await memory)
        replies = [reply for one in await asyncio.gather(*probing) for reply in one]
        slowest = _p99(replies)
        good = all(reply.status == 200 for reply in replies) and slowest < PROBE_SECONDS
        told = (
            f"{len(replies)} looks at health, readiness and the latest forecast meanwhile: p99 {1000 * slowest:.0f} ms"
        )
        self._say(good, f"{told} (at most {1000 * PROBE_SECONDS:.0f}), {_others(replies)} without an answer")
        for one in (crowd, prober):
            one.leave()

    def _judge(self, calm: Calm, seconds: float, times: float, replies: Sequence[Reply]) -> None:
        settings, offered = self._settings, len(replies) / seconds
        self._say(offered > 0.9 * times * calm.capacity, f"offered: {offered:.0f} a second for {seconds:.0f} s")
        good = [reply for reply in replies if reply.status == 200]
        unclean = Counter(reply.status for reply in replies if not _clean(reply))
        turned = len(replies) - len(good) - unclean.total()
        self._say(not unclean, f"{len(good)} forecasts, {turned} clean 503; others: {dict(unclean)}")
        share = _rate(good) / calm.capacity
        self._say(share >= USED, f"{share:.0%} of the capacity is used (at least {USED:.0%})")
        full = (settings.queue + settings.concurrency) / calm.capacity
        bound = min(QUEUES * full, settings.deadline_seconds)
        words = f"p99 of those let in {_p99(good):.1f} s (at most {bound:.1f}: the queue takes {full:.1f}, "
        self._say(_p99(good) <= bound, f"{words}the deadline is {settings.deadline_seconds:.0f})")

    async def _memory(self, seconds: float) -> list[float]:
        begin, samples = time.monotonic(), list[float]()
        while time.monotonic() - begin < seconds:
            samples.append(self._service.megabytes())
            await asyncio.sleep(0.25)
        return samples

    def _judge_memory(self, samples: Sequence[float]) -> None:
        late = samples[len(samples) // 2 :]
        slope = statistics.linear_regression(range(len(late)), late).slope * len(late)
        grown = max(samples) - samples[0]
        told = f"{samples[0]:.0f} MB before; {grown:+.1f} at most (bound {GROWTH:.0f})"
        self._say(
            grown < GROWTH and slope < LATE_GROWTH, f"{told}, {slope:+.1f} in the second half ({LATE_GROWTH:.0f})"
        )

    async def _recovered(self, calm: Calm, since: float) -> None:
        crowd = Crowd()
        replies = await crowd.keep_asking(self._demand, 2 * RECOVERY)
        crowd.leave()
        seconds = [reply.seconds if reply.status == 200 else float("inf") for reply in replies]
        back = (
            replies[place].began - since
            for place in range(len(replies) - FEW)
            if statistics.median(seconds[place : place + FEW]) < SLOWER * calm.p50
        )
        took = next(back, float("inf"))
        told = f"{took:.1f} s after the last request the median is below {SLOWER:.0f} times that of the calm"
        self._say(took <= RECOVERY, f"{told} (at most {RECOVERY:.0f} s)")

    async def _left(self, calm: Calm) -> None:
        """Callers who hang up before they are answered."""
        before = await self._metric("forecaster_requests_total", 'route="/v1/forecasts",status="200"')
        ends = [await asyncio.open_connection(self._demand.host, self._demand.port) for _ in range(CROWD)]
        for _, writer in ends:
            writer.write(self._demand.raw)
        await asyncio.sleep(calm.p50)
        for _, writer in ends:
            writer.transport.abort()
        took = await self._idle()
        made = await self._metric("forecaster_requests_total", 'route="/v1/forecasts",status="200"') - before
        told = f"of {CROWD} who left before they were answered {made:.0f} were forecast for (at most {CROWD // 10})"
        self._say(made <= CROWD // 10 and took < RECOVERY, f"{told}; all slots free after {took:.1f} s")

    async def _unread(self) -> None:
        """Callers who ask for much, more than buffers hold, and read none of it: then nothing is worked on any more."""
        begin, bars = self._service.megabytes(), Request.to(f"{self._service.url}/v1/bars/{SYMBOL}?limit=2000")
        ends = []
        for _ in range(MUTE):
            end = socket.create_connection((bars.host, bars.port))
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            end.sendall(bars.raw * ASKED)
            ends.append(end)
        took = await self._idle()
        crowd = Crowd()
        reply = await crowd.ask(self._demand)
        grown = self._service.megabytes() - begin
        good = reply.status == 200 and took < 4 * RECOVERY and grown < GROWTH
        told = (
            f"{MUTE} who ask {ASKED} times and do not read hold no slot after {took:.1f} s (at most {4 * RECOVERY:.0f})"
        )
        self._say(good, f"{told}, and {grown:+.1f} MB ({GROWTH:.0f})")
        crowd.leave()
        for end in ends:
            end.close()

    async def _idle(self) -> float:
        """Seconds until nothing runs and nothing waits."""
        begin = time.monotonic()
        while time.monotonic() - begin < 4 * RECOVERY:
            await asyncio.sleep(0.05)
            if not await self._metric("forecaster_slots", ""):
                return time.monotonic() - begin
        return float("inf")

    async def _metric(self, name: str, labels: str) -> float:
        """The sum over a metric's series whose labels hold these."""
        crowd = Crowd()
        reply = await crowd.ask(Request.to(f"{self._service.url}/metrics"))
        crowd.leave()
        found = re.findall(rf"^{name}{{(.*)}} (\S+)$", reply.body.decode(), re.MULTILINE)
        return sum(float(value) for said, value in found if labels in said)

    def _say(self, holds: bool, figure: str) -> None:
        print(f"{'  ' if holds else '! '}{figure}", flush=True)
        if not holds:
            self.broken.append(figure)


def _rate(replies: Sequence[Reply]) -> float:
    """Replies a second, from the first question to the last answer."""
    return len(replies) / (max(one.began + one.seconds for one in replies) - min(one.began for one in replies))


def _p99(replies: Sequence[Reply]) -> float:
    return sorted(reply.seconds for reply in replies)[int(0.99 * len(replies))]


def _others(replies: Sequence[Reply]) -> int:
    return sum(reply.status != 200 for reply in replies)


def _clean(reply: Reply) -> bool:
    """A forecast, or a 503 as it should be."""
    if reply.status != 503:
        return reply.status == 200
    problem = json.loads(reply.body)
    told = reply.headers.get("retry-after", "").isdigit() and int(reply.headers["retry-after"]) > 0
    kind = problem["type"] in ("urn:forecaster:overloaded", "urn:forecaster:deadline")
    return told and kind and reply.headers.get("content-type") == "application/problem+json"


def main() -> int:
    """Overload it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--times", type=float, default=10)
    asked = parser.parse_args()
    with demo_home("lstm") as home:
        environment = {"HOME": str(home), "RATE_PER_SECOND": "1e9", "BURST": "1000000000"}
        settings = {f"FORECASTER_{name}": value for name, value in environment.items()}
        with started(OURS, "/readyz", settings) as service:
            overload = Overload(service, Settings(home=home))
            asyncio.run(overload.run(asked.seconds, asked.times))
    bad = len(overload.broken)
    print(
        f"{asked.times:.0f} times the capacity for {asked.seconds:.0f} s: "
        + (f"{bad} do not hold" if bad else "all holds")
    )
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
