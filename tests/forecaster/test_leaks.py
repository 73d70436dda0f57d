"""Leaks planted in plain views are found, what ships has none, and the worlds in which they are looked for differ."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from small_market import Market

from forecaster.calendars import trading_calendar
from forecaster.contract import Dates
from forecaster.facts import Facts
from forecaster.features import FEATURES
from forecaster.leaks import Dated, Search, View, find_leaks, moved, sessions_of, spread_origins
from forecaster.panel import Panel
from forecaster.worlds import Change, another_world, odd_past


def searched(market: Market, *views: View, facts: Facts | None = None, count: int = 40, seed: int = 1) -> Search:
    facts = market.facts if facts is None else facts
    origins = spread_origins(sessions_of(facts, market.symbol, market.calendar), count, seed)
    return find_leaks(views, facts, market.symbol, market.calendar, origins, seed)


def on_panel(market: Market, name: str, column: Callable[[Panel], np.ndarray]) -> View:
    def view(facts: Facts) -> Dated:
        panel = market.panel_of(facts)
        return Dated((name,), panel.sessions, column(panel)[:, None])

    return view


def shipped(market: Market, facts: Facts) -> Dated:
    """Every feature of every subject that has been there from the start (VIXCLS begins late: before, it is unknown)."""
    panel = market.panel_of(facts)
    there = [subject for subject in market.subjects if subject != "VIXCLS"]
    columns = {f"{name}({subject})": feature(panel, subject) for subject in there for name, feature in FEATURES.items()}
    return Dated(tuple(columns), panel.sessions, np.column_stack(list(columns.values())))


def contexts(market: Market, facts: Facts) -> Dated:
    windows = market.windows_of(facts)
    rows = np.arange(market.window.context - 1, len(windows.sessions))
    return Dated(market.window.channels, windows.sessions[rows], windows.contexts(rows).transpose(0, 2, 1))


def test_what_ships_is_free(market: Market) -> None:
    found = searched(market, partial(shipped, market), partial(contexts, market), count=30)
    assert found.leaks == ()
    assert found.origins >= 25
    assert found.comparisons > 8 * found.origins
    assert found.refused < 0.1 * found.comparisons  # contexts of a past that is shorter than one


def close(panel: Panel) -> np.ndarray:
    return panel.column(panel.symbol, "close")


def scored(panel: Panel) -> np.ndarray:
    return (close(panel) - np.nanmean(close(panel))) / np.nanstd(close(panel))


def centred(panel: Panel) -> np.ndarray:
    return np.convolve(np.nan_to_num(close(panel)), np.ones(5) / 5, mode="same")


def filled_back(panel: Panel) -> np.ndarray:
    rows = np.arange(len(panel.sessions))
    following = np.minimum.accumulate(np.where(np.isnan(close(panel)), len(rows), rows)[::-1])[::-1]
    return np.append(close(panel), np.nan)[following]


def by_period(market: Market, series: str, facts: Facts) -> Dated:
    """Macro joined by the period it is about."""
    sessions = market.panel_of(facts).sessions
    rows = facts.about(series)
    newest = np.searchsorted(rows.date, sessions, side="right") - 1
    return Dated((series,), sessions, np.where(newest < 0, np.nan, rows.column("value")[newest])[:, None])


def scaled_with_the_horizon(market: Market, facts: Facts) -> Dated:
    """Contexts in units of the deviation of their own returns and of the horizon's."""
    windows = market.windows_of(facts)
    length, horizon = market.window.context, market.target.horizon
    rows = np.arange(length - 1, len(windows.sessions))
    returns = np.append(windows.values[:, 0], np.full(horizon, np.nan))
    scale = np.nanstd(sliding_window_view(returns, length + horizon), axis=1)
    values = windows.contexts(rows).transpose(0, 2, 1) / scale[:, None, None]
    return Dated(market.window.channels, windows.sessions[rows], values)


def surviving(market: Market, facts: Facts) -> Dated:
    """Returns of the symbols that still trade at the end."""
    panel = market.panel_of(facts)
    held = [name for name in market.subjects if np.isfinite(facts.about(name).column("close")).any()]
    alive = [name for name in held if facts.about(name).date.max() >= panel.sessions[-1] - np.timedelta64(7, "D")]
    columns = [FEATURES["log_return"](panel, name) for name in alive]
    return Dated(tuple(alive), panel.sessions, np.array(columns).reshape(-1, len(panel.sessions)).T)


def test_the_six_classic_leaks_are_found(market: Market) -> None:
    series = next(name for name in market.subjects if name in ("MONTHLY", "CPILFESL"))
    peer = next(name for name in market.subjects if name in ("PEER", "^IXIC"))
    views = {
        "a full-sample z-score": (on_panel(market, "scored", scored), {"scored"}),
        "a centred rolling mean": (on_panel(market, "centred", centred), {"centred"}),
        "a bfill": (on_panel(market, "filled back", filled_back), {"filled back"}),
        "a target-dated macro join": (partial(by_period, market, series), {series}),
        "a scaling that includes the horizon": (partial(scaled_with_the_horizon, market), {*market.window.channels}),
        "a universe of survivors": (partial(surviving, market), {market.symbol, peer}),
    }
    found = searched(market, *(view for view, _ in views.values()), count=24)
    named = {leak.channel for leak in found.leaks}
    assert [leak for leak, (_, channels) in views.items() if not named & channels] == []
    assert named <= set().union(*(channels for _, channels in views.values()))
    assert all(leak.session <= leak.origin for leak in found.leaks)


def test_the_session_and_the_size_are_those_of_the_leak(synthetic: Market) -> None:
    sessions = sessions_of(synthetic.facts, "TGT", synthetic.calendar)

    def peeking(panel: Panel) -> np.ndarray:
        following = np.append(close(panel)[1:], 0.0)
        return np.where(panel.sessions == sessions[70], following, 0.0)

    found = searched(synthetic, on_panel(synthetic, "peeking", peeking), count=1000)
    assert {(leak.channel, leak.session, leak.origin) for leak in found.leaks} == {
        ("peeking", str(sessions[70]), str(sessions[70]))
    }
    cut = next(leak for leak in found.leaks if leak.world == "cut away")
    after = synthetic.panel_of(synthetic.facts).column("TGT", "close")[71]
    assert cut.size == after


def test_a_view_that_keeps_or_draws_something_is_named(synthetic: Market) -> None:
    kept: list[np.ndarray] = []
    rng = np.random.default_rng(0)

    def keeping(panel: Panel) -> np.ndarray:
        kept.append(close(panel))
        return np.full(len(panel.sessions), float(len(kept)))

    def drawing(panel: Panel) -> np.ndarray:
        return rng.normal(size=len(panel.sessions))

    for column in (keeping, drawing):
        found = searched(synthetic, on_panel(synthetic, "moody", column), count=4)
        assert "asked twice" in {leak.world for leak in found.leaks}


def test_a_view_that_fails_without_the_future_is_named(synthetic: Market) -> None:
    last = synthetic.panel_of(synthetic.facts).sessions[-1]

    def greedy(panel: Panel) -> np.ndarray:
        return close(panel) + 0 * np.flatnonzero(panel.sessions == last)[0]

    found = searched(synthetic, on_panel(synthetic, "greedy", greedy), count=8)
    assert {leak.world for leak in found.leaks} >= {"cut away, and it fails: IndexError"}


def test_a_view_that_fails_on_the_facts_as_they_are_stops_the_search(synthetic: Market) -> None:
    def broken(_panel: Panel) -> np.ndarray:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        searched(synthetic, on_panel(synthetic, "broken", broken), count=4)


def dated(values: list[list[float]], names: str = "ab", first: str = "2020-01-06") -> Dated:
    sessions = np.datetime64(first) + np.arange(len(values))
    return Dated(tuple(names), sessions, np.array(values, dtype=float))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (dated([[1, 2], [3, 4], [5, 6]]), []),
        (dated([[1, 2], [3, 4], [9, 9]]), []),  # after the origin
        (dated([[1, 2], [3, 4]]), []),
        (dated([[1, 2], [3, 4 + 1e-15]]), [("b", "2020-01-07", 8.881784197001252e-16)]),
        (dated([[1, 3], [4, 4]]), [("a", "2020-01-07", 1.0), ("b", "2020-01-06", 1.0)]),
        (dated([[1, 2], [float("nan"), 4]]), [("a", "2020-01-07", None)]),
        (dated([[1], [3]], "a"), [("b", "2020-01-06", None)]),
        (dated([[1, 2]]), [("a", "2020-01-07", None), ("b", "2020-01-07", None)]),
        (dated([[3, 4]], first="2020-01-07"), [("a", "2020-01-06", None), ("b", "2020-01-06", None)]),
    ],
)
def test_what_moved_is_told_to_the_bit(other: Dated, expected: list[tuple[str, str, float | None]]) -> None:
    one = dated([[1, 2], [3, 4], [5, 6]])
    found = moved(one, other, one.sessions[1], required=one.sessions)
    assert [(name, str(day), None if np.isnan(size) else size) for name, day, size in found] == expected


def test_nan_is_nan_but_zero_has_a_sign() -> None:
    one, other = dated([[float("nan"), 0.0]]), dated([[-float("nan"), -0.0]])
    assert [name for name, _, _ in moved(one, other, one.sessions[0], one.sessions)] == ["b"]


def test_a_hole_of_the_target_may_be_missing_at_the_end() -> None:
    one, other = dated([[1, 2], [3, 4]]), dated([[1, 2]])
    assert moved(one, other, one.sessions[1], required=one.sessions[:1]) == []


@pytest.mark.parametrize(
    "change", [Change(0), Change(3, 1.0, 0.0, 0, 7.0), Change(4, 0.0, 1.0, 0), Change(5, 0, 0, 200)]
)
def test_another_world_is_the_same_up_to_the_cutoff_and_differs_after_it(market: Market, change: Change) -> None:
    cutoff = market.cutoff(sessions_of(market.facts, market.symbol, market.calendar)[60])
    other = another_world(market.facts, cutoff, change)
    assert other.known(cutoff).digest() == market.facts.known(cutoff).digest()
    assert other.digest() != market.facts.digest()
    assert other.digest() == another_world(market.facts, cutoff, change).digest()


def test_another_world_has_what_markets_may_bring(market: Market) -> None:
    sessions = sessions_of(market.facts, market.symbol, market.calendar)
    cutoff, symbol = market.cutoff(sessions[60]), market.symbol
    others = [another_world(market.facts, cutoff, Change(seed, added=200)) for seed in range(20)]
    for kind in ("split", "dividend"):
        for other in others:
            rows = other.about(f"{symbol}#{kind}")
            assert len(rows)
            assert (rows.known_at > cutoff).all()
            assert (rows.column("value") > 0).all()
    assert any((other.about(f"{symbol}#split").date < sessions[60]).any() for other in others)  # told late
    ends = {other.about(name).date.max() <= cutoff for other in others for name in market.subjects}
    assert ends == {True, False}  # a subject may end
    assert any(other.about(symbol).date.max() > market.facts.about(symbol).date.max() for other in others)
    for other in others:
        bars = other.about(symbol).values
        assert (bars[:, :4] > 0).all()
        assert (bars[:, 1] * (1 + 1e-12) >= bars[:, [0, 2, 3]].max(axis=1)).all()
        assert (bars[:, 2] <= bars[:, [0, 1, 3]].min(axis=1) * (1 + 1e-12)).all()


def test_an_odd_past_has_holes_and_wild_sessions(market: Market) -> None:
    sessions = sessions_of(market.facts, market.symbol, market.calendar)
    odd = odd_past(market.facts, sessions[40:90], 0)
    panel = market.panel_of(odd)
    inside = slice(40, 90)
    assert panel.holes[inside].any()
    assert not panel.holes[:40].any()
    assert (panel.column(market.symbol, "volume")[inside] == 0).any()
    assert panel.factors[market.symbol][-1] != 1
    assert panel.payouts[market.symbol].sum() > 0


@pytest.mark.parametrize("count", [4, 10, 100, 400])
def test_origins_are_the_newest_runs_and_everywhere(count: int) -> None:
    sessions = trading_calendar("XNYS", np.datetime64("2000-01-03").item(), np.datetime64("2019-12-31").item()).sessions
    chosen = [spread_origins(sessions, count, seed) for seed in range(5)]
    for origins in chosen:
        assert 0.8 * count <= len(origins) <= count
        assert origins[-1] == sessions[-1]
        assert np.isin(origins, sessions).all()
        assert (np.diff(origins) > np.timedelta64(0, "D")).all()
    if count >= 100:
        for origins in chosen:
            assert set(weekday(origins)) == set(range(5))
            assert len(set(origins.astype("datetime64[Y]"))) == 20
            assert turns(sessions, origins, "M").any()
            assert turns(sessions, origins, "Y").any()
    assert len({origins.tobytes() for origins in chosen}) == 5


def weekday(sessions: Dates) -> list[int]:
    return ((sessions.astype(int) + 3) % 7).tolist()


def turns(sessions: Dates, origins: Dates, unit: str) -> np.ndarray:
    """Which origins are the last session of their month or year."""
    periods = sessions.astype(f"datetime64[{unit}]")
    last = sessions[:-1][periods[1:] != periods[:-1]]
    return np.isin(origins, last)


def test_fewer_sessions_than_asked_are_all_origins(synthetic: Market) -> None:
    sessions = sessions_of(synthetic.facts, "TGT", synthetic.calendar)
    assert spread_origins(sessions, 10_000, 0).tolist() == sessions.tolist()
