"""Simulated markets for `benchmarks.gate`: what there is to find in them is known, because it was put there.

Sessions are numbered days; a market has a price, the range of each session and, where one is asked for, a channel that
leads it. Surprises are Student's t in units of their standard deviation.
"""

import math
from dataclasses import dataclass

import numpy as np

from forecaster.contract import Floats, WindowSpec
from forecaster.families.base import Spec
from forecaster.features import Channels
from forecaster.windows import Spans, Windows, walk

DAILY = 0.01
"""Standard deviation of a session's return."""
TAIL = 6.0
"""Degrees of freedom of surprises, where nothing else is said."""
_PARTS = 16  # steps of a session, for its range
_WARM = 300  # sessions that are thrown away: a variance forgets where it began
CONTEXT, BURN_IN = 64, 32


@dataclass(frozen=True)
class Variance:
    """A GJR-GARCH(1, 1) whose unconditional variance is DAILY^2."""

    alpha: float
    gamma: float
    beta: float
    tail: float = TAIL
    """Degrees of freedom of the surprises."""

    def path(self, surprises: Floats) -> Floats:
        """Standard deviation of each session [T], from standardised surprises [T]."""
        left = 1.0 - self.alpha - self.gamma / 2 - self.beta
        now, found = DAILY**2, np.empty(len(surprises))
        for session, surprise in enumerate(surprises.tolist()):
            found[session] = now
            news = self.alpha + self.gamma * (surprise < 0)
            now *= self.beta + news * surprise**2
            now += left * DAILY**2
        return np.sqrt(found)


CONSTANT = Variance(0.0, 0.0, 0.0)
GARCH = Variance(alpha=0.08, gamma=0.0, beta=0.90)
GJR = Variance(alpha=0.0, gamma=0.158, beta=0.910, tail=9.4)
"""What `garch` finds in the daily returns of the S&P 500, 1999-2014, in the shipped sample."""


@dataclass(frozen=True)
class Market:
    """What happened."""

    returns: Floats
    """[T] log returns."""
    ranges: Floats
    """[T] log of high over low."""
    lead: Floats | None = None
    """[T] a published series that leads the return by one session."""


def market(rng: np.random.Generator, count: int, variance: Variance = CONSTANT) -> Market:
    """A random walk: nothing but its variance can be known ahead."""
    total = count + _WARM
    mixing = np.sqrt((variance.tail - 2) / rng.chisquare(variance.tail, total))
    steps = rng.standard_normal((total, _PARTS)) / math.sqrt(_PARTS)
    within = np.cumsum(steps, axis=1) * mixing[:, None]
    scale = variance.path(within[:, -1])
    high, low = np.maximum(within.max(axis=1), 0.0), np.minimum(within.min(axis=1), 0.0)
    return Market((scale * within[:, -1])[_WARM:], (scale * (high - low))[_WARM:])


def autoregressive(rng: np.random.Generator, count: int, weight: float) -> Market:
    """Returns of which `weight` of the last one comes again: weight^2 of the variance can be known."""
    found = market(rng, count)
    shocks, returns, before = (math.sqrt(1 - weight**2) * found.returns).tolist(), np.empty(count), 0.0
    for session, shock in enumerate(shocks):
        before = weight * before + shock
        returns[session] = before
    return Market(returns, found.ranges)


def led(rng: np.random.Generator, count: int, share: float) -> Market:
    """Returns of which `share` of the variance was said the session before, by a channel with a memory of its own."""
    found, news = market(rng, count), rng.standard_normal(count)
    lead = np.empty(count)
    level = 0.0
    for session, one in enumerate(news.tolist()):
        level = 0.3 * level + math.sqrt(1 - 0.3**2) * one
        lead[session] = level
    returns = math.sqrt(1 - share) * found.returns
    returns[1:] += math.sqrt(share) * DAILY * lead[:-1]
    return Market(returns, found.ranges, lead)


@dataclass(frozen=True)
class Cut:
    """How many origins are trained on, validated on and tested on, and how far ahead is forecast."""

    train: int
    validation: int
    test: int
    horizon: int

    @property
    def sessions(self) -> int:
        """Sessions that a market needs for it."""
        return CONTEXT + self.train + self.validation + self.test + self.horizon


@dataclass(frozen=True)
class World:
    """A market as families and the gate see it."""

    windows: Windows
    folds: tuple[Spans, ...]
    """One."""
    spec: Spec


def world(found: Market, cut: Cut) -> World:
    """Channels, windows and spans of a market of `cut.sessions`, purged as ever."""
    columns = {"log_return": found.returns, "log_range": found.ranges}
    if found.lead is not None:
        columns["lead"] = found.lead
    close = 100 * np.exp(np.cumsum(found.returns))
    sessions = np.datetime64("1990-01-01", "D") + np.arange(len(close))
    spec = WindowSpec(context=CONTEXT, burn_in=BURN_IN, channels=tuple(columns))
    channels = Channels(sessions, np.column_stack(list(columns.values())), close, close, symbol="SIM")
    return divided(Windows.of(channels, spec, cut.horizon), cut)


def divided(windows: Windows, cut: Cut) -> World:
    """A world of windows: the newest origins are tested on."""
    last = len(windows.sessions) - cut.horizon
    edges = [windows.sessions[last - cut.test - held].item() for held in (cut.validation, 0)]
    return World(windows, walk([windows], edges[0], edges[1], None), Spec(windows.spec, cut.horizon))
