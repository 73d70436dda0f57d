"""Issued forecasts, what came of them, and the prices behind them."""

from datetime import UTC
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, Field
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from forecaster.contract import LEVELS
from serving.bars import newest_bars
from serving.book import Book
from serving.forecasts import narrowed
from serving.issued import issued_forecast
from serving.problems import documented
from serving.record import past_forecasts, track_record
from serving.routes import Day, Engine, Named, Now, Symbol, Target, Wanted, in_a_slot
from serving.schemas.bars import Bars
from serving.schemas.forecasts import Forecast
from serving.schemas.record import History, TrackRecord
from serving.tagged import TAGGED, Answer, tagged

router = APIRouter()

_LATEST = "/v1/forecasts/"
_ANSWER = "forecaster.answer"


def _on_grid(level: float) -> float:
    if level not in LEVELS:
        raise ValueError(f"a level is one of {', '.join(map(str, LEVELS))}")
    return level


Level = Annotated[float, AfterValidator(_on_grid), Field(json_schema_extra={"enum": list(LEVELS)})]


class WhichForecast(Wanted):
    """Which forecast of a symbol, and how much of it."""

    as_of: Day | None = Field(default=None, description="The newest that had been issued by the end of that day, UTC.")
    horizon: int | None = Field(default=None, ge=1, le=720, description="Only steps up to so many sessions ahead.")
    levels: list[Level] | None = Field(default=None, max_length=len(LEVELS), description="Only these quantile levels.")
    target: Target = None


class Page(Wanted):
    """Which part of a history."""

    limit: int = Field(default=50, ge=1, le=500, description="Most forecasts of a page.")
    cursor: str | None = Field(default=None, pattern=r"^[0-9]{1,18}$", description="`next` of the page before.")
    target: Target = None


class WhoseRecord(Wanted):
    """Whose track record."""

    symbol: Symbol = None
    target: Target = None


class HowMany(Wanted):
    """How far back."""

    limit: int = Field(default=250, ge=1, le=2000, description="Most bars.")


class FromBook(Route):
    """The newest forecast of a symbol, from the book: the short way past FastAPI, for a plain question it can answer.

    Matches nothing else, so that all the rest reaches the documented route of the same path.
    """

    def __init__(self, book: Book) -> None:
        super().__init__(f"{_LATEST}{{symbol}}", self._respond, methods=["GET"], include_in_schema=False)
        self._book = book

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether this request is such a question."""
        if scope["type"] == "http" and scope["method"] == "GET" and not scope["query_string"]:
            path = scope["path"]
            answer = self._book.get(path[len(_LATEST) :]) if path.startswith(_LATEST) else None
            if answer is not None:
                return Match.FULL, {"endpoint": self.endpoint, "route": self, "path_params": {}, _ANSWER: answer}
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        await self._respond(scope, receive, send)

    async def _respond(self, scope: Scope, _receive: Receive, send: Send) -> None:
        answer: Answer = scope[_ANSWER]
        known = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"if-none-match"), None)
        response = answer.to(known)
        # The headers as a list of this request's own: whoever stands in front may add some.
        await send({"type": "http.response.start", "status": response.status_code, "headers": [*response.raw_headers]})
        await send({"type": "http.response.body", "body": response.body})


@router.get(
    "/v1/forecasts/{symbol}",
    summary="The newest forecast of a symbol",
    tags=["forecasts"],
    response_model=Forecast,
    responses=documented(404, 422, 500, 503) | TAGGED,
)
async def forecast(
    request: Request, symbol: Named, engine: Engine, now: Now, which: Annotated[WhichForecast, Query()]
) -> Response:
    """As it was issued, with the model that made it, its age, its live record, and the random walk beside it."""
    today = now.astimezone(UTC).date()
    if which.as_of is not None and which.as_of > today:
        raise _beyond("as_of", f"at most today, {today}")
    found = await in_a_slot(request, issued_forecast, engine.store, symbol, today, which.as_of, which.target)
    if which.horizon is not None and which.horizon > len(found.steps):
        raise _beyond("horizon", f"at most {len(found.steps)}")
    return tagged(request, narrowed(found, which.horizon, which.levels))


def _beyond(name: str, limit: str) -> RequestValidationError:
    return RequestValidationError([{"loc": ("query", name), "msg": limit, "type": "limit"}])


@router.get(
    "/v1/forecasts/{symbol}/history",
    summary="Forecasts as they were issued, with what came",
    tags=["forecasts"],
    response_model=History,
    responses=documented(404, 422, 500, 503) | TAGGED,
)
async def history(request: Request, symbol: Named, engine: Engine, page: Annotated[Page, Query()]) -> Response:
    """The newest first, page by page: pass `next` as `cursor`."""
    before = None if page.cursor is None else int(page.cursor)
    return tagged(
        request, await in_a_slot(request, past_forecasts, engine.store, symbol, page.limit, before, page.target)
    )


@router.get(
    "/v1/track-record",
    summary="What issued forecasts came to",
    tags=["forecasts"],
    response_model=TrackRecord,
    responses=documented(404, 422, 500, 503) | TAGGED,
)
async def record(request: Request, engine: Engine, now: Now, whose: Annotated[WhoseRecord, Query()]) -> Response:
    """Live skill against the random walk and coverage, by horizon; backfilled forecasts stand apart."""
    target = engine.in_charge(whose.symbol, whose.target).champion.target
    today = now.astimezone(UTC).date()
    return tagged(request, await in_a_slot(request, track_record, engine.store, target, whose.symbol, today))


@router.get(
    "/v1/bars/{symbol}",
    summary="Prices as they are known now",
    tags=["forecasts"],
    response_model=Bars,
    responses=documented(404, 422, 500, 503) | TAGGED,
)
async def bars(
    request: Request, symbol: Named, engine: Engine, now: Now, many: Annotated[HowMany, Query()]
) -> Response:
    """The newest settled bars, the oldest of them first, in shares of the newest; of a series its values."""
    return tagged(request, await in_a_slot(request, newest_bars, engine.store, symbol, many.limit, now))
