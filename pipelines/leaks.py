"""Check-leaks: prove on the store's own facts that nothing a run computes knows the future, or name what does.

Three kinds of view are asked: every channel by itself, the contexts as a model gets them, and the matured targets (a
target is dated by the session that completes it).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from forecaster.contract import Dates
from forecaster.facts import Facts
from forecaster.features import Feature, column, compute, parse, subjects
from forecaster.leaks import Dated, Leak, Search, View, find_leaks, sessions_of, spread_origins
from forecaster.panel import Panel, build_panel
from forecaster.sessions import Calendar
from forecaster.store.history import read_facts
from forecaster.windows import Windows
from pipelines.config import RunConfig
from pipelines.snapshot import require_history
from pipelines.venue import calendar_of
from pipelines.workspace import Workspace

_SHOWN = 64
"""Numbers of a context that are compared a session, on average: contexts are slices of the same channels."""


@dataclass(frozen=True)
class Verdict:
    """What was looked at, and what leaks."""

    search: Search
    views: int
    first: str
    """First origin."""
    last: str

    @property
    def leaks(self) -> list[tuple[Leak, int]]:
        """The first leak of each channel, and at how many origins it has any."""
        origins: dict[str, set[str]] = {}
        for leak in self.search.leaks:
            origins.setdefault(leak.channel, set()).add(leak.origin)
        first = {leak.channel: leak for leak in reversed(self.search.leaks)}
        return [(first[channel], len(seen)) for channel, seen in origins.items()]

    def record(self) -> dict[str, Any]:
        """As plain values; null for the size of what came or went."""
        leaks = [
            {**asdict(leak), "size": None if np.isnan(leak.size) else leak.size, "origins": count}
            for leak, count in self.leaks
        ]
        return {
            "leaks": leaks,
            "origins": self.search.origins,
            "first": self.first,
            "last": self.last,
            "views": self.views,
            "comparisons": self.search.comparisons,
            "refused": self.search.refused,
        }


def lines(verdict: Verdict) -> list[str]:
    """The verdict for people: a line a leaking channel, then how much was checked."""
    said = []
    for leak, count in verdict.leaks:
        by = "came or went" if np.isnan(leak.size) else f"moved by {leak.size:.3g}"
        said.append(
            f"LEAK  {leak.channel}: its row of {leak.session} {by} when only facts after {leak.origin} "
            f"were changed ({leak.world}); seen at {count} of {verdict.search.origins} origins"
        )
    done = verdict.search
    what = f"{len(said)} of them leak" if said else "nothing leaks"
    refused = f", {done.refused} refused (the view fails on changed data)" if done.refused else ""
    said.append(
        f"{what}: {verdict.views} views (channels, contexts, targets) at {done.origins} origins from "
        f"{verdict.first} to {verdict.last}, {done.comparisons} comparisons{refused}"
    )
    return said


def check_leaks(workspace: Workspace, count: int) -> Verdict:
    """Look for leaks at `count` origins in what the run reads from the store now.

    Raises:
        NoHistory: The store has nothing of a subject.
        ConfigError: A user's feature fails on the facts as they are.
    """
    config = workspace.config
    wanted = (*config.data.symbols, *config.data.series)
    facts = read_facts(workspace.engine, workspace.now, wanted, workspace.recorded_only)
    require_history(workspace.engine, facts, wanted, workspace.recorded_only)
    return search(config, facts, count)


def search(config: RunConfig, facts: Facts, count: int) -> Verdict:
    """Look for leaks at `count` origins, shared out among the symbols, in what the run makes of these facts."""
    parts, shown = [], []
    for symbol in config.target.symbols:
        own = _readable(config, facts, symbol)
        calendar = calendar_of(own, config, symbol)
        share = max(4, count // len(config.target.symbols))
        origins = spread_origins(_sessions(config, own, symbol, calendar), share, config.training.seed)
        views = views_of(config, calendar, symbol)
        parts.append(find_leaks(views, own, symbol, calendar, origins, config.training.seed))
        shown += [str(origins[0]), str(origins[-1])]
    return Verdict(Search.joined(parts), len(views) * len(parts), min(shown), max(shown))


def _readable(config: RunConfig, facts: Facts, symbol: str) -> Facts:
    """What a symbol's windows can be made of; whatever is done to the rest, they do not see it.

    A series goes on to the session that was settled when anything was last heard: it sees all.
    """
    if config.target.kind == "level":
        return facts
    return facts.among({symbol, *subjects(config.window.features, config.features.table, config.target.symbols)})


def _sessions(config: RunConfig, facts: Facts, symbol: str, calendar: Calendar) -> Dates:
    """What may be an origin; a series has no bars, and most are published after the close of their own session."""
    if config.target.kind == "return":
        return sessions_of(facts, symbol, calendar)
    dates = facts.about(symbol).date
    return calendar.between(dates.min(), dates.max()).sessions


def views_of(config: RunConfig, calendar: Calendar, symbol: str) -> list[View]:
    """Everything that a run makes of facts, each dated."""
    reading = _Reading(config, calendar, symbol)
    channels = [partial(reading.channel, name) for name in config.window.features]
    return [*channels, reading.contexts, reading.targets]


class _Reading:
    """Facts as the run reads them. The user's modules are read anew for each new facts; panel and modules are kept
    while the same facts are asked about."""

    def __init__(self, config: RunConfig, calendar: Calendar, symbol: str) -> None:
        self._config, self._calendar, self._symbol = config, calendar, symbol
        self._facts: Facts | None = None

    def channel(self, name: str, facts: Facts) -> Dated:
        """One channel [T, 1]."""
        panel, features = self._begin(facts)
        feature, subject = parse(name, features)
        values = column(panel, features[feature], subject, self._config.target.symbols)
        return Dated((name,), panel.sessions, values[:, None])

    def contexts(self, facts: Facts) -> Dated:
        """Contexts [N, C, L] of a share of the sessions, and of the same ones whatever the facts."""
        windows = self._windows(facts)
        length, names = self._config.window.context, self._config.window.channels
        rows = np.arange(length - 1, len(windows.sessions))
        apart = -(-length * len(names) // _SHOWN)
        rows = rows[windows.sessions[rows].astype(np.int64) % apart == 0]
        values = windows.contexts(rows).transpose(0, 2, 1)
        return Dated(tuple(f"context of {name}" for name in names), windows.sessions[rows], values)

    def targets(self, facts: Facts) -> Dated:
        """Targets [N, 1, H], dated by the session that completes them."""
        windows, horizon = self._windows(facts), self._config.target.horizon
        return Dated(("target",), windows.sessions[horizon:], windows.targets[:-horizon, None])

    def _windows(self, facts: Facts) -> Windows:
        panel, features = self._begin(facts)
        window, target = self._config.window, self._config.target
        channels = compute(panel, window, features, target.symbols)
        return Windows.of(channels, window, target.horizon, target.kind, target.number(self._symbol))

    def _begin(self, facts: Facts) -> tuple[Panel, Mapping[str, Feature]]:
        if facts is not self._facts:
            self._features = self._config.features.load()
            others = subjects(self._config.window.features, self._features, self._config.target.symbols)
            self._panel = build_panel(facts, self._symbol, others, self._calendar)
            self._facts = facts
        return self._panel, self._features
