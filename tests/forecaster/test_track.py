from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from forecaster.contract import LEVELS
from forecaster.hac import bandwidth, standard_error
from forecaster.store.ledger import Entry
from forecaster.store.scores import Matured, Score
from forecaster.track import record

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def step(
    day: int, horizon: int, symbol: str = "A", kind: str = "live", scored: bool = True, rng_seed: int = 0
) -> Matured:
    rng = np.random.default_rng((rng_seed, day, horizon, ord(symbol)))
    origin = date(2025, 1, 1) + timedelta(days=day)
    entry = Entry(
        "T-return-2", symbol, origin, horizon, origin + timedelta(days=horizon), "d" * 64, 1, 100.0,
        [0.0] * len(LEVELS), NOW, kind=kind,
    )  # fmt: skip
    rank = rng.uniform()
    crps, walk = rng.uniform(0.8, 1.1), rng.uniform(0.9, 1.2)
    below = [bool(rank <= level) for level in LEVELS]
    return Matured(day, entry, Score(day, 0.0, crps, crps, walk, below, NOW) if scored else None)


def test_skill_and_its_error_are_those_of_sessions():
    """Two symbols of one session are one observation; by a plain loop."""
    steps = [step(day, 1, symbol) for day in range(120) for symbol in "AB"]
    (line,) = record(steps)
    ours, walk = (
        np.array(
            [
                np.mean([getattr(one.score, name) for one in steps if one.entry.origin == origin])
                for origin in sorted({one.entry.origin for one in steps})
            ]
        )
        for name in ("crps", "crps_walk")
    )
    ratio = ours.mean() / walk.mean()
    assert (line.n, line.waiting) == (120, 0)
    assert line.skill == pytest.approx(1 - ratio)
    assert line.error == pytest.approx(standard_error((ours - ratio * walk) / walk.mean(), bandwidth(120, 1)))


def test_coverage_is_the_share_inside():
    steps = [step(day, 1) for day in range(400)]
    (line,) = record(steps)
    for interval, share in line.coverage.items():
        low, high = (LEVELS.index(round(0.5 + side * interval / 2, 3)) for side in (-1, 1))
        inside = [one.score.below[high] and not one.score.below[low] for one in steps if one.score]
        assert share == np.mean(inside)
        assert share == pytest.approx(interval, abs=0.08)


def test_backfilled_forecasts_never_stand_in_the_live_record():
    live = [step(day, 1) for day in range(30)]
    filled = [step(day, 1, kind="backfill", rng_seed=1) for day in range(50)]
    assert record(live + filled) == record(live)
    assert record(live + filled, "backfill") == record(filled, "backfill")
    assert record(live, "backfill") == ()


def test_what_waits_is_counted_and_what_is_too_little_has_no_error():
    (line,) = record([step(0, 1), step(1, 1, scored=False)])
    assert (line.n, line.waiting, line.error) == (1, 1, None)
    (none,) = record([step(1, 2, scored=False)])
    assert (none.n, none.skill, none.coverage) == (0, None, {})


def test_each_horizon_has_its_line():
    assert [line.horizon for line in record([step(0, 2), step(0, 1), step(0, 5)])] == [1, 2, 5]
    assert record([]) == ()
