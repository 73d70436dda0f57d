"""What the date of a session says by itself; angles as a sine and a cosine, so that a week and a year close."""

import numpy as np

from forecaster.contract import Floats
from forecaster.features.base import feature
from forecaster.panel import Panel


@feature(unit="-1 to 1", warm_up=0)
def weekday_sin(panel: Panel, _subject: str) -> Floats:
    """Sine of the day of the week, Monday 0."""
    return np.sin(_week(panel))


@feature(unit="-1 to 1", warm_up=0)
def weekday_cos(panel: Panel, _subject: str) -> Floats:
    """Cosine of the day of the week, Monday 0."""
    return np.cos(_week(panel))


@feature(unit="-1 to 1", warm_up=0)
def year_sin(panel: Panel, _subject: str) -> Floats:
    """Sine of the day of the year, 1 January 0."""
    return np.sin(_year(panel))


@feature(unit="-1 to 1", warm_up=0)
def year_cos(panel: Panel, _subject: str) -> Floats:
    """Cosine of the day of the year, 1 January 0."""
    return np.cos(_year(panel))


@feature(unit="days", warm_up=1)
def gap(panel: Panel, _subject: str) -> Floats:
    """Calendar days since the session before: 1 from Monday to Tuesday, 3 over a weekend."""
    days = np.diff(panel.sessions).astype(np.float64)
    return np.concatenate(([np.nan], days))[: len(panel.sessions)]


def _week(panel: Panel) -> Floats:
    """Angle of the day of the week [T]."""
    monday = panel.sessions.astype("datetime64[D]").astype(np.int64) + 3  # 1970-01-01 was a Thursday
    angle: Floats = 2 * np.pi * (monday % 7) / 7
    return angle


def _year(panel: Panel) -> Floats:
    """Angle of the day of the year [T]."""
    years = panel.sessions.astype("datetime64[Y]")
    first, next_first = years.astype("datetime64[D]"), (years + 1).astype("datetime64[D]")
    angle: Floats = 2 * np.pi * ((panel.sessions - first) / (next_first - first))
    return angle
