"""Leaks, found by perturbation alone: whatever happens to the facts after an origin's cut-off, no bit of what is
computed for a session up to the origin may move. No rule says what a leak looks like.

A *view* is any function of facts that gives dated rows. At each origin it is asked about other *worlds*: one in which
nothing came after the cut-off, and several in which something else did. All is done again from a past with oddities in
it (holes, splits, wild and still sessions), because a function may look ahead only where something odd happened.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from forecaster.contract import Dates
from forecaster.errors import DataError
from forecaster.facts import Facts
from forecaster.sessions import Calendar
from forecaster.worlds import Change, another_world, odd_past

RUN = 25
"""Sessions in a row that are all origins: every weekday and the turn of a month are among them."""

CUT = "cut away"
CHANGES: Mapping[str, Change] = MappingProxyType(
    {
        "changed": Change(seed=0),
        "raised": Change(seed=0, changed=1.0, removed=0.0, push=7.0),
        "lowered": Change(seed=0, changed=1.0, removed=0.0, push=-7.0),
    }
)
"""What is done to the facts after a cut-off, besides cutting them away; the last two take turns."""


@dataclass(frozen=True)
class Dated:
    """Rows that claim to be known at the cut-off of their session."""

    names: tuple[str, ...]
    """[K] channels."""
    sessions: Dates
    """[T] ascending."""
    values: NDArray[Any]
    """[T, K], or [T, K, ...] where a channel has several numbers a row."""


View = Callable[[Facts], Dated]
"""Begins afresh at each call: what an earlier call left behind could hide a leak."""


@dataclass(frozen=True)
class Leak:
    """A row that moved although nothing changed that was known at its session."""

    channel: str
    session: str
    """First session whose row moved."""
    origin: str
    """Only facts that became known after this session's cut-off were changed."""
    world: str
    """What was done to them."""
    size: float
    """Largest difference; NaN where a value, a row or the channel itself came or went."""


@dataclass(frozen=True)
class Search:
    """What was looked at, and found."""

    leaks: tuple[Leak, ...]
    """One a channel, origin and world, in the order of the search."""
    origins: int
    comparisons: int
    """Worlds compared, summed over views."""
    refused: int
    """Worlds that a view would not compute, which say nothing about it."""

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Several searches as one."""
        leaks = tuple(leak for part in parts for leak in part.leaks)
        sums = (sum(getattr(part, name) for part in parts) for name in ("origins", "comparisons", "refused"))
        return cls(leaks, *sums)


def find_leaks(
    views: Sequence[View], facts: Facts, symbol: str, calendar: Calendar, origins: Dates, seed: int
) -> Search:
    """Ask each view about the worlds of each origin, and compare what it says of the sessions up to the origin.

    Arguments:
        symbol: The target: a session on which it has no bar is a hole, and may be missing at the end of a view.
        calendar: Of the target's venue.
        origins: Sessions [N] of the venue, ascending.
        seed: Of what happens in the worlds.

    Raises:
        Exception: What a view raises on `facts` as they are.
    """
    leaks: list[Leak] = []
    comparisons = refused = 0
    rows = np.searchsorted(calendar.sessions, origins)
    near = calendar.sessions[np.unique(np.maximum(rows[:, None] - np.arange(3), 0))]
    for past, base in (("", facts), ("odd past, ", odd_past(facts, near, seed))):
        required = _bars_in_time(base, symbol, calendar)
        for origin, world, one, two in _pairs(views, base, calendar, origins, seed, brief=bool(past)):
            if isinstance(one, Exception):
                if not past:
                    raise one
                refused += 1
            elif not isinstance(two, Exception):
                comparisons += 1
                found = moved(one, two, origin, required)
                leaks += [Leak(name, str(day), str(origin), past + world, size) for name, day, size in found]
            elif world == CUT and _failed(two) and origin in required and _speaks(one, origin):
                comparisons += 1
                said = f"{past}{world}, and it fails: {type(two).__name__}"
                leaks.append(Leak(", ".join(one.names), str(origin), str(origin), said, float("nan")))
            else:
                refused += 1
    return Search(tuple(leaks), len(origins), comparisons, refused)


def spread_origins(sessions: Dates, count: int, seed: int) -> Dates:
    """Origins [count or fewer] among sessions: the newest, two runs in a row (one over the turn of a year), and of each
    equal part of the rest one at random, so that no part of the history stays unseen.
    """
    if count >= len(sessions):
        return sessions
    rng = np.random.default_rng(seed)
    newest = len(sessions) - 1
    years = sessions.astype("datetime64[Y]")
    turns = np.flatnonzero(years[1:] != years[:-1])
    length = min(RUN, count // 4)
    starts = rng.integers(0, newest), (rng.choice(turns) if turns.size else newest) - length // 2
    rows = {newest, *(int(start) + step for start in starts for step in range(length))} & set(range(newest + 1))
    edges = np.linspace(0, len(sessions), count - len(rows) + 1).astype(int)
    rows |= {int(rng.integers(low, high)) for low, high in pairwise(edges)}
    return sessions[sorted(rows)]


def sessions_of(facts: Facts, symbol: str, calendar: Calendar) -> Dates:
    """Sessions [N] from the symbol's first bar to its last: what may be an origin."""
    bars = _bars_in_time(facts, symbol, calendar)
    return calendar.between(bars[0], bars[-1]).sessions if bars.size else bars


def moved(one: Dated, two: Dated, origin: np.datetime64, required: Dates) -> list[tuple[str, np.datetime64, float]]:
    """Channels of which a row up to the origin differs in any bit: name, first such session, largest difference.

    Arguments:
        required: Sessions [N] that both must have if one has them.
    """
    ends = [int(np.searchsorted(each.sessions, origin, side="right")) for each in (one, two)]
    days, others = one.sessions[: ends[0]], two.sessions[: ends[1]]
    common, rows, other_rows = days, np.arange(len(days)), np.arange(len(days))
    if not np.array_equal(days, others):
        lacking = np.intersect1d(np.setxor1d(days, others), required)
        if lacking.size:
            return [(name, lacking[0], float("nan")) for name in one.names]
        common, rows, other_rows = np.intersect1d(days, others, assume_unique=True, return_indices=True)
    found = [(name, common[0], float("nan")) for name in sorted(set(one.names) ^ set(two.names)) if len(common)]
    for number, name in enumerate(one.names):
        if name in two.names:
            before, after = one.values[rows, number], two.values[other_rows, two.names.index(name)]
            differs = _differs(before, after).any(axis=tuple(range(1, before.ndim)))
            if differs.any():
                size = float(np.max(np.abs(before[differs] - after[differs])))
                found.append((name, common[np.argmax(differs)], size))
    return found


def _pairs(
    views: Sequence[View], facts: Facts, calendar: Calendar, origins: Dates, seed: int, brief: bool
) -> Iterator[tuple[np.datetime64, str, Dated | Exception, Dated | Exception]]:
    """(origin, world, what a view says of the facts, what it says of the world), of every origin, world and view.

    Arguments:
        brief: Leave out the worlds in which all that comes later is extreme.
    """
    cutoffs = calendar.cutoffs[np.searchsorted(calendar.sessions, origins)]
    # The smallest world before the whole: whoever keeps what he saw first is then seen to.
    smallest = [_ask(view, facts.known(cutoffs[0])) for view in views]
    whole = [_ask(view, facts) for view in views]
    for one, two in zip(whole, smallest, strict=True):
        yield origins[0], CUT, one, two
    for view, one in zip(views, whole, strict=True):
        yield origins[-1], "asked twice", one, _ask(view, facts)
    for place, (origin, cutoff) in enumerate(zip(origins, cutoffs, strict=True)):
        worlds = {CUT: facts.known(cutoff)}
        for name in ("changed",) if brief else ("changed", ("raised", "lowered")[place % 2]):
            own_seed = int(np.random.SeedSequence((seed, place)).generate_state(1)[0])
            worlds[name] = another_world(facts, cutoff, replace(CHANGES[name], seed=own_seed))
        for name, world in worlds.items():
            for view, one in zip(views, whole, strict=True):
                yield origin, name, one, _ask(view, world)


def _ask(view: View, facts: Facts) -> Dated | Exception:
    """What the view says, or why it does not."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # worlds hold numbers that no market has seen
            return view(facts)
    except Exception as error:
        return error


def _failed(error: Exception) -> bool:
    """Whether it is no plain refusal of too little data."""
    return not isinstance(error, DataError)


def _speaks(view: Dated, session: np.datetime64) -> bool:
    """Whether it has a value for that session."""
    return not bool(np.isnan(view.values[view.sessions == session]).all())


def _differs(one: NDArray[Any], two: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two arrays differ in any bit; one NaN is as good as another."""
    bits = np.dtype(f"u{one.dtype.itemsize}")
    differs = np.ascontiguousarray(one).view(bits) != np.ascontiguousarray(two).view(bits)
    return np.asarray(differs & ~(np.isnan(one) & np.isnan(two)))


def _bars_in_time(facts: Facts, symbol: str, calendar: Calendar) -> Dates:
    """Sessions [N] whose bar the symbol had at their own cut-off."""
    own = facts.about(symbol)
    row = np.minimum(np.searchsorted(calendar.sessions, own.date), len(calendar.sessions) - 1)
    in_time = (calendar.sessions[row] == own.date) & (own.known_at <= calendar.cutoffs[row])
    return np.unique(own.date[in_time])
