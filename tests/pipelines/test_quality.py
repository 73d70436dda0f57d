"""What is believed of a reply: every rule on real bars, the faults of the list by number, and Yahoo's own faults."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecaster.calendars import trading_calendar
from forecaster.errors import ReplyRefused
from pipelines.quality import Checked, check
from pipelines.sources.base import ACTION_COLUMNS, Listing, Reply
from pipelines.sources.files import Files
from pipelines.sources.sample import Sample
from tests.real_data import DATA, with_data

NOW = datetime(2019, 1, 31, tzinfo=UTC)
PRICES = ["open", "high", "low", "close"]
FIELDS = [*PRICES, "volume"]
CALENDAR = trading_calendar("XNYS", date(1998, 12, 1), date(2019, 1, 31))
BARS = Sample().bars("^GSPC", None, NOW).bars.iloc[-1500:].reset_index(drop=True)


def actions(*rows: tuple[str, str, float]) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows), columns=list(ACTION_COLUMNS))
    return frame.astype({"session": "datetime64[s]", "value": float})


def reply(bars: pd.DataFrame = BARS, *listed: tuple[str, str, float], split_adjusted: bool = True) -> Reply:
    return Reply(Listing("TEST", "XNYS", "USD"), bars, actions(*listed), split_adjusted)


def changed(at: int, **values: float) -> pd.DataFrame:
    bars = BARS.copy()
    bars.loc[at, list(values)] = list(values.values())
    return bars


def checked(bars: pd.DataFrame, *listed: tuple[str, str, float], **how: object) -> Checked:
    return check(reply(bars, *listed), CALENDAR, how.get("now", NOW), how.get("stored"))


def why(seen: Checked) -> list[tuple[str, str]]:
    return [(str(row.date), row.reason) for row in seen.rejected]


def on(at: int) -> str:
    return str(BARS["session"][at].date())


def scaled(bars: pd.DataFrame, rows: slice, factor: float, volume: float = 1.0) -> pd.DataFrame:
    bars = bars.copy()
    bars.loc[rows, PRICES] *= factor
    bars.loc[rows, "volume"] *= volume
    return bars


def test_a_clean_history_is_believed_as_it_is():
    seen = checked(BARS)
    pd.testing.assert_frame_equal(seen.bars, BARS, check_dtype=False)
    assert (seen.rejected, seen.missing) == ((), ())


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"close": np.nan}, "not finite"),
        ({"volume": np.nan}, "not finite"),
        ({"high": np.inf}, "not finite"),
        ({"low": 0.0}, "price not positive"),
        ({"close": -37.63, "low": -40.32}, "price not positive"),
        (dict.fromkeys(PRICES, 1e300), "price or volume beyond belief"),
        ({"high": 1000.0}, "high below low"),
        ({"close": 1e4}, "high and low do not hold open and close"),
        ({"volume": -1.0}, "volume negative"),
        ({"high": 1e4}, "range of the session beyond belief"),
    ],
)
def test_fault_07_a_bar_that_cannot_be_is_held_back_with_the_reason(values, reason):
    bars = changed(700, **values)
    seen = checked(bars)
    assert why(seen) == [(on(700), reason)]
    assert seen.rejected[0].row == {name: repr(float(bars[name][700])) for name in FIELDS}
    assert [str(one) for one in seen.missing] == [on(700)]
    pd.testing.assert_frame_equal(seen.bars, BARS.drop(index=700).reset_index(drop=True), check_dtype=False)


def test_fault_08_a_hole_is_reported_and_a_row_on_a_closed_day_held_back():
    sunday, thanksgiving = "2018-11-18", "2018-11-22"
    added = pd.concat([BARS, BARS.iloc[[3, 4]].assign(session=pd.to_datetime([sunday, thanksgiving]))])
    seen = checked(added.drop(index=[800, 801]))
    assert why(seen) == [(day, "not a session of the venue") for day in (sunday, thanksgiving)]
    assert [str(one) for one in seen.missing] == [on(800), on(801)]


def test_fault_09_identical_rows_collapse_and_differing_ones_are_all_held_back():
    same, other = BARS.iloc[[500]], BARS.iloc[[501]].assign(close=BARS["open"][501])
    seen = checked(pd.concat([BARS, same, other]))
    assert why(seen) == [(on(501), "session given twice")] * 2
    assert on(500) in set(seen.bars["session"].dt.date.astype(str))
    assert [str(one) for one in seen.missing] == [on(501)]


@pytest.mark.parametrize(
    ("session", "settles"),
    [
        ("2018-07-03", "2018-07-03T17:30"),  # half day, summer time
        ("2018-11-02", "2018-11-02T20:30"),  # Friday before the clocks go back
        ("2018-11-05", "2018-11-05T21:30"),  # Monday after
        ("2018-03-12", "2018-03-12T20:30"),  # Monday after they went forward
    ],
)
def test_fault_09_a_bar_of_an_open_session_is_neither_stored_nor_held_back(session, settles):
    bars = BARS[BARS["session"] <= session]
    instant = datetime.fromisoformat(settles).replace(tzinfo=UTC)
    before, after = (checked(bars, now=instant - timedelta(seconds=late)) for late in (1, 0))
    assert (before.rejected, before.missing, len(before.bars)) == ((), (), len(bars) - 1)
    assert (after.rejected, after.missing, len(after.bars)) == ((), (), len(bars))


def test_an_open_session_given_twice_leaves_the_settled_days_alone():
    seen = checked(pd.concat([BARS, BARS.iloc[[-1]].assign(close=1.0)]), now=datetime(2018, 12, 31, 18, tzinfo=UTC))
    assert (len(seen.bars), seen.rejected) == (len(BARS) - 1, ())


def test_the_order_of_the_rows_does_not_matter():
    pd.testing.assert_frame_equal(checked(BARS[::-1]).bars, checked(BARS).bars)


@settings(max_examples=15, deadline=None)
@given(
    ratios=st.lists(st.sampled_from([2.0, 3.0, 1.5, 7.0, 0.1]), min_size=1, max_size=3),
    places=st.lists(st.integers(50, 1450), min_size=3, max_size=3, unique=True),
)
def test_fault_10_a_later_split_restates_nothing(ratios, places):
    """The same true history, served on every day between its splits, gives the same bars as traded."""
    listed = sorted(zip(places, ratios, strict=False))
    factor = np.ones(len(BARS))
    for at, ratio in listed:
        factor[at:] *= ratio
    truth = BARS.assign(**{name: BARS[name] / factor for name in PRICES}, volume=BARS["volume"] * factor)
    stored = None
    for last in [*(at - 1 for at, _ in listed), listed[-1][0], len(BARS) - 1]:
        known = [(on(at), "split", ratio) for at, ratio in listed if at <= last]
        relative = factor[: last + 1] / factor[last]
        cut = truth.iloc[: last + 1]
        served = cut.assign(**{name: cut[name] * relative for name in PRICES}, volume=cut["volume"] / relative)
        seen = checked(served, *known, stored=stored)
        assert seen.rejected == ()
        np.testing.assert_allclose(seen.bars[FIELDS], truth[FIELDS].iloc[: last + 1], rtol=1e-6)
        assert seen.actions["value"].tolist() == [ratio for _, _, ratio in known]
        stored = seen.bars


def test_fault_10_a_dividend_before_a_split_is_stored_per_share_as_traded():
    served = scaled(BARS, slice(0, 999), 1 / 4, 4.0)
    seen = checked(scaled(served, slice(1000, None), 1 / 4), (on(900), "dividend", 2.5), (on(1000), "split", 4.0))
    np.testing.assert_allclose(seen.bars["close"][:1000], BARS["close"][:1000], rtol=1e-6)
    np.testing.assert_allclose(seen.bars["volume"][:1000], BARS["volume"][:1000], rtol=1e-6)
    assert seen.actions["value"].tolist() == [10.0, 4.0]


def test_prices_as_traded_are_left_as_they_are():
    truth = scaled(BARS, slice(1000, None), 1 / 4, 4.0)
    split = reply(truth, (on(900), "dividend", 10.0), (on(1000), "split", 4.0), split_adjusted=False)
    seen = check(split, CALENDAR, NOW, None)
    assert seen.rejected == ()
    pd.testing.assert_frame_equal(seen.bars, truth, check_dtype=False)
    assert seen.actions["value"].tolist() == [10.0, 4.0]


@pytest.mark.parametrize("factor", [100.0, 0.01, 1.5, 2 / 3])
@pytest.mark.parametrize("length", [1, 4])
def test_fault_12_a_spike_is_held_back_and_nothing_else(factor, length):
    seen = checked(scaled(BARS, slice(700, 699 + length), factor))
    assert [day for day, _ in why(seen)] == [on(at) for at in range(700, 700 + length)]
    assert all(reason.startswith("price level off") for _, reason in why(seen))


@pytest.mark.parametrize("factor", [100.0, 0.01])
def test_fault_12_a_unit_that_changes_for_good_leaves_the_newest_prices(factor):
    seen = checked(scaled(BARS, slice(0, 699), factor))
    assert {reason for _, reason in why(seen)} == {"price level off, as by a wrong unit"}
    pd.testing.assert_frame_equal(seen.bars, BARS[700:].reset_index(drop=True), check_dtype=False)


@pytest.mark.parametrize("wrong", [slice(0, 699), slice(700, None)])
def test_fault_12_what_is_stored_says_which_unit_is_right(wrong):
    stored = BARS[650:700] if wrong.start == 700 else BARS[700:750]
    seen = checked(scaled(BARS, wrong, 100.0), stored=stored)
    right = BARS.drop(BARS.loc[wrong].index)
    assert len(seen.rejected) == len(BARS) - len(right)
    np.testing.assert_allclose(seen.bars["close"], right["close"], rtol=1e-12)


@pytest.mark.parametrize("factor", [100.0, 0.01, 2.0, 0.5, 1.5])
def test_fault_12_a_newest_bar_in_another_unit_waits_in_a_short_reply(factor):
    week = BARS[-8:].reset_index(drop=True)
    seen = checked(scaled(week, slice(7, None), factor), stored=week[:7])
    assert [day for day, _ in why(seen)] == [on(1499)]
    assert len(seen.bars) == 7


@pytest.mark.parametrize("ratio", [2.0, 1.5, 4.0, 0.1])
@pytest.mark.parametrize("listed", [True, False])
def test_fault_12_a_phantom_split_leaves_nothing_before_it(ratio, listed):
    served = scaled(BARS, slice(0, 999), 1 / ratio, ratio)
    seen = checked(served, *([(on(1000), "split", ratio)] if listed else []))
    pd.testing.assert_frame_equal(seen.bars, BARS[1000:].reset_index(drop=True), check_dtype=False)
    assert seen.actions.empty
    assert ((on(1000), "split: the prices do not show it") in why(seen)) == listed


def test_a_split_listed_before_it_is_applied_holds_the_old_prices_back_and_is_believed():
    truth = scaled(BARS, slice(1450, None), 1 / 4, 4.0)
    seen = checked(truth, (on(1450), "split", 4.0), stored=truth[:1440])
    pd.testing.assert_frame_equal(seen.bars, truth[1450:].reset_index(drop=True), check_dtype=False)
    assert seen.actions["value"].tolist() == [4.0]
    assert {reason for _, reason in why(seen)} == {"prices before a split do not fit it"}


@pytest.mark.parametrize("real", [True, False])
def test_what_is_stored_tells_a_split_applied_twice_from_one_that_was_not(real):
    truth = scaled(BARS, slice(1450, None), 1 / 4, 4.0) if real else BARS
    served = scaled(truth, slice(0, 1449), 1 / 16 if real else 1 / 4)
    seen = checked(served, (on(1450), "split", 4.0), stored=truth[:1450])
    assert len(seen.bars) == len(BARS) - 1450
    assert len(seen.actions) == real


def test_a_split_that_left_prices_alone_is_refused_where_the_old_prices_are_stored():
    with pytest.raises(ReplyRefused, match=on(1450)):
        checked(BARS, (on(1450), "split", 4.0), stored=BARS[1400:])


@pytest.mark.parametrize("factor", [0.5, 2.0, 100.0, 1.5, 0.25])
def test_a_history_in_other_shares_or_units_is_refused(factor):
    with pytest.raises(ReplyRefused, match=f"TEST.*{factor:.4g} times"):
        checked(scaled(BARS, slice(None), factor), stored=BARS[-10:])


@pytest.mark.parametrize("factor", [0.9988, 1.0012, 0.97, 0.77])
def test_a_history_adjusted_for_a_dividend_is_a_restatement(factor):
    seen = checked(scaled(BARS, slice(0, 1489), factor), stored=BARS)
    assert (len(seen.bars), seen.rejected) == (len(BARS), ())


def test_a_corrected_bar_and_a_rising_volume_are_ordinary_revisions():
    bars = changed(1495, close=BARS["low"][1495])
    bars.loc[1499, "volume"] *= 1.1
    pd.testing.assert_frame_equal(checked(bars, stored=BARS[1490:]).bars, bars, check_dtype=False)


def test_a_frozen_bar_of_what_trades_every_day_is_a_hole():
    bars = changed(700, **dict.fromkeys(PRICES, BARS["close"][699]), volume=0.0)
    assert why(checked(bars)) == [(on(700), "frozen: the close before, and no volume")]


def test_frozen_bars_of_what_seldom_trades_are_genuine():
    bars = BARS.copy()
    for at in range(100, 1400, 10):
        bars.loc[at, PRICES], bars.loc[at, "volume"] = bars["close"][at - 1], 0.0
    assert checked(bars).rejected == ()


def test_zero_volume_is_fine():
    assert checked(changed(700, volume=0.0)).rejected == ()
    assert checked(BARS.assign(volume=0.0)).rejected == ()


def test_a_bar_that_repeats_the_one_before_is_held_back():
    bars = BARS.copy()
    bars.loc[700, FIELDS] = bars.loc[699, FIELDS]
    assert why(checked(bars)) == [(on(700), "the bar before, repeated")]


@pytest.mark.parametrize(
    ("listed", "held"),
    [
        ([(1200, 20.0), (1263, 2000.0)], {1263}),  # a hundred times too much: more than half the price
        ([(1200, 20.0), (1263, 5000.0)], {1263}),
        ([(1100, 10.0), (1163, 10.0), (1226, 0.1), (1289, 10.0)], {1226}),
        ([(1100, 10.0), (1102, 10.0), (1163, 10.0)], {1100, 1102}),
        ([(1100, 10.0), (1163, 1e-4), (1226, 12.0)], {1163}),
        ([(1100, 10.0), (1163, 11.0), (1226, 1.0)], set()),
    ],
)
def test_a_dividend_that_cannot_be_is_held_back(listed, held):
    seen = checked(BARS, *((on(at), "dividend", cash) for at, cash in listed))
    assert {row.date.isoformat() for row in seen.rejected} == {on(at) for at in held}
    assert all(row.reason.startswith("dividend: ") and row.row["kind"] == "dividend" for row in seen.rejected)
    assert len(seen.actions) == len(listed) - len(held)
    assert len(seen.bars) == len(BARS)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -1.0])
@pytest.mark.parametrize("kind", ["dividend", "split"])
def test_an_action_that_is_no_positive_number_is_held_back(kind, value):
    seen = checked(BARS, (on(700), kind, value))
    assert why(seen) == [(on(700), f"{kind}: not a positive number")]
    pd.testing.assert_frame_equal(seen.bars, BARS, check_dtype=False)


def test_an_action_given_twice_counts_once_and_two_that_differ_not_at_all():
    split = (on(1000), "split", 1.01)
    assert len(checked(BARS, split, split).actions) == 1
    assert why(checked(BARS, split, (on(1000), "split", 1.02))) == [(on(1000), "split: given twice")] * 2


@pytest.mark.parametrize(("hour", "begun"), [(14, 0), (15, 1)])
def test_an_action_counts_from_the_opening_of_its_ex_date_and_is_undone_before(hour, begun):
    """Vendors adjust in the night before the ex-date."""
    served = scaled(BARS[:1499], slice(None), 0.25)
    seen = checked(served, (on(1499), "split", 4.0), now=datetime(2018, 12, 31, hour, tzinfo=UTC))
    assert len(seen.actions) == begun
    np.testing.assert_allclose(seen.bars["close"], BARS["close"][:1499], rtol=1e-12)


def test_an_empty_store_is_like_a_first_fetch():
    stored = BARS[:0]
    pd.testing.assert_frame_equal(checked(BARS, stored=stored).bars, checked(BARS).bars)


def test_nothing_believed_is_an_answer_too():
    seen = checked(BARS.iloc[[5]].assign(close=np.nan))
    assert (len(seen.bars), len(seen.rejected), len(seen.missing)) == (0, 1, 1)
    assert list(seen.bars) == ["session", *FIELDS]


WILD = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, -1.0, 1e300, 5e-324])


@settings(max_examples=40, deadline=None)
@given(
    cells=st.lists(st.tuples(st.integers(1, 39), st.sampled_from(FIELDS), WILD), max_size=12),
    listed=st.lists(st.tuples(st.integers(0, 39), st.sampled_from(["split", "dividend"]), WILD), max_size=3),
    adjusted=st.booleans(),
)
def test_whatever_is_said_only_sound_bars_are_believed(cells, listed, adjusted):
    bars = BARS[:40].copy()
    for at, name, value in cells:
        bars.loc[at, name] = value
    said = reply(bars, *((on(at), kind, value) for at, kind, value in listed), split_adjusted=adjusted)
    seen = check(said, CALENDAR, NOW, None)
    rows = seen.bars
    assert rows["session"].is_monotonic_increasing
    assert rows["session"].is_unique
    assert (rows[PRICES] > 0.0).all(axis=None)
    assert np.isfinite(rows[FIELDS]).all(axis=None)
    assert (seen.actions["value"] > 0.0).all()
    assert len(seen.missing) == 40 - len(rows)


def real(folder: str, symbol: str, venue: str) -> tuple[Reply, Checked]:
    now = datetime(2026, 10, 1, tzinfo=UTC)
    said = Files(DATA / folder, venue, {}, {}).bars(symbol, None, now)
    first, last = (said.bars["session"].agg(end).date() for end in ("min", "max"))
    return said, check(said, trading_calendar(venue, first - timedelta(days=10), last + timedelta(days=10)), now, None)


@with_data
def test_real_crashes_are_believed(tmp_path):
    for name in ("AAPL_autoadj", "AAPL_noadj_plus_adjclose"):
        (tmp_path / "AAPL.csv.gz").unlink(missing_ok=True)
        (tmp_path / "AAPL.csv.gz").symlink_to(DATA / f"core/stitched_dev_to_2024-12-31/{name}.csv.gz")
        said, seen = real(str(tmp_path), "AAPL", "XNYS")
        assert (len(seen.bars), seen.rejected) == (len(said.bars), ())


@with_data
def test_oil_below_zero_is_held_back_and_the_rest_of_that_spring_is_believed():
    _, seen = real("core/stitched_dev_to_2024-12-31", "CL=F", "CMES")
    spring = [row for row in why(seen) if "2020-03" <= row[0] < "2020-06"]
    assert spring == [(day, "price not positive") for day in ("2020-04-20", "2020-04-21")]
    assert next(row.row["close"] for row in seen.rejected if str(row.date) == "2020-04-20").startswith("-37.63")


@with_data
def test_broken_gold_bars_are_held_back_and_flat_ones_are_not():
    _, seen = real("core/stitched_dev_to_2024-12-31", "GC=F", "CMES")
    broken = [day for day, reason in why(seen) if reason.startswith("high")]
    assert len(broken) == 441
    assert (seen.bars["high"] == seen.bars["low"]).sum() > 800


@with_data
@pytest.mark.parametrize("symbol", ["TSLA", "NVDA", "GE", "NFLX", "META", "VIX", "USO"])
def test_wild_symbols_pass_clean(symbol):
    said, seen = real("universe/us126_dev_to_2024-12-31", symbol, "XNYS")
    assert (len(seen.bars), seen.rejected, seen.missing) == (len(said.bars), (), ())


@with_data
@pytest.mark.parametrize(
    ("name", "venue", "held"),
    [
        ("ALPHA-PA-1d-bad-stock-split", "XPAR", {"2023-05-08"}),
        ("DEX-AX-1d-bad-stock-split", "XASX", None),
        ("SSW-JO-1d-100x-error", "XJSE", None),
        ("4063-T-1d-bad-div", "XTKS", {"2023-03-30"}),
        ("SAND-1d-bad-div", "XNYS", {"2024-01-12", "2024-01-16"}),
    ],
)
def test_fault_12_what_yahoo_got_wrong_is_held_back(name, venue, held, tmp_path):
    (tmp_path / "BAD.csv.gz").symlink_to(DATA / f"bad_data_yfinance/{name}.csv.gz")
    (tmp_path / "GOOD.csv.gz").symlink_to(DATA / f"bad_data_yfinance/{name}-fixed.csv.gz")
    good, repaired = real(str(tmp_path), "GOOD", venue)
    _, seen = real(str(tmp_path), "BAD", venue)
    if held is not None:
        assert {day for day, _ in why(seen)} == held
    truth = good.bars.set_index("session")["close"]
    factor = seen.bars.set_index("session")["close"] / repaired.bars.set_index("session")["close"]
    assert len(seen.bars) > 0
    np.testing.assert_allclose(factor.dropna(), 1.0, rtol=1e-6)
    assert set(seen.bars["session"]) <= set(truth.index)


@with_data
@pytest.mark.parametrize(("symbol", "venue", "restated"), [("NVDA", "XNAS", 2), ("005930.KS", "XKRX", 0)])
def test_fault_10_downloads_of_several_days_are_restatements_not_faults(symbol, venue, restated):
    stored, moved = None, []
    calendar = trading_calendar(venue, date(2025, 1, 1), date(2026, 8, 1))
    for folder in sorted((DATA / "vintages/yf_daily_snapshots").iterdir()):
        now = datetime.strptime(folder.name, "%Y-%m-%dT%H%MZ").replace(tzinfo=UTC)
        if (folder / f"{symbol}.csv.gz").exists():
            seen = check(Files(folder, venue, {}, {}).bars(symbol, None, now), calendar, now, stored)
            assert seen.rejected == ()
            both = seen.bars.merge(seen.bars if stored is None else stored, on="session", suffixes=("", "_old"))
            moved.append((np.abs(both["close"] / both["close_old"] - 1.0) > 1e-4).sum())
            stored = seen.bars
    assert sum(count > 300 for count in moved) == restated
