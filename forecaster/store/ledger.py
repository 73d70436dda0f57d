"""The ledger: forecasts as they were issued. Rows are only ever added; the database refuses anything else."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Row, and_, func, insert, select, true

from forecaster.store.database import look_then_write, reading
from forecaster.store.schema import champion, forecast

IssueKind = Literal["live", "backfill"]


@dataclass(frozen=True)
class Entry:
    """One step of an issued forecast."""

    target: str
    symbol: str
    origin: date
    """The last session known when it was made."""
    horizon: int
    """Sessions ahead, from 1."""
    session: date
    """The session it is about."""
    digest: str
    version: int
    """Of the champion that made it."""
    origin_close: float
    quantiles: list[float]
    """[Q] of the cumulative log return from the origin's close; of the change since the origin at a level target."""
    issued_at: datetime
    calibrated: list[float] | None = None
    """[Q] moved by what had been scored of the same recipe; None where it was issued before there was calibration."""
    calibration: str | None = None
    """Digest of the state that moved them."""
    walk: list[float] | None = None
    """[Q] of the random walk from the same origin; None where the promotion names none."""
    kind: IssueKind = "live"
    """A backfill was made when what it is about was known already; it is never part of a live record."""

    @property
    def stated(self) -> list[float]:
        """[Q] what was said to the user."""
        return self.quantiles if self.calibrated is None else self.calibrated


def add_entries(engine: Engine, entries: Sequence[Entry]) -> int:
    """Issue a forecast once; how many rows were new. What is there already is left as it is."""
    first = entries[0]
    mine = (
        (forecast.c.symbol == first.symbol)
        & (forecast.c.origin == first.origin)
        & (forecast.c.target == first.target)
        & (forecast.c.digest == first.digest)
    )

    def write(connection: Connection) -> int:
        seen = set(connection.scalars(select(forecast.c.horizon).where(mine)))
        new = [vars(entry) for entry in entries if entry.horizon not in seen]
        if new:
            connection.execute(insert(forecast), new)
        return len(new)

    return look_then_write(engine, write)


def issued(engine: Engine, target: str, symbol: str, origin: date, digest: str) -> list[Entry]:
    """The forecast of a symbol that an artifact issued from an origin, by horizon; empty where there is none."""
    about = (forecast.c.target == target) & (forecast.c.symbol == symbol)
    made = (forecast.c.origin == origin) & (forecast.c.digest == digest)
    query = select(forecast).where(about & made).order_by(forecast.c.horizon)
    with reading(engine).connect() as connection:
        rows = connection.execute(query)
        return [_entry(row) for row in rows]


def _entry(row: Row[Any]) -> Entry:
    return Entry(**{key: value for key, value in row._mapping.items() if key not in ("id", "in_charge")})


def all_issued(engine: Engine, symbol: str) -> list[list[Entry]]:
    """Every forecast of a symbol as it was issued, oldest origin first, each by horizon."""
    query = select(forecast).where(forecast.c.symbol == symbol)
    order = forecast.c.origin, forecast.c.issued_at, forecast.c.target, forecast.c.digest, forecast.c.horizon
    found: dict[tuple[str, date, str], list[Entry]] = {}
    with reading(engine).connect() as connection:
        for row in connection.execute(query.order_by(*order)):
            entry = _entry(row)
            found.setdefault((entry.target, entry.origin, entry.digest), []).append(entry)
    return list(found.values())


def symbols(engine: Engine) -> list[str]:
    """Every symbol that something was issued for."""
    with reading(engine).connect() as connection:
        return list(connection.scalars(select(forecast.c.symbol).distinct().order_by(forecast.c.symbol)))


def targets(engine: Engine, symbol: str) -> list[str]:
    """Every target that a symbol was issued for."""
    query = select(forecast.c.target).where(forecast.c.symbol == symbol).distinct().order_by(forecast.c.target)
    with reading(engine).connect() as connection:
        return list(connection.scalars(query))


def latest(engine: Engine, symbol: str) -> list[Entry]:
    """The forecast of a symbol from its newest origin, by horizon; empty where none was issued."""
    return newest(engine, [symbol]).get(symbol, [])


def newest(
    engine: Engine, asked: Collection[str], before: datetime | None = None, target: str | None = None
) -> dict[str, list[Entry]]:
    """The forecast of each symbol from its newest origin, by horizon; a symbol without one is left out.

    Where several artifacts issued from that origin, the one in charge now speaks, then the newest. Looking back, the
    newest does: who came to be in charge later changes nothing about it.

    Arguments:
        before: Only what was issued before this moment.
        target: Only what was issued for it.
    """
    mine = and_(
        forecast.c.symbol.in_(list(asked)),
        true() if before is None else forecast.c.issued_at < before,
        true() if target is None else forecast.c.target == target,
    )
    origins = select(forecast.c.symbol, func.max(forecast.c.origin).label("origin")).where(mine)
    last = origins.group_by(forecast.c.symbol).subquery()
    same = (forecast.c.symbol == last.c.symbol) & (forecast.c.origin == last.c.origin)
    charge = (champion.c.target == forecast.c.target) & (champion.c.digest == forecast.c.digest)
    query = select(forecast, champion.c.digest.label("in_charge")).join(last, same).outerjoin(champion, charge)
    made: dict[tuple[str, str, str], list[Row[Any]]] = {}
    with reading(engine).connect() as connection:
        for row in connection.execute(query.where(mine).order_by(forecast.c.horizon)):
            made.setdefault((row.symbol, row.target, row.digest), []).append(row)

    def rank(steps: list[Row[Any]]) -> tuple[bool, int]:
        return before is None and steps[0].in_charge is not None, max(step.id for step in steps)

    spoken = {steps[0].symbol: steps for steps in sorted(made.values(), key=rank)}  # the highest rank is put last
    return {symbol: [_entry(step) for step in steps] for symbol, steps in spoken.items()}
