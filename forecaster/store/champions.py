"""Which artifact answers now: one row a target, moved by compare-and-set, with every move on record."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, insert, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from forecaster.errors import ArtifactMissing, NoChampion, PromotionConflict
from forecaster.store.challenges import Challenge, add_challenge
from forecaster.store.database import reading
from forecaster.store.schema import artifact, champion, promotion


@dataclass(frozen=True)
class Champion:
    """The artifact in charge of a target."""

    target: str
    digest: str
    version: int
    """1 for the first promotion, counting up."""
    decision: dict[str, Any]
    """What the gate said."""
    created_at: datetime


def find_champion(engine: Engine, target: str) -> Champion | None:
    """The champion of a target, if there is one."""
    found = [one for one in all_champions(engine) if one.target == target]
    return found[0] if found else None


def require_champion(engine: Engine, target: str) -> Champion:
    """The champion of a target.

    Raises:
        NoChampion: Nothing has been promoted yet.
    """
    found = find_champion(engine, target)
    if found is None:
        raise NoChampion(target)
    return found


def all_champions(engine: Engine) -> list[Champion]:
    """The champion of every target, by target."""
    same = (promotion.c.target == champion.c.target) & (promotion.c.version == champion.c.version)
    query = (
        select(champion, promotion.c.decision, promotion.c.created_at).join(promotion, same).order_by(champion.c.target)
    )
    with reading(engine).connect() as connection:
        return [
            Champion(row.target, row.digest, row.version, row.decision, row.created_at)
            for row in connection.execute(query)
        ]


def crown(
    engine: Engine,
    target: str,
    digest: str,
    expected: Champion | None,
    decision: dict[str, Any],
    now: datetime,
    challenge: Challenge | None = None,
) -> Champion:
    """Make `digest` the champion if `expected` is still in charge: one conditional statement, one transaction.

    Arguments:
        challenge: Written down with it, if a challenge led here.

    Raises:
        PromotionConflict: Somebody else was faster; nothing has changed.
        ArtifactMissing: The store has no such artifact.
    """
    version = 1 if expected is None else expected.version + 1
    record = {
        "target": target,
        "version": version,
        "digest": digest,
        "previous": None if expected is None else expected.digest,
        "decision": decision,
        "created_at": now,
    }
    try:
        with engine.begin() as connection:
            if connection.scalar(select(artifact.c.digest).where(artifact.c.digest == digest)) is None:
                raise ArtifactMissing(digest)
            if expected is None:
                connection.execute(insert(champion).values(target=target, digest=digest, version=version))
            else:
                mine = (champion.c.target == target) & (champion.c.version == expected.version)
                moved = connection.execute(update(champion).where(mine).values(digest=digest, version=version))
                if moved.rowcount != 1:
                    raise PromotionConflict(target)
            connection.execute(insert(promotion).values(record))
            if challenge is not None:
                add_challenge(connection, challenge)
    except IntegrityError as error:
        raise PromotionConflict(target) from error
    return Champion(target, digest, version, decision, now)


def champion_at(engine: Engine, target: str, moment: datetime) -> Champion | None:
    """Who was in charge of a target at a moment; None before the first promotion."""
    made = [one for one in promotions(engine, target) if one.created_at <= moment]
    return Champion(target, made[0].digest, made[0].version, made[0].decision, made[0].created_at) if made else None


@dataclass(frozen=True)
class Promotion:
    """One move of a target's champion."""

    target: str
    version: int
    digest: str
    previous: str | None
    decision: dict[str, Any]
    created_at: datetime


def promotions(engine: Engine, target: str) -> list[Promotion]:
    """Every move of a target's champion, the newest first."""
    return _promotions(engine, promotion.c.target == target)


def promotions_of(engine: Engine, digest: str) -> list[Promotion]:
    """Every move that put an artifact in charge, the newest first."""
    return _promotions(engine, promotion.c.digest == digest)


def find_promotions(engine: Engine, moves: Collection[tuple[str, int]]) -> dict[tuple[str, int], Promotion]:
    """Moves by target and version; one that was never made is left out."""
    asked = tuple_(promotion.c.target, promotion.c.version).in_(list(moves))
    return {(one.target, one.version): one for one in _promotions(engine, asked)}


def _promotions(engine: Engine, where: ColumnElement[bool]) -> list[Promotion]:
    query = select(promotion).where(where).order_by(promotion.c.version.desc())
    with reading(engine).connect() as connection:
        return [Promotion(*row) for row in connection.execute(query)]
