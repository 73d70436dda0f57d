"""Facts: bars and observations with the moment each became known, as plain arrays.

The same value for what the store holds and what a snapshot froze, so a panel cannot tell (and need not know) which of
the two it was built from. Rows are sorted by subject, date and known_at; later rows for one date are revisions.
"""

import hashlib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from forecaster.contract import Dates, Floats

BAR_FIELDS = ("open", "high", "low", "close", "volume")
FIELDS = (*BAR_FIELDS, "value")
"""Columns of `Facts.values`; a bar leaves `value` NaN, an observation or action leaves the others NaN."""

ACTIONS = ("dividend", "split")
"""Kinds of action: cash a share as traded on the ex-date; new shares for one old (1 takes a split back)."""


def action_subject(symbol: str, kind: str) -> str:
    """The name under which a symbol's actions of one kind stand among the facts, dated by ex-date: `AAPL#split`."""
    return f"{symbol}#{kind}"


@dataclass(frozen=True)
class Facts:
    """What was known about some subjects (symbols and macro series)."""

    subject: NDArray[np.str_]
    """[N] symbol or series."""
    date: Dates
    """[N] datetime64[D]: session of a bar, first day of an observation's period."""
    known_at: Dates
    """[N] datetime64[us], UTC: when the world could know the row."""
    values: Floats
    """[N, 6] in the order of FIELDS."""

    @classmethod
    def of(cls, subject: NDArray[np.str_], date: Dates, known_at: Dates, values: Floats) -> Self:
        """Facts in canonical order, whatever order they came in."""
        order = np.lexsort((known_at, date, _numbers(subject)))
        return cls(
            subject[order],
            date[order].astype("datetime64[D]"),
            known_at[order].astype("datetime64[us]"),
            np.ascontiguousarray(values[order], dtype=np.float64),
        )

    @classmethod
    def joined(cls, parts: Iterable[tuple[str, Dates, Dates, Floats]]) -> Self:
        """Facts from (subject, date [n], known_at [n], values [n, 6]), one part a subject or several."""
        filled = sorted((part for part in parts if len(part[1])), key=lambda part: part[0])
        if not filled:
            nothing = np.empty(0, dtype="datetime64[D]")
            return cls(
                np.empty(0, dtype=np.str_), nothing, nothing.astype("datetime64[us]"), np.empty((0, len(FIELDS)))
            )
        names, dates, instants, values = zip(*filled, strict=True)
        subject = np.repeat(np.array(names, dtype=np.str_), [len(part) for part in dates])
        return cls.of(subject, np.concatenate(dates), np.concatenate(instants), np.concatenate(values))

    def known(self, as_of: np.datetime64) -> Self:
        """Only what the world could know at `as_of` (UTC)."""
        return self._where(self.known_at <= as_of)

    def about(self, subject: str) -> Self:
        """Only the rows of one subject."""
        return self._where(self._rows.get(subject, slice(0, 0)))

    def among(self, subjects: Iterable[str]) -> Self:
        """Only the rows of these subjects and of their actions."""
        named = set(subjects) | {action_subject(subject, kind) for subject in subjects for kind in ACTIONS}
        rows = [np.arange(len(self))[where] for name, where in self._rows.items() if name in named]
        return self._where(np.concatenate([np.arange(0), *rows]))

    def column(self, field: str) -> Floats:
        """One of FIELDS [N]."""
        return self.values[:, FIELDS.index(field)]

    def digest(self) -> str:
        """SHA-256 of the sorted columns: the same facts give the same name on any machine, in any file format."""
        sha = hashlib.sha256("\n".join(self.subject.tolist()).encode())
        sha.update(self.date.astype("<i8").tobytes())
        sha.update(self.known_at.astype("<i8").tobytes())
        # One bit pattern for all NaNs.
        sha.update(np.where(np.isnan(self.values), np.nan, self.values).astype("<f8").tobytes())
        return sha.hexdigest()

    @cached_property
    def _rows(self) -> dict[str, slice]:
        """Where each subject's rows lie."""
        starts = _starts(self.subject)
        edges = [*starts.tolist(), len(self)]
        return {str(self.subject[first]): slice(first, last) for first, last in itertools.pairwise(edges)}

    def _where(self, keep: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Self:
        return type(self)(self.subject[keep], self.date[keep], self.known_at[keep], self.values[keep])

    def __len__(self) -> int:
        return len(self.date)


def _starts(subject: NDArray[np.str_]) -> NDArray[np.intp]:
    """Where runs of the same subject begin."""
    return np.flatnonzero(np.r_[True, subject[1:] != subject[:-1]][: len(subject)])


def _numbers(subject: NDArray[np.str_]) -> NDArray[np.intp]:
    """Ranks [N] of the subjects; by runs, because sorting text row by row costs ten times as much."""
    starts = _starts(subject)
    _, rank = np.unique(subject[starts], return_inverse=True)
    return np.repeat(rank, np.diff(np.r_[starts, len(subject)]))
