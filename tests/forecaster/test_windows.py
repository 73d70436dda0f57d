from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_market import windows_from

from forecaster.contract import WindowSpec
from forecaster.errors import TooShort
from forecaster.features import Channels
from forecaster.windows import Windows, blocks, split

FIRST = date(2001, 1, 1)  # of windows_from; each day is a session there


def walk(count: int, context: int = 8, burn_in: int = 3, horizon: int = 2) -> Windows:
    rng = np.random.default_rng(count)
    window = WindowSpec(context=context, burn_in=burn_in, channels=("log_return", "log_range"))
    return windows_from(0.01 * rng.standard_normal(count), rng.random(count), window, horizon)


shapes = st.tuples(st.integers(8, 20), st.integers(1, 7), st.integers(1, 6), st.integers(30, 80)).map(
    lambda drawn: walk(drawn[3], context=drawn[0], burn_in=drawn[1], horizon=drawn[2])
)


@given(shapes)
def test_contexts_are_the_last_sessions_at_each_origin(windows):
    length = windows.spec.context
    origins = np.arange(length - 1, len(windows.sessions))
    found = windows.contexts(origins)
    assert found.dtype == np.float32
    for context, origin in zip(found, origins, strict=True):
        for age in range(length):
            assert (context[length - 1 - age] == windows.values[origin - age].astype(np.float32)).all()


@given(shapes)
def test_targets_are_cumulative_returns_and_nan_past_the_end(windows):
    count, horizon = windows.targets.shape
    for origin in range(count):
        total = 0.0
        for step in range(1, horizon + 1):
            if origin + step < count:
                total += windows.values[origin + step, 0]
                assert windows.targets[origin, step - 1] == pytest.approx(total, abs=1e-12)
            else:
                assert np.isnan(windows.targets[origin, step - 1])


def test_an_origin_without_a_whole_context_is_refused():
    with pytest.raises(TooShort, match="have 7 sessions, need 8"):
        walk(30).contexts(np.array([6, 20]))


def test_no_origins_give_no_contexts():
    assert walk(30).contexts(np.array([], dtype=np.intp)).shape == (0, 8, 2)


def test_less_than_one_context_is_refused():
    with pytest.raises(TooShort, match="one window"):
        walk(7)


@given(shapes, st.integers(-5, 90), st.integers(-5, 90), st.booleans())
def test_a_span_agrees_with_a_plain_search(windows, first, until, purged):
    horizon, count = windows.targets.shape[1], len(windows.sessions)
    start, end = FIRST + timedelta(days=first), FIRST + timedelta(days=until)
    expected = []
    for origin in range(count):
        whole = origin + 1 >= windows.spec.context and origin + horizon < count
        inside = start <= windows.sessions[origin].item() < end
        # The next span's first origin is the first session from `end` on.
        purge = purged and origin + horizon > max(until, 0)
        if whole and inside and not purge:
            expected.append(origin)
    assert windows.span(start, end, purge_before=end if purged else None).tolist() == expected


def test_a_span_without_bounds_is_every_origin_with_a_context_and_a_target():
    assert walk(30).span(None, None).tolist() == list(range(7, 28))


@given(st.integers(120, 160), st.integers(1, 6), st.integers(40, 60), st.integers(22, 30))
def test_no_target_reaches_past_the_next_spans_first_origin(count, horizon, first, length):
    windows = walk(count, horizon=horizon)
    validation, test = FIRST + timedelta(days=first), FIRST + timedelta(days=first + length + horizon)
    spans = split((windows,), validation, test, None)
    train, held_out, tested = (part[0].origins for part in (spans.train, spans.validation, spans.test))
    assert train[-1] + horizon == held_out[0]  # the last that is kept; one later would reach past it
    assert held_out[-1] + horizon == tested[0]
    assert tested[-1] + horizon == count - 1
    assert windows.sessions[held_out[0]].item() == validation
    assert windows.sessions[tested[0]].item() == test


def test_purging_counts_from_the_next_session_when_the_bound_is_none():
    every = walk(40)
    kept = np.delete(np.arange(40), 25)  # the bound falls on a day without a session
    parts = (every.sessions, every.values, every.close, every.targets, every.whole)
    windows = Windows(every.spec, *(part[kept] for part in parts))
    bound = FIRST + timedelta(days=25)
    assert windows.span(None, bound, purge_before=bound)[-1] + 2 == 25
    assert windows.sessions[25].item() == FIRST + timedelta(days=26)


def holed(windows: Windows, hole: int) -> Windows:
    """The same windows, without the bar of one session (its own return and the next one's go with it)."""
    close, values = windows.close.copy(), windows.values.copy()
    close[hole] = np.nan
    values[hole : hole + 2] = np.nan
    channels = Channels(windows.sessions, values, close, close)
    return Windows.of(channels, windows.spec, windows.targets.shape[1])


@given(st.integers(0, 39), st.integers(1, 3))
def test_no_context_and_no_target_reaches_over_a_hole(hole, horizon):
    whole = walk(40, context=8, burn_in=3, horizon=horizon)
    windows = holed(whole, hole)
    origins = windows.span(None, None)
    assert np.isfinite(windows.contexts(origins)).all()
    assert np.isfinite(windows.targets[origins]).all()
    touched = set(range(hole - horizon, hole + 1 + 8))
    assert set(origins) == set(whole.span(None, None)) - touched
    assert windows.lost == sum(7 <= row < 40 for row in range(hole, hole + 9))


@given(st.integers(0, 39), st.integers(0, 4))
def test_blocks_cover_the_origins_around_a_hole_once_and_hold_no_gap(hole, offset):
    windows = holed(walk(40, context=8, burn_in=3), hole)
    origins = windows.span(None, None)
    if len(origins):
        tiled = blocks(windows, origins, offset)
        assert np.isfinite(tiled.inputs).all()
        assert tiled.weight.sum() == len(origins)


@pytest.mark.parametrize(
    ("validation", "test", "until", "what"),
    [(10, 60, None, "training"), (40, 50, None, "validation"), (40, 90, None, "test"), (40, 65, 70, "test")],
)
def test_a_span_that_is_too_short_is_named(validation, test, until, what):
    days = [None if day is None else FIRST + timedelta(days=day) for day in (validation, test, until)]
    with pytest.raises(TooShort, match=f"the {what} span"):
        split((walk(100),), *days)


spans_of_origins = st.tuples(shapes, st.integers(0, 40), st.integers(1, 60)).map(
    lambda drawn: (drawn[0], drawn[0].span(None, None)[drawn[1] :][: drawn[2]])
)


@given(spans_of_origins.filter(lambda drawn: len(drawn[1]) > 0), st.data())
def test_blocks_supervise_each_origin_of_the_span_once(drawn, data):
    windows, origins = drawn
    supervised = windows.spec.supervised
    offset = data.draw(st.integers(0, supervised - 1), label="offset")
    if origins[-1] - offset < windows.spec.context - 1:
        return  # a block would begin before the data; `fit` never has so short a span
    tiled = blocks(windows, origins, offset)
    seen: dict[int, float] = {}
    row_of = {row.astype(np.float32).tobytes(): index for index, row in enumerate(windows.values)}
    for inputs, targets, weights in zip(tiled.inputs, tiled.targets, tiled.weight, strict=True):
        end = row_of[inputs[-1].tobytes()]
        for place in range(supervised):
            origin = end - supervised + 1 + place
            if weights[place]:
                seen[origin] = seen.get(origin, 0.0) + float(weights[place])
                assert (targets[place] == windows.targets[origin].astype(np.float32)).all()
    assert seen == dict.fromkeys(origins.tolist(), 1.0)


@given(st.integers(60, 300), st.integers(8, 40), st.data())
def test_an_epoch_computes_a_multiple_of_the_span_whatever_the_context(count, context, data):
    burn_in = data.draw(st.integers(1, context - 1), label="burn_in")
    windows = walk(count + context, context=context, burn_in=burn_in)
    origins = windows.span(None, None)
    offset = data.draw(st.integers(0, windows.spec.supervised - 1), label="offset")
    computed = len(blocks(windows, origins, offset).inputs) * context
    assert computed <= len(origins) * context / windows.spec.supervised + 2 * context


def test_blocks_have_numbers_where_the_target_is_not_known_and_no_weight_there():
    windows = walk(40)
    origins = windows.span(None, None)
    for offset in range(windows.spec.supervised):
        tiled = blocks(windows, origins[5:], offset)
        assert np.isfinite(tiled.targets).all()
        assert tiled.weight.sum() == len(origins[5:])
