"""Batches of training blocks: tiles of a span in random order, or streams of it in the order of time.

Everything random is a function of the seed and the epoch, so a fit that is taken up again meets the same batches.

References:
    R. Williams, J. Peng, An efficient gradient-based algorithm for on-line training of recurrent network
    trajectories, Neural Computation 2 (1990), p. 490 (truncated backpropagation through time, BPTT(h; h')).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from forecaster.training.config import TrainingConfig
from forecaster.windows import Indices, Sample

_AT_ONCE = 64  # blocks of a validation batch: bounds its memory


class Batch(NamedTuple):
    """A batch of training blocks."""

    inputs: Tensor
    """[B, L, C]."""
    targets: Tensor
    """[B, K, H]."""
    weight: Tensor
    """[B, K]: 1 where the position is supervised."""
    fresh: bool = True
    """Whether a carried state starts anew here."""

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        return Batch(self.inputs.to(device), self.targets.to(device), self.weight.to(device), self.fresh)

    def share(self, rank: int, devices: int) -> "Batch":
        """The blocks of one of several devices; none is left without."""
        count = len(self.inputs)
        rows = torch.arange(rank, max(count, devices), devices) % count
        return Batch(self.inputs[rows], self.targets[rows], self.weight[rows], self.fresh)


@dataclass(frozen=True)
class Table:
    """The samples of all symbols below one another, as tensors that blocks are gathered from."""

    values: Tensor
    """[T, C], zero where there is none."""
    targets: Tensor
    """[T, H], zero where there is none."""
    supervised: Tensor
    """[T] 1 where the row is an origin, else 0."""
    spans: tuple[tuple[int, int], ...]
    """First and last origin of each symbol, as rows."""
    burn_in: int
    keep: int
    """K: positions of a block that carry loss."""

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> Self:
        starts = np.cumsum([0, *(len(sample.windows.values) for sample in samples)])
        rows = [sample.origins + start for sample, start in zip(samples, starts, strict=False)]
        supervised = torch.zeros(int(starts[-1]))
        supervised[torch.from_numpy(np.concatenate(rows))] = 1.0
        spec = samples[0].windows.spec
        return cls(
            _stacked([sample.windows.values for sample in samples]),
            _stacked([sample.windows.targets for sample in samples]),
            supervised,
            tuple((int(origins[0]), int(origins[-1])) for origins in rows),
            spec.burn_in,
            spec.supervised,
        )

    def to(self, device: torch.device) -> "Table":
        """The same on a device."""
        return replace(
            self,
            values=self.values.to(device),
            targets=self.targets.to(device),
            supervised=self.supervised.to(device),
        )

    def gather(self, places: Tensor, counts: Tensor, fresh: bool = True) -> Batch:
        """Blocks whose rows are `places` [B, L], supervised where `counts` [B, K] is true and the row is an origin."""
        places, counts = places.to(self.values.device), counts.to(self.values.device)
        late = places[:, places.shape[1] - counts.shape[1] :]
        return Batch(self.values[places], self.targets[late], self.supervised[late] * counts, fresh)


def _stacked(parts: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.nan_to_num(np.concatenate(parts)).astype(np.float32))


class Epochs:
    """What Lightning iterates over, once an epoch.

    On one device an epoch is one item, an iterator over its batches: what Lightning does around an item is then paid
    once an epoch. On several an item is one batch, of which each device takes its share.
    """

    def __init__(self, table: Table, config: TrainingConfig, seed: int) -> None:
        self.table, self.config, self.seed = table, config, seed
        self.epoch, self.rank = 0, 0

    def __iter__(self) -> Iterator[Iterator[Batch] | Batch]:
        rng = np.random.default_rng((self.seed, self.epoch))
        batches = (streams if self.config.carry else tiles)(self.table, self.config.batch, rng)
        if self.config.devices == 1:
            yield batches
        else:
            yield from (batch.share(self.rank, self.config.devices) for batch in batches)


def tiles(table: Table, batch: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Blocks that cover every span once, tiled from a random offset, in random order, all symbols mixed."""
    ends, firsts = tiling(table, rng.integers(table.keep, size=len(table.spans)))
    order = rng.permutation(len(ends))
    for rows in np.array_split(order, math.ceil(len(order) / batch)):  # as even as can be: no step on a lone block
        yield _tiled(table, ends[rows], firsts[rows])


def tiling(table: Table, offsets: Indices) -> tuple[Indices, Indices]:
    """Last row and first supervised row of blocks that cover each span once, each tiling shifted by its offset.

    The last `offset` origins of a span get a block of their own, laid over the one before.
    """
    ends, firsts = [], []
    for (first, last), offset in zip(table.spans, offsets, strict=True):
        tiled = np.arange(last - offset, first - 1, -table.keep)
        ends.append(np.append(tiled, [last] if offset else []))
        firsts.append(np.append(tiled - table.keep + 1, [last - offset + 1] if offset else []))
    return np.concatenate(ends).astype(np.intp), np.concatenate(firsts).astype(np.intp)


def _tiled(table: Table, ends: Indices, firsts: Indices) -> Batch:
    span = torch.arange(1 - table.burn_in - table.keep, 1)
    places = torch.from_numpy(ends)[:, None] + span
    counts = places[:, table.burn_in :] >= torch.from_numpy(firsts)[:, None]
    return table.gather(places, counts)


def streams(table: Table, batch: int, rng: np.random.Generator) -> Iterator[Batch]:
    """Stretches of the spans side by side, each read in chunks of K sessions, so that a state can be carried along.

    A chunk is preceded by `burn_in` sessions from which inputs are scaled, as in a block. The first `burn_in`
    sessions of a stretch's state carry no loss, and chunks begin at a random offset, so that others are first.
    """
    stretches = _stretches(table, batch)
    order = rng.permutation(len(stretches))
    offsets = rng.integers(table.keep, size=len(order))
    for rows in np.array_split(np.arange(len(order)), math.ceil(len(order) / batch)):
        yield from _read(table, stretches[order[rows]], offsets[rows])


def _read(table: Table, stretches: Indices, offsets: Indices) -> Iterator[Batch]:
    first, last = torch.from_numpy(stretches).T[..., None]  # [B, 1] each
    begin = first - torch.from_numpy(offsets)[:, None]
    warm = begin + min(table.burn_in, table.keep - 1)  # with the largest offset the first origin has its turn
    for chunk in range(math.ceil((int((last - begin).max()) + 1) / table.keep)):
        places = begin + chunk * table.keep + torch.arange(-table.burn_in, table.keep)
        live = places[:, table.burn_in :]
        counts = (live >= first) & (live <= last) & (live >= warm)
        yield table.gather(torch.minimum(places, last), counts, fresh=chunk == 0)


def _stretches(table: Table, batch: int) -> Indices:
    """First and last row [S, 2] of at least `batch` stretches of about equal length, none over two symbols."""
    length = math.ceil(sum(last - first + 1 for first, last in table.spans) / batch)
    cut = []
    for first, last in table.spans:
        edges = np.linspace(first, last + 1, math.ceil((last - first + 1) / length) + 1).astype(np.intp)
        cut.append(np.column_stack((edges[:-1], edges[1:] - 1)))
    return np.concatenate(cut)


def held_out(table: Table, as_served: bool) -> list[Batch]:
    """Every origin once, in blocks; or each behind its own context, as it will be served."""
    if not as_served:
        ends, firsts = tiling(table, np.zeros(len(table.spans), dtype=np.intp))
        count = len(ends)
        return [_tiled(table, ends[at : at + _AT_ONCE], firsts[at : at + _AT_ONCE]) for at in range(0, count, _AT_ONCE)]
    origins = table.supervised.nonzero().cpu()  # [N, 1]
    places = origins + torch.arange(1 - table.burn_in - table.keep, 1)
    return [table.gather(part, torch.ones(len(part), 1)) for part in torch.split(places, _AT_ONCE)]
