"""Issued forecasts, and what came of them."""

from datetime import UTC
from typing import Annotated

from fastapi import APIRouter, Query

from serving.forecasts import latest_forecast
from serving.problems import documented
from serving.record import past_forecasts, track_record
from serving.routes import Engine, Named, Now, Symbol
from serving.schemas.forecasts import Forecast
from serving.schemas.record import History, TrackRecord

router = APIRouter()

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
    found = engine.in_charge(symbol)
    return track_record(engine.store, found.champion.target, symbol, now.astimezone(UTC).date())
