"""Sequential tests: bets that are fair while all is well, and sums that a broken feed cannot pass by."""

from datetime import date, timedelta

import numpy as np
import pytest

from forecaster.contract import LEVELS
from forecaster.drift import INTERVALS, PATIENCE, YEAR, Reference, by_session, evidence, held, missed, worse
from forecaster.scores import crps

NAMES = ("log_return", "log_range", "other")


def quantiles(rng: np.random.Generator, count: int) -> np.ndarray:
    """Of normal distributions of some width and place [N, Q]."""
    grid = np.sort(rng.standard_normal((4000, 1)), axis=0)
    shape = np.quantile(grid, LEVELS, axis=0).T
    return rng.uniform(0.5, 2, (count, 1)) * shape + 0.3 * rng.standard_normal((count, 1))


def crps_of(said: np.ndarray, came: np.ndarray) -> np.ndarray:
    return crps(said[:, None], came[:, None])[:, 0]


def test_evidence_is_the_recursion_by_a_plain_loop():
    values = np.random.default_rng(0).uniform(0, 2, (40, 3))
    stakes, expected = [0.0] * 3, []
    for row in values:
        stakes = [value * (stake + 1) for value, stake in zip(row, stakes, strict=True)]
        expected.append(sum(stakes) / 3)
    np.testing.assert_allclose(evidence(values), expected, rtol=1e-12)


def test_evidence_never_overflows():
    assert np.isfinite(evidence(np.full((3000, 2), 5.0))).all()


def test_several_symbols_of_a_session_are_one_bet():
    days = [date(2020, 1, 2), date(2020, 1, 2), date(2020, 1, 3)]
    found = by_session(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), days)
    np.testing.assert_allclose(found, [[2.0, 3.0], [5.0, 6.0]])
    assert by_session(np.empty((0, 2)), []).shape == (0, 2)


@pytest.mark.parametrize("interval", range(len(INTERVALS)))
def test_a_bet_on_coverage_is_fair_at_the_stated_rate(interval):
    rate, bets = INTERVALS[interval]
    inside, outside = np.zeros((1, len(LEVELS)), dtype=bool), np.ones((1, len(LEVELS)), dtype=bool)
    inside[:, np.array(LEVELS) >= 0.5] = True
    assert held(inside, interval).tolist() == [True]
    assert held(outside, interval).tolist() == [False]
    fair = rate * missed(inside, interval) + (1 - rate) * missed(outside, interval)
    np.testing.assert_allclose(fair, np.ones((1, len(bets))), rtol=1e-12)
    assert min(bets) < rate < max(bets)


def test_a_bet_on_scores_divides_by_the_most_that_could_be_gained():
    """Found on a fine grid of outcomes; so no outcome takes more than the stake, and the worst takes all but."""
    rng = np.random.default_rng(1)
    stated, walk = quantiles(rng, 30), quantiles(rng, 30)
    grid = np.linspace(-9, 9, 4001)
    for ours, theirs in zip(stated, walk, strict=True):
        each = [np.repeat(one[None], len(grid), axis=0) for one in (ours, theirs)]
        gain = crps_of(each[1], grid) - crps_of(each[0], grid)
        values = worse(*each, gain)
        assert values.min() == pytest.approx(0.05, abs=5e-3)
        np.testing.assert_allclose(values[:, -1], 1 - 0.95 * gain / gain.max(), atol=2e-2)


def test_a_bet_on_scores_is_fair_where_nobody_is_better():
    """The same outcome under both ways to toss who is the model: the mean stake is one at most."""
    rng = np.random.default_rng(2)
    one, other, came = quantiles(rng, 400), quantiles(rng, 400), 1.5 * rng.standard_normal(400)
    gain = crps_of(other, came) - crps_of(one, came)
    toss = (worse(one, other, gain).mean(axis=0) + worse(other, one, -gain).mean(axis=0)) / 2
    assert (worse(one, one, np.zeros(400)) == 1).all()
    assert (np.abs(toss - 1) < 0.1).all()


def test_the_mean_run_to_a_false_alarm_is_at_least_the_threshold():
    rng, threshold, runs = np.random.default_rng(3), 60.0, []
    for _ in range(200):
        below = rng.random((1500, 1)) <= np.array(LEVELS)
        path = evidence(missed(below, 0))
        over = np.flatnonzero(path >= threshold)
        runs.append(int(over[0]) + 1 if len(over) else 1500)  # cut short, so that the mean is if anything too low
    assert np.mean(runs) >= threshold


def test_coverage_that_is_lost_is_seen():
    rng = np.random.default_rng(4)
    path = evidence(missed(0.5 + 1.8 * (rng.random((YEAR, 1)) - 0.5) <= np.array(LEVELS), 0))
    assert path.max() >= PATIENCE
    quiet = evidence(missed(rng.random((YEAR, 1)) <= np.array(LEVELS), 0))
    assert quiet.max() < PATIENCE


def market(seed: int, count: int = 6 * YEAR) -> np.ndarray:
    """A return, a range that goes with its size, and another return that goes with the first [T, 3]."""
    rng = np.random.default_rng(seed)
    own = rng.standard_t(5, count)
    return 0.01 * np.column_stack(
        (own, 0.7 + np.abs(own) * rng.uniform(0.8, 1.2, count), 0.8 * own + 0.6 * rng.standard_normal(count))
    )


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(market(0), NAMES)


def test_quiet_years_stay_below_the_levels(reference):
    highest = [reference.path(market(seed, YEAR)).highest.max() for seed in range(1, 21)]
    assert max(highest) < 1


FAULTS = {
    "frozen": (lambda rows: np.repeat(rows[:1], len(rows), axis=0), "stands still", 10),
    "x100": (lambda rows: rows * [100, 1, 1], "log_return", 1),
    "louder": (lambda rows: 2 * rows, "log_range", 20),
    "flipped": (lambda rows: rows * [-1, 1, 1], "with", 40),
    "higher": (lambda rows: rows + np.array([0, 0.01, 0]), "log_range", 30),
    "zero": (lambda rows: rows * [1, 0, 1], "log_range", 10),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_feed_is_seen_and_named(reference, name):
    fault, about, within = FAULTS[name]
    path = reference.path(fault(market(30, YEAR)))
    first = int(np.argmax(path.highest >= 1))
    assert path.highest[first] >= 1
    assert first < within
    assert about in path.told(first)


def test_nothing_of_a_session_depends_on_later_ones(reference):
    rows = market(40, 100)
    before = reference.path(rows).ratios
    rows[60:] = 1e3
    assert np.array_equal(reference.path(rows).ratios[:60], before[:60])
    assert (reference.path(rows).highest[60:] >= 1).any()


def test_the_same_reference_has_the_same_levels():
    one, other = (Reference(market(0), NAMES).path(market(5, 50)).ratios for _ in range(2))
    assert np.array_equal(one, other)


def test_what_mostly_stands_still_or_never_moves_says_nothing_by_it():
    """A monthly series, and a channel that is constant: three years of the same are no alarm."""
    months = np.repeat(np.random.default_rng(7).standard_normal(100), 21)[:, None]
    jumps = np.where(np.diff(months, axis=0, prepend=0) == 0, 0.0, months)
    rows = np.column_stack((jumps, np.ones(len(jumps))))
    path = Reference(rows[: -3 * YEAR], ("month", "one")).path(rows[-3 * YEAR :])
    assert path.highest.max() < 1


def test_the_calendar_is_no_drift():
    """Angles of a week and a year come round: three years of them are no alarm."""
    days = np.array([date(2005, 1, 3) + timedelta(days=k) for k in range(14 * 365)])
    days = days[[day.weekday() < 5 for day in days]]
    angle = np.array([[2 * np.pi * day.timetuple().tm_yday / 365.25, 2 * np.pi * day.weekday() / 7] for day in days])
    rows = np.column_stack((np.sin(angle), np.cos(angle)))
    path = Reference(rows[: -3 * YEAR], ("year sin", "week sin", "year cos", "week cos")).path(rows[-3 * YEAR :])
    assert path.highest.max() < 1


def test_nothing_later_is_no_alarm(reference):
    path = reference.path(np.empty((0, 3)))
    assert path.highest.shape == (0,)
