"""The contract everything leans on: axes, quantile levels, the window, the target.

Axes, used in every docstring and nowhere with another meaning:

    B batch · L context (sessions a model sees) · K supervised positions of a block · C channels
    H horizon (sessions ahead) · Q quantile levels · P density parameters · T sessions of a panel · N origins

A model maps `context [B, L, C]` to `quantiles [B, H, Q]` of the cumulative log return from the origin's close (or of
the level's change since the origin).
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Floats = NDArray[np.float64]
Dates = NDArray[np.datetime64]

LEVELS: tuple[float, ...] = (0.005, 0.01, 0.025, *(round(0.05 * k, 2) for k in range(1, 20)), 0.975, 0.99, 0.995)
"""The one quantile grid [Q]."""

MEDIAN = LEVELS.index(0.5)
Kind = Literal["return", "level"]
"""What is forecast: the cumulative log return of a price, or the change of a level (a yield, a load, a temperature)."""

TARGET_CHANNEL = {"return": "log_return", "level": "change"}
"""Channel 0 of every context: the target's own return or change, which anchors the scale inside the model graph."""

SYMBOL_CHANNEL = "symbol"
"""Last channel of a context that says which of a target's symbols it is about: 1, 2, ..., and 0 for any other."""

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


@dataclass(frozen=True)
class Range:
    """Between which values tuning looks for a number; stands in the annotation of its field."""

    low: float
    high: float
    log: bool = False
    """Whether a factor counts alike everywhere, instead of a difference."""


@dataclass(frozen=True)
class Choice:
    """Among which values tuning chooses; stands in the annotation of their field."""

    values: tuple[str | int, ...] = ()
    """Empty for all that the field can be: those of its Literal, or true and false."""


class Target(Frozen):
    """What is forecast; each target has one champion."""

    symbols: tuple[str, ...] = Field(min_length=1)
    """Symbols (or, at a level target, series) that are forecast, by one model for all of them."""
    venue: str
    """Venue whose sessions it is forecast on, an ISO 10383 code that exchange_calendars knows."""
    horizon: int = Field(ge=1, le=720)
    """H: how many sessions ahead."""
    kind: Kind = "return"
    """The cumulative log return of a price, or the change of a level that may be zero or below."""

    @field_validator("symbols")
    @classmethod
    def _are_symbols(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(symbols)) != len(symbols):
            raise ValueError("a symbol is named twice")
        return tuple(require_symbol(symbol) for symbol in symbols)

    def outcome(self, origin: float, ahead: Floats) -> Floats:
        """Prices or levels that so much ahead [...] of the origin's close or level stand for."""
        return origin * np.exp(ahead) if self.kind == "return" else origin + ahead

    def number(self, symbol: str) -> int:
        """What the channel `symbol` says of a symbol: from 1, and 0 for one that is none of the target's."""
        return self.symbols.index(symbol) + 1 if symbol in self.symbols else 0

    @property
    def key(self) -> str:
        """Its name in the store, the ledger and the model registry."""
        first, *others = self.symbols
        if others:  # a name that stays short however many there are
            first += f"+{len(others)}-{hashlib.sha256(' '.join(self.symbols).encode()).hexdigest()[:8]}"
        return f"{first}-{self.kind}-{self.horizon}"


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
        if not self.channels or self.channels[0] not in TARGET_CHANNEL.values():
            raise ValueError("the first channel must be the target's own: log_return, or change at a level target")
        if SYMBOL_CHANNEL in self.channels[:-1]:
            raise ValueError(f"the channel {SYMBOL_CHANNEL!r} must be the last one")
        if len(set(self.channels)) != len(self.channels):
            raise ValueError("a channel is named twice")
        return self

    @property
    def features(self) -> tuple[str, ...]:
        """The channels that are features: all but the symbol's."""
        return self.channels[:-1] if self.channels[-1] == SYMBOL_CHANNEL else self.channels

    @property
    def supervised(self) -> int:
        """K: positions of a block that carry loss."""
        return self.context - self.burn_in
