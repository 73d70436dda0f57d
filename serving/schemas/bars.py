"""Prices as they are known now, as they are answered."""

from datetime import date

from pydantic import Field

from forecaster.contract import Frozen


class Bar(Frozen):
    """One session: open to volume of a symbol, or the value of a series; the other fields are null."""

    session: date = Field(
        description="Trading date, in the venue's calendar; first day of a series' period.", examples=["2018-12-28"]
    )
    open: float | None = Field(default=None, examples=[6616.56])
    high: float | None = Field(default=None, examples=[6686.93])
    low: float | None = Field(default=None, examples=[6546.91])
    close: float | None = Field(default=None, examples=[6584.52])
    volume: float | None = Field(default=None, description="Shares; 0 where the venue counts none.", examples=[2.5e9])
    value: float | None = Field(default=None, description="Of a series, in its unit.")


class Bars(Frozen):
    """The newest settled bars of a symbol, or values of a series."""

    symbol: str = Field(description="Whose they are.", examples=["^IXIC"])
    currency: str | None = Field(description="Of the prices; null where nobody says, as of a series.", examples=["USD"])
    bars: list[Bar] = Field(description="The oldest first; empty where nothing is known yet.")
