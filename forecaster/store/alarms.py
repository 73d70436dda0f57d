"""Alarms at rest: what monitoring raised, at which session, and why. Rows are only ever added."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from sqlalchemy import Connection, Engine, insert, select, tuple_

from forecaster.store.database import look_then_write, reading
from forecaster.store.schema import alarm

AlarmKind = Literal["inputs", "scores", "coverage", "age"]


@dataclass(frozen=True)
class Alarm:
    """Something about a target that somebody should know of."""

    target: str
    kind: AlarmKind
    subject: str
    """A channel, a symbol or a series; empty for the whole target."""
    session: date
    """At which it was raised."""
    statistic: float
    threshold: float
    """That the statistic passed."""
    says: str
    """In one line."""
    raised_at: datetime


def add_alarms(engine: Engine, raised: Sequence[Alarm]) -> int:
    """Write alarms down, each once; how many were new."""

    def write(connection: Connection) -> int:
        key = tuple_(alarm.c.target, alarm.c.kind, alarm.c.subject, alarm.c.session)
        asked = [(one.target, one.kind, one.subject, one.session) for one in raised]
        there = {tuple(row) for row in connection.execute(select(*key.clauses).where(key.in_(asked)))}
        new = [one for one, key_of in zip(raised, asked, strict=True) if key_of not in there]
        if new:
            connection.execute(insert(alarm), [vars(one) for one in new])
        return len(new)

    return look_then_write(engine, write)


def alarms(engine: Engine, target: str, limit: int | None = None) -> list[Alarm]:
    """Alarms of a target, the newest session first; all of them without a limit."""
    order = alarm.c.session.desc(), alarm.c.kind, alarm.c.subject
    query = select(alarm).where(alarm.c.target == target).order_by(*order).limit(limit)
    with reading(engine).connect() as connection:
        return [Alarm(*row) for row in connection.execute(query)]
