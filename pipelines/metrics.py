"""What the worker counts and measures, for Prometheus.

Labels are of the run file: its target, its symbols and series, our own lists. Nothing that a source or a caller sent is
one, so there are as many series as the run file names things.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector, start_http_server

from forecaster.errors import ConfigError
from forecaster.store.alarms import AlarmKind

Outcome = Literal["done", "failed", "waiting"]
"""`waiting`: what it needs had not arrived, and it is tried again."""


class WorkerMetrics:
    """The metrics of one worker, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._runs = Counter(
            "forecaster_runs", "Runs that ended, by job and outcome.", ["job", "outcome"], registry=registry
        )
        self._seconds = Gauge(
            "forecaster_run_seconds",
            "Of the last run of a step; step `all` is the job.",
            ["job", "step"],
            registry=registry,
        )
        self._session = Gauge(
            "forecaster_last_session_timestamp_seconds",
            "Midnight UTC of the last session done.",
            ["target"],
            registry=registry,
        )
        self._age = Gauge(
            "forecaster_data_age_sessions", "Settled sessions that the store lacks.", ["subject"], registry=registry
        )
        alarms = Counter("forecaster_alarms", "Alarms raised, by kind.", ["kind"], registry=registry)
        self._alarms = {kind: alarms.labels(kind) for kind in get_args(AlarmKind)}
        self._statistic = Gauge(
            "forecaster_drift_statistic", "Of the newest look.", ["kind", "subject"], registry=registry
        )
        self._threshold = Gauge(
            "forecaster_drift_threshold", "That it must pass for an alarm.", ["kind", "subject"], registry=registry
        )
        self._living = Gauge("forecaster_workers", "Workers that live, this one included.", registry=registry)
        Gauge("forecaster_up", "Always 1: this worker runs.", registry=registry).set(1)
        ProcessCollector(registry=registry)

    def ran(self, job: str, outcome: Outcome, seconds: float) -> None:
        """A run of a job ended."""
        self._runs.labels(job, outcome).inc()
        self._seconds.labels(job, "all").set(seconds)

    def stepped(self, job: str, step: str, seconds: float) -> None:
        """A step of a run ended."""
        self._seconds.labels(job, step).set(seconds)

    def session_done(self, target: str, session: date) -> None:
        """All that is to be done for a target after a session has been done."""
        self._session.labels(target).set(datetime.combine(session, time(), UTC).timestamp())

    def aged(self, subject: str, sessions: int) -> None:
        """How many settled sessions the store lacks of a subject; 0 when it is up to date."""
        self._age.labels(subject).set(sessions)

    def alarm(self, kind: AlarmKind) -> None:
        """An alarm was raised."""
        self._alarms[kind].inc()

    def watched(self, kind: AlarmKind, subject: str, statistic: float, threshold: float) -> None:
        """A test for drift was looked at; an empty subject is the whole target."""
        self._statistic.labels(kind, subject).set(statistic)
        self._threshold.labels(kind, subject).set(threshold)

    def living(self, count: int) -> None:
        """So many workers live."""
        self._living.set(count)

    @contextmanager
    def serve(self, port: int, host: str = "127.0.0.1") -> Iterator[int]:
        """Answer Prometheus over HTTP until it is left; the port, where 0 was asked for.

        Raises:
            ConfigError: The port is taken, or the host is none of this machine.
        """
        try:
            server, thread = start_http_server(port, host, self.registry)
        except OSError as error:
            raise ConfigError(
                "metrics", f"{host}:{port} cannot be had ({error.strerror}); choose another port"
            ) from error
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
