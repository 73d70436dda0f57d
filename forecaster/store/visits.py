"""The log of visits to sources: what was asked when, and how it went.

Circuit breaker, staleness and delisting are read off it, so they hold across processes and restarts.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import numpy as np
from sqlalchemy import Connection, Engine, func, insert, select

from forecaster.store.database import reading
from forecaster.store.schema import visit

Status = Literal["ok", "behind", "deferred", "temporary", "empty", "unknown", "delisted", "refused", "overtaken"]

FAILURES = 3
"""Visits in a row that must fail before a source is left alone."""
PROBE_EVERY = timedelta(minutes=15)
"""While it is left alone, one visit in this time sees whether it is back."""
DELISTED_AFTER = 5
"""Sessions after which a symbol that had been known was not any more, until it is taken as delisted."""

_OUTAGES = ("deferred", "temporary")
_ANSWERED: tuple[Status, ...] = ("ok", "behind")


@dataclass(frozen=True)
class Visit:
    """One visit about one subject."""

    subject: str
    source: str
    asked_at: datetime
    asked: bool
    """False where the source was left alone."""
    status: Status
    problem: str | None = None
    stale_since: date | None = None
    """First settled session that the store lacks after it."""


def add_visit(connection: Connection, entry: Visit) -> None:
    """Write a visit down."""
    connection.execute(insert(visit).values(vars(entry)))


def last_visit(
    engine: Engine,
    subject: str,
    statuses: Iterable[Status] | None = None,
    source: str | None = None,
    until: datetime | None = None,
) -> Visit | None:
    """The newest visit about a subject (by `until`), of these statuses and of this source if they are named."""
    query = select(visit).where(visit.c.subject == subject)
    if until is not None:
        query = query.where(visit.c.asked_at <= until)
    if statuses is not None:
        query = query.where(visit.c.status.in_(list(statuses)))
    if source is not None:
        query = query.where(visit.c.source == source)
    with reading(engine).connect() as connection:
        row = connection.execute(query.order_by(visit.c.asked_at.desc(), visit.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else Visit(*row[1:])


def last_heard(engine: Engine, subject: str, at: datetime) -> np.datetime64 | None:
    """When the subject's source had last answered by then: until that moment a series had nothing new to say."""
    answered = last_visit(engine, subject, ("ok", "overtaken"), until=at)
    return None if answered is None else np.datetime64(answered.asked_at.astimezone(UTC).replace(tzinfo=None), "us")


def is_delisted(engine: Engine, symbol: str) -> Visit | None:
    """The visit that found a symbol delisted, if its source has not known it again since."""
    told = last_visit(engine, symbol, (*_ANSWERED, "unknown", "delisted"))  # an outage says nothing about it
    return told if told is not None and told.status == "delisted" else None


def overtaken(connection: Connection, subject: str, asked_at: datetime) -> bool:
    """Whether a later question about the subject was answered already: an older answer must not overwrite it."""
    later = select(func.count()).where(
        visit.c.subject == subject, visit.c.status.in_(_ANSWERED), visit.c.asked_at > asked_at
    )
    return bool(connection.scalar(later))


def is_open(engine: Engine, source: str, now: datetime) -> bool:
    """Circuit breaker: whether the source is to be left alone now.

    It opens after FAILURES visits in a row, about whatever subject, that met an outage or a rate limit; then one visit
    every PROBE_EVERY probes, until one does not fail.
    """
    asked = select(visit.c.status, visit.c.asked_at).where(visit.c.source == source, visit.c.asked)
    with reading(engine).connect() as connection:
        recent = connection.execute(asked.order_by(visit.c.asked_at.desc(), visit.c.id.desc()).limit(FAILURES)).all()
    failing = len(recent) == FAILURES and all(row.status in _OUTAGES for row in recent)
    return failing and now < recent[0].asked_at + PROBE_EVERY


def unknown_at(engine: Engine, subject: str) -> list[datetime]:
    """When the source said that it did not know a subject, since it last did; oldest first."""
    known = last_visit(engine, subject, _ANSWERED)
    query = select(visit.c.asked_at).where(visit.c.subject == subject, visit.c.status.in_(["unknown", "delisted"]))
    if known is not None:
        query = query.where(visit.c.asked_at > known.asked_at)
    with reading(engine).connect() as connection:
        return list(connection.scalars(query.order_by(visit.c.asked_at)))
