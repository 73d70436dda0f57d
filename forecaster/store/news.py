"""What was added to the store since somebody looked, of all that the newest answers stand on.

Numbers of rows are compared, not the newest row: a row's number is given before its transaction ends, so a smaller one
may show up after a larger, and a clock may have been set back.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Connection, Engine, func, select

from forecaster.store.database import reading
from forecaster.store.schema import champion, forecast, score, visit

_BACK = timedelta(days=10)  # of origins that are looked at again and again; where older ones are scored, so are these
_SLACK = 1000  # rows whose transactions may be open at once


@dataclass(frozen=True)
class Marks:
    """Where looking begins: earlier rows are not counted."""

    forecast: int
    visit: int


@dataclass(frozen=True)
class News:
    """What there is from the marks on."""

    champions: frozenset[tuple[str, int]]
    """(target, version) of those in charge."""
    steps: Mapping[str, tuple[int, int]]
    """Symbol to the steps issued for it, and how many of them were scored."""
    visits: Mapping[str, int]
    """Subject to the visits about it."""

    def since(self, before: "News") -> set[str]:
        """Symbols about which something was added, from the same marks on."""
        moved = {symbol for symbol, counts in self.steps.items() if before.steps.get(symbol) != counts}
        return moved | {symbol for symbol, count in self.visits.items() if before.visits.get(symbol) != count}


def marks(engine: Engine, today: date) -> Marks:
    """Where to begin looking on a day: steps of older origins are scored seldom, and not looked for."""
    lately = select(func.min(forecast.c.id)).where(forecast.c.origin >= today - _BACK)
    with reading(engine).connect() as connection:
        first = connection.scalar(lately) or connection.scalar(select(func.max(forecast.c.id))) or 0
        visited = connection.scalar(select(func.max(visit.c.id))) or 0
    return Marks(first - _SLACK, visited - _SLACK)


def news(engine: Engine, marks: Marks) -> News:
    """What there is from the marks on."""
    with reading(engine).connect() as connection:
        champions = connection.execute(select(champion.c.target, champion.c.version))
        in_charge = frozenset((row.target, row.version) for row in champions)
        return News(in_charge, _steps(connection, marks.forecast), _visits(connection, marks.visit))


def _steps(connection: Connection, first: int) -> dict[str, tuple[int, int]]:
    counts = func.count(forecast.c.id), func.count(score.c.forecast)
    query = select(forecast.c.symbol, *counts).outerjoin(score, score.c.forecast == forecast.c.id)
    rows = connection.execute(query.where(forecast.c.id >= first).group_by(forecast.c.symbol))
    return {symbol: (issued, scored) for symbol, issued, scored in rows}


def _visits(connection: Connection, first: int) -> dict[str, int]:
    query = select(visit.c.subject, func.count().label("made")).where(visit.c.id >= first)
    return {row.subject: row.made for row in connection.execute(query.group_by(visit.c.subject))}


def fallen_behind(engine: Engine, subjects: Collection[str]) -> set[str]:
    """Those whose source did not deliver when it was last asked, though sessions had passed."""
    order = (visit.c.asked_at.desc(), visit.c.id.desc())
    age = func.row_number().over(partition_by=visit.c.subject, order_by=order).label("age")
    asked = select(visit.c.subject, visit.c.status, visit.c.stale_since, age).where(visit.c.subject.in_(list(subjects)))
    last = asked.subquery()
    behind = (last.c.age == 1) & (last.c.status != "ok") & last.c.stale_since.is_not(None)
    with reading(engine).connect() as connection:
        return set(connection.scalars(select(last.c.subject).where(behind)))
