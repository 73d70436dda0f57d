"""Runs of jobs: their names, by which each exists once, and what is told of them."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, Self, get_args

Policy = Literal["latest", "all", "none"]
"""Which of the sessions are seen to that fell due while nobody looked."""
Job = Literal["session", "retrain", "train"]
State = Literal["waits", "runs", "done", "stale", "deferred", "failed"]


@dataclass(frozen=True)
class Name:
    """What a run is known by."""

    job: str
    """One of `Job`."""
    target: str
    session: date
    more: str = ""
    """Which of several of that session: an attempt, a request, a model."""

    def __str__(self) -> str:
        return " ".join(part for part in (self.job, self.target, self.session.isoformat(), self.more) if part)

    @property
    def attempt(self) -> int:
        """Which attempt at its session it is; 0 for the first."""
        return int(self.more.removeprefix("again ")) if self.more.startswith("again ") else 0

    @classmethod
    def of(cls, text: str) -> Self | None:
        """The name as it was written; None for what is none."""
        job, target, session, more = [*text.split(" ", 3), "", "", ""][:4]
        return cls(job, target, date.fromisoformat(session), more) if job in get_args(Job) and session else None


@dataclass(frozen=True)
class Run:
    """A run as it stands."""

    name: Name
    state: State
    says: str
    """What came of it, or why it failed."""
    told: dict[str, Any]
    """What it returned."""
    worker: str
    """Who has it, or had it last."""
    asked_at: datetime
    """When it was asked for; by the clock of the database."""
    seconds: float | None
    """From its start to its end; None while it has none."""

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state not in ("waits", "runs")

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "job": self.name.job,
            "target": self.name.target,
            "session": self.name.session.isoformat(),
            "more": self.name.more,
            "state": self.state,
            "says": self.says,
            "worker": self.worker,
            "asked_at": self.asked_at.isoformat(timespec="seconds"),
            "seconds": self.seconds,
            "told": self.told,
        }
