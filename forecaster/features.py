"""Channels: causal functions on a panel, one table name -> function -> unit.

A channel is written `name` (of the target) or `name(SUBJECT)` (of another symbol or macro series). Row t of a channel
depends on rows <= t of the panel only; tests change everything after t and compare bits.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from forecaster.contract import Dates, Floats, WindowSpec
from forecaster.errors import ChannelHole, ConfigError
from forecaster.panel import Panel

CHANNEL = re.compile(r"(?P<feature>[a-z_]+)(?:\((?P<subject>[A-Z0-9^.\-=_]+)\))?")


@dataclass(frozen=True)
class Feature:
    """A causal column function and what its numbers mean."""

    function: Callable[[Panel, str], Floats]
    """(panel, subject) -> [T]; NaN during the warm-up."""
    unit: str
    warm_up: int
    """Sessions at the start of a panel for which it has no value."""


def _log_ratio(numerator: Floats, denominator: Floats) -> Floats:
    """log(a / b), NaN (never a warning, never -inf) where either is not positive."""
    positive = (numerator > 0) & (denominator > 0)
    return np.log(np.where(positive, numerator, np.nan) / np.where(positive, denominator, np.nan))


def _lagged(column: Floats) -> Floats:
    return np.concatenate(([np.nan], column[:-1]))


def log_return(panel: Panel, subject: str) -> Floats:
    """log(close_t / close_{t-1})."""
    close = panel.column(subject, "close")
    return _log_ratio(close, _lagged(close))


def log_range(panel: Panel, subject: str) -> Floats:
    """log(high_t / low_t), a volatility estimate from within the session (Parkinson, 1980)."""
    return _log_ratio(panel.column(subject, "high"), panel.column(subject, "low"))


def close_location(panel: Panel, subject: str) -> Floats:
    """Where the close lies between low (-1) and high (+1); 0 in a session without a range."""
    high, low, close = (panel.column(subject, field) for field in ("high", "low", "close"))
    spread = np.where(high == low, 1.0, high - low)
    return (2 * close - high - low) / spread


def volume_change(panel: Panel, subject: str) -> Floats:
    """log(volume_t / volume_{t-1}); 0 where one of them is zero, which carries no news."""
    volume = panel.column(subject, "volume")
    before = _lagged(volume)
    known = np.isfinite(volume) & np.isfinite(before)
    return np.where(known, np.nan_to_num(_log_ratio(volume, before)), np.nan)


def change(panel: Panel, subject: str) -> Floats:
    """Change of a macro value since the session before, as published; 0 on most days of a monthly series."""
    value = panel.column(subject, "value")
    return value - _lagged(value)


FEATURES: Mapping[str, Feature] = MappingProxyType(
    {
        "log_return": Feature(log_return, "log return", 1),
        "log_range": Feature(log_range, "log ratio", 0),
        "close_location": Feature(close_location, "-1 to 1", 0),
        "volume_change": Feature(volume_change, "log ratio", 1),
        "change": Feature(change, "unit of the series", 1),
    }
)


@dataclass(frozen=True)
class Channels:
    """The channels of a run on sessions, ready to be cut into windows."""

    sessions: Dates
    """[T]."""
    values: Floats
    """[T, C]."""
    close: Floats
    """[T] of the target, adjusted for splits; NaN on a session without a bar."""
    traded: Floats
    """[T] of the target, as traded."""


def parse(channel: str) -> tuple[str, str | None]:
    """The feature and the subject (None: the target) of a channel's name.

    Raises:
        ConfigError: No such feature, with the names of those that exist.
    """
    match = CHANNEL.fullmatch(channel)
    if not match or match["feature"] not in FEATURES:
        raise ConfigError("[window] channels", f"unknown channel {channel!r}; features are {', '.join(FEATURES)}")
    return match["feature"], match["subject"]


def subjects(channels: Iterable[str]) -> set[str]:
    """Subjects other than the target that these channels read."""
    return {subject for _, subject in map(parse, channels) if subject is not None}


def warm_up(channels: Iterable[str]) -> int:
    """Sessions lost at the start of a panel."""
    return max(FEATURES[feature].warm_up for feature, _ in map(parse, channels))


def compute(panel: Panel, window: WindowSpec) -> Channels:
    """The window's channels on the panel, from the first session on which all of them have a value.

    Raises:
        ChannelHole: A channel has no value on a session after all of them had begun, or never begins.
    """
    columns = []
    for channel in window.channels:
        feature, subject = parse(channel)
        columns.append(FEATURES[feature].function(panel, subject or panel.symbol))
    values = np.column_stack(columns)
    ready = np.asarray(np.isfinite(values).all(axis=1))
    first = int(np.argmax(ready))
    _require_no_holes(panel, window.channels, values, first)
    close, traded = panel.column(panel.symbol, "close"), panel.traded("close")
    return Channels(panel.sessions[first:], values[first:], close[first:], traded[first:])


def _require_no_holes(panel: Panel, names: Sequence[str], values: Floats, first: int) -> None:
    """Check that after the beginning a channel lacks a value only where a missing bar of the target explains it."""
    for number, name in enumerate(names):
        explained = np.zeros(len(values), dtype=bool)
        for hole in np.flatnonzero(panel.holes):
            explained[hole : hole + FEATURES[parse(name)[0]].warm_up + 1] = True
        unexplained = ~np.isfinite(values[:, number]) & ~explained
        unexplained[:first] = False
        if unexplained.any() or not np.isfinite(values[:, number]).any():
            raise ChannelHole(
                name, str(panel.sessions[int(np.flatnonzero(unexplained)[-1]) if unexplained.any() else -1])
            )
