"""Targets that are levels: forecast by their changes, in their own unit, below zero too."""

from datetime import date

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_market import Market, made_up

from forecaster.calendars import trading_calendar
from forecaster.contract import Floats, Target, WindowSpec
from forecaster.facts import Facts
from forecaster.families.base import Network, Spec
from forecaster.families.gru import GruFamily
from forecaster.families.mlp import MlpFamily
from forecaster.families.naive import NaiveFamily
from forecaster.features import Channels, compute
from forecaster.panel import build_panel
from forecaster.training.export import PARITY, parity, to_onnx
from forecaster.windows import Sample, Windows, split

WINDOW = WindowSpec(context=10, burn_in=4, channels=("change",))
TARGET = Target(symbols=("DAILY",), venue="XNYS", horizon=3, kind="level")


def windows_over(level: Floats, horizon: int = 2) -> Windows:
    sessions = np.datetime64("2001-01-01") + np.arange(len(level))
    change = np.diff(level, prepend=level[0])
    return Windows.of(Channels(sessions, change[:, None], level, level), WINDOW, horizon, "level")


numbers = st.lists(st.floats(-1e3, 1e3).map(lambda number: round(number, 3)), min_size=14, max_size=40)


@given(numbers, st.integers(1, 3))
def test_targets_are_differences(drawn, horizon):
    level = np.array(drawn)
    windows = windows_over(level, horizon)
    for origin in range(len(level)):
        for step in range(1, horizon + 1):
            found = windows.targets[origin, step - 1]
            if origin + step < len(level):
                assert found == level[origin + step] - level[origin]
            else:
                assert np.isnan(found)


@given(numbers, st.floats(-100, 100).map(lambda number: round(number, 2)))
def test_a_level_comes_back_from_its_change(drawn, origin):
    ahead = np.array(drawn)
    np.testing.assert_array_equal(TARGET.outcome(origin, ahead), origin + ahead)


def test_a_price_comes_back_from_its_return():
    prices = Target(symbols=("T",), venue="XNYS", horizon=1).outcome(50.0, np.array([-0.1, 0.0, 0.1]))
    np.testing.assert_allclose(np.log(prices / 50), [-0.1, 0.0, 0.1])


def test_the_kind_is_in_the_targets_name():
    assert TARGET.key == "DAILY-level-3"
    assert replace_kind("return").key == "DAILY-return-3"


def replace_kind(kind: str) -> Target:
    return Target.model_validate(TARGET.model_dump() | {"kind": kind})


def read(market: Market, facts: Facts) -> Windows:
    """Windows on the change of the market's daily series, which is published three days late."""
    window = WindowSpec(context=10, burn_in=4, channels=("change", "log_return(PEER)", "change(MONTHLY)"))
    panel = build_panel(facts, "DAILY", {"PEER", "MONTHLY"}, market.calendar)
    return Windows.of(compute(panel, window), window, TARGET.horizon, "level")


@pytest.fixture(scope="module")
def market() -> Market:
    return made_up()


def test_a_series_is_read_as_it_was_known(market):
    windows = read(market, market.facts)
    rows = market.facts.about("DAILY")
    for row in range(0, len(windows.sessions), 7):
        known = rows.known_at <= market.cutoff(windows.sessions[row])
        newest = rows.date[known].max()
        revisions = rows.values[known & (rows.date == newest), -1]
        by_time = np.argsort(rows.known_at[known & (rows.date == newest)])
        assert windows.close[row] == revisions[by_time[-1]]
    np.testing.assert_allclose(windows.values[1:, 0], np.diff(windows.close))
    np.testing.assert_array_equal(windows.targets[:-3, 2], windows.close[3:] - windows.close[:-3])


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
def test_nothing_after_an_origin_moves_a_context_or_a_matured_target(market, share):
    before = read(market, market.facts)
    origin = int(share * len(before.sessions))
    facts = market.facts
    late = facts.known_at > market.cutoff(before.sessions[origin])
    other = np.where(facts.subject == "PEER", 1.7, -3.0)  # prices stay prices
    values = facts.values * np.where(late, other, 1.0)[:, None]
    after = read(market, Facts.of(facts.subject, facts.date, facts.known_at, values))
    rows = np.arange(9, origin + 1)
    assert before.contexts(rows).tobytes() == after.contexts(rows).tobytes()
    matured = slice(0, origin - TARGET.horizon + 1)
    assert before.targets[matured].tobytes() == after.targets[matured].tobytes()
    assert np.nanmax(np.abs(before.targets[origin:] - after.targets[origin:])) > 0.1  # something did change


def wave(count: int = 300) -> Windows:
    """A level that goes back to 5: its changes stay as large as ever, and do not grow with the horizon."""
    rng = np.random.default_rng(0)
    level = np.empty(count)
    level[0] = 5.0
    for row in range(1, count):
        level[row] = level[row - 1] + 0.8 * (5.0 - level[row - 1]) + rng.standard_normal()
    return windows_over(level, horizon=3)


def test_a_networks_scale_grows_as_the_levels_own_does():
    windows = wave()
    origins = windows.span(None, None)
    network = GruFamily(name="gru", hidden=3).build(Spec(WINDOW, 3, "level"))
    assert isinstance(network, Network)
    network.estimate([Sample(windows, origins)])
    expected = windows.targets[origins].std(0, ddof=1)
    np.testing.assert_allclose(network.unit.numpy(), expected, rtol=1e-5)
    assert expected[2] / expected[0] < 1.2  # where a random walk's would be 1.7


def test_a_networks_inputs_stay_sums_of_changes():
    """Every change is divided by one number, so that what the network adds up is where the level was."""
    windows = wave()
    network = GruFamily(name="gru", hidden=3).build(Spec(WINDOW, 3, "level"))
    assert isinstance(network, Network)
    network.estimate([Sample(windows, windows.span(None, None))])
    contexts = torch.from_numpy(windows.contexts(np.arange(9, 200)))
    inputs = network.standardise(contexts)
    torch.testing.assert_close(inputs * network.spread, contexts)


@pytest.mark.parametrize("family", [NaiveFamily(name="naive"), GruFamily(name="gru", hidden=3)], ids=lambda f: f.name)
def test_a_forecast_is_in_the_levels_unit(family):
    windows = wave()
    origins = windows.span(None, None)

    def answer(size: float) -> Floats:
        torch.manual_seed(0)
        scaled = windows_over(size * windows.close, horizon=3)
        model = family.build(Spec(WINDOW, 3, "level"))
        model.estimate([Sample(scaled, origins)])
        with torch.inference_mode():
            return np.asarray(model.eval()(torch.from_numpy(scaled.contexts(origins[-5:])))[0].numpy())

    np.testing.assert_allclose(answer(1000.0), 1000 * answer(1.0), rtol=1e-3)


@pytest.mark.parametrize("family", [MlpFamily(name="mlp", lags=3), GruFamily(name="gru")], ids=lambda f: f.name)
def test_a_graph_of_a_load_in_megawatt_hours_is_held_to_what_float32_can(family):
    """Its quantiles lie 1e5 apart and its median near zero, where a share of the median would be no measure."""
    windows = windows_over(1e5 * wave().close, horizon=3)
    origins = windows.span(None, None)
    contexts = torch.from_numpy(windows.contexts(origins[-40:]))
    torch.manual_seed(0)
    model = family.build(Spec(WINDOW, 3, "level"))
    model.estimate([Sample(windows, origins)])
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    graph = to_onnx(model.eval(), contexts[:3])
    assert parity(model, graph, contexts) <= PARITY
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1 + 1e-4)
    assert parity(model, graph, contexts) > PARITY  # and another model is noticed


def test_levels_are_split_like_prices():
    windows = wave(200)
    spans = split((windows,), date(2001, 4, 1), date(2001, 5, 1), None)
    first = int(spans.validation[0].origins[0])
    assert int(spans.train[0].origins[-1]) + 3 == first


@pytest.mark.parametrize("channels", [("log_range",), ("change(DAILY)",), ()])
def test_a_window_that_does_not_begin_with_the_targets_own_is_refused(channels):
    with pytest.raises(ValueError, match="log_return, or change at a level target"):
        WindowSpec(context=10, burn_in=4, channels=channels)


def monthly(known: str) -> Facts:
    """Three months of a series, each known only weeks after its date, and the newest at `known`."""
    dates = np.array(["2020-01-01", "2020-02-01", "2020-03-01"], "datetime64[D]")
    instants = np.array(["2020-02-14T13:30", "2020-03-13T12:30", known], "datetime64[us]")
    values = np.full((3, 6), np.nan)
    values[:, -1] = [1.0, 2.0, 3.0]
    return Facts.joined([("M", dates, instants, values)])


SPRING = trading_calendar("XNYS", date(2019, 12, 1), date(2020, 12, 31))


def test_a_series_goes_on_until_it_was_last_heard_of_not_until_its_last_date():
    facts = monthly("2020-04-10T12:30")
    panel = build_panel(facts, "M", [], SPRING)
    assert str(panel.sessions[-1]) == "2020-04-09"  # the last that was settled when the newest value came
    asked = build_panel(facts, "M", [], SPRING, np.datetime64("2020-05-04T22:00"))
    assert str(asked.sessions[-1]) == "2020-05-04"
    assert asked.column("M", "value")[-1] == 3.0
    early = build_panel(facts, "M", [], SPRING, np.datetime64("2020-05-04T12:00"))
    assert str(early.sessions[-1]) == "2020-05-01"  # the session of that Monday is not settled at noon


@pytest.mark.parametrize("instant", ["2020-02-20T22:00", "2020-03-13T21:00", "2020-04-10T12:30"])
def test_what_came_to_be_known_later_moves_no_row_of_a_panel_cut_short(instant):
    seen = np.datetime64(instant)
    full = build_panel(monthly("2020-04-10T12:30"), "M", [], SPRING, np.datetime64("2020-06-01"))
    short = build_panel(monthly("2020-04-10T12:30").known(seen), "M", [], SPRING, seen)
    count = len(short.sessions)
    assert count == (full.sessions < np.datetime64(instant[:10])).sum() + (seen >= SPRING_CUTOFF[instant[:10]])
    assert short.sessions.tobytes() == full.sessions[:count].tobytes()
    assert short.column("M", "value").tobytes() == full.column("M", "value")[:count].tobytes()


SPRING_CUTOFF = {str(day): cutoff for day, cutoff in zip(SPRING.sessions, SPRING.cutoffs, strict=True)} | {
    "2020-04-10": np.datetime64("2100-01-01")  # Good Friday
}
