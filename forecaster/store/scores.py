"""Scores of issued forecasts at rest: given once, when prices arrive, and never changed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, and_, func, insert, select

from forecaster.store.database import look_then_write, reading
from forecaster.store.ledger import Entry, IssueKind
from forecaster.store.schema import forecast, score


@dataclass(frozen=True)
class Score:
    """What came of one step of an issued forecast."""

    forecast: int
    """Its row in the ledger."""
    outcome: float
    """Cumulative log return from the origin's close, or change since the origin."""
    crps: float
    """Of the stated quantiles, in the outcome's unit."""
    crps_raw: float
    crps_walk: float | None
    """Of the random walk from the same origin; None where none was issued beside it."""
    below: list[bool]
    """[Q] whether the outcome was at or below each stated quantile."""
    scored_at: datetime


@dataclass(frozen=True)
class Matured:
    """A step of the ledger and what came of it; no score while it has not matured."""

    id: int
    entry: Entry
    score: Score | None


@dataclass(frozen=True)
class Result:
    """What came of one step of an issued forecast, without what it said: a record is made of very many."""

    target: str
    symbol: str
    origin: date
    horizon: int
    kind: IssueKind
    crps: float | None
    """None while it has not matured."""
    crps_walk: float | None
    """None also where no random walk was issued beside it."""
    below: list[bool] | None
    """[Q] whether the outcome was at or below each stated quantile."""


_RESULT = (
    forecast.c.target, forecast.c.symbol, forecast.c.origin, forecast.c.horizon, forecast.c.kind,
    score.c.crps, score.c.crps_walk, score.c.below,
)  # fmt: skip


def add_scores(engine: Engine, scores: Sequence[Score]) -> int:
    """Score forecasts once; how many were new."""

    def write(connection: Connection) -> int:
        asked = [one.forecast for one in scores]
        there = set(connection.scalars(select(score.c.forecast).where(score.c.forecast.in_(asked))))
        new = [vars(one) for one in scores if one.forecast not in there]
        if new:
            connection.execute(insert(score), new)
        return len(new)

    return look_then_write(engine, write)


def unscored(engine: Engine, target: str, until: date) -> list[Matured]:
    """Steps of a target about sessions up to `until` that have no score, oldest first."""
    return _matured(engine, (forecast.c.target == target) & (forecast.c.session <= until) & score.c.forecast.is_(None))


def track(engine: Engine, target: str, symbol: str | None = None) -> list[Matured]:
    """Every step of a target (of one symbol), scored or not, oldest first."""
    mine = forecast.c.target == target
    return _matured(engine, mine if symbol is None else mine & (forecast.c.symbol == symbol))


def results(engine: Engine, target: str, symbol: str | None = None) -> list[Result]:
    """What came of every step of a target (of one symbol), matured or not."""
    query = select(*_RESULT).outerjoin(score, score.c.forecast == forecast.c.id).where(forecast.c.target == target)
    if symbol is not None:
        query = query.where(forecast.c.symbol == symbol)
    with reading(engine).connect() as connection:
        return [Result(*row) for row in connection.execute(query)]


@dataclass(frozen=True)
class Outcome:
    """What came of a live forecast one session ahead, beside what it and the random walk had said."""

    session: date
    """That it was about."""
    symbol: str
    stated: list[float]
    """[Q]."""
    walk: list[float] | None
    """[Q]; None where no random walk was issued beside it."""
    crps: float
    crps_walk: float | None
    below: list[bool]
    """[Q] whether the outcome was at or below each stated quantile."""


def outcomes_ahead(engine: Engine, target: str, after: date | None, until: date) -> list[Outcome]:
    """What came of a target's live forecasts of the next session, by session and symbol; of each the first issued.

    Arguments:
        after: Only sessions later than this one.
        until: Only sessions up to this one.
    """
    said = forecast.c.session, forecast.c.symbol, forecast.c.calibrated, forecast.c.quantiles, forecast.c.walk
    mine = (forecast.c.target == target) & (forecast.c.kind == "live") & (forecast.c.horizon == 1)
    query = (
        select(*said, score.c.crps, score.c.crps_walk, score.c.below)
        .join(score, score.c.forecast == forecast.c.id)
        .where(mine & (forecast.c.session <= until))
    )
    if after is not None:
        query = query.where(forecast.c.session > after)
    order = forecast.c.session, forecast.c.symbol, forecast.c.issued_at, forecast.c.id
    first: dict[tuple[date, str], Outcome] = {}
    with reading(engine).connect() as connection:
        for row in connection.execute(query.order_by(*order)):
            day, symbol, calibrated, raw, *came = row
            first.setdefault((day, symbol), Outcome(day, symbol, raw if calibrated is None else calibrated, *came))
    return list(first.values())


def newest_results(engine: Engine, symbols: Collection[str], sessions: int) -> list[Result]:
    """What came of the live forecasts of some symbols: of each target, symbol and horizon the newest scored sessions.

    Arguments:
        sessions: How many; artifacts that issued from the same origin count as one.
    """
    same = (forecast.c.target, forecast.c.symbol, forecast.c.horizon)
    age = func.dense_rank().over(partition_by=same, order_by=forecast.c.origin.desc()).label("age")
    live = forecast.c.symbol.in_(list(symbols)) & (forecast.c.kind == "live")
    scored = select(*_RESULT, age).join(score, score.c.forecast == forecast.c.id).where(live).subquery()
    newest = select(*(scored.c[column.name] for column in _RESULT)).where(scored.c.age <= sessions)
    with reading(engine).connect() as connection:
        return [Result(*row) for row in connection.execute(newest)]


def history(
    engine: Engine, symbol: str, limit: int, before: int | None = None, target: str | None = None
) -> list[list[Matured]]:
    """Issued forecasts of a symbol and what came of them, the newest first, each by horizon.

    Arguments:
        limit: Most forecasts.
        before: Only those issued before the one whose first row has this id.
        target: Only those issued for it.
    """
    same = (forecast.c.target, forecast.c.origin, forecast.c.digest)
    first = func.min(forecast.c.id)
    heads = select(first.label("head"), *same).where(forecast.c.symbol == symbol).group_by(*same)
    if target is not None:
        heads = heads.where(forecast.c.target == target)
    if before is not None:
        heads = heads.having(first < before)
    page = heads.order_by(first.desc()).limit(limit).subquery()
    mine = (forecast.c.symbol == symbol) & and_(*(column == page.c[column.name] for column in same))
    query = _steps().add_columns(page.c.head).join(page, mine).order_by(page.c.head.desc(), forecast.c.horizon)
    found: dict[int, list[Matured]] = {}
    with reading(engine).connect() as connection:
        for row in connection.execute(query):
            found.setdefault(row.head, []).append(_row(row))
    return list(found.values())


def _steps() -> Select[Any]:
    """Steps of the ledger beside their scores."""
    scored = (column.label(f"score_{column.name}") for column in score.c)
    return select(forecast, *scored).outerjoin(score, score.c.forecast == forecast.c.id)


def _matured(engine: Engine, where: ColumnElement[bool]) -> list[Matured]:
    order = forecast.c.origin, forecast.c.issued_at, forecast.c.symbol, forecast.c.horizon
    with reading(engine).connect() as connection:
        return [_row(row) for row in connection.execute(_steps().where(where).order_by(*order))]


def _row(row: Row[Any]) -> Matured:
    said = {name: value for name, value in row._mapping.items() if name != "head"}
    scored = {name.removeprefix("score_"): said.pop(name) for name in list(said) if name.startswith("score_")}
    number = said.pop("id")
    return Matured(number, Entry(**said), None if scored["forecast"] is None else Score(**scored))
