import numpy as np
import pytest

from forecaster.contract import WindowSpec
from forecaster.errors import ChannelHole, ConfigError
from forecaster.facts import FIELDS
from forecaster.features import FEATURES, compute, parse, subjects, warm_up
from forecaster.panel import Panel

NAN = float("nan")


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


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("number", [0.0, -1.0, NAN, 1e150])
def test_no_number_makes_a_feature_warn(feature, number):
    columns = {field: [1.0, number, 2.0] for field in FIELDS}
    found = FEATURES[feature].function(panel_of(**columns), "T")
    assert not np.isinf(found).any()


@pytest.mark.parametrize("feature", FEATURES)
def test_of_a_subject_that_has_no_row_yet_there_is_no_value(feature):
    columns = {field: [NAN, NAN, 1.0, 2.0, 3.0] for field in FIELDS}
    found = FEATURES[feature].function(panel_of(**columns), "T")
    assert np.isnan(found[:2]).all()
    assert np.isfinite(found[-1])


@pytest.mark.parametrize("feature", FEATURES)
def test_the_warm_up_is_as_long_as_it_says(feature):
    columns = {field: [1.0 + 0.1 * t + 0.01 * k for t in range(80)] for k, field in enumerate(FIELDS)}
    found = FEATURES[feature].function(panel_of(**columns), "M" if feature == "change" else "T")
    assert np.isfinite(found).tolist() == [t >= FEATURES[feature].warm_up for t in range(80)]
    assert FEATURES[feature].unit


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


def test_the_warm_up_of_channels_is_the_longest():
    assert warm_up(["log_range"]) == FEATURES["log_range"].warm_up
    assert warm_up(FEATURES) == max(feature.warm_up for feature in FEATURES.values())
