"""What a feature is, and the arithmetic that features share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from forecaster.contract import Floats
from forecaster.errors import ConfigError, ForecasterError
from forecaster.panel import Panel

Column = Callable[[Panel, str], Floats]
"""(panel, subject) -> [T]: row t depends on rows <= t of the panel only; NaN where it has no value."""


@dataclass(frozen=True)
class Feature:
    """A causal column function and what its numbers mean."""

    function: Column
    unit: str
    warm_up: int
    """Sessions at the start of a panel for which it has no value."""

    def __call__(self, panel: Panel, subject: str) -> Floats:
        """The column [T] of one subject.

        Raises:
            ConfigError: The function fails, or answers anything but one number a session.
        """
        try:
            column = np.asarray(self.function(panel, subject), dtype=np.float64)
        except ForecasterError:
            raise
        except Exception as error:
            said = (str(error).splitlines() or [""])[0]
            raise ConfigError(
                f"feature {self.origin}", f"fails on {subject} with {type(error).__name__}: {said}; correct it there"
            ) from error
        if column.shape != panel.sessions.shape:
            raise ConfigError(
                f"feature {self.origin}",
                f"answers shape {column.shape} on {subject} where the panel has {len(panel.sessions)} sessions; "
                "return one number a session, NaN where there is none",
            )
        return column

    @property
    def origin(self) -> str:
        """Module and name of the function."""
        return ".".join(str(getattr(self.function, part, "?")) for part in ("__module__", "__qualname__"))


def feature(*, unit: str, warm_up: int) -> Callable[[Column], Feature]:
    """Make a function a feature: `@feature(unit="log return", warm_up=21)`.

    Arguments:
        unit: What its numbers mean, in words.
        warm_up: Sessions at the start of a panel for which it has no value.
    """

    def made(function: Column) -> Feature:
        return Feature(function, unit, warm_up)

    return made


def features_of(*modules: ModuleType) -> Mapping[str, Feature]:
    """The features that modules hold, by name, in the order in which they are written there."""
    return {name: held for module in modules for name, held in vars(module).items() if isinstance(held, Feature)}


def log_ratio(numerator: Floats, denominator: Floats) -> Floats:
    """log(a / b), NaN (never a warning, never -inf) where either is not positive."""
    positive = (numerator > 0) & (denominator > 0)
    return np.log(np.where(positive, numerator, np.nan) / np.where(positive, denominator, np.nan))


def lagged(column: Floats, sessions: int = 1) -> Floats:
    """The column [T] so many sessions earlier; NaN before its beginning."""
    return np.concatenate((np.full(sessions, np.nan), column))[: len(column)]


def last(column: Floats, sessions: int) -> Floats:
    """The last so many values at each session [T, sessions], newest at the end; NaN before the column's beginning."""
    return sliding_window_view(np.concatenate((np.full(sessions - 1, np.nan), column)), sessions)
