"""Scores of issued forecasts at rest: given once, when prices arrive, and never changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, Row, func, insert, select

from forecaster.store.database import reading
from forecaster.store.ledger import Entry
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


def add_scores(engine: Engine, scores: Sequence[Score]) -> int:
    """Score forecasts once; how many were new."""
    with engine.begin() as connection:
        asked = [one.forecast for one in scores]
        there = set(connection.scalars(select(score.c.forecast).where(score.c.forecast.in_(asked))))
        new = [vars(one) for one in scores if one.forecast not in there]
        if new:
            connection.execute(insert(score), new)
    return len(new)


def unscored(engine: Engine, target: str, until: date) -> list[Matured]:
    """Steps of a target about sessions up to `until` that have no score, oldest first."""
    return _matured(engine, (forecast.c.target == target) & (forecast.c.session <= until) & score.c.forecast.is_(None))


def track(engine: Engine, target: str, symbol: str | None = None) -> list[Matured]:
    """Every step of a target (of one symbol), scored or not, oldest first."""
    mine = forecast.c.target == target
    return _matured(engine, mine if symbol is None else mine & (forecast.c.symbol == symbol))


def history(engine: Engine, symbol: str, limit: int, before: int | None = None) -> list[list[Matured]]:
    """Issued forecasts of a symbol and what came of them, the newest first, each by horizon.

    Arguments:
        limit: Most forecasts.
        before: Only those issued before the one whose first row has this id.
    """
    same = (forecast.c.target, forecast.c.origin, forecast.c.digest)
    first = func.min(forecast.c.id)
    heads = select(first.label("head"), *same).where(forecast.c.symbol == symbol).group_by(*same)
    if before is not None:
        heads = heads.having(first < before)
    page = heads.order_by(first.desc()).limit(limit).subquery()
    with reading(engine).connect() as connection:
        asked = [(row.head, row.target, row.origin, row.digest) for row in connection.execute(select(page))]
    found = []
    for _, target, origin, digest in sorted(asked, reverse=True):
        mine = (forecast.c.symbol == symbol) & (forecast.c.target == target)
        found.append(_matured(engine, mine & (forecast.c.origin == origin) & (forecast.c.digest == digest)))
    return found


def _matured(engine: Engine, where: ColumnElement[bool]) -> list[Matured]:
    query = (
        select(forecast, *(column.label(f"score_{column.name}") for column in score.c))
        .outerjoin(score, score.c.forecast == forecast.c.id)
        .where(where)
        .order_by(forecast.c.origin, forecast.c.issued_at, forecast.c.symbol, forecast.c.horizon)
    )
    with reading(engine).connect() as connection:
        return [_row(row) for row in connection.execute(query)]


def _row(row: Row[Any]) -> Matured:
    said = dict(row._mapping)
    scored = {name.removeprefix("score_"): said.pop(name) for name in list(said) if name.startswith("score_")}
    number = said.pop("id")
    return Matured(number, Entry(**said), None if scored["forecast"] is None else Score(**scored))
