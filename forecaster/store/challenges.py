"""Looks and challenges at rest: how many recipes' test scores were seen, and what the gate said to each challenge.

Rows are only ever added; the database refuses anything else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, distinct, func, insert, select

from forecaster.store.database import reading
from forecaster.store.schema import challenge, look


@dataclass(frozen=True)
class Challenge:
    """A recipe before the gate."""

    target: str
    number: int
    """From 1, counting up."""
    key: str
    """Digest of candidate, rivals and origins: the same question is put once."""
    recipe: str
    alpha: float
    """What it spent of the year's false promotions."""
    passed: bool
    decision: dict[str, Any]
    """What the gate said."""
    created_at: datetime


def add_looks(engine: Engine, target: str, models: Mapping[str, str], first: date, last: date, now: datetime) -> None:
    """Write down that the scores of recipes on test origins were seen; once since the champion came.

    Arguments:
        models: Recipe to the model's name.
        first: First of the test origins.
        last: Last of them.
    """
    with engine.begin() as connection:
        here = _since_the_champion_came(connection, target) & (look.c.first == first) & (look.c.last == last)
        seen = set(connection.scalars(select(look.c.recipe).where(here)))
        new = [
            {"target": target, "recipe": recipe, "first": first, "last": last, "model": model, "seen_at": now}
            for recipe, model in models.items()
            if recipe not in seen
        ]
        if new:
            connection.execute(insert(look), new)


def count_recipes(engine: Engine, target: str, first: date, last: date) -> int:
    """How many recipes were seen on any of these origins since the champion came, those included that it beat."""
    with reading(engine).connect() as connection:
        overlapping = (look.c.first <= last) & (look.c.last >= first)
        mine = _since_the_champion_came(connection, target) & overlapping
        return int(connection.scalar(select(func.count(distinct(look.c.recipe))).where(mine)) or 0)


def _since_the_champion_came(connection: Connection, target: str) -> ColumnElement[bool]:
    """Looks that count: a refresh or a rollback gives nobody a fresh start, only a challenge that passed does."""
    passed = select(func.max(challenge.c.created_at)).where(challenge.c.target == target, challenge.c.passed)
    came = connection.scalar(passed)
    mine = look.c.target == target
    return mine if came is None else mine & (look.c.seen_at >= came)


def challenges(engine: Engine, target: str, limit: int | None = None) -> list[Challenge]:
    """Challenges of a target, the newest first; all of them without a limit."""
    query = select(challenge).where(challenge.c.target == target).order_by(challenge.c.number.desc()).limit(limit)
    with reading(engine).connect() as connection:
        return [Challenge(*row) for row in connection.execute(query)]


def spending(engine: Engine, target: str) -> list[tuple[datetime, float]]:
    """When each challenge of a target was and what alpha it spent, in order."""
    return [(one.created_at, one.alpha) for one in reversed(challenges(engine, target))]


def find_challenge(engine: Engine, key: str) -> Challenge | None:
    """The challenge of that key, if it was made."""
    with reading(engine).connect() as connection:
        row = connection.execute(select(challenge).where(challenge.c.key == key)).one_or_none()
    return None if row is None else Challenge(*row)


def add_challenge(connection: Connection, entry: Challenge) -> None:
    """Write a challenge down; its number is taken by one only."""
    connection.execute(insert(challenge).values(vars(entry)))
