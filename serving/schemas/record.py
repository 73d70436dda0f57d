"""What came of issued forecasts, as it is answered."""

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from forecaster.contract import Frozen


class Outcome(Frozen):
    """One session ahead, and what came of it."""

    horizon: int = Field(description="Sessions ahead of the origin, from 1.", examples=[1])
    session: date = Field(description="The trading date it is about.", examples=["2018-12-31"])
    price_quantiles: list[float] = Field(description="What was stated; one a level, ascending.", examples=[[6400.1]])
    walk_price_quantiles: list[float] | None = Field(
        description="The random walk's from the same origin; null where none was issued beside it."
    )
    price: float | None = Field(
        description="What came, free of splits since the origin; null while it has not.", examples=[6635.28]
    )
    crps: float | None = Field(
        description="Error of the statement (continuous ranked probability score), in log return or the series' unit; "
        "lower is better.",
        examples=[0.0041],
    )
    crps_walk: float | None = Field(description="The random walk's from the same origin.", examples=[0.0043])


class Past(Frozen):
    """A forecast as it was issued, with what came of it."""

    target: str = Field(description="Symbols, kind and longest horizon.", examples=["^IXIC-return-5"])
    origin: date = Field(description="Last session known when it was made.", examples=["2018-12-28"])
    origin_close: float = Field(description="Close (or value) of the origin.", examples=[6584.52])
    issued_at: datetime = Field(description="When it was written down (UTC).")
    kind: Literal["live", "backfill"] = Field(description="A backfill was made when prices were known.")
    version: int = Field(description="Of the champion that made it.", examples=[3])
    digest: str = Field(description="SHA-256 of its artifact.")
    levels: list[float] = Field(description="Quantile levels.", examples=[[0.05, 0.5, 0.95]])
    steps: list[Outcome] = Field(description="By horizon.")


class History(Frozen):
    """A page of issued forecasts, the newest first."""

    symbol: str = Field(description="What was forecast.", examples=["^IXIC"])
    forecasts: list[Past]
    next: str | None = Field(description="Cursor of the next page; null on the last.", examples=["1201"])


class RecordLine(Frozen):
    """The track record at one horizon."""

    horizon: int = Field(description="Sessions ahead.", examples=[1])
    n: int = Field(description="Sessions that were scored.", examples=[212])
    waiting: int = Field(description="Steps issued whose price has not come.", examples=[2])
    skill: float | None = Field(description="Share of the random walk's error that was saved.", examples=[0.012])
    skill_se: float | None = Field(
        description="Its standard error; null where n is too small to tell.", examples=[0.006]
    )
    coverage: dict[str, float] = Field(
        description="Central interval to the share of outcomes inside.", examples=[{"80%": 0.81}]
    )


class TrackRecord(Frozen):
    """What issued forecasts came to. It is the ledger's, never the backtest's."""

    target: str = Field(description="Symbol, kind and longest horizon.", examples=["^IXIC-return-5"])
    symbol: str | None = Field(description="Null for all symbols of the target.", examples=["^IXIC"])
    until: date = Field(description="Today.", examples=["2018-12-31"])
    live: list[RecordLine]
    backfilled: list[RecordLine] = Field(description="Of forecasts made afterwards; never mixed with the live ones.")
    remark: str | None = Field(description="Said while there is no live record.", examples=["nothing has matured yet"])
