"""The models that are or were in charge, and those that wanted to be."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response

from forecaster.errors import DeadlineExceeded, Overloaded
from serving.database import AWAY
from serving.engine import ChampionEngine, Loaded
from serving.models import describe, find_model, in_charge, leaderboard
from serving.problems import documented
from serving.routes import Engine, Nothing, Symbol, Target, Wanted, in_a_slot, kserve
from serving.schemas.models import Leaderboard, ModelAnswer, Models
from serving.tagged import TAGGED, tagged

router = APIRouter()
router.include_router(kserve.router)

_DIGEST = 64
_UNKNOWN = "no such promotion is on record; /v1/models/champion lists those of its target"

Version = Annotated[
    str,
    Path(
        pattern="^(champion|[1-9][0-9]{0,5}|[0-9a-f]{64})$",
        description="Counted from 1, `champion` for the one in charge, or the SHA-256 of an artifact.",
        examples=["champion"],
    ),
]


class WhichTarget(Wanted):
    """Of which target: by its key, or by a symbol of it."""

    target: Target = None
    symbol: Symbol = None


@router.get(
    "/v1/models",
    summary="The models in charge",
    tags=["models"],
    response_model=Models,
    responses=documented(422) | TAGGED,
)
async def models(request: Request, engine: Engine, _nothing: Nothing) -> Response:
    """One a target, with when and why it was put in charge. From memory: the database may be away."""
    return tagged(request, Models(models=[in_charge(one) for one in engine.loaded]))


@router.get(
    "/v1/models/{version}",
    summary="A model that is or was in charge",
    tags=["models"],
    response_model=ModelAnswer,
    responses=documented(404, 422, 503) | TAGGED,
)
async def model(request: Request, version: Version, engine: Engine, which: Annotated[WhichTarget, Query()]) -> Response:
    """What it is, what it was trained on, what the gate asked, and every change of who is in charge of its target.

    While the database is away, a model that is loaded is described from memory, without those changes.
    """
    target, named, loaded = _which(engine, version, which)
    now = {one.champion.target: one.champion.version for one in engine.loaded}
    if loaded is None or engine.database.state == "up":
        try:
            found = await in_a_slot(request, find_model, engine.store, target, named, now)
        except (*AWAY, DeadlineExceeded, Overloaded):
            if loaded is None:
                raise
        else:
            if found is None:
                raise HTTPException(404, _UNKNOWN)
            return tagged(request, found)
    champion = loaded.champion
    return tagged(request, describe(champion, loaded.runtime.manifest, now[champion.target] == champion.version, None))


def _which(engine: ChampionEngine, version: str, which: WhichTarget) -> tuple[str | None, str, Loaded | None]:
    """The target, the number or digest, and the model itself where it is loaded."""
    anywhere = len(version) == _DIGEST and not which.model_fields_set
    charges = engine.loaded if anywhere else [engine.in_charge(which.symbol, which.target)]
    target = None if anywhere else charges[0].champion.target
    named = str(charges[0].champion.version) if version == "champion" else version
    near = [one for charge in charges for one in (charge, engine.before(charge.champion.target)) if one is not None]
    found = (one for one in near if named in (one.champion.digest, str(one.champion.version)))
    return target, named, next(found, None)


@router.get(
    "/v1/leaderboard",
    summary="Who wanted to be in charge, and what the gate said",
    tags=["models"],
    response_model=Leaderboard,
    responses=documented(404, 422, 503) | TAGGED,
)
async def board(request: Request, engine: Engine, which: Annotated[WhichTarget, Query()]) -> Response:
    """The comparison behind a target's newest decision, every model beside the random walk, and the last decisions."""
    loaded = engine.in_charge(which.symbol, which.target)
    return tagged(request, await in_a_slot(request, leaderboard, engine.store, loaded))
