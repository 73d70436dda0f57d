"""Leaks, found by perturbation alone: whatever happens to the facts after an origin's cut-off, no bit of what is
computed for a session up to the origin may move. No rule says what a leak looks like.

An *origin* is a session whose bar the target has; a *view* is any function of facts that gives dated rows. For each
origin every view is asked about other *worlds*: what was known at the cut-off and nothing else, and several in which
what came later is different. The same is done once more from a past with oddities in it (holes, splits, wild and still
sessions), because a function may look ahead only where something odd happened.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forecaster.calendars import Calendar
from forecaster.contract import Dates
from forecaster.facts import Facts
from forecaster.worlds import Change, another_world, odd_past

RUN = 25
"""Sessions in a row that are all origins: every weekday and the turn of a month are among them."""

CHANGED = Change(seed=0)
WORLDS: Mapping[str, Change] = {
    "changed": CHANGED,
    "raised": Change(seed=1, changed=1.0, removed=0.0, push=7.0),
    "lowered": Change(seed=2, changed=1.0, removed=0.0, push=-7.0),
}
"""What is done to the facts after the cut-off, besides cutting them away."""


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
"""Must begin afresh at each call: what an earlier call left behind would hide a leak."""


@dataclass(frozen=True)
class Leak:
    """A row that moved though nothing changed that was known at its session."""

    channel: str
    session: str
    """First session whose row moved."""
    origin: str
    """Only facts that became known after this session's cut-off were changed."""
    world: str
    """What was done to them."""
    size: float
    """Largest difference; NaN where a value, a row or the channel came or went."""


@dataclass(frozen=True)
class Search:
    """What was looked at, and found."""

    leaks: tuple[Leak, ...]
    """One a channel, origin and world, in the order found."""
    origins: int
    comparisons: int
    """Worlds compared, summed over views."""
    refused: int
    """Worlds that a view would not compute (its checks refused the data): these say nothing."""


@dataclass(frozen=True)
class Market:
    """Whose sessions the origins are."""

    symbol: str
    calendar: Calendar

    def known(self, facts: Facts) -> Dates:
        """Sessions [N] whose bar the symbol had at their own cut-off."""
        own = facts.about(self.symbol)
        own = own.known(np.datetime64("9999-01-01"))
        row = np.searchsorted(self.calendar.sessions, own.date)
        row = np.minimum(row, len(self.calendar.sessions) - 1)
        in_time = (self.calendar.sessions[row] == own.date) & (own.known_at <= self.calendar.cutoffs[row])
        return np.unique(own.date[in_time])

    def cutoff(self, session: np.datetime64) -> np.datetime64:
        """Until when a row had to be known to count at that session."""
        instant: np.datetime64 = self.calendar.cutoffs[np.searchsorted(self.calendar.sessions, session)]
        return instant


def spread_origins(sessions: Dates, count: int, seed: int) -> Dates:
    """Origins [<= count] among sessions: the newest, two runs in a row (one over a turn of the year), the rest spread."""
    rng = np.random.default_rng(seed)
    if count >= len(sessions):
        return sessions
    last = len(sessions) - 1
    years = sessions.astype("datetime64[Y]")
    turns = np.flatnonzero(years[1:] != years[:-1])
    run = min(RUN, count // 4)
    starts = [rng.integers(0, last), (rng.choice(turns) if turns.size else last) - run // 2]
    rows = {last, *(int(np.clip(start, 0, last)) + step for start in starts for step in range(run))}
    rows = {row for row in rows if row <= last}
    # One at random from each of equal parts: no part of the history stays unseen.
    edges = np.linspace(0, len(sessions), max(count - len(rows), 0) + 1).astype(int)
    rows |= {int(rng.integers(low, high)) for low, high in zip(edges[:-1], edges[1:], strict=True) if low < high}
    return sessions[sorted(rows)]


def find_leaks(views: Sequence[View], facts: Facts, market: Market, origins: Dates, seed: int) -> Search:
    """Ask each view about each origin's worlds, and compare what it says of the sessions up to the origin.

    Arguments:
        origins: Sessions [N] among `market.known(facts)`.
        seed: Of the worlds' chances.
    """
    search = _Search(views, market, seed)
    search.compare("", facts, origins)
    near = np.unique(np.concatenate([market.calendar.sessions[_before(market.calendar, origins, k)] for k in range(3)]))
    odd = odd_past(facts, near, np.random.default_rng(seed))
    search.compare("odd past, ", odd, np.intersect1d(origins, market.known(odd)))
    return Search(tuple(search.leaks), len(origins), search.comparisons, search.refused)


def _before(calendar: Calendar, sessions: Dates, count: int) -> NDArray[np.intp]:
    """Rows [N] of the sessions so many before these."""
    return np.maximum(np.searchsorted(calendar.sessions, sessions) - count, 0)


class _Search:
    """A search under way."""

    def __init__(self, views: Sequence[View], market: Market, seed: int) -> None:
        self.views, self.market, self.seed = views, market, seed
        self.leaks: list[Leak] = []
        self.comparisons = self.refused = 0

    def compare(self, past: str, facts: Facts, origins: Dates) -> None:
        """Compare every view at every origin with what it says on `facts`."""
        known = self.market.known(facts)
        early = [_ask(view, facts.known(self.market.cutoff(origins[0]))) for view in self.views]  # before the whole
        whole = [_ask(view, facts) for view in self.views]
        if not past:
            for answer in whole:
                if isinstance(answer, Exception):
                    raise answer
        for place, origin in enumerate(origins):
            cutoff = self.market.cutoff(origin)
            for world, other in self._worlds(facts, cutoff, bool(past), place):
                answers = [_ask(view, other) for view in self.views]
                rounds = [early, answers] if place == 0 and world == "cut away" else [answers]
                for each in rounds:
                    for one, two in zip(whole, each, strict=True):
                        self._note(one, two, origin, known, past + world)
        for one, two in zip(whole, [_ask(view, facts) for view in self.views], strict=True):
            self._note(one, two, known[-1], known, past + "asked twice")

    def _worlds(self, facts: Facts, cutoff: np.datetime64, odd: bool, place: int) -> Iterator[tuple[str, Facts]]:
        yield "cut away", facts.known(cutoff)
        for number, (name, change) in enumerate(WORLDS.items()):
            if odd and change is not CHANGED:
                return
            rng = np.random.default_rng((self.seed, place, number))
            yield name, another_world(facts, cutoff, change, rng)

    def _note(self, one: Dated | Exception, two: Dated | Exception, origin: np.datetime64, known: Dates, world: str) -> None:
        if isinstance(one, Exception):
            self.refused += 1
            return
        self.comparisons += 1
        if not isinstance(two, Exception):
            self.leaks += [Leak(name, str(day), str(origin), world, size) for name, day, size in
                           moved(one, two, origin, known)]  # fmt: skip
        elif world.endswith("cut away") and _has(one, origin):
            self.leaks += [Leak(name, str(origin), str(origin), f"{world}: {two}", float("nan")) for name in one.names]
        else:
            self.refused += 1
