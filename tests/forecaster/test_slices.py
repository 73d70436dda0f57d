import numpy as np
import pytest
from small_market import windows_from

from forecaster.contract import WindowSpec
from forecaster.hac import bandwidth, standard_error
from forecaster.significance import diebold_mariano, skill
from forecaster.slices import MONTH, REGIMES, regime, slices
from forecaster.windows import Windows

SPEC = WindowSpec(context=8, burn_in=3, channels=("log_return", "log_range"))


def market(seed: int = 0, count: int = 400) -> Windows:
    """Returns whose volatility wanders."""
    rng = np.random.default_rng(seed)
    volatility = 0.01 * np.exp(np.convolve(rng.standard_normal(count + 40), np.ones(41) / 20, mode="valid"))
    return windows_from(volatility * rng.standard_normal(count), rng.random(count), SPEC, 2)


def scored(count: int = 600, horizon: int = 2, symbols: int = 2) -> dict[str, np.ndarray]:
    """Scores of so many sessions for each symbol; better than the reference only in rough times."""
    rng = np.random.default_rng(0)
    regimes = np.repeat(rng.integers(0, 3, -(-count // 20)), 20)[:count]
    shared = rng.gamma(4, 1, (count, 1, 1)) + rng.gamma(4, 0.3, (count, symbols, horizon))
    factor = np.array([1.0, 1.0, 0.8])[regimes][:, None, None] + 0.05 * rng.standard_normal((count, symbols, horizon))
    sessions = np.datetime64("2001-03-01") + np.arange(count)
    return {
        "scores": (factor * shared).transpose(1, 0, 2).reshape(-1, horizon),
        "reference": shared.transpose(1, 0, 2).reshape(-1, horizon),
        "sessions": np.tile(sessions, symbols),
        "symbols": np.repeat(np.array(["AAA", "BBB"][:symbols]), count),
        "regimes": np.tile(regimes, symbols),
    }


def plain(made: dict[str, np.ndarray], rows: np.ndarray, columns: list[int]) -> tuple[int, float, float, float]:
    """Skill of some rows by loops: sessions, skill, error, p."""
    days, places = sorted(set(made["sessions"][rows].tolist())), np.flatnonzero(rows)
    losses = {"scores": [], "reference": []}
    for day in days:
        here = [row for row in places if made["sessions"][row].item() == day]
        for name, kept in losses.items():
            kept.append([sum(made[name][row][column] for row in here) / len(here) for column in columns])
    own, other = np.array(losses["scores"]), np.array(losses["reference"])
    overlap = columns[-1] + 1
    base = other.mean(axis=0)
    ratio = own.mean(axis=0) / base
    influence = ((own - ratio * other) / base).mean(axis=1)
    gain = ((other - own) / base).mean(axis=1)
    lag = bandwidth(len(days), overlap)
    return len(days), 1 - ratio.mean(), standard_error(influence, lag), diebold_mariano(gain, overlap)


def test_every_slice_agrees_with_a_plain_loop():
    made = scored(count=360)
    found = {(one.kind, one.name): (one.n, one.skill, one.error, one.p) for one in slices(**made)}
    everything = np.ones(720, dtype=bool)
    years = made["sessions"].astype("datetime64[Y]").astype(str)
    expected = {
        **{("horizon", str(step + 1)): plain(made, everything, [step]) for step in range(2)},
        **{("symbol", name): plain(made, made["symbols"] == name, [0, 1]) for name in ("AAA", "BBB")},
        **{("year", year): plain(made, years == year, [0, 1]) for year in ("2001", "2002")},
        **{("regime", REGIMES[k]): plain(made, made["regimes"] == k, [0, 1]) for k in range(3)},
    }
    assert list(found) == list(expected)
    for part, figures in expected.items():
        assert found[part] == pytest.approx(figures), part


def test_a_gain_in_rough_times_shows_there_and_nowhere_else():
    found = {one.name: one for one in slices(**scored()) if one.kind == "regime"}
    assert found["rough"].skill == pytest.approx(0.2, abs=0.02)
    assert found["rough"].p < 1e-6
    for name in ("calm", "usual"):
        assert abs(found[name].skill) < 4 * found[name].error


def test_the_order_of_origins_does_not_matter():
    made = scored()
    order = np.random.default_rng(1).permutation(1200)
    mixed = slices(**{name: values[order] for name, values in made.items()})
    for one, other in zip(slices(**made), mixed, strict=True):
        assert vars(one) == pytest.approx(vars(other))


def test_the_horizons_of_one_symbol_together_are_its_skill():
    made = scored(symbols=1)
    found = slices(**made)
    assert [one.skill for one in found if one.kind == "symbol"] == [skill(made["scores"], made["reference"]).skill]


def test_too_few_sessions_have_no_standard_error():
    made = scored(count=600)
    few = {name: values[300:315] for name, values in made.items()}  # the last days of 2001
    found = slices(**few)
    assert {one.n for one in found if one.kind == "year"} == {6, 9}
    assert all(one.error is None and one.p is None for one in found if one.kind == "year")
    assert all(np.isfinite(one.skill) for one in found)


def test_a_regime_that_never_was_is_no_slice():
    made = scored()
    made["regimes"] = np.zeros(1200, dtype=int)
    assert [one.name for one in slices(**made) if one.kind == "regime"] == ["calm"]


def test_regimes_agree_with_a_plain_loop():
    windows = market()
    origins, train = np.arange(7, 398), np.arange(7, 250)

    def volatility(origin: int) -> float:
        month = [windows.values[row, 0] ** 2 for row in range(max(0, origin - MONTH + 1), origin + 1)]
        return (sum(month) / len(month)) ** 0.5

    low, high = np.quantile([volatility(origin) for origin in train], (1 / 3, 2 / 3))
    expected = [int(volatility(origin) >= low) + int(volatility(origin) >= high) for origin in origins]
    found = regime(windows, origins, train)
    assert found.tolist() == expected
    assert np.bincount(found[: len(train)]) / len(train) == pytest.approx(1 / 3, abs=0.01)


def test_no_regime_moves_with_what_comes_after():
    windows = market()
    rng = np.random.default_rng(1)
    train = np.arange(7, 250)
    before = regime(windows, np.arange(7, 398), train)
    for last in (250, 300, 391):
        values = windows.values.copy()
        values[last + 1 :] = 10 * rng.standard_normal(values[last + 1 :].shape)
        close = np.concatenate((windows.close[: last + 1], rng.random(len(values) - last - 1)))
        other = Windows(SPEC, windows.sessions, values, close, 7 * windows.targets, windows.whole)
        after = regime(other, np.arange(7, 398), train)
        assert (after[: last - 6] == before[: last - 6]).all()
        assert (after[last - 6 :] != before[last - 6 :]).any()


def test_an_origin_sees_its_own_session_and_training_alone_draws_the_lines():
    windows = market()
    train = np.arange(7, 250)
    values = windows.values.copy()
    values[300, 0] = 5.0  # a crash at the origin is known at the origin
    crashed = Windows(SPEC, windows.sessions, values, windows.close, windows.targets, windows.whole)
    before, after = (regime(each, np.arange(7, 398), train) for each in (windows, crashed))
    assert (after[300 - 7 : 300 - 7 + MONTH] == 2).all()
    changed = np.flatnonzero(after != before) + 7
    assert changed.min() >= 300
    assert changed.max() < 300 + MONTH


def test_a_hole_within_the_month_is_left_out():
    windows = market()
    values = windows.values.copy()
    values[290] = np.nan
    holed = Windows(SPEC, windows.sessions, values, windows.close, windows.targets, windows.whole)
    found = regime(holed, np.array([300]), np.arange(7, 250))
    volatility = np.sqrt(np.mean(np.delete(values[300 - MONTH + 1 : 301, 0], 290 - (300 - MONTH + 1)) ** 2))
    train = [np.sqrt(np.mean(values[max(0, row - MONTH + 1) : row + 1, 0] ** 2)) for row in range(7, 250)]
    assert found.tolist() == [int(np.searchsorted(np.quantile(train, (1 / 3, 2 / 3)), volatility, side="right"))]
