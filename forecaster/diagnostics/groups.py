"""Channels by what they tell about: the target's price, its volume, other markets, the economy, the calendar."""

from collections.abc import Collection, Mapping, Sequence

from forecaster.features import FEATURES, Feature, calendar, parse, volume
from forecaster.features.base import features_of

GROUPS = ("price", "volume", "indices", "macro", "calendar")
"""In the order in which they are shown."""
_VOLUME, _CALENDAR = features_of(volume), features_of(calendar)


def channel_groups(
    channels: Sequence[str], series: Collection[str], features: Mapping[str, Feature] = FEATURES
) -> dict[str, tuple[int, ...]]:
    """Places [C] of a run's channels by group; a group without channels is left out.

    Another symbol's channels are `indices` whatever they tell of it; a user's own feature of the target is `price`.

    Arguments:
        channels: The window's, as in a run file.
        series: Subjects that are macro series, the run's `[data] series`.
        features: The table of features that the names are looked up in.
    Raises:
        ConfigError: A channel is of no known feature.
    """
    names = [_group(*parse(channel, features), series) for channel in channels]
    return {group: tuple(i for i, name in enumerate(names) if name == group) for group in GROUPS if group in names}


def _group(feature: str, subject: str | None, series: Collection[str]) -> str:
    if subject is not None:
        return "macro" if subject in series else "indices"
    return "volume" if feature in _VOLUME else "calendar" if feature in _CALENDAR else "price"
