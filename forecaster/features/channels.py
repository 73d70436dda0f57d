"""Channels: the features that a run names, on a panel.

A channel is written `name` (of the target) or `name(SUBJECT)` (of another symbol or macro series). What names exist is
an argument everywhere, the table that ships or one with a user's own features added to it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from forecaster.contract import Dates, Floats, WindowSpec
from forecaster.errors import ChannelHole, ConfigError
from forecaster.features.base import Feature
from forecaster.features.table import FEATURES
from forecaster.panel import Panel
from forecaster.spelling import guess

CHANNEL = re.compile(r"(?P<feature>[a-z][a-z0-9_]*)(?:\((?P<subject>[A-Z0-9^.\-=_]+|others)\))?")
OTHERS = "others"
"""Subject of a channel that is the mean over the target's other symbols: what the rest of a universe does."""


@dataclass(frozen=True)
class Channels:
    """The channels of a run on sessions, ready to be cut into windows."""

    sessions: Dates
    """[T]."""
    values: Floats
    """[T, C]."""
    close: Floats
    """[T] of the target, adjusted for splits; NaN on a session without a bar. A series' value."""
    traded: Floats
    """[T] of the target, as traded."""
    warm_up: int = 0
    """Sessions lost at the start of a panel."""
    symbol: str = ""
    """The target's."""


def parse(channel: str, features: Mapping[str, Feature] = FEATURES) -> tuple[str, str | None]:
    """The feature and the subject (None: the target) of a channel's name.

    Raises:
        ConfigError: No such feature, with the names of those that exist.
    """
    match = CHANNEL.fullmatch(channel)
    if not match or match["feature"] not in features:
        near = guess(channel.partition("(")[0], features) or ";"
        raise ConfigError("[window] channels", f"unknown channel {channel!r}{near} features are {', '.join(features)}")
    return match["feature"], match["subject"]


def subjects(
    channels: Iterable[str], features: Mapping[str, Feature] = FEATURES, universe: Sequence[str] = ()
) -> set[str]:
    """Subjects other than the target that these channels read.

    Arguments:
        universe: The target's symbols, for channels of the others.
    """
    named = {subject for _, subject in (parse(channel, features) for channel in channels) if subject is not None}
    return named - {OTHERS} | (set(universe) if OTHERS in named else set())


def compute(
    panel: Panel,
    window: WindowSpec,
    features: Mapping[str, Feature] = FEATURES,
    universe: Sequence[str] = (),
) -> Channels:
    """The window's channels on the panel, from the first session on which all of them have a value.

    Arguments:
        universe: The target's symbols, for channels of the others.

    Raises:
        ChannelHole: A channel has no value on a session after all of them had begun, or never begins.
        ConfigError: A feature's function fails, or answers anything but one number a session.
    """
    columns, warm_ups = [], []
    for channel in window.features:
        name, subject = parse(channel, features)
        columns.append(column(panel, features[name], subject, universe))
        warm_ups.append(features[name].warm_up)
    values = np.column_stack(columns)
    ready = np.asarray(np.isfinite(values).all(axis=1))
    first = int(np.argmax(ready))
    _require_no_holes(panel, window.features, warm_ups, values, first)
    close, traded = panel.column(panel.symbol, panel.measure), panel.traded(panel.measure)
    return Channels(panel.sessions[first:], values[first:], close[first:], traded[first:], max(warm_ups), panel.symbol)


def column(panel: Panel, feature: Feature, subject: str | None, universe: Sequence[str]) -> Floats:
    """One channel [T]: of the target, of another subject, or the mean over the target's other symbols.

    Raises:
        ConfigError: The target has no other symbols.
    """
    if subject != OTHERS:
        return feature(panel, subject or panel.symbol)
    others = [symbol for symbol in universe if symbol != panel.symbol]
    if not others:
        raise ConfigError("[window] channels", "a channel of (others) needs a target of several symbols")
    return np.asarray(np.mean([feature(panel, other) for other in others], axis=0))


def _require_no_holes(panel: Panel, names: Sequence[str], warm_ups: Sequence[int], values: Floats, first: int) -> None:
    """Check that after the beginning a channel lacks a value only where a missing bar of the target explains it."""
    finite = np.isfinite(values)
    for number, name in enumerate(names):
        if not finite[:, number].any():
            raise ChannelHole(name, str(panel.sessions[-1]))
    rows = np.arange(len(values))
    since = rows - np.maximum.accumulate(np.where(panel.holes, rows, -len(rows) - max(warm_ups)))
    for number, name in enumerate(names):
        explained = (rows < first) | (since <= warm_ups[number])
        unexplained = np.flatnonzero(~finite[:, number] & ~explained)
        if unexplained.size:
            last = int(unexplained[-1])
            raise ChannelHole(name, str(panel.sessions[last]), newest=last == rows[-1])
