"""Tests of many models at once: is any better than the reference (SPA), and which may be the best (MCS).

Both are `arch`'s, by the stationary bootstrap, paired by origin. Two things are put right before they see the data:

- `arch` 8.0 takes `studentize` but does not act on it: a model with loud losses would decide alone. Gains are brought
  to standard errors here.
- Blocks hide a part of the dependence, so the bootstrap's spread is too small: with overlapping targets of 5 sessions
  and 500 origins a nominal 5 % rejects 9 to 13 % of null data. Means are shrunk by as much (`_trust`), as Harvey,
  Leybourne and Newbold do for one model. `python -m benchmarks.multiple` measures what is left.
"""

import math
from collections.abc import Mapping

import numpy as np
from arch.bootstrap import MCS, SPA

from forecaster.contract import Floats
from forecaster.hac import bandwidth, standard_error
from forecaster.significance import correction

SIZE = 0.1
"""Models with a p-value above it are in the confidence set: the best is among them in nine of ten samples."""
_ALIKE = 1e-9  # differences that vary by less than this part of the losses are rounding

_FIXED_B = 4.1618 / 2.3263  # by how much the critical value grows with lag / n, against the normal's


def block(count: int, horizon: int) -> int:
    """Mean length of the bootstrap's blocks: the HAC lag, max(2H, n^(1/3)), but no more than there are origins.

    References:
        D. Politis, J. Romano, The stationary bootstrap, JASA 89 (1994), p. 1307 (n^(1/3) is the rate for a mean).
    """
    return min(count, bandwidth(count, horizon))


def superior(gains: Floats, horizon: int, seed: int, reps: int = 1000) -> float:
    """P-value of "no model is better than the reference", whichever looks best (consistent SPA).

    Arguments:
        gains: [N, K] loss of the reference minus loss of each model, by origin in order of time.
        horizon: H of the overlapping targets.
        reps: Bootstrap samples.
    Returns:
        p in (0, 1]; 1 without a model. A model whose gain never changes is left out: it is the reference's copy.
    References:
        P. Hansen, A test for superior predictive ability, JBES 23 (2005), p. 372 (the consistent p-value).
        B. Phipson, G. Smyth, Permutation p-values should never be zero, Statistical Applications in Genetics and
        Molecular Biology 9 (2010), article 39 (the sample itself counts as one).
    """
    columns = [column for column in gains.T if np.ptp(column) > 0]
    if not columns:
        return 1.0
    length = block(len(gains), horizon)
    scaled = [
        (column - (1 - _trust(column, horizon)) * column.mean()) / standard_error(column, length) for column in columns
    ]
    test = SPA(np.zeros(len(gains)), -np.column_stack(scaled), block_size=length, reps=reps, seed=seed)
    test.compute()
    return (1 + reps * float(test.pvalues["consistent"])) / (1 + reps)


def confidence_set(losses: Mapping[str, Floats], horizon: int, seed: int, reps: int = 1000) -> dict[str, float]:
    """Model confidence set: how far each model can be held to be the best; in the set where above `SIZE`.

    Models whose losses differ by nothing but rounding count as one and share its p-value. A model that loses the same
    amount more than another at every origin has 0.

    Arguments:
        losses: Name to [N], by origin in order of time, all at the same origins.
        horizon: H of the overlapping targets.
        reps: Bootstrap samples.
    Returns:
        Name to p in [0, 1], in the given order; the model kept to the end has 1.
    References:
        P. Hansen, A. Lunde, J. Nason, The model confidence set, Econometrica 79 (2011), p. 465 (T_max).
    """
    twins = _twins(losses)
    kept = [name for name, (twin, _) in twins.items() if name == twin]
    found = dict.fromkeys(kept, 1.0)
    if len(kept) > 1:
        table = np.column_stack([losses[name] for name in kept])
        table = table - table.mean(axis=1, keepdims=True)  # what all share is no difference
        trust = min(_trust(column, horizon) for column in table.T)
        table = table - (1 - trust) * table.mean(axis=0)
        test = MCS(table, SIZE, reps, block(len(table), horizon), method="max", seed=seed)
        test.compute()
        found = {kept[int(str(place))]: float(p) for place, p in test.pvalues["Pvalue"].items()}
    return {name: found[twins[name][0]] if twins[name][1] else 0.0 for name in losses}


def _twins(losses: Mapping[str, Floats]) -> dict[str, tuple[str, bool]]:
    """For each model the best that it differs from by a constant, maybe itself, and whether it is as good."""
    rounding = _ALIKE * max(float(np.abs(values).max()) for values in losses.values())
    twins: dict[str, tuple[str, bool]] = {}
    for name in sorted(losses, key=lambda name: float(losses[name].mean())):
        others = [other for other, (twin, _) in twins.items() if other == twin]
        like = next((other for other in others if np.ptp(losses[name] - losses[other]) <= rounding), name)
        twins[name] = like, abs(float((losses[name] - losses[like]).mean())) <= rounding
    return twins


def _trust(series: Floats, horizon: int) -> float:
    """How much of a mean, in the bootstrap's units of spread, is left in those of a better standard error (0, 1].

    Bartlett's weights, and the stationary bootstrap's much alike, take too little of the covariances that overlap
    makes. Flat-top weights take those up to H - 1 in full; twice the wider Bartlett variance minus the narrower has
    them. They are noisier, so the larger of both is believed. And any of these is an estimate, which the bootstrap
    takes for the truth: critical values grow with the lag's share of the sample.

    References:
        N. Kiefer, T. Vogelsang, A new asymptotic theory for heteroskedasticity-autocorrelation robust tests,
        Econometric Theory 21 (2005), table 1 (Bartlett, 99 %: the best of several is judged far out in the tail).
        D. Politis, J. Romano, Bias-corrected nonparametric spectral estimation, J. Time Series Analysis 16 (1995),
        p. 67 (flat-top weights).
    """
    lag = bandwidth(len(series), horizon)
    half = (lag + 1) // 2  # at least H
    spread = standard_error(series, lag)
    flat = 2 * standard_error(series, 2 * half - 1) ** 2 - standard_error(series, half - 1) ** 2
    noise = 1 + _FIXED_B * (lag + 1) / len(series)
    return correction(len(series), horizon) * spread / math.sqrt(max(flat, spread**2)) / noise
