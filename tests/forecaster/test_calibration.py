import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecaster.calibration import PRIOR, STEP, State, calibrate, calibrate_together
from forecaster.contract import LEVELS, MEDIAN
from forecaster.scores import INTERVALS, covered, crps

Q = len(LEVELS)
NORMAL = np.array(
    [-2.5758, -2.3263, -1.96, -1.6449, -1.2816, -1.0364, -0.8416, -0.6745, -0.5244, -0.3853, -0.2533, -0.1257]
)
NORMAL = np.concatenate((NORMAL, [0.0], -NORMAL[::-1]))
"""Quantiles of a standard normal at the levels [Q]."""


def market(seed, count, horizon=1, spread=1.0, bias=0.0):
    """Origins without holes, forecasts of changing volatility, outcomes of sums of normal moves over `horizon`.

    The forecasts are right where spread is 1 and bias 0: too narrow below 1, off by so many scales otherwise.
    """
    rng = np.random.default_rng(seed)
    scale = 0.01 * np.exp(0.5 * np.sin(np.arange(count + horizon) / 60))
    walk = np.concatenate(([0.0], np.cumsum(rng.standard_normal(count + horizon))))
    ahead = np.arange(1, horizon + 1)
    moves = walk[np.arange(count)[:, None] + ahead] - walk[:count, None]
    outcomes = scale[:count, None] * moves
    quantiles = (scale[:count, None] * np.sqrt(ahead))[..., None] * (bias + spread * NORMAL)
    return np.arange(count), quantiles, outcomes


def loop(rows, quantiles, outcomes, state, at=None):
    """What `calibrate` does, one outcome after the other as the calendar brings them."""
    horizon, counted, answers = quantiles.shape[1], set(), []

    def learn(state, now):
        due = [(i, h) for i in range(len(rows)) for h in range(horizon) if rows[i] + h + 1 <= now]
        for i, h in sorted(set(due) - counted):
            state = state.update(h, quantiles[i, h], float(outcomes[i, h]))
            counted.add((i, h))
        return state

    for n, row in enumerate(rows):
        state = learn(state, row)
        answers.append(state.apply(quantiles[n]))
    return np.array(answers), learn(state, rows[-1] if at is None else at)


def with_holes(seed, count=40, horizon=3):
    """Origins with holes between them, some outcomes unknown, one forecast without width."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(2 * count, count, replace=False))
    quantiles = np.sort(rng.standard_t(3, (count, horizon, Q)), axis=-1)
    quantiles[5] = 0.25
    outcomes = rng.standard_t(2, (count, horizon))
    outcomes[rng.random(outcomes.shape) < 0.1] = np.nan
    return rows, quantiles, outcomes


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("extra", [None, 2, 50])
def test_equals_the_plain_loop_to_the_bit(seed, extra):
    rows, quantiles, outcomes = with_holes(seed)
    at = None if extra is None else int(rows[-1]) + extra
    fast, fast_state = calibrate(rows, quantiles, outcomes, State.start(3), at)
    plain, plain_state = loop(rows, quantiles, outcomes, State.start(3), at)
    assert np.array_equal(fast, plain)
    assert fast_state == plain_state
    assert fast_state.digest == plain_state.digest
    assert not np.array_equal(fast, quantiles)


def test_symbols_of_the_same_rows_are_calibrated_together_to_the_same_bits():
    rows = with_holes(0)[0]
    _, quantiles, outcomes = zip(*(with_holes(seed) for seed in range(5)), strict=True)
    found = calibrate_together(rows, np.stack(quantiles, axis=2), np.stack(outcomes, axis=2))
    for place, (own, came) in enumerate(zip(quantiles, outcomes, strict=True)):
        assert np.array_equal(found[:, :, place], calibrate(rows, own, came, State.start(3))[0])


def test_the_past_may_be_handed_over_as_a_state():
    rows, quantiles, outcomes = with_holes(7)
    rows[20:] += 3  # by then all outcomes of the first 20 are known
    whole, last = calibrate(rows, quantiles, outcomes, State.start(3))
    first, state = calibrate(rows[:20], quantiles[:20], outcomes[:20], State.start(3), at=int(rows[20]))
    second, same = calibrate(rows[20:], quantiles[20:], outcomes[20:], state)
    assert np.array_equal(np.concatenate((first, second)), whole)
    assert same == last
    assert np.array_equal(last.apply(quantiles[-1]), whole[-1])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-300, 6), st.floats(-3, 3))
def test_order_is_kept_and_nothing_is_lost(seed, magnitude, skewness):
    rng = np.random.default_rng(seed)
    unit = 10.0**magnitude
    quantiles = unit * np.sort(rng.standard_cauchy((30, 2, Q)), axis=-1)
    outcomes = unit * (skewness + rng.standard_cauchy((30, 2)))
    shift = tuple(tuple(row) for row in rng.normal(0, 3, (2, Q)).tolist())  # wild enough that levels cross
    calibrated, state = calibrate(np.arange(30), quantiles, outcomes, State(shift=shift, matured=(3, 0)))
    assert np.isfinite(calibrated).all()
    assert (np.diff(calibrated, axis=-1) >= 0).all()
    assert np.isfinite(np.array(state.shift)).all()


def test_nothing_learnt_changes_nothing():
    rows, quantiles, outcomes = with_holes(1)
    assert np.array_equal(State.start(3).apply(quantiles), quantiles)
    unknown, state = calibrate(rows, quantiles, np.full_like(outcomes, np.nan), State.start(3), at=1000)
    assert np.array_equal(unknown, quantiles)
    assert state == State.start(3)


def test_no_origin_leaves_the_state():
    state = State.start(2).update(0, NORMAL, 3.0)
    nothing, same = calibrate(np.empty(0, dtype=int), np.empty((0, 2, Q)), np.empty((0, 2)), state)
    assert nothing.shape == (0, 2, Q)
    assert same == state


@pytest.mark.parametrize("origin", [1, 17, 38])
def test_the_future_moves_no_bit(origin):
    rows, quantiles, outcomes = with_holes(2)
    before, state = calibrate(rows, quantiles, outcomes, State.start(3), at=int(rows[origin]))
    other, changed = quantiles.copy(), outcomes.copy()
    other[origin + 1 :] = 7 + 3 * other[origin + 1 :]
    changed[rows[:, None] + np.arange(1, 4) > rows[origin]] = -99.0  # all that is not yet known at the origin
    after, state_after = calibrate(rows, other, changed, State.start(3), at=int(rows[origin]))
    assert np.array_equal(after[: origin + 1], before[: origin + 1])
    assert state_after == state
    assert not np.array_equal(after[origin + 1 :], calibrate(rows, other, outcomes, State.start(3))[0][origin + 1 :])


def test_an_outcome_counts_from_the_row_where_it_is_known():
    rows, quantiles, outcomes = market(0, 12, horizon=4)
    base, _ = calibrate(rows, quantiles, outcomes, State.start(4))
    for step in range(4):
        changed = outcomes.copy()
        changed[3, step] = -changed[3, step] - 1.0
        moved, _ = calibrate(rows, quantiles, changed, State.start(4))
        differs = (moved != base).any(axis=-1)  # [N, H]
        expected = np.zeros_like(differs)
        expected[3 + step + 1 :, step] = True
        assert np.array_equal(differs, expected)


def test_a_hole_does_not_make_an_outcome_wait_longer_than_its_sessions():
    rows = np.array([0, 5, 6])
    quantiles = np.broadcast_to(NORMAL, (3, 2, Q)).copy()
    calibrated, state = calibrate(rows, quantiles, np.full((3, 2), 9.0), State.start(2))
    assert state.matured == (2, 1)
    assert (calibrated[1] > quantiles[1]).all()


@pytest.mark.parametrize(("spread", "bias"), [(0.7, 0.0), (1.3, 0.0), (1.0, 0.4), (0.7, -0.4)])
def test_coverage_and_reliability_come_true(spread, bias):
    rows, raw, outcomes = market(5, 6000, spread=spread, bias=bias)
    calibrated, _ = calibrate(rows, raw, outcomes, State.start(1))
    late = slice(1000, None)
    for interval in INTERVALS:
        rate = covered(calibrated[late], outcomes[late], interval).mean()
        assert rate == pytest.approx(interval, abs=3 * np.sqrt(interval * (1 - interval) / 5000))
    below = (outcomes[late, :, None] <= calibrated[late]).mean(axis=(0, 1))
    assert np.allclose(below, LEVELS, atol=0.02)
    assert np.abs((outcomes[late, :, None] <= raw[late]).mean(axis=(0, 1)) - LEVELS).max() > 0.05
    assert crps(calibrated[late], outcomes[late]).mean() < crps(raw[late], outcomes[late]).mean()


def test_coverage_comes_true_five_sessions_ahead():
    rows, raw, outcomes = market(6, 8000, horizon=5, spread=0.7)
    calibrated, _ = calibrate(rows, raw, outcomes, State.start(5))
    for interval in INTERVALS:
        rates = covered(calibrated[1000:], outcomes[1000:], interval).mean(axis=0)
        assert np.allclose(rates, interval, atol=0.02)


def test_a_wrong_model_is_put_right_within_a_year():
    rows, raw, outcomes = market(8, 500, spread=0.7)
    calibrated, _ = calibrate(rows, raw, outcomes, State.start(1))
    second = slice(250, None)
    assert covered(raw[second], outcomes[second], 0.8).mean() < 0.7
    assert covered(calibrated[second], outcomes[second], 0.8).mean() == pytest.approx(0.8, abs=0.06)


def test_a_right_model_takes_no_harm():
    ratios, rates = [], []
    for seed in range(5):
        rows, raw, outcomes = market(100 + seed, 3000)
        calibrated, _ = calibrate(rows, raw, outcomes, State.start(1))
        ratios.append(crps(calibrated, outcomes).mean() / crps(raw, outcomes).mean())
        rates.append([covered(calibrated, outcomes, interval).mean() for interval in INTERVALS])
        assert _interval_score(calibrated, outcomes, 0.9) < 1.01 * _interval_score(raw, outcomes, 0.9)
    assert max(ratios) < 1.004
    assert np.allclose(np.mean(rates, axis=0), INTERVALS, atol=0.01)


def _interval_score(quantiles, outcomes, share):
    low, high = (quantiles[..., LEVELS.index(round(0.5 + side * share / 2, 3))] for side in (-1, 1))
    missed = np.maximum(low - outcomes, 0) + np.maximum(outcomes - high, 0)
    return (high - low + 2 / (1 - share) * missed).mean()


def test_the_shift_grows_with_the_forecast_and_knows_no_unit():
    rows, raw, outcomes = market(9, 400, spread=0.7)
    calibrated, state = calibrate(rows, raw, outcomes, State.start(1))
    scaled, same = calibrate(rows, 64 * raw, 64 * outcomes, State.start(1))
    assert same == state
    assert np.array_equal(scaled, 64 * calibrated)
    assert np.array_equal(state.apply(2 * raw), 2 * state.apply(raw))


def test_one_outcome_moves_each_level_by_its_share():
    state = State.start(2).update(1, NORMAL, 0.1)
    shift = np.array(state.shift[1])
    pace = 1 / PRIOR / (2 * np.sqrt(np.array(LEVELS) * (1 - np.array(LEVELS))))
    below = np.array([quantile >= 0.1 for quantile in NORMAL])
    assert np.allclose(shift, pace * (np.array(LEVELS) - below), rtol=1e-12)
    assert shift[MEDIAN] == pytest.approx(0.5 / PRIOR)
    assert state.matured == (0, 1)
    assert set(state.shift[0]) == {0.0}


def test_steps_fall_to_the_least_and_no_further():
    rows, raw, outcomes = market(10, 1000)
    _, old = calibrate(rows, raw, outcomes, State.start(1), at=1000)
    assert old.matured == (1000,)
    moved = np.array(old.update(0, NORMAL, 50.0).shift[0]) - np.array(old.shift[0])
    assert moved[MEDIAN] == pytest.approx(STEP / 2)


def test_a_state_survives_json_and_keeps_its_name():
    rows, raw, outcomes = market(11, 50, horizon=2)
    _, state = calibrate(rows, raw, outcomes, State.start(2))
    again = State.model_validate_json(state.model_dump_json())
    assert again == state
    assert again.digest == state.digest
    assert np.array_equal(again.apply(raw), state.apply(raw))
    assert state.update(0, raw[0, 0], 1.0).digest != state.digest
    assert State.start(1).digest == "28fb12b10ceda6a5281dda889ecd15af96e611224685b908f855309cb0d9f032"


@pytest.mark.parametrize("unknown", [np.nan, np.inf])
def test_what_is_not_known_teaches_nothing(unknown):
    state = State.start(1).update(0, NORMAL, 1.0)
    assert state.update(0, NORMAL, unknown) == state
    assert state.update(0, np.zeros(Q), 1.0) == state  # no width, no unit


def test_what_does_not_fit_is_refused():
    rows, raw, outcomes = market(12, 5, horizon=2)
    with pytest.raises(ValueError, match="expected"):
        State.start(1).apply(raw)
    with pytest.raises(ValueError, match="expected"):
        calibrate(rows, raw, outcomes[:, :1], State.start(2))
    with pytest.raises(ValueError, match="ascend"):
        calibrate(rows[::-1], raw, outcomes, State.start(2))
    with pytest.raises(ValueError, match="matured"):
        State(shift=((0.0,) * Q,), matured=(0, 0))


def test_it_wakes_nothing_heavy():
    code = "import sys, forecaster.calibration; print({'scipy', 'pandas', 'torch', 'arch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
