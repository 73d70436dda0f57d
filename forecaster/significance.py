"""Tests and intervals for means of scores that are correlated in time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtr
from scipy.stats import rankdata

from forecaster.contract import Dates, Floats
from forecaster.hac import bandwidth, standard_error


def correction(count: int, horizon: int) -> float:
    """What a Diebold-Mariano statistic is multiplied by in a small sample, at most 1 (Harvey, Leybourne, Newbold)."""
    return math.sqrt((count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count)


def diebold_mariano(gain: Floats, horizon: int) -> float:
    """One-sided p-value of "the mean gain is not above zero", with the small-sample correction.

    Arguments:
        gain: [N] loss of the reference minus loss of the candidate, by origin.
        horizon: H of the overlapping targets.
    Returns:
        p in [0, 1]; 1 where both never differ.
    References:
        F. Diebold, R. Mariano, Comparing predictive accuracy, JBES 13 (1995), p. 254.
        D. Harvey, S. Leybourne, P. Newbold, Testing the equality of prediction mean squared errors,
        Int. J. Forecasting 13 (1997), p. 283 (the correction and Student's t).
    """
    count = len(gain)
    error = standard_error(gain, bandwidth(count, horizon))
    if error == 0.0:
        return 1.0
    return float(stdtr(count - 1, -correction(count, horizon) * gain.mean() / error))


@dataclass(frozen=True)
class Skill:
    """How much better than a reference, and how sure that is."""

    skill: float
    """1 - mean over horizons of (mean score / mean score of the reference); 0 is no better."""
    error: float
    """Its standard error."""
    p: float
    """One-sided Diebold-Mariano p-value."""


def skill(scores: Floats, reference: Floats, overlap: int | None = None) -> Skill:
    """Skill of scores against a reference's on the same origins.

    Each horizon counts alike: its scores are divided by the reference's mean first. The standard error is the delta
    method on the ratio of means, HAC over paired origins; the test is on the mean gain in the same units.

    Arguments:
        scores: [N, H], lower is better.
        reference: [N, H].
        overlap: Sessions that a target reaches ahead, where that is not H: the columns may be some horizons only.
    """
    count, columns = scores.shape
    horizon = overlap or columns
    base = reference.mean(axis=0)
    ratio = scores.mean(axis=0) / base
    influence = ((scores - ratio * reference) / base).mean(axis=1)
    error = standard_error(influence, bandwidth(count, horizon))
    gain = ((reference - scores) / base).mean(axis=1)
    return Skill(float(1 - ratio.mean()), error, diebold_mariano(gain, horizon))


@dataclass(frozen=True)
class Information:
    """Information coefficients: how far expected and realised changes go together, -1 to 1; 0 is nothing."""

    ic: float
    """Pearson's correlation."""
    error: float
    """Its HAC standard error."""
    rank_ic: float
    """Spearman's: of the ranks, so that no outlier decides."""
    rank_error: float
    count: int
    """Sessions it rests on."""


def ic(forecasts: Floats, outcomes: Floats, sessions: Dates, horizon: int) -> Information:
    """Correlation of forecasts and outcomes across symbols, by session, and its mean over sessions.

    Where no session has two symbols it is the correlation over time, with the delta method's standard error (for ranks
    as if they were given, which is exact where there is no correlation). Where forecasts or outcomes are all alike they
    tell nothing, and count as 0.

    Arguments:
        forecasts: [N] expected change (`scores.expected`), of all symbols.
        outcomes: [N] the change that came.
        sessions: [N] of the origins. Sessions with one symbol are left out where others have several.
        horizon: Sessions ahead, for the overlap of targets.
    References:
        R. Grinold, R. Kahn, Active portfolio management, 2nd ed. (2000), p. 148 (the information coefficient).
    """
    order = np.argsort(sessions, kind="stable")
    begins = np.unique(sessions[order], return_index=True)[1][1:]
    days = [rows for rows in np.split(order, begins) if len(rows) > 1]
    if not days:
        plain = _over_time(forecasts[order], outcomes[order], horizon)
        ranked = _over_time(rankdata(forecasts[order]), rankdata(outcomes[order]), horizon)
        return Information(*plain, *ranked, count=len(order))
    by_day = np.array([_correlation(forecasts[rows], outcomes[rows]) for rows in days])
    by_rank = np.array([_correlation(rankdata(forecasts[rows]), rankdata(outcomes[rows])) for rows in days])
    lag = bandwidth(len(days), horizon)
    errors = standard_error(by_day, lag), standard_error(by_rank, lag)
    return Information(float(by_day.mean()), errors[0], float(by_rank.mean()), errors[1], len(days))


def _correlation(some: Floats, others: Floats) -> float:
    return float((_standardised(some) * _standardised(others)).mean())


def _over_time(some: Floats, others: Floats, horizon: int) -> tuple[float, float]:
    """Correlation of two series and its standard error."""
    one, other = _standardised(some), _standardised(others)
    found = float((one * other).mean())
    influence = one * other - found * (one**2 + other**2) / 2
    return found, standard_error(influence, bandwidth(len(one), horizon))


def _standardised(values: Floats) -> Floats:
    """With mean 0 and variance 1; all 0 where they are all alike."""
    centred = values - values.mean()
    return np.asarray(centred / centred.std()) if np.ptp(values) > 0 else np.zeros_like(values)


@dataclass(frozen=True)
class Rate:
    """A share of hits with its interval."""

    rate: float
    low: float
    high: float

    def holds(self, nominal: float) -> bool:
        """Whether the interval contains the nominal value."""
        return self.low <= nominal <= self.high


def rate(hits: Floats, confidence: float = 0.99) -> Rate:
    """Mean of 0/1 hits [N, H] with an HAC interval over origins."""
    by_origin = hits.mean(axis=1)
    reach = float(ndtri(0.5 + confidence / 2)) * standard_error(by_origin, bandwidth(*hits.shape))
    mean = float(by_origin.mean())
    return Rate(mean, mean - reach, mean + reach)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for how many were looked at, in the given order.

    References:
        S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statistics 6 (1979), p. 65.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
