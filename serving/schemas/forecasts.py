"""A forecast, as it is answered."""

from datetime import date, datetime

from pydantic import Field

from forecaster.contract import Frozen


class Model(Frozen):
    """The model that made a forecast."""

    family: str = Field(description="Kind of model.", examples=["lstm"])
    version: int = Field(description="Of the target's champions, counted from 1.", examples=[3])
    digest: str = Field(description="SHA-256 of its artifact; the same digest gives the same forecast.")


class Step(Frozen):
    """One session ahead."""

    horizon: int = Field(description="Sessions ahead of the origin, from 1.", examples=[1])
    session: date = Field(description="The trading date it is about, in the venue's calendar.", examples=["2018-12-31"])
    price_quantiles: list[float] = Field(
        description="Close of that session, in the instrument's currency (a series: its value, in its unit); "
        "one a level, ascending.",
        examples=[[6400.1, 6584.5, 6770.2]],
    )
    return_quantiles: list[float] = Field(
        description="Cumulative log return from the origin's close (0.01 is about 1 %; a series: change of its value); "
        "one a level, ascending.",
        examples=[[-0.028, 0.0, 0.028]],
    )


class Forecast(Frozen):
    """The newest forecast of a symbol, as it was issued."""

    symbol: str = Field(description="What is forecast.", examples=["^IXIC"])
    target: str = Field(description="Symbol, kind and longest horizon.", examples=["^IXIC-return-5"])
    origin: date = Field(description="Last session known when it was made.", examples=["2018-12-28"])
    origin_close: float = Field(
        description="Close of the origin, in the instrument's currency; of a series its value.", examples=[6584.52]
    )
    issued_at: datetime = Field(description="When it was written down (UTC); it is never edited afterwards.")
    model: Model
    levels: list[float] = Field(description="Quantile levels, between 0 and 1.", examples=[[0.05, 0.5, 0.95]])
    steps: list[Step] = Field(description="By horizon.")
    age_days: int = Field(description="Calendar days from the origin to now.", examples=[1])
    stale: bool = Field(
        description="Newer prices exist that it does not know: older than a long weekend, or a fetch failed."
    )
    no_skill: bool = Field(description="No model has beaten the random walk, so this is the random walk's forecast.")
    reason: str = Field(description="Why the model is in charge.", examples=["no candidate beats the random walk"])
