"""What is made on demand, as it is asked and answered."""

import re
from datetime import date, datetime
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, FailFast, Field, StringConstraints

from forecaster.contract import LEVELS, SYMBOL, Frozen
from serving.bodies import Body
from serving.routes import Target
from serving.routes.forecasts import Level
from serving.schemas.forecasts import Forecast, Model

Each = TypeVar("Each")


def _unique(values: list[Each] | None) -> list[Each] | None:
    if values is not None and len(set(values)) < len(values):
        raise ValueError("one is named twice")
    return values


def _day(text: object) -> date:
    """Only 2018-12-28: a strict date reads no JSON, and another one reads timestamps."""
    if not (isinstance(text, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text)):
        raise ValueError("write a date as 2018-12-28")
    return date.fromisoformat(text)


Day = Annotated[date, BeforeValidator(_day)]
Symbols = Annotated[
    list[Annotated[str, StringConstraints(pattern=f"^{SYMBOL.pattern}$")]],
    Field(min_length=1, max_length=100, json_schema_extra={"uniqueItems": True}, examples=[["^IXIC"]]),
    AfterValidator(_unique),
]
Levels = Annotated[
    list[Level],
    Field(min_length=1, max_length=len(LEVELS), json_schema_extra={"uniqueItems": True}, examples=[[0.05, 0.5, 0.95]]),
    AfterValidator(_unique),
]
Row = Annotated[list[float], FailFast(), Field(min_length=1, max_length=256)]


class Demand(Body):
    """Which forecasts to make, and how much of them."""

    symbols: Symbols = Field(description="At most 100, each once.")
    as_of: Day | None = Field(
        default=None,
        description="From what was known by the end of that day, UTC; null for now.",
        examples=["2018-12-28"],
    )
    horizon: int | None = Field(
        default=None, ge=1, le=720, description="Only steps up to so many sessions ahead.", examples=[5]
    )
    levels: Levels | None = Field(default=None, description="Only these quantile levels.")
    target: Target = None


class Paths(Body):
    """Sample paths: whole futures, whose marginals are the quantiles."""

    count: int = Field(ge=1, le=1000, description="How many.", examples=[100])
    seed: int = Field(ge=0, lt=2**53, description="The same seed gives the same paths.", examples=[0])


class Rows(Body):
    """A series that the store does not know, as the model in charge is to see it."""

    context: Annotated[list[Row], FailFast()] = Field(
        min_length=1,
        max_length=4096,
        description="Rows, oldest first, each with the model's channels in their order (`/v1/models` names them; the "
        "channel `symbol` is left out); at least as many as its context has, of which the last are used.",
        examples=[[[0.012, -0.4], [-0.003, 0.1]] * 4],
    )
    close: float = Field(description="Close of the last row, above 0; at a level target the level.", examples=[100.0])
    horizon: int | None = Field(
        default=None, ge=1, le=720, description="Only steps up to so many sessions ahead.", examples=[5]
    )
    levels: Levels | None = Field(default=None, description="Only these quantile levels.")
    paths: Paths | None = Field(default=None, description="Sample paths besides; null for none.")
    target: Target = None


class OnDemand(Forecast):
    """A forecast that was not issued: nobody wrote it down before the price came."""

    in_sample: bool = Field(description="Whether the model was trained or chosen on prices of after the origin.")


class SymbolProblem(Frozen):
    """Why there is no forecast of one of the symbols."""

    symbol: str = Field(description="Which.", examples=["MSFT"])
    type: str = Field(description="What kind of problem.", examples=["urn:forecaster:no-champion"])
    title: str = Field(description="The kind, in words.", examples=["No champion yet"])
    status: int = Field(description="HTTP status, had it been asked for alone.", examples=[404])
    detail: str | None = Field(description="This problem, and what to do about it.")


class OnDemandForecasts(Frozen):
    """Forecasts of some symbols, in the order in which they were asked for."""

    as_of: datetime = Field(description="Made from what was known by this moment (UTC).")
    forecasts: list[OnDemand]
    problems: list[SymbolProblem] = Field(description="Symbols without one; the others are answered all the same.")


class PredictedStep(Frozen):
    """One session ahead of the last row."""

    horizon: int = Field(description="Sessions ahead, from 1.", examples=[1])
    price_quantiles: list[float] = Field(
        description="Close of that session, in the unit of `close`; one a level, ascending.",
        examples=[[97.2, 100.0, 102.9]],
    )
    return_quantiles: list[float] = Field(
        description="Cumulative log return from `close` (of a level: change from it); one a level, ascending.",
        examples=[[-0.028, 0.0, 0.028]],
    )
    walk_price_quantiles: list[float] | None = Field(
        description="The same by the random walk, from the same rows; null where the promotion names none.",
        examples=[[97.1, 100.0, 103.0]],
    )


class Prediction(Frozen):
    """What the model in charge says of rows that it was handed."""

    target: str = Field(description="What the model was made for.", examples=["^IXIC-return-5"])
    model: Model
    calibrated: bool = Field(description="Always false: nothing of this series was ever scored.")
    issued: bool = Field(description="Always false: it is not written down.")
    remark: str = Field(description="What it lacks.", examples=["raw: not calibrated and without a track record"])
    no_skill: bool = Field(description="No model has beaten the random walk, so this is the random walk's forecast.")
    reason: str = Field(description="Why the model is in charge.", examples=["no candidate beats the random walk"])
    levels: list[float] = Field(description="Quantile levels, between 0 and 1.", examples=[[0.05, 0.5, 0.95]])
    steps: list[PredictedStep] = Field(description="By horizon.")
    paths: list[list[float]] | None = Field(
        description="Sample paths, each by horizon, in the unit of `close`; null unless asked for. Their marginals are "
        "the quantiles; the steps hang together as a random walk's.",
        examples=[[[100.4, 101.1], [99.2, 99.9]]],
    )
