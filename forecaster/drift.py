"""Drift: sequential tests of what goes into a champion and of what comes out of it, each with a stated rate.

Scores and coverage are watched by e-detectors. A bet against "all is well" multiplies its stake by e_t each session,
with E[e_t | past] <= 1 while all is well; M_t = e_t (M_{t-1} + 1), a mean over several bets, then has E[M_t] <= t. So
the mean number of sessions to M >= c is at least c, whatever the distributions, and with a new start after each
alarm no T sessions hold more than T / c alarms in the mean. Only forecasts one session ahead are held: sessions do not
overlap. Several symbols of one session are one bet: a mean of e-values is one under any dependence.

Inputs are watched by two-sided CUSUMs of normal scores of ranks among the rows that the champion was trained on. Such
sums have no exact law under volatility clustering; their threshold is taken from the reference itself, by bootstrap.

References:
    J. Shin, A. Ramdas, A. Rinaldo, E-detectors: a nonparametric framework for sequential change detection, New England
    J. Statistics in Data Science 2 (2023), p. 229 (definition 2.1 and proposition 2.4).
    A. Henzi, J. Ziegel, Valid sequential inference on probability forecast performance, Biometrika 109 (2022), p. 647.
    E. Page, Continuous inspection schemes, Biometrika 41 (1954), p. 100.
    D. Politis, J. Romano, The stationary bootstrap, JASA 89 (1994), p. 1303.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from forecaster.contract import LEVELS, Floats
from forecaster.scores import crps

YEAR = 252
"""Sessions of a year."""
PATIENCE = 20.0 * YEAR
"""Threshold of an e-detector: sessions to a false alarm, in the mean at least; so at most one in twenty years."""
ALPHA = 0.05
"""Share of quiet years with a false alarm about inputs, at most."""
INTERVALS: tuple[tuple[float, tuple[float, ...]], ...] = (
    (0.80, (0.50, 0.60, 0.70, 0.88, 0.94)),
    (0.95, (0.75, 0.83, 0.90, 0.985, 0.995)),
)
"""Central intervals whose coverage is watched, and the rates that are bet on in its place."""

_ALLOWANCE = 0.5  # of a CUSUM, in standard deviations of a score
_CLIP = 2.5  # deviations that count: one outlier is no drift
_BLOCK = 120  # sessions of a bootstrap block, in the mean: volatility clusters
_RESAMPLES = 500
_CAUTION = 2e-5  # share of ALPHA that levels are set for: one reference does not show all that quiet years can do
_STILL = 6.0  # sessions that a restless channel may stand still
_FAR = 5.0  # times as far from the median as anything in the reference
_GUMBEL = 0.5772156649015329  # mean of the standard law of maxima

_BETS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 0.95)
_MOST = 1e12  # a stake that says all that can be said


def worse(stated: Floats, walk: Floats, gain: Floats) -> Floats:
    """E-values of bets that a forecast is worse than the random walk one session ahead.

    The difference in CRPS is divided by the most that the forecast could have gained on the walk, whatever came. That
    is known before, so what is tested is E[CRPS | past] <= E[CRPS of the walk | past] and nothing else.

    Arguments:
        stated: [N, Q] quantiles.
        walk: [N, Q] the random walk's.
        gain: [N] CRPS of the walk minus that of the forecast.
    Returns:
        [N, K] a column a bet.
    """
    most = _most_gain(stated, walk)
    loss = np.where(most > 0, -gain / np.where(most > 0, most, 1.0), 0.0)
    return np.asarray(np.maximum(1 + np.maximum(loss, -1.0)[:, None] * np.array(_BETS), 0.0))


def _most_gain(stated: Floats, walk: Floats) -> Floats:
    """The most that the walk's CRPS can exceed the forecast's [N]: piecewise linear, so it is taken at a quantile."""
    knots = np.concatenate((stated, walk), axis=1)  # beyond the outermost the difference stays as it is there
    each = [np.repeat(quantiles[:, None], knots.shape[1], axis=1) for quantiles in (walk, stated)]
    theirs, ours = (crps(quantiles, knots) for quantiles in each)
    return np.asarray(np.max(theirs - ours, axis=1))


def missed(below: NDArray[np.bool_], interval: int) -> Floats:
    """E-values of bets that a central interval holds more or fewer outcomes than it says.

    Arguments:
        below: [N, Q] whether the outcome was at or below each quantile.
        interval: Which of INTERVALS.
    Returns:
        [N, K] a column a rate that is bet on: its likelihood over the stated rate's.
    """
    rate, bets = INTERVALS[interval]
    other = np.array(bets)
    return np.where(held(below, interval)[:, None], other / rate, (1 - other) / (1 - rate))


def held(below: NDArray[np.bool_], interval: int) -> NDArray[np.bool_]:
    """Whether a central interval held its outcome [N], of whether that was at or below each quantile [N, Q]."""
    low, high = (LEVELS.index(round((1 + side * INTERVALS[interval][0]) / 2, 3)) for side in (-1, 1))
    return np.asarray(below[:, high] & ~below[:, low])


def by_session(values: Floats, sessions: Sequence[object]) -> Floats:
    """E-values [N, K] of several symbols, as one row a session [T, K]; sessions ascend."""
    _, starts, counts = np.unique(np.array(sessions), return_index=True, return_counts=True)
    return np.asarray(np.add.reduceat(values, starts, axis=0) / counts[:, None]) if len(values) else values


def evidence(values: Floats) -> Floats:
    """The e-detector [T] of e-values [T, K]: the mean over bets of M_t = e_t (M_{t-1} + 1)."""
    stake, found = np.zeros(values.shape[1]), np.empty(len(values))
    for session, value in enumerate(values):
        stake = np.minimum(value * (stake + 1), _MOST)
        found[session] = stake.mean()
    return found


@dataclass(frozen=True)
class Path:
    """How the test of inputs ran, session by session."""

    ratios: Floats
    """[T, R] each running sum over the level that it may reach."""
    names: tuple[str, ...]
    """[R] what each is about, in words."""

    @property
    def highest(self) -> Floats:
        """[T] the largest ratio of a session; an alarm from 1 on."""
        return np.asarray(self.ratios.max(axis=1, initial=0.0))

    def told(self, session: int) -> str:
        """What the largest ratio of a session is about."""
        return self.names[int(np.argmax(self.ratios[session]))]


@dataclass(frozen=True)
class Reference:
    """What the channels did in the rows that a champion was trained on; what later rows are held against.

    Watched are each channel's location, its scale (distance from the median) and its product with its closest partner
    (a flipped sign shows there), each up and down; whether it stands still; and whether it lies far outside all that
    was seen. Each sum has a level of its own, so that a restless channel does not drown a quiet one: over all of them
    together a quiet year stays below its levels with probability 1 - ALPHA at least.

    A year is made of blocks of rows, drawn as they stand, so that channels keep their dependence and volatility its
    clusters. A sum's largest value in a year follows a law of maxima (Gumbel's, by the moments of the bootstrapped
    years), since no number of years drawn from one reference holds more than the reference itself.
    """

    rows: Floats
    """[N, C] in the order of sessions, without holes."""
    channels: tuple[str, ...]
    """[C] names."""
    seed: int = 0

    def path(self, rows: Floats) -> Path:
        """The test of later rows [T, C], begun anew with the first of them."""
        scores, still = self._scores(rows), _repeats(rows) & self._restless
        now, found = np.zeros(len(self._levels)), np.empty((len(rows), len(self._levels)))
        for session in range(len(rows)):
            now = _next(now, scores[session], still[session])
            found[session] = now / self._levels
        far = np.abs(rows - self._median) / np.where(self._reach > 0, _FAR * self._reach, np.inf)
        return Path(np.column_stack((found, far)), self._names)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        pairs = zip(self.channels, self._partner, strict=True)
        sizes = (f"size of {name}" for name in self.channels)
        each = (*self.channels, *sizes, *(f"{name} with {self.channels[other]}" for name, other in pairs))
        signs = (f"{name} {way}" for way in ("up", "down") for name in each)
        return (*signs, *(f"{name} {what}" for what in ("stands still", "far outside") for name in self.channels))

    @cached_property
    def _median(self) -> Floats:
        return np.asarray(np.median(self.rows, axis=0))

    @cached_property
    def _reach(self) -> Floats:
        """How far [C] anything lies from the median."""
        return np.asarray(np.abs(self.rows - self._median).max(axis=0))

    @cached_property
    def _partner(self) -> list[int]:
        """The channel [C] that goes with each one most closely; itself where there is but one."""
        normal = _normal(self.rows, self.rows)
        together = np.abs(normal.T @ normal)
        if len(together) > 1:
            np.fill_diagonal(together, -1.0)
        return [int(other) for other in np.argmax(together, axis=1)]

    @cached_property
    def _restless(self) -> NDArray[np.bool_]:
        """Whether a channel [C] mostly changes, so that standing still says something."""
        return np.asarray(_repeats(self.rows).mean(axis=0) < 0.5)

    def _columns(self, rows: Floats) -> Floats:
        """[T, 3C] channels, their distances from the median, their products with their partners."""
        normal = _normal(rows, self.rows)
        return np.column_stack((rows, np.abs(rows - self._median), normal * normal[:, self._partner]))

    @cached_property
    def _own(self) -> tuple[Floats, Floats, Floats]:
        """Columns [N, 3C] of the reference, mean and deviation [3C] of their scores."""
        columns = self._columns(self.rows)
        scores = _clipped(columns, columns)
        deviation = scores.std(axis=0)
        return columns, scores.mean(axis=0), np.where(deviation > 0, deviation, np.inf)  # a constant says nothing

    def _scores(self, rows: Floats) -> Floats:
        """[T, 3C] with mean 0 and deviation 1 over the reference."""
        columns, mean, deviation = self._own
        return np.asarray((_clipped(self._columns(rows), columns) - mean) / deviation)

    @cached_property
    def _levels(self) -> Floats:
        """[7C] that the running sums of a quiet year do not reach."""
        peaks = self._quiet_peaks()
        watched = peaks.shape[1]
        rare = -np.log(-np.log1p(-_CAUTION * ALPHA / watched))
        levels = peaks.mean(axis=0) + peaks.std(axis=0) * (rare - _GUMBEL) * np.sqrt(6) / np.pi
        levels[-self.rows.shape[1] :] = np.maximum(levels[-self.rows.shape[1] :], _STILL)
        return np.asarray(np.maximum(levels, 1.0))

    def _quiet_peaks(self) -> Floats:
        """Largest value [RESAMPLES, 7C] of each running sum in bootstrapped years."""
        rng, count = np.random.default_rng(self.seed), len(self.rows)
        scores, still = self._scores(self.rows), _repeats(self.rows) & self._restless
        day = rng.integers(count, size=_RESAMPLES)
        now = _next(np.zeros((_RESAMPLES, 7 * self.rows.shape[1])), scores[day], still[day])
        peaks = now
        for _ in range(YEAR - 1):
            begins = rng.random(_RESAMPLES) < 1 / _BLOCK
            day = np.where(begins, rng.integers(count, size=_RESAMPLES), (day + 1) % count)
            now = _next(now, scores[day], still[day])
            peaks = np.maximum(peaks, now)
        return peaks


def _normal(rows: Floats, reference: Floats) -> Floats:
    """Normal scores [T, C] of mid-ranks among the reference [N, C]."""
    found, count = np.empty(rows.shape), len(reference)
    for number, (column, known) in enumerate(zip(rows.T, np.sort(reference, axis=0).T, strict=True)):
        ranks = (np.searchsorted(known, column, "left") + np.searchsorted(known, column, "right")) / 2
        found[:, number] = ndtri(np.clip(ranks / count, 0.5 / count, 1 - 0.5 / count))
    return found


def _clipped(columns: Floats, reference: Floats) -> Floats:
    return np.asarray(np.clip(_normal(columns, reference), -_CLIP, _CLIP))


def _repeats(rows: Floats) -> NDArray[np.bool_]:
    """Whether a row says what the one before said [T, C]."""
    same = rows[1:] == rows[:-1]
    return np.concatenate((np.zeros((min(len(rows), 1), rows.shape[1]), dtype=np.bool_), same))


def _next(now: Floats, scores: Floats, still: NDArray[np.bool_]) -> Floats:
    """Running sums [..., 7C] a session later: of scores [..., 3C] up and down, and of sessions without a change."""
    split = 2 * scores.shape[-1]
    moved = now[..., :split] + np.concatenate((scores, -scores), axis=-1) - _ALLOWANCE
    return np.concatenate((np.maximum(moved, 0.0), np.where(still, now[..., split:] + 1, 0.0)), axis=-1)
