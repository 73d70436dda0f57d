"""What the service counts and measures, for Prometheus.

No label holds what a caller sent: routes are templates, methods and reasons are from lists.
"""

from collections.abc import Callable, Iterator
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from serving.engine import ChampionEngine

Reason = Literal["key", "rate", "body", "overload", "deadline"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REFUSALS: dict[int, Reason] = {401: "key", 403: "key", 413: "body", 429: "rate"}
_SHORT = 12  # of a digest
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one app, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "forecaster_requests", "Requests answered.", ["route", "method", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "forecaster_request_seconds", "From request to answer.", ["route"], buckets=_SECONDS, registry=self.registry
        )
        refused = Counter("forecaster_refused", "Requests refused, by reason.", ["reason"], registry=self.registry)
        self._refused = {reason: refused.labels(reason) for reason in get_args(Reason)}
        self._slots: list[tuple[Callable[[], int], Callable[[], int]]] = []
        slots = Gauge("forecaster_slots", "Blocking work: running and waiting.", ["state"], registry=self.registry)
        slots.labels("running").set_function(lambda: sum(running() for running, _ in self._slots))
        slots.labels("waiting").set_function(lambda: sum(waiting() for _, waiting in self._slots))
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        ProcessCollector(registry=self.registry)

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered."""
        if method not in _METHODS:
            method = "other"
        # The library finds the series of a label set under a lock, and slowly; there are few of them.
        found = self._answered.get((route, method, status))
        if found is None:
            found = self._requests.labels(route, method, str(status)), self._seconds.labels(route)
            self._answered[route, method, status] = found
        found[0].inc()
        if status in _REFUSALS:
            self.refuse(_REFUSALS[status])
        found[1].observe(seconds)

    def refuse(self, reason: Reason) -> None:
        """A request was refused; where its status says why, `count` has done this."""
        self._refused[reason].inc()

    def watch_slots(self, running: Callable[[], int], waiting: Callable[[], int]) -> None:
        """One more place to look how much is going on."""
        self._slots.append((running, waiting))

    def watch_engine(self, engine: ChampionEngine, age: Callable[[], float | None]) -> None:
        """Where to look what is in charge, and the seconds since it was last compared with the store."""
        self.registry.register(_Standing(engine, age))

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)


class _Standing(Collector):
    """What is in charge, looked up when it is asked for."""

    def __init__(self, engine: ChampionEngine, age: Callable[[], float | None]) -> None:
        self._engine = engine
        self._age = age

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One gauge after the other."""
        labels = ["target", "version", "digest"]
        champions = GaugeMetricFamily("forecaster_champion", "Champions that answer; always 1.", labels=labels)
        for one in self._engine.loaded:
            champions.add_metric([one.champion.target, str(one.champion.version), one.champion.digest[:_SHORT]], 1)
        yield champions
        refused = GaugeMetricFamily("forecaster_champion_refused", "Not trusted; always 1.", labels=labels[::2])
        for other in self._engine.refused:
            refused.add_metric([other.target, other.digest[:_SHORT]], 1)
        yield refused
        up = float(self._engine.database.state == "up")
        yield GaugeMetricFamily("forecaster_database_up", "Whether the last look at the database succeeded.", up)
        age = self._age()
        if age is not None:
            yield GaugeMetricFamily("forecaster_book_age_seconds", "Since answers were compared with the store.", age)
