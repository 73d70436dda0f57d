"""Does it run, can it answer?"""

from dataclasses import asdict

from fastapi import APIRouter, HTTPException

from serving.engine import ChampionEngine
from serving.problems import documented
from serving.routes import Engine
from serving.schemas.operation import Health, Ready

router = APIRouter()


@router.get("/healthz", summary="Does the process run?", tags=["operation"], responses=documented(500))
async def health() -> Health:
    """Never touches the database: a process is not restarted because something else is away."""
    return Health(status="ok")


@router.get("/readyz", summary="Can it answer?", tags=["operation"], responses=documented(500, 503))
async def ready(engine: Engine) -> Ready:
    """Ready once a champion is loaded; the database may be away, and a bad newer champion may have been refused."""
    if not engine.loaded:
        raise HTTPException(503, _what_to_do(engine))
    loaded = [one.champion for one in engine.loaded]
    return Ready(
        status="ready",
        champions=[Ready.Champion(target=one.target, version=one.version, digest=one.digest) for one in loaded],
        database=engine.database.state,
        refused=[Ready.Refused(**asdict(one)) for one in engine.refused],
    )


def _what_to_do(engine: ChampionEngine) -> str:
    reasons = [f"{one.target}: {one.reason}" for one in engine.refused]
    if engine.database.state != "up":
        reasons.append(f"database {engine.database.state}: {engine.database.advice}")
    return "no champion is loaded; " + ("; ".join(reasons) or "run `forecaster promote`")
