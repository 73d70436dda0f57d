"""What all trials of faults share: templates, what undisturbed runs come to, servers, and secrets to look for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from benchmarks.job_servers import Postgres
from benchmarks.job_stage import NOW, TARGET, Stage, Step
from benchmarks.same_record import Record

SECRETS = {
    "FRED_API_KEY": "planted0fred0key0aaaaaaaaaaaaaaa",
    "FORECASTER_WEBHOOK_URL": "http://127.0.0.1:9/planted-webhook-token",
    "FORECASTER_WEBHOOK_SECRET": "planted-webhook-secret",
}
"""Environment of every command; nobody listens at that address, so each telling fails and is complained of."""
PASSWORD = "planted-database-password"  # noqa: S105  # it opens nothing
WORDS = ("planted0fred0key", "planted-webhook-token", "planted-webhook-secret", PASSWORD)


@dataclass
class World:
    """Everything is under one folder, so that one look finds what should not be there."""

    folder: Path
    postgres: Postgres
    embedded: Stage
    """On SQLite, before its session."""
    shared: Stage
    """On PostgreSQL, before its session."""
    finished: Stage
    """On SQLite, nobody disturbed it."""
    steps: Sequence[Step]
    """Of `finished`."""
    expected: Record
    """What `finished` holds."""
    long: Stage
    """On SQLite, before its session, with fits that take long enough to be caught at."""
    expected_long: Record
    now = NOW
    target = TARGET
    _count: "count[int]" = field(default_factory=count)

    def place(self, name: str) -> Path:
        """A new home."""
        return self.folder / f"{name}-{next(self._count)}"

    def until(self, name: str) -> tuple[int, float]:
        """How many steps are done when one begins (a training by its model), and the seconds that it takes."""
        step = next(one for one in self.steps if name in (one.name, one.run.split(" ")[-1]))
        return sum(one.ended <= step.begun for one in self.steps), (step.ended - step.begun) / 1000
