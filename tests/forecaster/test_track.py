from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from forecaster.contract import LEVELS
from forecaster.hac import bandwidth, standard_error
from forecaster.store.scores import Result
from forecaster.track import TRAILING, record, trailing


def result(
    day: int, horizon: int, symbol: str = "A", kind: str = "live", scored: bool = True, rng_seed: int = 0
) -> Result:
    rng = np.random.default_rng((rng_seed, day, horizon, ord(symbol)))
    rank = rng.uniform()
    crps, walk = rng.uniform(0.8, 1.1), rng.uniform(0.9, 1.2)
    below = [bool(rank <= level) for level in LEVELS]
    came = (crps, walk, below) if scored else (None, None, None)
    return Result("T-return-2", symbol, date(2025, 1, 1) + timedelta(days=day), horizon, kind, *came)


def test_skill_and_its_error_are_those_of_sessions():
    """Two symbols of one session are one observation; by a plain loop."""
    steps = [result(day, 1, symbol) for day in range(120) for symbol in "AB"]
    (line,) = record(steps[::-1])  # in whatever order
    ours, walk = (
        np.array(
            [
                np.mean([getattr(one, name) for one in steps if one.origin == origin])
                for origin in sorted({one.origin for one in steps})
            ]
        )
        for name in ("crps", "crps_walk")
    )
    ratio = ours.mean() / walk.mean()
    assert (line.n, line.waiting) == (120, 0)
    assert line.skill == pytest.approx(1 - ratio)
    assert line.error == pytest.approx(standard_error((ours - ratio * walk) / walk.mean(), bandwidth(120, 1)))


def test_a_symbol_more_on_some_days_weighs_no_more():
    """Sessions count alike, however many symbols were scored in each."""
    steps = [result(day, 1, symbol) for day in range(40) for symbol in "ABC"[: 1 + day % 3]]
    (line,) = record(steps)
    daily = [
        np.mean([(one.crps, one.crps_walk) for one in steps if one.origin == origin], axis=0)
        for origin in sorted({one.origin for one in steps})
    ]
    ours, walk = np.mean(daily, axis=0)
    assert line.skill == pytest.approx(1 - ours / walk)


def test_coverage_is_the_share_inside():
    steps = [result(day, 1) for day in range(400)]
    (line,) = record(steps)
    for interval, share in line.coverage.items():
        low, high = (LEVELS.index(round(0.5 + side * interval / 2, 3)) for side in (-1, 1))
        inside = [one.below[high] and not one.below[low] for one in steps if one.below]
        assert share == np.mean(inside)
        assert share == pytest.approx(interval, abs=0.08)


def test_backfilled_forecasts_never_stand_in_the_live_record():
    live = [result(day, 1) for day in range(30)]
    filled = [result(day, 1, kind="backfill", rng_seed=1) for day in range(50)]
    assert record(live + filled) == record(live)
    assert record(live + filled, "backfill") == record(filled, "backfill")
    assert record(live, "backfill") == ()
    assert trailing(live + filled, 1) == trailing(live, 1)
    assert trailing(filled, 1)[0].n == 0


def test_what_waits_is_counted_and_what_is_too_little_has_no_error():
    (line,) = record([result(0, 1), result(1, 1, scored=False)])
    assert (line.n, line.waiting, line.error) == (1, 1, None)
    (none,) = record([result(1, 2, scored=False)])
    assert (none.n, none.skill, none.coverage) == (0, None, {})


def test_what_has_no_random_walk_beside_it_has_coverage_and_no_skill():
    (line,) = record([replace(result(day, 1), crps_walk=None) for day in range(40)])
    assert (line.n, line.skill, line.error) == (40, None, None)
    assert line.coverage


def test_each_horizon_has_its_line():
    assert [line.horizon for line in record([result(0, 2), result(0, 1), result(0, 5)])] == [1, 2, 5]
    assert record([]) == ()


def test_the_trailing_record_is_that_of_the_newest_scored_sessions():
    """Of each horizon: unscored sessions do not push scored ones out, and of a session all symbols count."""
    steps = [result(day, horizon, symbol) for day in range(60) for horizon in (1, 2) for symbol in "AB"]
    waiting = [result(day, 2, symbol, scored=False) for day in range(60, 70) for symbol in "AB"]
    more = [result(day, 1, symbol) for day in range(60, 70) for symbol in "AB"]
    first, second = trailing([*steps, *waiting, *more], 2, sessions=50)
    kept = [one for one in (*steps, *more) if one.horizon == 1][-100:]
    assert (first,) == record(kept)
    assert (second,) == record([one for one in steps if one.horizon == 2][-100:])
    assert (first.n, second.n, second.waiting) == (50, 50, 0)


def test_the_trailing_record_says_n_0_for_every_horizon_that_has_none():
    lines = trailing([result(0, 2), result(0, 7)], 3)
    assert [(line.horizon, line.n, line.skill is None, line.coverage == {}) for line in lines] == [
        (1, 0, True, True),
        (2, 1, False, False),
        (3, 0, True, True),
    ]


def test_it_looks_back_a_year_of_trading():
    assert TRAILING == 252
    (line,) = trailing([result(day, 1) for day in range(300)], 1)
    assert line.n == 252
