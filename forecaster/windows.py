"""Windows and blocks cut from channels, and the spans that keep training, validation and test apart.

An *origin* is a row index t: everything up to and including t is known, and the target is the cumulative log return
to t+1 ... t+H. A *block* is a window whose later positions are all origins: one pass supervises K of them at once.
A session without a bar is a hole: no context and no target reaches over it, and nothing is put in its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from forecaster.contract import Dates, Floats, Kind, Target, WindowSpec
from forecaster.errors import TooShort
from forecaster.facts import Facts
from forecaster.features import FEATURES, Channels, Feature, compute, subjects
from forecaster.panel import build_panel
from forecaster.sessions import Calendar

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Windows:
    """Contexts and targets of one target, as views on one array [T, C]: memory grows with the data, not with L."""

    spec: WindowSpec
    sessions: Dates
    """[T]."""
    values: Floats
    """[T, C]."""
    close: Floats
    """[T] as traded."""
    targets: Floats
    """[T, H] cumulative log return from t to t+1 ... t+H, free of splits; NaN past the end and over a hole."""
    whole: NDArray[np.bool_]
    """[T] whether the L sessions up to t have all their values."""
    warm_up: int = 0
    """Sessions that the channels lost at the start of the panel."""
    symbol: str = ""
    """What they are about."""

    @classmethod
    def of(cls, channels: Channels, spec: WindowSpec, horizon: int, kind: Kind = "return", symbol: int = 0) -> Self:
        """Windows over channels.

        Arguments:
            symbol: Number of the target's symbol, for the channel that tells it; 0 for one that training never saw.

        Raises:
            TooShort: Not even one window of L sessions fits.
        """
        count = len(channels.sessions)
        if count < spec.context:
            raise TooShort("one window", count, spec.context, remedy="fetch more, or shorten [window] context")
        level = np.log(channels.close) if kind == "return" else channels.close
        ahead = np.concatenate((level, np.full(horizon, np.nan)))
        targets = sliding_window_view(ahead[1:], horizon)[:count] - level[:, None]
        values = channels.values
        if len(spec.features) < len(spec.channels):
            values = np.column_stack((values, np.full(count, float(symbol))))
        finite = np.isfinite(values).all(axis=1)
        begun = np.concatenate((np.zeros(spec.context - 1, dtype=bool), finite))
        whole: NDArray[np.bool_] = np.all(sliding_window_view(begun, spec.context), axis=1)
        return cls(spec, channels.sessions, values, channels.traded, targets, whole, channels.warm_up, channels.symbol)

    @property
    def lost(self) -> int:
        """Origins that a hole in their context costs."""
        return int((~self.whole[self.spec.context - 1 :]).sum())

    def known(self, until: int) -> Floats:
        """Rows [N, C] up to row `until` that have all their values."""
        rows = self.values[: until + 1]
        return rows[np.isfinite(rows).all(axis=1)]

    def contexts(self, origins: Indices) -> NDArray[np.float32]:
        """The last L sessions at each origin [N, L, C].

        Raises:
            TooShort: An origin has fewer than L sessions behind it.
        """
        length = self.spec.context
        if origins.size and origins.min() < length - 1:
            raise TooShort("the first origin", int(origins.min()) + 1, length)
        every = sliding_window_view(self.values, length, axis=0)  # [T - L + 1, C, L], a view
        return np.ascontiguousarray(every[origins - length + 1].transpose(0, 2, 1), dtype=np.float32)

    def span(self, first: date | None, until: date | None, purge_before: date | None = None) -> Indices:
        """Origins with `first` <= session < `until` that have a whole context and a whole target.

        Arguments:
            first: First session of the span; None for the first origin that has a whole context.
            until: End of the span (exclusive); None for the last origin whose target is known.
            purge_before: First date of the next span: origins whose target ends after that span's first origin go.
        """
        origins: Indices = np.arange(self.spec.context - 1, len(self.sessions) - self.targets.shape[1])
        origins = origins[self.whole[origins] & np.isfinite(self.targets[origins]).all(axis=1)]
        sessions = self.sessions[origins]
        keep = np.ones(len(origins), dtype=bool)
        if first is not None:
            keep &= sessions >= np.datetime64(first)
        if until is not None:
            keep &= sessions < np.datetime64(until)
        if purge_before is not None:
            next_origin = int(np.searchsorted(self.sessions, np.datetime64(purge_before)))
            keep &= origins + self.targets.shape[1] <= next_origin
        return origins[keep]


def windows_from(
    facts: Facts,
    calendar: Calendar,
    target: Target,
    window: WindowSpec,
    symbol: str,
    features: Mapping[str, Feature] = FEATURES,
    seen: np.datetime64 | None = None,
) -> Windows:
    """Facts -> panel -> channels -> windows: the one way, for training, comparison, issue and on demand alike.

    Arguments:
        symbol: One of the target's, or, for a model that tells symbols apart, one that it never saw.
        seen: UTC, when the sources were last asked, if later than the last fact.
    """
    read = subjects(window.features, features, target.symbols)
    panel = build_panel(facts, symbol, read, calendar, seen)
    channels = compute(panel, window, features, target.symbols)
    return Windows.of(channels, window, target.horizon, target.kind, target.number(symbol))


@dataclass(frozen=True)
class Sample:
    """Origins of one series."""

    windows: Windows
    origins: Indices


@dataclass(frozen=True)
class Spans:
    """The three spans of a run, a sample a symbol, purged of targets that reach past the next span's first origin."""

    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]


_REMEDIES = {
    "training": "fetch earlier years, move [split] validation_from to a later day, or shorten [window] context",
    "validation": "move [split] validation_from and test_from to days that the data have, further apart",
    "test": "fetch newer sessions, or move [split] test_from to an earlier day (test_until, if set, to a later one)",
}


def _too_short(span: str, sample: Sample, need: int, first: date | None, until: date | None) -> TooShort:
    edges = [f"from {first}"] if first else []
    edges += [f"before {until}"] if until else []
    held = f"the data have {sample.windows.sessions[0]} to {sample.windows.sessions[-1]}"
    what = f"the {span} span of {sample.windows.symbol}"
    return TooShort(what, len(sample.origins), need, f"{' '.join(edges)}; {held}", _REMEDIES[span])


def split(universe: Sequence[Windows], validation_from: date, test_from: date, test_until: date | None) -> Spans:
    """Training, validation and test origins of one fold.

    Raises:
        TooShort: A span of a symbol holds no whole block (training) or no origin at all.
    """

    def cut(span: str, need: int, first: date | None, until: date | None, purge: date | None) -> tuple[Sample, ...]:
        samples = tuple(Sample(windows, windows.span(first, until, purge)) for windows in universe)
        for sample in samples:
            if len(sample.origins) < need:
                raise _too_short(span, sample, need, first, until)
        return samples

    return Spans(
        train=cut("training", universe[0].spec.context, None, validation_from, validation_from),
        validation=cut("validation", 20, validation_from, test_from, test_from),
        test=cut("test", 20, test_from, test_until, None),
    )


def walk(
    universe: Sequence[Windows],
    validation_from: date,
    test_from: date,
    test_until: date | None,
    refit_every: int | None = None,
) -> tuple[Spans, ...]:
    """Walk-forward folds: the test sessions in stretches, each with all the training years there are before it.

    The validation span keeps its length in sessions and stays right before its stretch. A last stretch of under half
    the length is added to the one before.

    Arguments:
        refit_every: Sessions of a stretch; None for one fit before all of them.

    Raises:
        TooShort: A span of a symbol holds too few origins.
    """
    sessions = universe[0].sessions
    begin, end = np.searchsorted(sessions, np.array([test_from, test_until or date.max], dtype="datetime64[D]"))
    held_out = int(begin - np.searchsorted(sessions, np.datetime64(validation_from)))
    every = refit_every or max(int(end - begin), 1)
    count = max(1, round((end - begin) / every))
    starts = [int(begin) + fold * every for fold in range(count)]
    edges: list[date] = [sessions[start].item() for start in starts[1:]]
    folds = []
    for start, since, until in zip(starts, [test_from, *edges], [*edges, test_until], strict=True):
        before = validation_from if since == test_from else sessions[start - held_out].item()
        folds.append(split(universe, before, since, until))
    return tuple(folds)


@dataclass(frozen=True)
class Blocks:
    """Training blocks that tile a span: K supervised positions each, so an epoch costs O(T) whatever L is."""

    inputs: NDArray[np.float32]
    """[B, L, C]."""
    targets: NDArray[np.float32]
    """[B, K, H]."""
    weight: NDArray[np.float32]
    """[B, K] 1 where the position is an origin of the span, else 0."""


def blocks(windows: Windows, origins: Indices, offset: int) -> Blocks:
    """Blocks whose supervised positions cover `origins` once, the tiling shifted by `offset` (0 <= offset < K).

    Arguments:
        origins: A span of origins, ascending, contiguous but for holes. A block may hold a hole (as zeros): its
            positions up to L - 1 after it are no origins, and those before it see only what is before.
    """
    supervised, last = windows.spec.supervised, int(origins[-1])
    ends = np.arange(last - offset, int(origins[0]) - 1, -supervised)
    positions = ends[:, None] + np.arange(1 - supervised, 1)
    inside = np.isin(positions, origins)
    if offset:  # the newest `offset` origins, for which a block of their own is laid over the last one
        tail = last + np.arange(1 - supervised, 1)
        ends = np.append(ends, last)
        positions = np.vstack((positions, tail))
        inside = np.vstack((inside, (tail > last - offset) & np.isin(tail, origins)))
    targets = np.nan_to_num(windows.targets[positions])
    inputs = np.nan_to_num(windows.contexts(ends))
    return Blocks(inputs, targets.astype(np.float32), inside.astype(np.float32))
