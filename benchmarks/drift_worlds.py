"""Simulated markets for `benchmarks.drift`: two symbols with prices and volume, quiet, restless or through a bad feed.

A session's surprise is Student's t with four degrees of freedom under a constant scale, or Hansen's skewed t under a
GJR-GARCH fitted to real returns; the scale before it is known, so a perfect forecast is too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from arch import arch_model
from arch.univariate import SkewStudent

from forecaster.contract import LEVELS, Floats, WindowSpec
from forecaster.facts import Facts
from forecaster.features import compute
from forecaster.panel import build_panel
from forecaster.sessions import Calendar

CHANNELS = ("log_return", "log_range", "close_location", "volume_change", "volume_level", "log_return(PEER)")
WINDOW = WindowSpec(context=64, burn_in=32, channels=CHANNELS)
_PARTS = 16  # steps of a session, for its range
_FORGET = 500  # sessions until a variance forgets where it began
_DAILY = 0.01


@dataclass(frozen=True)
class Law:
    """How surprises and their scale come about."""

    name: str
    draw: Callable[[Floats], Floats]
    """Uniform numbers to surprises of variance 1."""
    omega: float = _DAILY**2
    alpha: float = 0.0
    gamma: float = 0.0
    beta: float = 0.0

    def paths(self, rng: np.random.Generator, count: int, worlds: int) -> tuple[Floats, Floats]:
        """Surprises and their scales, each [T, worlds]."""
        surprises = self.draw(rng.random((count + _FORGET, worlds)))
        variance = np.full(worlds, self.omega / (1 - self.alpha - self.gamma / 2 - self.beta))
        scales = np.empty_like(surprises)
        for session, surprise in enumerate(surprises):
            scales[session] = np.sqrt(variance)
            news = (self.alpha + self.gamma * (surprise < 0)) * surprise**2
            variance = self.omega + (news + self.beta) * variance
        return surprises[_FORGET:], scales[_FORGET:]

    def quantiles(self) -> Floats:
        """Of a surprise, at each level [Q]."""
        return self.draw(np.array(LEVELS))


def student() -> Law:
    """Independent surprises with four degrees of freedom."""
    from scipy.stats import t

    return Law("t", lambda uniform: t.ppf(uniform, 4) / math.sqrt(2))


def clustered(returns: Floats) -> Law:
    """A GJR-GARCH with skewed t, fitted to daily log returns [T]."""
    fitted = arch_model(100 * returns, vol="GARCH", p=1, o=1, q=1, dist="skewt").fit(disp="off").params
    shape = fitted[["eta", "lambda"]].to_numpy()
    weights = (max(float(fitted[f"{name}[1]"]), 0.0) for name in ("alpha", "gamma", "beta"))
    return Law("gjr", lambda uniform: SkewStudent().ppf(uniform, shape), float(fitted["omega"]) / 1e4, *weights)


@dataclass(frozen=True)
class Bars:
    """Logs of a symbol's sessions [T], from the close before, and its volume."""

    returns: Floats
    high: Floats
    low: Floats
    volume: Floats

    @property
    def rows(self) -> Floats:
        """As facts hold them [T, 6]."""
        close = math.log(100) + np.cumsum(self.returns)
        before = close - self.returns
        logs = (before, before + self.high, before + self.low, close)
        return np.column_stack((*map(np.exp, logs), self.volume, np.full(len(close), np.nan)))


def bars(rng: np.random.Generator, surprises: Floats, scales: Floats) -> tuple[Bars, Bars]:
    """A symbol with these surprises, and a peer that shares most of them."""
    own = rng.standard_normal(len(surprises))
    peers = 0.85 * surprises + math.sqrt(1 - 0.85**2) * own
    return _bars(rng, surprises, scales), _bars(rng, peers, 1.3 * scales)


def _bars(rng: np.random.Generator, surprises: Floats, scales: Floats) -> Bars:
    steps = np.cumsum(rng.standard_normal((len(surprises), _PARTS)) / math.sqrt(_PARTS), axis=1)
    through = np.arange(1, _PARTS + 1) / _PARTS
    path = scales[:, None] * (steps - steps[:, -1:] * through + surprises[:, None] * through)
    busy, news = np.empty(len(surprises)), 0.15 * rng.standard_normal(len(surprises))
    level = 0.0
    for session, one in enumerate(news.tolist()):
        level = 0.7 * level + one
        busy[session] = level
    volume = np.exp(20 + busy + 0.15 * np.abs(surprises))
    return Bars(path[:, -1], np.maximum(path.max(axis=1), 0.0), np.minimum(path.min(axis=1), 0.0), volume)


def channels(target: Floats, peer: Floats, calendar: Calendar) -> Floats:
    """Rows [T, C] of the channels, through facts, panel and features, of rows [T, 6] of both symbols."""
    days, cutoffs = calendar.sessions[: len(target)], calendar.cutoffs[: len(target)]
    subjects = np.repeat(["TGT", "PEER"], len(target))
    facts = Facts.of(subjects, np.tile(days, 2), np.tile(cutoffs, 2), np.concatenate((target, peer)))
    return compute(build_panel(facts, "TGT", ["PEER"], calendar), WINDOW).values


def doubled(target: Bars, peer: Bars, since: int) -> tuple[Floats, Floats]:
    """Twice the volatility from a session on."""

    def louder(one: Bars) -> Floats:
        factor = np.where(np.arange(len(one.returns)) >= since, 2.0, 1.0)
        return replace(one, returns=factor * one.returns, high=factor * one.high, low=factor * one.low).rows

    return louder(target), louder(peer)


def frozen(rows: Floats, since: int) -> Floats:
    """The feed repeats its last bar."""
    return np.concatenate((rows[:since], np.repeat(rows[since - 1 : since], len(rows) - since, axis=0)))


def hundredfold(rows: Floats, since: int) -> Floats:
    """Prices in pence."""
    return _scaled(rows, since, [100.0] * 4 + [1.0] * 2)


def in_lots(rows: Floats, since: int) -> Floats:
    """Volume in lots of a hundred."""
    return _scaled(rows, since, [1.0] * 4 + [0.01, 1.0])


def unsaid(rows: Floats, since: int) -> Floats:
    """No volume any more."""
    return _scaled(rows, since, [1.0] * 4 + [0.0, 1.0])


def _scaled(rows: Floats, since: int, factors: list[float]) -> Floats:
    return np.concatenate((rows[:since], rows[since:] * factors))


def flipped(rows: Floats, since: int) -> Floats:
    """A rise is told as a fall."""
    mirrored = rows[since - 1, 3] ** 2 / rows[since:, [0, 2, 1, 3]]
    return np.concatenate((rows[:since], np.column_stack((mirrored, rows[since:, 4:]))))


FAULTS: dict[str, Callable[[Floats, int], Floats]] = {
    "frozen": frozen, "x100": hundredfold, "sign flipped": flipped, "volume zero": unsaid, "volume in lots": in_lots,
}  # fmt: skip
