"""Sessions of venues at rest, for the service, which does not load a calendar library."""

from datetime import UTC, datetime

import numpy as np
from sqlalchemy import Engine, String, delete, insert, select, type_coerce

from forecaster.contract import Dates
from forecaster.errors import NoSessions
from forecaster.sessions import Calendar
from forecaster.store.database import reading
from forecaster.store.history import lock
from forecaster.store.schema import venue_session as session


def keep_calendar(engine: Engine, calendar: Calendar) -> int:
    """Put a calendar in the place of what is kept of its span; how many sessions are new or moved.

    A venue announces holidays and half days a year or two ahead, so what was kept of the days to come may have been
    wrong. Sessions outside the span stay.
    """
    first, last = calendar.sessions[[0, -1]].tolist()
    mine = (session.c.venue == calendar.venue) & session.c.session.between(first, last)
    rows = {
        day: {"venue": calendar.venue, "session": day, "opens": opens, "closes": closes}
        for day, opens, closes in zip(
            calendar.sessions.tolist(), _instants(calendar.opens), _instants(calendar.closes), strict=True
        )
    }
    with engine.begin() as connection:
        lock(connection, f"calendar {calendar.venue}")
        kept = {row.session: dict(row._mapping) for row in connection.execute(select(session).where(mine))}
        if kept == rows:
            return 0
        connection.execute(delete(session).where(mine))
        connection.execute(insert(session), list(rows.values()))
    return sum(kept.get(day) != row for day, row in rows.items())


def read_calendar(engine: Engine, venue: str) -> Calendar:
    """All that is kept of a venue.

    Raises:
        NoSessions: Nothing is.
    """
    # Numbers straight from what the driver gives (text on SQLite), without 8000 datetimes in between.
    raw = [type_coerce(column, String) for column in (session.c.session, session.c.opens, session.c.closes)]
    query = select(*raw).where(session.c.venue == venue).order_by(session.c.session)
    with reading(engine).connect() as connection:
        rows = connection.execute(query).all()
    if not rows:
        raise NoSessions(venue)
    days, opens, closes = zip(*rows, strict=True)
    moments = (np.array(one, dtype="datetime64[us]") for one in (opens, closes))
    return Calendar(venue, np.array(days, dtype="datetime64[D]"), *moments)


def _instants(moments: Dates) -> list[datetime]:
    return [moment.replace(tzinfo=UTC) for moment in moments.tolist()]
