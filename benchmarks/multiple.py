"""How often do the tests of many models see skill where there is none? `python -m benchmarks.multiple`

`[--replications N --models K --origins N --horizon H --reps N --seed N]`

Null data: gains of K models over a reference, all with mean zero, sharing half of their variance, heavy-tailed, and
correlated in time as targets of H overlapping sessions are. The share of samples in which each test at 5 % says "one is
better" is its size; the model confidence set at 10 % errs where the models are all alike and one is thrown out.
Exits 0 where the size of SPA is at most 5 %, beyond 3 binomial standard errors.
"""

import argparse
import math
import sys

import numpy as np
from arch.bootstrap import SPA
from scipy.stats import binomtest

from forecaster.contract import Floats
from forecaster.multiple import SIZE, block, confidence_set, superior
from forecaster.significance import diebold_mariano, holm

ALPHA = 0.05


def null_gains(rng: np.random.Generator, asked: argparse.Namespace) -> Floats:
    """Gains [N, K] with mean zero."""
    steps = asked.origins + asked.horizon - 1
    shocks = rng.standard_t(5, (steps, asked.models)) + rng.standard_t(5, (steps, 1))
    sums = np.cumsum(np.concatenate((np.zeros((1, asked.models)), shocks)), axis=0)
    return np.asarray(sums[asked.horizon :] - sums[: -asked.horizon])


def plain(gains: Floats, seed: int, asked: argparse.Namespace) -> float:
    """P-value of SPA with nothing put right."""
    test = SPA(np.zeros(len(gains)), -gains, block(asked.origins, asked.horizon), asked.reps, seed=seed)
    test.compute()
    return float(test.pvalues["consistent"])


def errs(rng: np.random.Generator, asked: argparse.Namespace) -> dict[str, bool]:
    """Which tests see skill in a sample of null data; each sample has a bootstrap of its own."""
    gains, seed = null_gains(rng, asked), int(rng.integers(2**32))
    alone = [diebold_mariano(column, asked.horizon) for column in gains.T]
    losses = {str(number): -column for number, column in enumerate(gains.T)}
    return {
        "one model, Diebold-Mariano": alone[0] < ALPHA,
        "best of all, Diebold-Mariano": min(alone) < ALPHA,
        "best of all after Holm": min(holm(alone)) < ALPHA,
        "confidence set without one": min(confidence_set(losses, asked.horizon, seed, asked.reps).values()) <= SIZE,
        "SPA as arch has it": plain(gains, seed, asked) < ALPHA,
        "SPA": superior(gains, asked.horizon, seed, asked.reps) < ALPHA,
    }


def main() -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=400)
    parser.add_argument("--models", type=int, default=8)
    parser.add_argument("--origins", type=int, default=500)
    parser.add_argument("--horizon", type=int, default=5)
    parser.add_argument("--reps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    found = [errs(rng, asked) for _ in range(asked.replications)]
    for test in found[0]:
        hits = sum(one[test] for one in found)
        interval = binomtest(hits, len(found)).proportion_ci(0.95)
        print(f"{test:28} {hits / len(found):6.1%}  95 % interval {interval.low:.1%} to {interval.high:.1%}")
    size = sum(one["SPA"] for one in found) / len(found)
    most = ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / len(found))
    print(
        f"size of SPA at 5 %: {size:.1%} of {len(found)} null samples (at most {most:.1%}), {asked.models} models, "
        f"{asked.origins} origins, {asked.horizon} sessions ahead, blocks of {block(asked.origins, asked.horizon)}"
    )
    return int(size > most)


if __name__ == "__main__":
    sys.exit(main())
