"""The ledger: forecasts as they were issued. Rows are only ever added; the database refuses anything else."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import Engine, Row, insert, select

from forecaster.store.database import reading
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
    with engine.begin() as connection:
        seen = set(connection.scalars(select(forecast.c.horizon).where(mine)))
        new = [vars(entry) for entry in entries if entry.horizon not in seen]
        if new:
            connection.execute(insert(forecast), new)
    return len(new)


def issued(engine: Engine, target: str, symbol: str, origin: date, digest: str) -> list[Entry]:
    """The forecast of a symbol that an artifact issued from an origin, by horizon; empty where there is none."""
    about = (forecast.c.target == target) & (forecast.c.symbol == symbol)
    made = (forecast.c.origin == origin) & (forecast.c.digest == digest)
    query = select(forecast).where(about & made).order_by(forecast.c.horizon)
    with reading(engine).connect() as connection:
        rows = connection.execute(query)
        return [_entry(row) for row in rows]


def _entry(row: Row[Any]) -> Entry:
    return Entry(**{key: value for key, value in row._mapping.items() if key != "id"})


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


def latest(engine: Engine, symbol: str) -> list[Entry]:
    """The forecast of a symbol from its newest origin, by horizon; empty where none was issued.

    Where several artifacts issued from that origin, the one in charge now speaks, then the newest.
    """
    in_charge = (champion.c.target == forecast.c.target) & (champion.c.digest == forecast.c.digest)
    newest = (
        select(forecast.c.target, forecast.c.origin, forecast.c.digest)
        .outerjoin(champion, in_charge)
        .where(forecast.c.symbol == symbol)
        .order_by(forecast.c.origin.desc(), champion.c.digest.is_(None), forecast.c.id.desc())
        .limit(1)
    )
    with reading(engine).connect() as connection:
        head = connection.execute(newest).one_or_none()
    return [] if head is None else issued(engine, head.target, symbol, head.origin, head.digest)
