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
    walk_price_quantiles: list[float] | None = Field(
        description="The same close by the random walk from the same origin; null where none was made beside it.",
        examples=[[6402.3, 6584.5, 6768.0]],
    )


class Trailing(Frozen):
    """What live forecasts of this target and symbol came to over the last 252 scored sessions, at one horizon."""

    horizon: int = Field(description="Sessions ahead.", examples=[1])
    n: int = Field(description="Sessions that were scored; 0 until forecasts have matured.", examples=[212])
    skill: float | None = Field(
        description="Share of the random walk's error that was saved; null while nothing was scored beside it.",
        examples=[0.012],
    )
    skill_se: float | None = Field(
        description="Its standard error; null where n is too small to tell.", examples=[0.006]
    )
    coverage: dict[str, float] = Field(
        description="Central interval to the share of outcomes inside; empty while n is 0.", examples=[{"80%": 0.81}]
    )


class Forecast(Frozen):
    """A forecast of a symbol, with what is known of the model behind it."""

    symbol: str = Field(description="What is forecast.", examples=["^IXIC"])
    target: str = Field(description="Symbol, kind and longest horizon.", examples=["^IXIC-return-5"])
    issued: bool = Field(
        description="Whether it stands in the ledger, to be scored. False: made on demand, and part of no record."
    )
    issued_at: datetime | None = Field(
        description="When it was written down (UTC); it is never edited afterwards. Null where it was not issued."
    )
    origin: date = Field(description="Last session known when it was made.", examples=["2018-12-28"])
    origin_close: float = Field(
        description="Close of the origin, in the instrument's currency; of a series its value.", examples=[6584.52]
    )
    data_until: date = Field(
        description="Last session that was read to train the model, or to choose among its weights.",
        examples=["2017-12-29"],
    )
    model: Model
    calibrated: bool = Field(description="Whether quantiles were moved by what had been scored of the same recipe.")
    calibration: str | None = Field(description="SHA-256 of the state that moved them; null where nothing did.")
    levels: list[float] = Field(description="Quantile levels, between 0 and 1.", examples=[[0.05, 0.5, 0.95]])
    steps: list[Step] = Field(description="By horizon.")
    age_days: int = Field(description="Calendar days from the origin to now.", examples=[1])
    stale: bool = Field(
        description="Newer prices exist that it does not know: older than a long weekend, or a fetch failed."
    )
    trailing: list[Trailing] = Field(description="The live record, by horizon; never the backtest's.")
    no_skill: bool = Field(description="No model has beaten the random walk, so this is the random walk's forecast.")
    reason: str = Field(description="Why the model is in charge.", examples=["no candidate beats the random walk"])
    remark: str | None = Field(
        description="Said where there is no skill: nothing passed the gate, or the live record has none.",
        examples=["no skill over the random walk"],
    )
