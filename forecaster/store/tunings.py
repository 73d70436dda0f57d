"""Tunings at rest: how many configurations were looked at before one was chosen. Rows are only ever added."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, func, insert, select

from forecaster.store.database import reading
from forecaster.store.schema import tuning


@dataclass(frozen=True)
class Tuning:
    """Where a tuning stands after a batch of trials; a later row of the same study has all that an earlier one has."""

    study: str
    """Digest of all that decides what a trial gives."""
    asked: int
    """Trials so far, whatever became of them."""
    target: str
    family: str
    name: str
    """Of the model in its run."""
    snapshot: str
    trials: int
    """Different configurations that were trained: what was looked at before the best was chosen."""
    pruned: int
    """Of them, those that were given up."""
    refused: int
    """Configurations that were never trained."""
    best_skill: float | None
    """On the validation years, against the random walk; None while no trial was trained to its end."""
    config: dict[str, Any]
    """`model` and `training` of the best."""


def add_tuning(engine: Engine, entry: Tuning, now: datetime) -> None:
    """Write down where a tuning stands, once."""
    there = (tuning.c.study == entry.study) & (tuning.c.asked == entry.asked)
    with engine.begin() as connection:
        if connection.scalar(select(tuning.c.study).where(there)) is None:
            connection.execute(insert(tuning).values(created_at=now, **vars(entry)))


def count_trials(engine: Engine, target: str) -> int:
    """How many configurations tuning has trained for a target, over all its studies."""
    by_study = (
        select(func.max(tuning.c.trials).label("trials"))
        .where(tuning.c.target == target)
        .group_by(tuning.c.study)
        .subquery()
    )
    with reading(engine).connect() as connection:
        return int(connection.scalar(select(func.coalesce(func.sum(by_study.c.trials), 0))) or 0)
