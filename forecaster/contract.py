"""The contract everything leans on: axes, quantile levels, the window, the target.

Axes, used in every docstring and nowhere with another meaning:

    B batch · L context (sessions a model sees) · K supervised positions of a block · C channels
    H horizon (sessions ahead) · Q quantile levels · P density parameters · T sessions of a panel · N origins

A model maps `context [B, L, C]` to `quantiles [B, H, Q]` of the cumulative log return from the origin's close.
"""

import re
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Floats = NDArray[np.float64]
Dates = NDArray[np.datetime64]

LEVELS: tuple[float, ...] = (0.005, 0.01, 0.025, *(round(0.05 * k, 2) for k in range(1, 20)), 0.975, 0.99, 0.995)
"""The one quantile grid [Q]."""

MEDIAN = LEVELS.index(0.5)
TARGET_CHANNEL = "log_return"
"""Channel 0 of every context: the target's own log return, which anchors the scale inside the model graph."""

SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.\-=^]{0,14}")
"""What may be called a symbol at all; checked before a symbol reaches a source, a path or SQL."""


def require_symbol(text: str) -> str:
    """The text, if it may be called a symbol.

    Raises:
        ValueError: It may not.
    """
    if not SYMBOL.fullmatch(text):
        raise ValueError(f"{text[:32]!r} is not a symbol (capital letters, digits and ^ . - =, at most 15)")
    return text


class Frozen(BaseModel):
    """Base of everything read from a file: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Target(Frozen):
    """What is forecast; each target has one champion."""

    symbol: str
    """Symbol whose cumulative log return is forecast."""
    venue: str
    """Venue whose sessions it is forecast on, an ISO 10383 code that exchange_calendars knows."""
    horizon: int = Field(ge=1, le=60)
    """H: how many sessions ahead."""

    @field_validator("symbol")
    @classmethod
    def _is_symbol(cls, symbol: str) -> str:
        return require_symbol(symbol)

    @property
    def key(self) -> str:
        """Its name in the store, the ledger and the model registry."""
        return f"{self.symbol}-return-{self.horizon}"


class WindowSpec(Frozen):
    """What a model sees, and which positions of a training block are supervised."""

    context: int = Field(ge=8, le=512)
    """L: sessions in a context, and the length of a training block."""
    burn_in: int = Field(ge=1)
    """Positions at the start of a block that carry no loss: the state is still cold there."""
    channels: tuple[str, ...]
    """C channels in order, each a feature name, optionally of another subject: `log_return(^IXIC)`."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.burn_in >= self.context:
            raise ValueError(f"burn_in {self.burn_in} must be below context {self.context}")
        if not self.channels or self.channels[0] != TARGET_CHANNEL:
            raise ValueError(f"the first channel must be {TARGET_CHANNEL!r}, the target's own return")
        if len(set(self.channels)) != len(self.channels):
            raise ValueError("a channel is named twice")
        return self

    @property
    def supervised(self) -> int:
        """K: positions of a block that carry loss."""
        return self.context - self.burn_in
