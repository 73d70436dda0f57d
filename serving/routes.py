"""The routes: what can be asked."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request

from forecaster.contract import SYMBOL
from forecaster.errors import NoChampion
from serving.engine import ChampionEngine, Loaded
from serving.forecasts import latest_forecast
from serving.problems import documented
from serving.record import past_forecasts, track_record
from serving.schemas import ChampionAnswer, Forecast, Health, History, Ready, TrackRecord

Clock = Callable[[], datetime]

router = APIRouter()


async def _engine(request: Request) -> ChampionEngine:
    engine: ChampionEngine = request.app.state.engine
    return engine


async def _now(request: Request) -> datetime:
    clock: Clock = request.app.state.clock
    return clock()


Engine = Annotated[ChampionEngine, Depends(_engine)]
Now = Annotated[datetime, Depends(_now)]
Named = Annotated[str, Path(pattern=f"^{SYMBOL.pattern}$", description="Capital letters, digits and ^ . - =")]
Symbol = Annotated[str | None, Query(pattern=f"^{SYMBOL.pattern}$", description="May be left out where there is one.")]

Limit = Annotated[int, Query(ge=1, le=500, description="Most forecasts of a page.")]
Cursor = Annotated[str | None, Query(pattern=r"^[0-9]{1,18}$", description="`next` of the page before.")]


@router.get(
    "/v1/forecasts/{symbol}",
    summary="The newest forecast of a symbol",
    tags=["forecasts"],
    responses=documented(404, 422, 500, 503),
)
def forecast(symbol: Named, engine: Engine, now: Now) -> Forecast:
    """As it was issued, with the model that made it, its age, and whether any model beats the random walk at all."""
    return latest_forecast(engine.store, symbol, now.astimezone(UTC).date())


@router.get(
    "/v1/forecasts/{symbol}/history",
    summary="Forecasts as they were issued, with what came",
    tags=["forecasts"],
    responses=documented(404, 422, 500, 503),
)
def history(symbol: Named, engine: Engine, limit: Limit = 50, cursor: Cursor = None) -> History:
    """The newest first, page by page: pass `next` as `cursor`."""
    return past_forecasts(engine.store, symbol, limit, None if cursor is None else int(cursor))


@router.get(
    "/v1/track-record",
    summary="What issued forecasts came to",
    tags=["forecasts"],
    responses=documented(404, 422, 500, 503),
)
def record(engine: Engine, now: Now, symbol: Symbol = None) -> TrackRecord:
    """Live skill against the random walk and coverage, by horizon; backfilled forecasts stand apart."""
    found = _in_charge(engine, symbol)
    return track_record(engine.store, found.champion.target, symbol, now.astimezone(UTC).date())


@router.get(
    "/v1/models/champion",
    summary="The model in charge",
    tags=["models"],
    responses=documented(404, 422, 500),
)
async def champion(engine: Engine, symbol: Symbol = None) -> ChampionAnswer:
    """What it is, what it was trained on, when and why it was put in charge."""
    return _describe(_in_charge(engine, symbol))


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


def _in_charge(engine: ChampionEngine, symbol: str | None) -> Loaded:
    """The champion of a symbol, or the only one there is."""
    found = [one for one in engine.loaded if symbol is None or symbol in one.runtime.manifest.target.symbols]
    if not found:
        raise NoChampion(symbol or "any target")
    if len(found) > 1:
        raise HTTPException(422, f"there are several champions; name one with ?symbol=: {', '.join(engine.symbols)}")
    return found[0]


def _what_to_do(engine: ChampionEngine) -> str:
    reasons = [f"{one.target}: {one.reason}" for one in engine.refused]
    if engine.database.state != "up":
        reasons.append(f"database {engine.database.state}: {engine.database.advice}")
    return "no champion is loaded; " + ("; ".join(reasons) or "run `forecaster promote`")


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
