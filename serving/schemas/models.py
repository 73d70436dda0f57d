"""A model, as it is answered."""

from datetime import date, datetime

from pydantic import Field

from forecaster.contract import Frozen


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
