"""Runs of jobs: their names, by which each exists once, and what is told of them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Literal, Self, get_args

Policy = Literal["latest", "all", "none"]
"""Which of the sessions are seen to that fell due while nobody looked."""
Job = Literal["session", "retrain", "train"]
State = Literal["waits", "runs", "done", "stale", "deferred", "failed"]
_AGAIN = re.compile(r"(?:^| )again (\d+)$")


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
        """Which attempt it is; 0 for the first."""
        found = _AGAIN.search(self.more)
        return int(found[1]) if found else 0

    @property
    def first(self) -> Self:
        """The first attempt at the same."""
        return replace(self, more=_AGAIN.sub("", self.more))

    @property
    def again(self) -> Self:
        """The next attempt at the same."""
        return replace(self, more=f"{self.first.more} again {self.attempt + 1}".lstrip())

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


def last_attempts(runs: Iterable[Run]) -> list[Run]:
    """Of runs that were tried several times the last one."""
    last = {run.name.first: run for run in sorted(runs, key=lambda run: run.name.attempt)}
    return list(last.values())
