import math

import numpy as np
import pytest
from arch.bootstrap import SPA

from forecaster.hac import standard_error
from forecaster.multiple import block, confidence_set, superior

REPS = 2000


def overlapping(rng: np.random.Generator, count: int, models: int, horizon: int = 3) -> np.ndarray:
    """Gains [N, K] with mean zero that share some of their noise, of targets that overlap."""
    shocks = rng.standard_normal((count + horizon - 1, models)) + rng.standard_normal((count + horizon - 1, 1))
    return sum(shocks[step : step + count] for step in range(horizon))


def resampled(count: int, length: int, reps: int, seed: int) -> list[list[int]]:
    """Rows of stationary bootstrap samples: a block goes on with probability 1 - 1 / length, around the end."""
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(reps):
        row = int(rng.integers(count))
        rows = [row]
        while len(rows) < count:
            row = int(rng.integers(count)) if rng.random() < 1 / length else (row + 1) % count
            rows.append(row)
        samples.append(rows)
    return samples


def shrink(series: np.ndarray, horizon: int, length: int) -> float:
    """What is left of a mean, by loops over Bartlett and flat-top weights."""
    count, half = len(series), (length + 1) // 2
    centred = series - series.mean()
    covariance = [sum(centred[k:] * centred[: count - k]) / count for k in range(length + 1)]
    bartlett = covariance[0] + 2 * sum((1 - k / (length + 1)) * covariance[k] for k in range(1, length + 1))
    weights = [1 if k <= half else 2 - k / half for k in range(2 * half)]
    flat = covariance[0] + 2 * sum(weights[k] * covariance[k] for k in range(1, 2 * half))
    published = (count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count
    growth = 1 + 4.1618 / 2.3263 * (length + 1) / count
    return math.sqrt(published * bartlett / max(flat, bartlett)) / growth


def plain_superior(gains: np.ndarray, horizon: int, seed: int) -> float:
    """Hansen's consistent p-value, by the book, with studentised and shrunk means."""
    count, models = gains.shape
    length = block(count, horizon)
    scaled = []
    for k in range(models):
        left = shrink(gains[:, k], horizon, length)
        scaled.append((gains[:, k] - (1 - left) * gains[:, k].mean()) / standard_error(gains[:, k], length))
    means, kept = [column.mean() for column in scaled], []
    for column, mean in zip(scaled, means, strict=True):
        centred, p = column - mean, 1 / length
        variance = sum(centred**2) / count
        for lag in range(1, count):
            kernel = (1 - lag / count) * (1 - p) ** lag + lag / count * (1 - p) ** (count - lag)
            variance += 2 * kernel * sum(centred[lag:] * centred[: count - lag]) / count
        bad = mean < -math.sqrt(variance / count * 2 * math.log(math.log(count)))
        kept.append(0.0 if bad else mean)
    beyond = 0
    for rows in resampled(count, length, REPS, seed):
        beyond += max(column[rows].mean() - mean for column, mean in zip(scaled, kept, strict=True)) > max(means)
    return beyond / REPS


def plain_confidence_set(losses: dict[str, np.ndarray], horizon: int, seed: int) -> dict[str, float]:
    """Hansen, Lunde and Nason's T_max procedure, one model out at a time."""
    names = list(losses)
    table = np.array([losses[name] for name in names])
    count = table.shape[1]
    table = table - sum(table) / len(names)
    left = min(shrink(row, horizon, block(count, horizon)) for row in table)
    means = {name: left * row.mean() for name, row in zip(names, table, strict=True)}
    errors = {name: row - row.mean() for name, row in zip(names, table, strict=True)}
    samples = resampled(count, block(count, horizon), REPS, seed)
    drawn = {name: np.array([errors[name][rows].mean() for rows in samples]) for name in names}
    found, largest = {}, 0.0
    while len(names) > 1:
        around = sum(drawn[name] for name in names) / len(names)
        middle = sum(means[name] for name in names) / len(names)
        spread = {name: math.sqrt(((drawn[name] - around) ** 2).mean()) for name in names}
        statistics = {name: (means[name] - middle) / spread[name] for name in names}
        worst = max(names, key=statistics.__getitem__)
        simulated = np.max([(drawn[name] - around) / spread[name] for name in names], axis=0)
        largest = max(largest, float((simulated > statistics[worst]).mean()))
        found[worst] = largest
        names.remove(worst)
    return {**found, names[0]: 1.0}


def test_blocks_cover_the_overlap_and_no_more_than_there_is():
    assert [block(1000, 1), block(1000, 20), block(12, 10)] == [10, 40, 12]


def test_critical_values_grow_with_the_lag_as_published():
    """Means of white noise over their standard error; its 99 % quantile against the normal's, and the growth."""
    rng = np.random.default_rng(0)
    noise = [rng.standard_normal(200) for _ in range(12_000)]
    found = np.quantile([series.mean() / standard_error(series, 19) for series in noise], 0.99)
    assert found == pytest.approx(2.3263 + 4.1618 * 20 / 200, rel=0.05)


@pytest.mark.parametrize(("shift", "seed"), [(0.0, 0), (0.35, 1), (0.5, 2), (-0.3, 3)])
def test_spa_agrees_with_a_plain_one(shift, seed):
    gains = overlapping(np.random.default_rng(seed), 150, 4) * np.array([1, 10, 0.1, 1])
    gains[:, 2] += 0.1 * shift
    gains[:, 3] -= 2.0  # far behind: not recentred
    found, expected = superior(gains, 3, 5, REPS), plain_superior(gains, 3, 7)
    assert found == pytest.approx(expected, abs=4 * math.sqrt(2 * 0.25 / REPS))
    assert superior(gains, 3, 5, REPS) == found


def test_a_loud_model_does_not_decide_alone():
    gains = overlapping(np.random.default_rng(4), 300, 3)
    gains[:, 0] += 1.0
    louder = gains * np.array([1.0, 1.0, 1000.0])
    assert superior(louder, 3, 0) == superior(gains, 3, 0) < 0.01
    # What `arch` calls studentised is not: if this fails, it has been mended and can do the scaling.
    theirs = SPA(np.zeros(300), -louder, block(300, 3), 1000, studentize=True, seed=0)
    theirs.compute()
    assert theirs.pvalues["consistent"] > 0.05


def test_spa_finds_a_better_model_among_many_and_none_among_worse():
    gains = overlapping(np.random.default_rng(5), 400, 10)
    gains[:, 7] += 1.0
    assert superior(gains, 3, 0, 1000) == 1 / 1001  # no sample is as good, and the sample itself counts as one
    assert superior(gains - 2.0, 3, 0) > 0.3  # around a half: samples of the best differ from it either way


def test_a_copy_of_the_reference_is_not_better():
    gains = overlapping(np.random.default_rng(6), 200, 3)
    gains[:, 1] = 0
    assert superior(gains[:, [1]], 3, 0) == 1.0
    assert superior(np.empty((200, 0)), 3, 0) == 1.0
    assert superior(gains, 3, 0) == superior(gains[:, [0, 2]], 3, 0)


def models(seed: int, **means: float) -> dict[str, np.ndarray]:
    """Losses [150] of models with these means."""
    noise = overlapping(np.random.default_rng(seed), 150, len(means)).T
    return {name: 9 + mean + row for (name, mean), row in zip(means.items(), noise, strict=True)}


@pytest.mark.parametrize("seed", range(3))
def test_the_confidence_set_agrees_with_a_plain_one(seed):
    losses = models(seed, first=0.0, second=0.1, third=0.5, last=1.5)
    found, expected = confidence_set(losses, 3, 5, REPS), plain_confidence_set(losses, 3, 7)
    assert list(found) == list(losses)
    assert found == pytest.approx(expected, abs=4 * math.sqrt(2 * 0.25 / REPS))
    assert confidence_set(losses, 3, 5, REPS) == found


def test_the_best_stays_and_the_worst_goes():
    found = confidence_set(models(0, good=0.0, bad=3.0, worse=6.0), 3, 0)
    assert found["good"] == 1.0
    assert max(found["bad"], found["worse"]) < 0.01


def test_models_with_the_same_losses_share_a_p_value_and_change_nothing_else():
    losses = models(1, first=0.0, second=0.1, third=0.5)
    found = confidence_set(losses, 3, 0)
    with_copy = confidence_set({"copy": losses["third"] + 1e-14, **losses}, 3, 0)
    assert with_copy.pop("copy") == found["third"]
    assert with_copy == found


def test_a_model_that_always_loses_a_little_more_is_out():
    losses = models(1, first=0.0, second=0.1)
    found = confidence_set({**losses, "behind": losses["second"] + 0.01}, 3, 0)
    assert found["behind"] == 0.0
    assert {name: found[name] for name in losses} == confidence_set(losses, 3, 0)


def test_one_model_or_copies_of_one_are_the_whole_set():
    losses = models(2, only=0.0)["only"]
    assert confidence_set({"only": losses}, 3, 0) == {"only": 1.0}
    assert confidence_set({"only": losses, "copy": losses, "twin": losses.copy()}, 3, 0) == dict.fromkeys(
        ("only", "copy", "twin"), 1.0
    )


def test_models_with_equal_means_are_both_in():
    losses = np.tile([1.0, 2.0, 4.0, 1.0], 40)
    found = confidence_set({"one": losses, "other": losses[::-1].copy()}, 1, 0)
    assert min(found.values()) > 0.3
