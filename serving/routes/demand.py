"""Forecasts made on demand: from the store as of a day, and from the caller's own rows; neither is written down."""

import logging
from datetime import UTC, datetime, time

from fastapi import APIRouter, Request, Response

from forecaster.errors import ForecasterError
from serving.bodies import BodyRoute, refused
from serving.demand import forecasts_on_demand
from serving.engine import ChampionEngine, Loaded
from serving.forecasts import narrowed
from serving.limits import Slots
from serving.prediction import predict
from serving.problems import INTERNAL, documented, kind_of
from serving.routes import in_a_slot
from serving.schemas.demand import Demand, OnDemand, OnDemandForecasts, Prediction, Rows, SymbolProblem

log = logging.getLogger(__name__)

router = APIRouter(route_class=BodyRoute, tags=["on demand"])

_SERVERS_FAULT = 500


@router.post(
    "/v1/forecasts",
    summary="Forecasts of some symbols, now or as of a day",
    response_model=OnDemandForecasts,
    responses=documented(404, 415, 422, 500, 503),
)
async def forecasts(request: Request, asked: Demand) -> Response:
    """By the champions in charge, from what the store knew by then; not issued, and part of no record.

    A symbol that cannot be forecast is named among the problems. Where none can be, the first one's problem is the
    answer.
    """
    now = request.app.state.clock().astimezone(UTC)
    today, moment = now.date(), now
    if asked.as_of is not None:
        if asked.as_of > today:
            raise refused(f"at most today, {today}", "as_of")
        moment = min(now, datetime.combine(asked.as_of, time.max, UTC))
    engine: ChampionEngine = request.app.state.engine
    found = await in_a_slot(request, forecasts_on_demand, engine, asked.symbols, asked.target, moment, today)
    problems = {symbol: one for symbol, one in found.items() if isinstance(one, ForecasterError)}
    if len(problems) == len(found):
        raise next(iter(problems.values()))
    made = [one for one in found.values() if isinstance(one, OnDemand)]
    most = min(len(one.steps) for one in made)
    if asked.horizon is not None and asked.horizon > most:
        raise refused(f"at most {most}", "horizon")
    return _json(
        OnDemandForecasts(
            as_of=moment,
            forecasts=[narrowed(one, asked.horizon, asked.levels) for one in made],
            problems=[_problem(symbol, error) for symbol, error in problems.items()],
        ).model_dump_json()
    )


@router.post(
    "/v1/predict",
    summary="A raw forecast from the caller's own rows",
    response_model=Prediction,
    responses=documented(404, 415, 422, 500, 503),
)
async def prediction(request: Request, asked: Rows) -> Response:
    """For a series that the store does not know. Nothing of it was ever scored: raw, and without a track record."""
    engine: ChampionEngine = request.app.state.engine
    loaded = engine.in_charge(target=asked.target)
    runs: Slots = request.app.state.runs
    if loaded.quick and asked.paths is None:
        return _json(await runs.run_here(_predicted, loaded, asked))
    return _json(await runs.run(request, _predicted, loaded, asked))


def _predicted(loaded: Loaded, asked: Rows) -> str:
    return predict(loaded, asked).model_dump_json()


def _json(body: str) -> Response:
    return Response(body, media_type="application/json")


def _problem(symbol: str, error: ForecasterError) -> SymbolProblem:
    kind = kind_of(type(error)) or INTERNAL
    if kind.status >= _SERVERS_FAULT:
        log.error("%s on demand: %s", kind.slug, error)
    return SymbolProblem(
        symbol=symbol,
        type=f"urn:forecaster:{kind.slug}",
        title=kind.title,
        status=kind.status,
        detail=None if kind.status == _SERVERS_FAULT else str(error),
    )
