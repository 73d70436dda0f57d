import calendar
import math
import statistics
from dataclasses import dataclass
from datetime import date

import numpy as np
import pytest

from forecaster.contract import WindowSpec
from forecaster.errors import ChannelHole, ConfigError, NoHistory
from forecaster.facts import FIELDS
from forecaster.features import FEATURES, Feature, compute, feature, parse, subjects
from forecaster.panel import Panel

NAN = float("nan")
MACRO = ("level", "change", "log_change", "change_252", "age")
CALENDAR = ("weekday_sin", "weekday_cos", "year_sin", "year_cos", "gap")


def panel_of(**columns: list[float]) -> Panel:
    """A panel of T (the columns given) and of the macro series M (its `value`)."""
    count = len(next(iter(columns.values())))
    sessions = np.datetime64("2020-01-06") + np.arange(count)
    own = np.column_stack([columns.get(field, [NAN] * count) for field in FIELDS]).astype(float)
    macro = np.full((count, len(FIELDS)), NAN)
    macro[:, -1] = columns.get("value", [NAN] * count)
    return Panel("T", sessions, {"T": own, "M": macro})


@pytest.mark.parametrize(
    ("feature", "columns", "expected"),
    [
        ("log_return", {"close": [100, 110, 99]}, [NAN, 0.0953101798, -0.1053605157]),
        ("log_return", {"close": [100, 0, 99, -1]}, [NAN, NAN, NAN, NAN]),
        ("log_range", {"high": [12, 10], "low": [10, 10]}, [0.1823215568, 0.0]),
        ("log_range", {"high": [12, 12], "low": [0, -3]}, [NAN, NAN]),
        ("close_location", {"high": [12] * 4, "low": [8] * 4, "close": [8, 12, 10, 11]}, [-1, 1, 0, 0.5]),
        ("close_location", {"high": [9], "low": [9], "close": [9]}, [0]),
        ("volume_change", {"volume": [100, 200, 0, 50, 100]}, [NAN, 0.6931471806, 0, 0, 0.6931471806]),
    ],
)
def test_values_checked_by_hand(feature, columns, expected):
    found = FEATURES[feature].function(panel_of(**columns), "T")
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_change_is_of_what_was_published():
    found = FEATURES["change"].function(panel_of(value=[1.5, 1.5, 1.75, 1.0]), "M")
    np.testing.assert_array_equal(found, [NAN, 0, 0.25, -0.75])


def log(numerator: float, denominator: float) -> float:
    return math.log(numerator / denominator) if numerator > 0 and denominator > 0 else NAN


@dataclass(frozen=True)
class Rows:
    """Columns as plain lists, and every feature again as a plain loop over one row at a time."""

    sessions: list[date]
    open: list[float]
    high: list[float]
    low: list[float]
    close: list[float]
    volume: list[float]
    value: list[float]
    cash: list[float]

    def log_return(self, t: int) -> float:
        return log(self.close[t], self.close[t - 1])

    def log_range(self, t: int) -> float:
        return log(self.high[t], self.low[t])

    def close_location(self, t: int) -> float:
        spread = self.high[t] - self.low[t]
        return ((self.close[t] - self.low[t]) - (self.high[t] - self.close[t])) / spread if spread else 0.0

    def open_return(self, t: int) -> float:
        return log(self.open[t], self.close[t - 1])

    def high_return(self, t: int) -> float:
        return log(self.high[t], self.close[t - 1])

    def low_return(self, t: int) -> float:
        return log(self.low[t], self.close[t - 1])

    def total_return(self, t: int) -> float:
        return log(self.close[t] + self.cash[t], self.close[t - 1])

    def volume_change(self, t: int) -> float:
        return log(self.volume[t], self.volume[t - 1]) if self.volume[t] and self.volume[t - 1] else 0.0

    def volume_level(self, t: int) -> float:
        logs = [math.log(self.volume[s]) for s in range(t - 62, t + 1) if self.volume[s] > 0]
        return math.log(self.volume[t]) - sum(logs) / len(logs) if self.volume[t] > 0 else 0.0

    def momentum_1m(self, t: int) -> float:
        return sum(self.log_return(s) for s in range(t - 20, t + 1))

    def momentum_3m(self, t: int) -> float:
        return sum(self.log_return(s) for s in range(t - 62, t + 1))

    def momentum_6m(self, t: int) -> float:
        return sum(self.log_return(s) for s in range(t - 125, t + 1))

    def momentum_12_1(self, t: int) -> float:
        return sum(self.log_return(s) for s in range(t - 251, t - 20))

    def parkinson(self, t: int) -> float:
        return log(self.high[t], self.low[t]) / (2 * math.sqrt(math.log(2)))

    def garman_klass(self, t: int) -> float:
        variance = log(self.high[t], self.low[t]) ** 2 / 2
        variance -= (2 * math.log(2) - 1) * log(self.close[t], self.open[t]) ** 2
        return math.sqrt(max(variance, 0))

    def rogers_satchell(self, t: int) -> float:
        above = log(self.high[t], self.open[t]) * log(self.high[t], self.close[t])
        below = log(self.low[t], self.open[t]) * log(self.low[t], self.close[t])
        return math.sqrt(max(above + below, 0))

    def yang_zhang(self, t: int) -> float:
        month = range(t - 20, t + 1)
        overnight = statistics.variance([self.open_return(s) for s in month])
        daytime = statistics.variance([log(self.close[s], self.open[s]) for s in month])
        within = statistics.mean([self.rogers_satchell(s) ** 2 for s in month])
        k = 0.34 / (1.34 + 22 / 20)
        return math.sqrt(overnight + k * daytime + (1 - k) * within)

    def volatility_21(self, t: int) -> float:
        return math.sqrt(statistics.mean([self.log_return(s) ** 2 for s in range(t - 20, t + 1)]))

    def level(self, t: int) -> float:
        return self.value[t]

    def change(self, t: int) -> float:
        return self.value[t] - self.value[t - 1]

    def log_change(self, t: int) -> float:
        return log(self.value[t], self.value[t - 1])

    def change_252(self, t: int) -> float:
        return self.value[t] - self.value[t - 252]

    def age(self, t: int) -> float:
        since = 0
        while t - since > 0 and self.value[t - since] == self.value[t - since - 1]:
            since += 1
        return since

    def weekday_sin(self, t: int) -> float:
        return math.sin(2 * math.pi * self.sessions[t].weekday() / 7)

    def weekday_cos(self, t: int) -> float:
        return math.cos(2 * math.pi * self.sessions[t].weekday() / 7)

    def _turn(self, t: int) -> float:
        day = self.sessions[t]
        return 2 * math.pi * (day - date(day.year, 1, 1)).days / (366 if calendar.isleap(day.year) else 365)

    def year_sin(self, t: int) -> float:
        return math.sin(self._turn(t))

    def year_cos(self, t: int) -> float:
        return math.cos(self._turn(t))

    def gap(self, t: int) -> float:
        return (self.sessions[t] - self.sessions[t - 1]).days


@pytest.fixture(scope="module")
def market() -> tuple[Panel, Rows]:
    """A made-up symbol with splits, dividends, sessions without volume and without range; and a monthly series."""
    rng, count = np.random.default_rng(3), 400
    sessions = np.arange("2019-11-01", "2023-01-01", dtype="datetime64[D]")
    sessions = sessions[np.is_busday(sessions) & (rng.random(len(sessions)) > 0.03)][:count]
    close = 80 * np.exp(np.cumsum(rng.normal(0, 0.02, count)))
    open_ = close * np.exp(rng.normal(0, 0.01, count))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.01, count)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.01, count)))
    high[::50] = low[::50] = open_[::50] = close[::50]
    volume = np.where(rng.random(count) < 0.1, 0.0, rng.lognormal(10, 1, count))
    value = np.repeat(rng.normal(3, 1, count // 20), 20)
    ratio, cash = np.ones(count), np.zeros(count)
    ratio[[90, 200]], cash[[50, 150, 201]] = (4.0, 0.5), (0.4, 0.2, 0.6)
    factor = np.cumprod(ratio)
    nothing = np.full(count, NAN)
    bars = np.column_stack([open_ / factor, high / factor, low / factor, close / factor, volume * factor, nothing])
    macro = np.column_stack([nothing] * 5 + [value])
    panel = Panel("T", sessions, {"T": bars, "M": macro}, {"T": factor}, {"T": cash / factor})
    columns = (open_, high, low, close, volume, value, cash)
    return panel, Rows(sessions.tolist(), *(column.tolist() for column in columns))


@pytest.mark.parametrize("feature", FEATURES)
def test_each_feature_is_what_a_plain_loop_says(market, feature):
    panel, rows = market
    warm_up = FEATURES[feature].warm_up
    found = FEATURES[feature](panel, "M" if feature in MACRO else "T")
    assert np.isnan(found[:warm_up]).all()
    expected = [getattr(rows, feature)(t) for t in range(warm_up, len(found))]
    np.testing.assert_allclose(found[warm_up:], expected, rtol=1e-9, atol=1e-12)
    assert np.isfinite(expected).all()
    assert len(set(expected)) > 2


def test_a_dividend_is_part_of_the_total_return_only(market):
    panel, _ = market
    paid = FEATURES["total_return"](panel, "T") - FEATURES["log_return"](panel, "T")
    assert np.flatnonzero(paid > 1e-6).tolist() == [50, 150, 201]


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("number", [0.0, -1.0, NAN, 1e150, 1e-150])
def test_no_number_makes_a_feature_warn(feature, number):
    columns = {field: [1.0, number, 2.0] * 90 for field in FIELDS}
    found = FEATURES[feature].function(panel_of(**columns), "T")
    assert found.shape == (270,)
    assert not np.isinf(found).any()


@pytest.mark.parametrize("feature", sorted({*FEATURES} - {*CALENDAR}))
def test_of_a_subject_that_has_no_row_yet_there_is_no_value(feature):
    columns = {field: [NAN, NAN, *(1.0 + t for t in range(260))] for field in FIELDS}
    found = FEATURES[feature].function(panel_of(**columns), "T")
    warm_up = FEATURES[feature].warm_up
    assert np.isfinite(found).tolist() == [t >= 2 + warm_up for t in range(262)]


@pytest.mark.parametrize("feature", FEATURES)
def test_the_warm_up_is_as_long_as_it_says(feature):
    columns = {field: [1.0 + 0.1 * t + 0.01 * k for t in range(270)] for k, field in enumerate(FIELDS)}
    found = FEATURES[feature].function(panel_of(**columns), "M" if feature in MACRO else "T")
    assert np.isfinite(found).tolist() == [t >= FEATURES[feature].warm_up for t in range(270)]
    assert FEATURES[feature].unit


def test_a_feature_is_a_function_with_a_unit_and_a_warm_up():
    @feature(unit="price", warm_up=3)
    def doubled(panel, subject):
        return 2 * panel.column(subject, "close")

    assert (doubled.unit, doubled.warm_up) == ("price", 3)
    assert doubled(panel_of(close=[1, 2]), "T").tolist() == [2, 4]
    channels = WindowSpec(context=8, burn_in=1, channels=("log_return", "doubled"))
    found = compute(panel_of(close=[1, 2, 4]), channels, {**FEATURES, "doubled": doubled})
    np.testing.assert_allclose(found.values, [[math.log(2), 4], [math.log(2), 8]])
    assert found.warm_up == 3  # the longest of its channels


@pytest.mark.parametrize("answer", [[1.0], 1.0, [[1.0], [2.0]], None])
def test_a_feature_must_answer_one_number_a_session(answer):
    with pytest.raises(
        ConfigError, match=r"feature test_features\..*<lambda>: answers shape \(.*2 sessions; return one"
    ):
        Feature(lambda _panel, _subject: answer, "none", 0)(panel_of(close=[1, 2]), "T")


def test_a_feature_that_fails_is_named():
    with pytest.raises(
        ConfigError, match=r"feature test_features\..*<lambda>: fails on T with KeyError: 'x'; correct it"
    ):
        Feature(lambda _panel, _subject: {}["x"], "none", 0)(panel_of(close=[1, 2]), "T")
    with pytest.raises(NoHistory, match="AAPL"):
        Feature(lambda panel, _subject: panel.column("AAPL", "close"), "none", 0)(panel_of(close=[1, 2]), "T")


@pytest.mark.parametrize("channel", ["nonsense", "nonsense(M)", "log_return(", "log_return()", "Log_return", ""])
def test_an_unknown_channel_names_the_features(channel):
    with pytest.raises(ConfigError) as refused:
        parse(channel)
    assert all(feature in str(refused.value) for feature in FEATURES)
    assert repr(channel) in str(refused.value)


def test_a_channel_names_a_feature_and_a_subject():
    assert parse("log_range") == ("log_range", None)
    assert parse("log_return(^IXIC)") == ("log_return", "^IXIC")
    assert parse("change(BRK-B.X=F_1)") == ("change", "BRK-B.X=F_1")
    assert parse("momentum_12_1(CL=F)") == ("momentum_12_1", "CL=F")
    assert subjects(["log_return", "change(M)", "change(N)", "log_range(M)"]) == {"M", "N"}


def test_channels_begin_where_all_of_them_have_a_value():
    panel = panel_of(close=[100, 110, 121, 121, 121], value=[NAN, NAN, 1, 2, 4])
    channels = compute(panel, WindowSpec(context=8, burn_in=1, channels=("log_return", "change(M)")))
    assert channels.sessions.tolist() == panel.sessions[3:].tolist()
    np.testing.assert_allclose(channels.values, [[0, 1], [0, 2]])
    assert channels.close.tolist() == [121, 121]


@pytest.mark.parametrize("close", [[100, 110, 0, 110], [100, 110, 120, 0]])
def test_a_hole_after_the_beginning_names_channel_and_session(close):
    panel = panel_of(close=close, high=[2] * 4, low=[1] * 4)
    with pytest.raises(ChannelHole, match=r"channel log_return has no value on 2020-01-0[89]"):
        compute(panel, WindowSpec(context=8, burn_in=1, channels=("log_return", "log_range")))


def test_a_channel_that_never_begins_is_named():
    with pytest.raises(ChannelHole, match=r"change\(M\)"):
        compute(panel_of(close=[1, 2, 3]), WindowSpec(context=8, burn_in=1, channels=("log_return", "change(M)")))
