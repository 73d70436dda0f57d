"""Sessions of venues at rest: for the service, which loads no calendar library, and for issuing, which need not."""

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime

import numpy as np
from sqlalchemy import ColumnElement, Connection, Engine, String, delete, insert, select, type_coerce

from forecaster.contract import Dates
from forecaster.errors import NoSessions
from forecaster.rules import rules_of
from forecaster.sessions import Calendar
from forecaster.store.database import reading
from forecaster.store.history import lock
from forecaster.store.schema import venue_rules
from forecaster.store.schema import venue_session as session


@dataclass(frozen=True)
class Rules:
    """What a calendar was worked out by, over which span."""

    start: date
    end: date
    """Asked for; sessions end earlier where holidays are not announced yet."""
    zone: str
    """IANA name of the venue's time zone."""
    rules: str
    """`forecaster.rules.rules_of` that zone."""


def keep_calendar(engine: Engine, calendar: Calendar, by: Rules | None = None) -> int:
    """Put a calendar in the place of what is kept of its span; how many sessions are new or moved.

    A venue announces holidays and half days a year or two ahead, so what was kept of the days to come may have been
    wrong. Sessions outside the span stay.

    Arguments:
        by: Without it the service alone will read what is kept.
    """
    first, last = calendar.sessions[[0, -1]].tolist()
    mine = (session.c.venue == calendar.venue) & session.c.session.between(first, last)
    days = zip(calendar.sessions.tolist(), _instants(calendar.opens), _instants(calendar.closes), strict=True)
    rows = [(calendar.venue, *day) for day in days]
    columns = session.c.venue, session.c.session, session.c.opens, session.c.closes
    with engine.begin() as connection:
        lock(connection, f"calendar {calendar.venue}")
        if _rules(connection, calendar.venue) != by:
            connection.execute(delete(venue_rules).where(venue_rules.c.venue == calendar.venue))
            if by is not None:
                connection.execute(insert(venue_rules).values(venue=calendar.venue, **asdict(by)))
        found = connection.execute(select(*columns).where(mine).order_by(session.c.session))
        kept = [tuple(row) for row in found.all()]
        if kept == rows:
            return 0
        connection.execute(delete(session).where(mine))
        names = [column.name for column in columns]
        connection.execute(insert(session), [dict(zip(names, row, strict=True)) for row in rows])
    return len(set(rows) - set(kept))


def read_calendar(engine: Engine, venue: str) -> Calendar:
    """All that is kept of a venue.

    Raises:
        NoSessions: Nothing is.
    """
    with reading(engine).connect() as connection:
        return _read(connection, venue)


def find_calendar(engine: Engine, venue: str, start: date, end: date) -> Calendar | None:
    """The sessions of a span, as they would be worked out now; None where what is kept does not say."""
    with reading(engine).connect() as connection:
        by = _rules(connection, venue)
        if by is None or start < by.start or end > by.end or by.rules != rules_of(by.zone):
            return None
        try:
            return _read(connection, venue, session.c.session.between(start, end))
        except NoSessions:
            return None


def _rules(connection: Connection, venue: str) -> Rules | None:
    row = connection.execute(select(venue_rules).where(venue_rules.c.venue == venue)).one_or_none()
    return None if row is None else Rules(row.start, row.end, row.zone, row.rules)


def _read(connection: Connection, venue: str, *span: ColumnElement[bool]) -> Calendar:
    # Numbers straight from what the driver gives (text on SQLite), without 8000 datetimes in between.
    raw = [type_coerce(column, String) for column in (session.c.session, session.c.opens, session.c.closes)]
    query = select(*raw).where(session.c.venue == venue, *span).order_by(session.c.session)
    rows = connection.execute(query).all()
    if not rows:
        raise NoSessions(venue)
    days, opens, closes = zip(*rows, strict=True)
    moments = (np.array(one, dtype="datetime64[us]") for one in (opens, closes))
    return Calendar(venue, np.array(days, dtype="datetime64[D]"), *moments)


def _instants(moments: Dates) -> list[datetime]:
    return [moment.replace(tzinfo=UTC) for moment in moments.tolist()]
