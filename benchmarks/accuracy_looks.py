"""How often somebody has looked: every scoring of `benchmarks.accuracy` is written to benchmarks/scorings.json.

A look is data, protocol and figures together, so that a run which shows nothing new counts once. Years that were
looked at often are worth less: with enough looks something always holds.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from benchmarks.accuracy_models import Forecasts
from forecaster.contract import Frozen

PATH = Path(__file__).parent / "scorings.json"
_DIGITS = 4  # of a printed figure


class Look(Frozen):
    """One scoring."""

    data: str
    """Digest of the outcomes that were scored and their dates."""
    symbols: tuple[str, ...]
    span: tuple[date, date]
    """First and last date of an outcome."""
    protocol: str
    """Digest of all that was chosen."""
    figures: str
    """Digest of the scores as printed."""
    date: date

    def repeats(self, other: "Look") -> bool:
        """Whether both show the same."""
        return (self.data, self.protocol, self.figures) == (other.data, other.protocol, other.figures)

    def overlaps(self, other: "Look") -> bool:
        """Whether both looked at some day of one symbol, by its name."""
        return (
            bool(set(self.symbols) & set(other.symbols))
            and self.span[0] <= other.span[1]
            and other.span[0] <= self.span[1]
        )


_LOOKS = TypeAdapter(tuple[Look, ...])


@dataclass(frozen=True)
class Count:
    """How often these years have been looked at."""

    same: int
    """Distinct scorings of just these outcomes, this one included."""
    spans: int = 0
    """Scorings by this protocol of spans that overlap with this one."""
    other: int = 0
    """Scorings by another protocol of spans that overlap with this one."""
    kept: bool = True
    """Whether this one is on record."""

    def __str__(self) -> str:
        text = f"scoring {self.same} of these years"
        text += f" and {self.other} earlier by another protocol" if self.other else ""
        text += f" and {self.spans} of spans that overlap" if self.spans else ""
        return text + ("" if self.kept else " (NOT WRITTEN DOWN)")


def look(forecasts: Mapping[str, Forecasts], scores: Sequence[float], protocol: str, today: date) -> Look:
    """What this run shows.

    Arguments:
        forecasts: Of any model, by symbol: they hold the outcomes.
        scores: All that will be printed.
    """
    sessions = np.concatenate([one.sessions for one in forecasts.values()])
    outcomes = [
        f"{session} {100 * outcome:.6f}"
        for one in forecasts.values()
        for session, outcome in zip(one.sessions, one.outcomes, strict=True)
    ]
    return Look(
        data=_digest(outcomes),
        symbols=tuple(forecasts),
        span=tuple(edge.astype("datetime64[D]").item() for edge in (sessions.min(), sessions.max())),
        protocol=protocol,
        figures=_digest([f"{score:.{_DIGITS}f}" for score in scores]),
        date=today,
    )


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def count(new: Look, path: Path = PATH) -> Count:
    """Count the looks at these outcomes, and write this one down unless it shows nothing new.

    Where the file cannot be written the count says so.
    """
    before = _LOOKS.validate_json(path.read_text("utf-8")) if path.exists() else ()
    known = any(new.repeats(one) for one in before)
    looks = before if known else (*before, new)
    near = [one for one in looks if one.data != new.data and one.overlaps(new)]
    spans = sum(one.protocol == new.protocol for one in near)
    same = sum(one.data == new.data for one in looks)
    return Count(same, spans, len(near) - spans, known or _written(looks, path))


def _written(looks: Sequence[Look], path: Path) -> bool:
    try:
        path.write_bytes(_LOOKS.dump_json(tuple(looks), indent=1) + b"\n")
    except OSError:
        return False
    return True
