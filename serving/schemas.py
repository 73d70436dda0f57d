"""What the service answers, with units."""

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from forecaster.contract import Frozen
from serving.database import State


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


class Outcome(Frozen):
    """One session ahead, and what came of it."""

    horizon: int = Field(description="Sessions ahead of the origin, from 1.", examples=[1])
    session: date = Field(description="The trading date it is about.", examples=["2018-12-31"])
    price_quantiles: list[float] = Field(description="What was stated; one a level, ascending.", examples=[[6400.1]])
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


class ChampionAnswer(Frozen):
    """The model in charge of a target."""

    target: str = Field(description="Symbol, kind and longest horizon.", examples=["^IXIC-return-5"])
    symbols: list[str] = Field(description="What it forecasts.", examples=[["^IXIC"]])
    horizon: int = Field(description="Sessions ahead.", examples=[5])
    family: str = Field(description="Kind of model.", examples=["lstm"])
    name: str = Field(description="Name of its run.", examples=["demo"])
    version: int = Field(description="Of the target's champions, counted from 1.", examples=[3])
    digest: str = Field(description="SHA-256 of its artifact.")
    promoted_at: datetime = Field(description="When it was put in charge (UTC).")
    reason: str = Field(description="Why.", examples=["no candidate beats the random walk"])
    passed: bool = Field(description="Whether it passed the gate; false: it is the random walk, by default.")
    trained_until: date = Field(description="Nothing later was read for its weights.", examples=["2016-12-30"])
    snapshot: str = Field(description="Digest of the data it was trained on.")
    levels: list[float] = Field(description="Quantile levels it answers.", examples=[[0.05, 0.5, 0.95]])
    channels: list[str] = Field(description="What it sees of each session.", examples=[["log_return"]])
    context: int = Field(description="Sessions it sees.", examples=[64])


class Health(Frozen):
    """The process runs."""

    status: Literal["ok"] = Field(description='Always "ok".', examples=["ok"])


class Ready(Frozen):
    """The service answers, and with what."""

    class Champion(Frozen):
        """A champion that answers."""

        target: str = Field(description="What it is in charge of.", examples=["^IXIC-return-5"])
        version: int = Field(description="Of the target's champions, counted from 1.", examples=[3])
        digest: str = Field(description="SHA-256 of its artifact.")

    class Refused(Frozen):
        """A promoted artifact that was not trusted; the champion before it, if any, goes on answering."""

        target: str = Field(description="What it was to be in charge of.", examples=["^IXIC-return-5"])
        digest: str = Field(description="What it should have been.")
        reason: str = Field(description="What was wrong with it.")

    status: Literal["ready"] = Field(description='Always "ready".', examples=["ready"])
    champions: list[Champion]
    database: State = Field(description='"up", "away" or "outdated" (needs a migration).', examples=["up"])
    refused: list[Refused]


class Problem(Frozen):
    """Why there is no answer (RFC 9457)."""

    type: str = Field(description="What kind of problem.", examples=["urn:forecaster:unknown-symbol"])
    title: str = Field(description="The kind, in words.", examples=["Unknown symbol"])
    status: int = Field(description="HTTP status.", examples=[404])
    detail: str | None = Field(default=None, description="This problem, and what to do about it.")
    errors: list[str] | None = Field(default=None, description="What is wrong with the request, one a parameter.")
