"""Does it run, can it answer, how does it do?"""

from dataclasses import asdict

from fastapi import APIRouter, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from serving.engine import ChampionEngine
from serving.problems import RETRY_SECONDS, documented
from serving.routes import Engine
from serving.schemas.operation import Health, Ready

router = APIRouter(tags=["operation"])


@router.get("/healthz", summary="Does the process run?", responses=documented(public=True))
async def health() -> Health:
    """Never touches the database: a process is not restarted because something else is away."""
    return Health(status="ok")


@router.get("/readyz", summary="Can it answer?", responses=documented(503, public=True))
async def ready(request: Request, engine: Engine) -> Ready:
    """Ready once a champion is loaded; the database may be away, and a bad newer champion may have been refused."""
    if request.app.state.door.draining:
        raise _not_ready("it is about to stop; ask another")
    if not engine.loaded:
        raise _not_ready(_what_to_do(engine))
    loaded = [one.champion for one in engine.loaded]
    return Ready(
        status="ready",
        champions=[Ready.Champion(target=one.target, version=one.version, digest=one.digest) for one in loaded],
        database=engine.database.state,
        refused=[Ready.Refused(**asdict(one)) for one in engine.refused],
    )


@router.get(
    "/metrics",
    summary="What Prometheus collects",
    response_class=Response,
    responses={**documented(), 200: {"content": {"text/plain": {}}}},
)
async def metrics(request: Request) -> Response:
    """Requests by route, what was refused and why, what is going on, and what is in charge."""
    return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


def _not_ready(reason: str) -> HTTPException:
    return HTTPException(503, reason, {"Retry-After": str(RETRY_SECONDS)})


def _what_to_do(engine: ChampionEngine) -> str:
    reasons = [f"{one.target}: {one.reason}" for one in engine.refused]
    if engine.database.state != "up":
        reasons.append(f"database {engine.database.state}: {engine.database.advice}")
    return "no champion is loaded; " + ("; ".join(reasons) or "run `forecaster promote`")
