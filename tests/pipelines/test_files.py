"""A folder of files as a source: every header style, sessions out of hours, series, and how it says no."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from forecaster.calendars import trading_calendar
from forecaster.errors import ConfigError, EmptyRange, NotListed
from pipelines.sources.base import ACTION_COLUMNS, BAR_COLUMNS, OBSERVATION_COLUMNS, Reply, Surroundings
from pipelines.sources.files import Files, FilesSource
from tests.real_data import DATA, with_data

NOW = datetime(2025, 1, 31, tzinfo=UTC)
TRUTH = [
    [pd.Timestamp(2022, 1, 3), 10.0, 12.0, 9.0, 11.0, 500.0],
    [pd.Timestamp(2022, 1, 4), 11.0, 11.5, 10.0, 10.5, 600.0],
]

STYLES = {
    "capitals": "Date,Open,High,Low,Close,Volume\n2022-01-03,10,12,9,11,500\n2022-01-04,11,11.5,10,10.5,600\n",
    "lower case": "date,open,high,low,close,volume\n2022-01-03,10,12,9,11,500\n2022-01-04,11,11.5,10,10.5,600\n",
    "another order and more": "Close,logReturns,Adj Close,Volume,Low,High,Open,Date\n"
    "11,x,8,500,9,12,10,2022-01-03\n10.5,y,8,600,10,11.5,11,2022-01-04\n",
    "east of Greenwich": "Date,Open,High,Low,Close,Volume\n2022-01-03 00:00:00+08:00,10,12,9,11,500\n"
    "2022-01-04 00:00:00+08:00,11,11.5,10,10.5,600\n",
    "west of Greenwich": "Datetime,Open,High,Low,Close,Volume\n2022-01-03 00:00:00-05:00,10,12,9,11,500\n"
    "2022-01-04 00:00:00-05:00,11,11.5,10,10.5,600\n",
    "three lines": "Price,Close,High,Low,Open,Volume\nTicker,X,X,X,X,X\nDate,,,,,\n"
    "2022-01-03,11,12,9,10,500\n2022-01-04,10.5,11.5,10,11,600\n",
    "three lines, two symbols": "Price,Close,Close,High,High,Low,Low,Open,Open,Volume,Volume\n"
    "Ticker,Y,X,Y,X,Y,X,Y,X,Y,X\nDate,,,,,,,,,,\n2022-01-03,1,11,1,12,1,9,1,10,1,500\n2022-01-04,1,10.5,1,11.5,1,10,1,11,1,600\n",
    "nasdaq.com": "Date,Close/Last,Volume,Open,High,Low\n"
    "01/03/2022,$11.00,500,$10.00,$12.00,$9.00\n01/04/2022,$10.50,600,$11.00,$11.50,$10.00\n",
}


def folder(path: Path, **files: str) -> Files:
    for name, text in files.items():
        (path / f"{name}.csv").write_text(text)
    return FilesSource(folder=path).open(Surroundings("XNYS", path, {}))


def said(path: Path, text: str) -> Reply:
    return folder(path, X=text).bars("X", None, NOW)


@pytest.mark.parametrize("style", STYLES)
def test_every_header_style_says_the_same(style, tmp_path):
    reply = said(tmp_path, STYLES[style])
    assert tuple(reply.bars) == BAR_COLUMNS
    assert reply.bars.to_numpy().tolist() == TRUTH
    assert (reply.split_adjusted, len(reply.actions), tuple(reply.actions)) == (False, 0, ACTION_COLUMNS)
    assert (reply.listing.symbol, reply.listing.venue, reply.listing.currency) == ("X", "XNYS", "unknown")


@pytest.mark.parametrize("index", ["day", "instant", "column"])
@pytest.mark.parametrize("ending", ["csv.gz", "parquet"])
def test_compressed_and_parquet_files_say_the_same(index, ending, tmp_path):
    table = pd.DataFrame(TRUTH, columns=["Date", "Open", "High", "Low", "Close", "Volume"])
    if index == "instant":
        table["Date"] = table["Date"].dt.tz_localize("Asia/Tokyo")
    if ending == "csv.gz":
        table.to_csv(tmp_path / "X.csv.gz", index=False)
    else:
        (table if index == "column" else table.set_index("Date")).to_parquet(tmp_path / "X.parquet")
    assert folder(tmp_path).bars("X", None, NOW).bars.to_numpy().tolist() == TRUTH


def test_a_three_line_header_names_a_symbol_that_the_file_name_cannot(tmp_path):
    (tmp_path / "CL_F.multiheader.csv").write_text(STYLES["three lines"].replace("X", "CL=F"))
    source = folder(tmp_path)
    assert source.bars("CL=F", None, NOW).bars.to_numpy().tolist() == TRUTH
    with pytest.raises(NotListed, match="CL=F"):
        source.bars("CL-F", None, NOW)


def test_action_columns_become_actions_of_split_adjusted_prices(tmp_path):
    reply = said(
        tmp_path,
        "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits,Capital Gains\n"
        "2022-01-03 00:00:00-05:00,1,1,1,1,1,0.5,0,0.25\n2022-01-04 00:00:00-05:00,1,1,1,1,1,0,4.0,\n",
    )
    assert reply.split_adjusted
    assert reply.actions.to_numpy().tolist() == [
        [pd.Timestamp(2022, 1, 3), "dividend", 0.75],
        [pd.Timestamp(2022, 1, 4), "split", 4.0],
    ]


def test_faults_are_left_in_for_others_to_judge(tmp_path):
    text = STYLES["capitals"] + "2022-01-04,,-1,1e300,inf,\n2022-01-01,1,1,1,1,.\n"
    bars = said(tmp_path, text).bars
    assert bars["session"].dt.day.tolist() == [3, 4, 4, 1]
    np.testing.assert_array_equal(bars.iloc[2, 1:].astype(float), [np.nan, -1.0, 1e300, np.inf, np.nan])


def test_a_range_is_kept_to(tmp_path):
    source = folder(tmp_path, X=STYLES["capitals"])
    assert len(source.bars("X", date(2022, 1, 4), NOW).bars) == 1
    assert len(source.bars("X", None, datetime(2022, 1, 3, 12, tzinfo=UTC)).bars) == 1
    with pytest.raises(EmptyRange, match="2022-01-05"):
        source.bars("X", date(2022, 1, 5), NOW)


def test_a_symbol_may_trade_at_another_venue(tmp_path):
    (tmp_path / "X.csv").write_text(STYLES["capitals"])
    source = FilesSource(folder=tmp_path, venues={"X": "XKRX"}).open(Surroundings("XNYS", tmp_path, {}))
    assert source.bars("X", None, NOW).listing.venue == "XKRX"


HOURS = """Datetime,Open,High,Low,Close,Volume
2024-07-03 13:00:00+00:00,1,900,1,1,7
2024-07-03 13:30:00+00:00,10,12,9,11,100
2024-07-03 14:30:00+00:00,11,15,10,14,200
2024-07-03 16:30:00+00:00,14,14,13,13,300
2024-07-03 17:00:00+00:00,1,900,1,1,7
2024-07-04 14:30:00+00:00,1,900,1,1,7
2024-11-04 13:30:00+00:00,1,900,1,1,7
2024-11-04 14:30:00+00:00,20,21,19,20,50
2024-11-04 20:30:00+00:00,20,23,20,22,60
2024-11-04 21:00:00+00:00,1,900,1,1,7
"""


def test_bars_of_hours_become_sessions_of_those_that_start_while_the_venue_is_open(tmp_path):
    """Half day in summer time, holiday, first Monday of winter time."""
    bars = said(tmp_path, HOURS).bars
    assert bars.to_numpy().tolist() == [
        [pd.Timestamp(2024, 7, 3), 10.0, 15.0, 9.0, 13.0, 600.0],
        [pd.Timestamp(2024, 11, 4), 20.0, 23.0, 19.0, 22.0, 110.0],
    ]


def test_hours_in_any_order_and_offset_say_the_same(tmp_path):
    head, *rows = HOURS.splitlines()
    local = [row.replace("+00:00", "Z").replace(" ", "T") for row in reversed(rows)]
    expected = said(tmp_path, HOURS).bars
    pd.testing.assert_frame_equal(said(tmp_path, "\n".join([head, *local])).bars, expected)


def test_a_session_with_a_broken_hour_is_broken(tmp_path):
    bars = said(tmp_path, HOURS.replace("11,15,10,14,200", "11,,10,14,200")).bars
    assert bars.isna().any(axis=1).tolist() == [True, False]


def test_hours_without_an_offset_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"X\.csv.*UTC offset"):
        said(tmp_path, HOURS.replace("+00:00", ""))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Date,Open,High,Low,Close\n2022-01-03,1,1,1,1\n", "no column volume; it has date, open, high, low, close"),
        ("Day,Open,High,Low,Close,Volume\n2022-01-03,1,1,1,1,1\n", "no column date; it has day"),
        (
            "Date,Open,High,Low,Close,Volume\n2022-01-03,1,1,x,1,1\n",
            "has 'x' in column low, row 1, which is no number; write it like 1234.5",
        ),
        (
            "Date,Open,High,Low,Close,Volume\n03/01/2022,1,1,1,1,1\n",
            "has '03/01/2022' in column date, row 1, and no date like 2024-12-31",
        ),
        ("", "is empty; write a header"),
    ],
)
def test_a_file_that_holds_no_bars_is_named_with_what_it_has(text, problem, tmp_path):
    with pytest.raises(ConfigError, match=rf"X\.csv.*{problem}"):
        said(tmp_path, text)


@pytest.mark.parametrize("name", ["X.csv.gz", "X.parquet"])
def test_an_unreadable_file_is_named(name, tmp_path):
    (tmp_path / name).write_bytes(b"\x1f\x8b no such thing")
    with pytest.raises(ConfigError, match=rf"{name}.*cannot be read"):
        folder(tmp_path).bars("X", None, NOW)


@pytest.mark.parametrize("symbol", ["Y", "../X", "x", "X.csv", "", "X\n", "/etc/passwd"])
def test_what_is_not_there_is_refused_with_what_is(symbol, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "X.csv").write_text(STYLES["capitals"])
    with pytest.raises(NotListed, match="the folder has A, B"):
        folder(inside, A="", B="").bars(symbol, None, NOW)


def test_at_most_ten_names_are_listed(tmp_path):
    with pytest.raises(NotListed, match=r"S0, .*S9 and 2 more"):
        folder(tmp_path, **{f"S{k}": "" for k in range(10)}, T1="", T2="").bars("NONE", None, NOW)


def test_a_folder_that_does_not_exist_is_a_wrong_setting(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        FilesSource(folder=tmp_path / "nowhere").open(Surroundings("XNYS", tmp_path, {}))


def series(path: Path, text: str, **release: object) -> Files:
    (path / "CPI.csv").write_text(text)
    config = FilesSource.model_validate({"folder": path, "publications": {"CPI": release} if release else {}})
    return config.open(Surroundings("XNYS", path, {}))


@pytest.mark.parametrize("head", ["date,value", "DATE,CPI", "observation_date,CPI", "Date,Value"])
def test_a_series_is_two_columns_without_its_blanks(head, tmp_path):
    source = series(
        tmp_path, f"{head}\n2022-01-01,5.5\n2022-02-01,\n2022-03-01,.\n2022-04-01,-1\n", frequency="M", days=14
    )
    published = source.observations("CPI", NOW)
    assert (published.series, published.recorded) == ("CPI", False)
    assert tuple(published.observations) == OBSERVATION_COLUMNS
    assert published.observations.to_numpy().tolist() == [
        [pd.Timestamp(2022, 1, 1), pd.Timestamp(2022, 2, 15, tz="UTC"), 5.5],
        [pd.Timestamp(2022, 4, 1), pd.Timestamp(2022, 5, 15, tz="UTC"), -1.0],
    ]


def test_a_value_that_counts_only_later_is_given_with_its_date(tmp_path):
    source = series(tmp_path, "date,value\n2022-01-01,5.5\n2022-02-01,6\n", frequency="M", days=14)
    found = source.observations("CPI", datetime(2022, 3, 1, tzinfo=UTC)).observations
    assert found["value"].tolist() == [5.5, 6.0]
    assert found["known_at"].iloc[-1] == pd.Timestamp(2022, 3, 15, tz="UTC")


def test_a_series_without_a_value_is_an_empty_range(tmp_path):
    with pytest.raises(EmptyRange):
        series(tmp_path, "date,value\n2022-01-01,.\n", frequency="M", days=14).observations("CPI", NOW)


def test_a_series_without_a_publication_names_what_to_write(tmp_path):
    with pytest.raises(ConfigError, match=r"publications\.CPI = \{ frequency"):
        series(tmp_path, "date,value\n2022-01-01,5.5\n").observations("CPI", NOW)


def test_a_wrong_publication_is_refused(tmp_path):
    for wrong in ({"frequency": "M", "days": -1}, {"frequency": "fortnight", "days": 1}, {"frequency": "M"}):
        with pytest.raises(ValidationError):
            series(tmp_path, "date,value\n2022-01-01,5.5\n", **wrong)


@with_data
@pytest.mark.parametrize(("symbol", "first"), [("AAPL", "2021-06-25"), ("CL=F", "2021-06-24")])
def test_real_dumps_with_three_lines(symbol, first):
    bars = Files(DATA / "core/formats_dev", "XNYS", {}, {}).bars(symbol, None, NOW).bars
    assert str(bars["session"].iloc[0].date()) == first
    assert bars.notna().all(axis=None)
    assert len(bars) > 800


@with_data
def test_real_hours_become_the_sessions_that_daily_bars_show():
    """Every full session, and closes and ranges near those of the daily file (which knows the auctions)."""
    hourly = Files(DATA / "hourly/reits_dev_to_2024-12-31", "XNYS", {}, {}).bars("^GSPC", None, NOW).bars
    daily = Files(DATA / "core/stitched_dev_to_2024-12-31", "XNYS", {}, {}).bars("^GSPC", None, NOW).bars
    both = hourly.merge(daily, on="session", suffixes=("", "_daily"))
    sessions = trading_calendar("XNYS", date(2023, 7, 14), date(2024, 12, 31)).sessions
    assert len(hourly) == len(both) == len(sessions)
    for name in ("open", "high", "low", "close"):
        assert np.median(np.abs(both[name] / both[f"{name}_daily"] - 1.0)) < 1e-3


@with_data
def test_a_real_dump_of_quarter_hours_keeps_its_dividend(tmp_path):
    (tmp_path / "EA.csv.gz").symlink_to(DATA / "bad_data_yfinance/EA-15m-no-bad-divs.csv.gz")
    reply = folder(tmp_path).bars("EA", None, datetime(2026, 7, 1, tzinfo=UTC))
    assert reply.actions.to_numpy().tolist() == [[pd.Timestamp(2026, 5, 27), "dividend", 0.19]]
    assert reply.bars["session"].dt.date.astype(str).tolist()[0] == "2026-05-26"
    assert len(reply.bars) == 7
