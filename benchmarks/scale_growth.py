"""How costs grow with a size: what `benchmarks.scale` keeps, and what is said of it. It wakes nothing that trains."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

EXPONENT = 1.05
ASKED, HELD = 1.0, 6.0
"""Bytes of memory a byte of data: the data once, beside a constant, was asked; what holds (docs/log.md)."""
BOUND = ("symbols", "sessions")
"""Dimensions in which the data grow."""


@dataclass(frozen=True)
class Size:
    """How much work."""

    symbols: int = 10
    sessions: int = 2000
    channels: int = 6
    families: int = 1
    """Networks, all alike but for their names, so that each is as much work as any other."""
    seeds: int = 1


@dataclass(frozen=True)
class Took:
    """What the work took."""

    size: Size
    seconds: dict[str, float]
    """Of processor time, by part."""
    before_mb: float
    """Peak before, everything loaded and used once: the constant."""
    peaks_mb: dict[str, float]
    """Peak at the end of each part."""
    data_mb: float
    """Facts of the snapshot, windows cut from them, and the forecasts that are compared."""

    @property
    def processor(self) -> float:
        return sum(self.seconds.values())

    @property
    def grown_mb(self) -> float:
        """Beyond the constant."""
        return max(self.peaks_mb.values()) - self.before_mb

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Took":
        """From its JSON."""
        return cls(**{**raw, "size": Size(**raw["size"])})


@dataclass(frozen=True)
class Growth:
    """One dimension."""

    dimension: str
    sizes: tuple[int, ...]
    runs: tuple[tuple[Took, ...], ...]
    """For each size, round by round."""

    def medians(self, of: str) -> list[float]:
        """Of a property of `Took`, size by size."""
        return [statistics.median(getattr(run, of) for run in runs) for runs in self.runs]

    @property
    def exponents(self) -> tuple[float, float]:
        """Of processor time: over all sizes, and between the two largest."""
        seconds = self.medians("processor")
        return power(self.sizes, seconds), power(self.sizes[-2:], seconds[-2:])

    @property
    def data_grows(self) -> bool:
        """Whether the dimension is one of the data's."""
        return self.dimension in BOUND

    @property
    def bytes_a_byte(self) -> float:
        """By which the peak grows with the data, by least squares beside a constant."""
        return float(np.polyfit(self.medians("data_mb"), self.medians("grown_mb"), 1)[0])

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return {"dimension": self.dimension, "sizes": self.sizes, "runs": [[asdict(r) for r in rs] for rs in self.runs]}

    @classmethod
    def read(cls, raw: Mapping[str, Any]) -> "Growth":
        """From what `record` gave."""
        runs = tuple(tuple(Took.read(run) for run in runs) for runs in raw["runs"])
        return cls(raw["dimension"], tuple(raw["sizes"]), runs)


def power(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Slope of the logarithm of a cost in that of the size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def claims(found: Sequence[Growth], most: float) -> Iterator[tuple[str, bool]]:
    """What is claimed, one by one, with whether it holds, at so many bytes a byte."""
    for one in found:
        if one.dimension == "symbols":
            whole, last = one.exponents
            text = f"time grows with the power {whole:.2f} of the number of symbols, {last:.2f} between the two largest"
            yield f"{text} (at most {EXPONENT})", max(whole, last) <= EXPONENT
    for one in found:
        if one.data_grows:
            text = f"{one.dimension}: peak memory grows by {one.bytes_a_byte:.1f} bytes a byte of data"
            yield f"{text} (at most {most:g})", one.bytes_a_byte <= most
