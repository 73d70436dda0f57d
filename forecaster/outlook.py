"""What an artifact says of a symbol from what was known: the one way, for issue, on demand and replay."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Self

import numpy as np
from numpy.typing import NDArray

from forecaster.contract import Dates, Floats
from forecaster.errors import DataStale, MissingSessions
from forecaster.facts import Facts
from forecaster.features import FEATURES, Feature
from forecaster.runtime import Runtime
from forecaster.sessions import Calendar
from forecaster.windows import Windows, windows_from


@dataclass(frozen=True)
class Outlook:
    """A forecast from the last session that was known, before calibration."""

    sessions: Dates
    """[T] up to the origin."""
    close: float
    """Of the origin, as traded; a series' value."""
    ahead: Dates
    """[H] sessions it is about."""
    context: NDArray[np.float32]
    """[1, L, C] what the model saw."""
    quantiles: Floats
    """[H, Q] raw: cumulative log return from the origin's close, or change of the level."""

    @classmethod
    def of(
        cls,
        facts: Facts,
        calendar: Calendar,
        runtime: Runtime,
        symbol: str,
        features: Mapping[str, Feature] = FEATURES,
        seen: np.datetime64 | None = None,
    ) -> Self:
        """From facts of the symbol and of the subjects that the artifact's channels read.

        Arguments:
            features: With the user's own, where the artifact was trained with some.
            seen: UTC, when the sources were last asked, if later than the last fact.

        Raises:
            DataError: Nothing was known, too little, or the context has a hole.
            OutputInvalid: What the artifact says is no forecast.
        """
        manifest = runtime.manifest
        windows = windows_from(facts, calendar, manifest.target, manifest.window, symbol, features, seen)
        last = _last_whole(windows, symbol)
        if manifest.target.kind == "level" and windows.sessions[last] == calendar.sessions[-1]:
            # A level stands until another is published, but not for longer than the calendar goes on behind its last.
            raise DataStale(symbol, str(facts.about(symbol).date.max().astype("datetime64[D]")))
        context = windows.contexts(np.array([last]))
        ahead = calendar.after(windows.sessions[last], manifest.target.horizon)
        return cls(windows.sessions, float(windows.close[last]), ahead, context, runtime.quantiles(context)[0])

    @property
    def origin(self) -> date:
        """The last session that was known."""
        origin: date = self.sessions[-1].item()
        return origin


def _last_whole(windows: Windows, symbol: str) -> int:
    """The last row, whose context must have all its sessions."""
    last = len(windows.sessions) - 1
    if not windows.whole[last]:
        seen = slice(max(0, last + 1 - windows.spec.context - windows.warm_up), last + 1)
        raise MissingSessions(symbol, [str(day) for day in windows.sessions[seen][np.isnan(windows.close[seen])]])
    return last
