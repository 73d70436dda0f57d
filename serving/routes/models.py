"""The models that are or were in charge."""

from fastapi import APIRouter

from serving.engine import Loaded
from serving.problems import documented
from serving.routes import Engine, Symbol
from serving.schemas.models import ChampionAnswer

router = APIRouter()


@router.get(
    "/v1/models/champion",
    summary="The model in charge",
    tags=["models"],
    responses=documented(404, 422, 500),
)
async def champion(engine: Engine, symbol: Symbol = None) -> ChampionAnswer:
    """What it is, what it was trained on, when and why it was put in charge."""
    return _describe(engine.in_charge(symbol))


def _describe(loaded: Loaded) -> ChampionAnswer:
    champion, manifest = loaded.champion, loaded.runtime.manifest
    return ChampionAnswer(
        target=champion.target,
        symbols=list(manifest.target.symbols),
        horizon=manifest.target.horizon,
        family=manifest.family,
        name=manifest.name,
        version=champion.version,
        digest=champion.digest,
        promoted_at=champion.created_at,
        reason=champion.decision["reason"],
        passed=champion.decision["passed"],
        trained_until=manifest.trained_until,
        snapshot=manifest.snapshot,
        levels=list(manifest.levels),
        channels=list(manifest.window.channels),
        context=manifest.window.context,
    )
