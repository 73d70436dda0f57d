"""The real yfinance client and curl, against a stand-in of Yahoo on loopback; fault numbers are the field notes'."""

import copy
import gzip
import json
import threading
import time
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import exchange_calendars
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from forecaster.errors import (
    EmptyRange,
    NotListed,
    RateLimited,
    ReplyRefused,
    SourceError,
    SourceTemporary,
    UnknownSymbol,
)
from pipelines.sources.base import ACTION_COLUMNS, BAR_COLUMNS, Listing, Reply, Surroundings
from pipelines.sources.patience import Limits, Patience
from pipelines.sources.yahoo import _VENUES, ChartSession, Yahoo, YahooSource
from tests.pipelines.stand_in_yahoo import StandInYahoo, chart
from tests.real_data import DATA, with_data

RECORDED = sorted(
    path
    for path in (DATA / "payloads" / "yahoo").rglob("*chart-*")
    if path.name.startswith(("chart-", "historical-via-chart-"))
)
NOW = datetime(2024, 6, 10, 12, 0, tzinfo=UTC)
WEEK = [(date(2024, 6, day), 10.0 + day, 12.0 + day, 9.0 + day, 11.0 + day, 100.0 * day) for day in range(3, 8)]
DEADLINE = 0.6


@pytest.fixture
def yahoo():
    with StandInYahoo() as stand_in:
        stand_in.serve(chart("AAPL", WEEK))
        yield stand_in


@pytest.fixture
def source(yahoo, tmp_path):
    return opened(yahoo, tmp_path)


def opened(yahoo, cache, *, venues=None, plain=False, **limits) -> Yahoo:
    patience = Patience(Limits(**{"per_minute": 60_000, "deadline": 10, "attempts": 3, "first_wait": 0.01} | limits))
    session = yahoo.plain_session() if plain else yahoo.session(patience)
    return Yahoo(date(2000, 1, 1), venues or {}, cache, patience, session)


def dates(frame) -> list[str]:
    return frame["session"].dt.strftime("%Y-%m-%d").tolist()


def test_a_reply_holds_bars_actions_and_where_it_trades(yahoo, source):
    splits, dividends = {date(2024, 6, 5): (4, 1)}, {date(2024, 6, 6): 0.25}
    yahoo.serve(chart("AAPL", WEEK, splits=splits, dividends=dividends))
    reply = source.bars("AAPL", None, NOW)
    assert reply.listing == Listing("AAPL", "XNAS", "USD")
    assert reply.split_adjusted
    assert tuple(reply.bars.columns) == BAR_COLUMNS
    assert dates(reply.bars) == ["2024-06-03", "2024-06-04", "2024-06-05", "2024-06-06", "2024-06-07"]
    np.testing.assert_array_equal(reply.bars[list(BAR_COLUMNS[1:])].to_numpy(), [row[1:] for row in WEEK])
    assert reply.bars["session"].dt.tz is None
    assert tuple(reply.actions.columns) == ACTION_COLUMNS
    assert list(zip(dates(reply.actions), reply.actions["kind"], reply.actions["value"], strict=True)) == [
        ("2024-06-05", "split", 4.0),
        ("2024-06-06", "dividend", 0.25),
    ]


def test_a_funds_gain_counts_with_its_dividend(yahoo, source):
    yahoo.serve(
        chart("AAPL", WEEK, dividends={date(2024, 6, 6): 0.25}, gains={date(2024, 6, 6): 0.5, date(2024, 6, 7): 1.0})
    )
    actions = source.bars("AAPL", None, NOW).actions
    assert actions["value"].tolist() == [0.75, 1.0]
    assert set(actions["kind"]) == {"dividend"}


def test_only_the_range_is_asked_for(source):
    assert dates(source.bars("AAPL", date(2024, 6, 6), NOW).bars) == ["2024-06-06", "2024-06-07"]
    assert dates(source.bars("AAPL", None, datetime(2024, 6, 5, 3, tzinfo=UTC)).bars) == ["2024-06-03", "2024-06-04"]
    assert source.bars("AAPL", date(2024, 6, 6), NOW).actions.empty


def test_a_known_symbol_costs_one_request_and_a_new_one_two(yahoo, source):
    source.bars("AAPL", None, NOW)
    assert len(yahoo.requests) == 2
    source.bars("AAPL", None, NOW)
    assert [asked.path for asked in yahoo.requests] == ["/v8/finance/chart/AAPL"] * 3


def test_fault_01_a_429_costs_one_request_and_is_not_repeated(yahoo, tmp_path):
    yahoo.behave("429")
    source = opened(yahoo, tmp_path)
    for count in (1, 2):
        with pytest.raises(RateLimited, match=r"yahoo: AAPL: too many requests"):
            source.bars("AAPL", None, NOW)
        assert len(yahoo.requests) == count
    yahoo.behave()
    assert len(source.bars("AAPL", None, NOW).bars) == 5


def test_fault_01_left_alone_the_client_multiplies_it(yahoo, tmp_path):
    yahoo.behave("429")
    with pytest.raises(RateLimited):
        opened(yahoo, tmp_path, plain=True).bars("AAPL", None, NOW)
    assert len(yahoo.requests) == 9
    assert {asked.path for asked in yahoo.requests} > {"/v1/test/getcrumb", "/consent"}


@pytest.mark.parametrize(
    "behaviour",
    [
        "401",
        "500",
        "503",
        "404 without a reason",
        "redirect",
        "captcha",
        "maintenance",
        "empty",
        "null",
        "list",
        "other json",
        "no result",
        "error with 200",
        "truncated json",
        "cut off",
    ],
)
@pytest.mark.parametrize("known", [False, True])
def test_fault_02_a_broken_answer_is_temporary_and_asked_again(yahoo, source, behaviour, known):
    if known:  # its time zone, so that the first request is the one for bars
        source.bars("AAPL", None, NOW)
    yahoo.requests.clear()
    yahoo.behave(behaviour)
    with pytest.raises(SourceTemporary) as caught:
        source.bars("AAPL", None, NOW)
    assert len(yahoo.requests) == 3
    assert "http" not in str(caught.value)
    yahoo.behave(behaviour, times=2)
    assert len(source.bars("AAPL", None, NOW).bars) == 5


def nodes(json_value, path=()):
    """Every place in a JSON value."""
    yield path
    places = range(len(json_value)) if isinstance(json_value, list) else json_value
    for key in places if isinstance(json_value, dict | list) else ():
        yield from nodes(json_value[key], (*path, key))


@pytest.mark.parametrize("odd", [None, "x", [], {}, -1, 1e300, True, [None], {"a": 1}], ids=repr)
def test_fault_02_whatever_stands_in_the_json_gives_a_reply_or_a_source_error(yahoo, tmp_path, odd):
    source, outcomes = opened(yahoo, tmp_path, attempts=1), set()
    sound = chart("AAPL", WEEK[:2], splits={date(2024, 6, 4): (4, 1)}, dividends={date(2024, 6, 4): 0.25}, gains={})
    for path in nodes(sound):
        *way, last = ("whole", *path)
        holder = {"whole": copy.deepcopy(sound)}
        place = holder
        for key in way:
            place = place[key]
        place[last] = odd
        yahoo.say(json.dumps(holder["whole"]))
        try:
            reply = source.bars("AAPL", None, NOW)
        except SourceError as error:
            outcomes.add(type(error))
        else:
            outcomes.add(type(reply))
            assert reply.listing.symbol == "AAPL"
            assert [str(kind) for kind in reply.bars.dtypes[1:]] == ["float64"] * 5
            assert reply.actions["value"].dtype == float
    assert {Reply, SourceTemporary, ReplyRefused} <= outcomes <= {Reply, SourceTemporary, ReplyRefused, EmptyRange}


@pytest.mark.parametrize("behaviour", ["500", "captcha", "empty", "null", "truncated json"])
def test_fault_03_after_a_failure_the_same_past_range_gives_data(yahoo, tmp_path, behaviour):
    source = opened(yahoo, tmp_path, attempts=1)
    for known in (False, True):
        yahoo.behave(behaviour, times=1)
        with pytest.raises(SourceTemporary):
            source.bars("AAPL", None, NOW)
        assert len(source.bars("AAPL", None, NOW).bars) == 5, known


def test_fault_03_a_restated_past_is_seen(yahoo, source):
    before = source.bars("AAPL", None, NOW).bars
    yahoo.serve(chart("AAPL", [*WEEK[:-1], (*WEEK[-1][:4], 99.0, 1.0)]))
    after = source.bars("AAPL", None, NOW).bars
    assert before["close"].iloc[-1] == 18.0
    assert after["close"].iloc[-1] == 99.0


def test_fault_04_a_404_with_yahoos_reason_is_not_listed(yahoo, source):
    with pytest.raises(NotListed, match=r"yahoo: GONE: .*404"):
        source.bars("GONE", None, NOW)
    assert len(yahoo.requests) == 1


def test_fault_04_a_known_symbol_may_vanish_and_return(yahoo, source):
    source.bars("AAPL", None, NOW)
    yahoo.behave("404", times=1)
    with pytest.raises(NotListed):
        source.bars("AAPL", None, NOW)
    assert len(source.bars("AAPL", None, NOW).bars) == 5


def test_a_range_without_bars_is_empty_not_gone(yahoo, source):
    with pytest.raises(EmptyRange, match=r"yahoo: AAPL: no bars from 2024-06-08 on"):
        source.bars("AAPL", date(2024, 6, 8), NOW)
    yahoo.behave("400", times=1)
    with pytest.raises(EmptyRange):
        source.bars("AAPL", None, NOW)
    yahoo.serve(chart("MSFT", WEEK), "AAPL")
    with pytest.raises(ReplyRefused):
        source.bars("AAPL", date(2024, 6, 8), NOW)


@pytest.mark.parametrize("behaviour", ["hang at connect", "hang at header", "drip header", "hang at body", "drip body"])
def test_fault_05_a_server_that_hangs_or_drips_is_given_up_on_in_time(yahoo, tmp_path, behaviour):
    source = opened(yahoo, tmp_path, deadline=DEADLINE)
    for known in (False, True):
        yahoo.behave(behaviour)
        start = time.monotonic()
        with pytest.raises(
            SourceTemporary, match=rf"no answer within the deadline of {DEADLINE} s|no answer in time|no way to it"
        ):
            source.bars("AAPL", None, NOW)
        assert DEADLINE - 0.2 < time.monotonic() - start < DEADLINE + 1.0
        yahoo.behave()
        assert len(source.bars("AAPL", None, NOW).bars) == 5, known
    # curl holds the same deadline, so nothing stays behind.
    for thread in threading.enumerate():
        if thread.name.startswith("yahoo-"):
            thread.join(1)
            assert not thread.is_alive()


def test_fault_06_a_reply_about_another_symbol_is_refused(yahoo, source):
    yahoo.serve(chart("MSFT", WEEK), "AAPL")
    with pytest.raises(ReplyRefused, match=r"yahoo: AAPL: the answer is about 'MSFT'"):
        source.bars("AAPL", None, NOW)


def test_fault_06_the_currency_is_reported_as_yahoo_writes_it(yahoo, source):
    for currency in ("GBp", "GBP"):
        yahoo.serve(chart("OCDO.L", WEEK, currency=currency, exchange="LSE", tz="Europe/London"))
        assert source.bars("OCDO.L", None, NOW).listing == Listing("OCDO.L", "XLON", currency)


def test_fault_07_values_that_cannot_be_come_through_as_they_are(yahoo, source):
    nulls = (date(2024, 6, 4), None, None, None, None, None)
    odd = [
        (date(2024, 6, 5), 1e300, 1e300, 0.0, -37.63, 1e300),
        (date(2024, 6, 6), 5.0, 4.0, 6.0, None, -5.0),
        (date(2024, 6, 7), float("inf"), 1.0, 1.0, 1.0, None),
    ]
    yahoo.serve(chart("AAPL", [WEEK[0], nulls, *odd]))
    bars = source.bars("AAPL", None, NOW).bars
    assert dates(bars) == ["2024-06-03", "2024-06-04", "2024-06-05", "2024-06-06", "2024-06-07"]
    nan = np.nan
    expected = [
        WEEK[0][1:],
        (nan, nan, nan, nan, 0.0),
        (*odd[0][1:5], -(2.0**63)),
        (5.0, 4.0, 6.0, nan, -5.0),
        (np.inf, 1.0, 1.0, 1.0, 0.0),
    ]
    np.testing.assert_array_equal(bars[list(BAR_COLUMNS[1:])].to_numpy(), expected)


def test_fault_09_the_bar_of_an_open_session_is_dated_today(yahoo, source):
    yahoo.serve(chart("AAPL", [*WEEK[:-1], (datetime(2024, 6, 7, 15, 0, 1, tzinfo=UTC), 17.0, 17.5, 16.5, 17.2, 12.0)]))
    bars = source.bars("AAPL", None, datetime(2024, 6, 7, 15, 0, 5, tzinfo=UTC)).bars
    assert dates(bars)[-2:] == ["2024-06-06", "2024-06-07"]
    assert bars["close"].iloc[-1] == 17.2


def test_fault_09_of_a_doubled_last_date_the_client_keeps_the_live_row(yahoo, source):
    live = (datetime(2024, 6, 7, 20, 0, 1, tzinfo=UTC), 17.0, 19.0, 16.0, 18.5, 712.0)
    yahoo.serve(chart("AAPL", [*WEEK, live]))
    bars = source.bars("AAPL", None, NOW).bars
    assert dates(bars).count("2024-06-07") == 1
    assert bars["close"].iloc[-1] == 18.5


def rows_at(tz: str, days: list[tuple[int, int, int]], hour: int, minute: int):
    return [(datetime(*day, hour, minute, tzinfo=ZoneInfo(tz)), 1.0, 2.0, 0.5, 1.5, 10.0) for day in days]


@pytest.mark.parametrize(
    ("tz", "exchange", "hour", "minute", "days"),
    [
        # the Friday and Monday around both changes of the clock, and the half day after Thanksgiving
        ("America/New_York", "NYQ", 9, 30, [(2024, 3, 8), (2024, 3, 11), (2024, 11, 1), (2024, 11, 4), (2024, 11, 29)]),
        ("Europe/London", "LSE", 8, 0, [(2024, 3, 28), (2024, 4, 2), (2024, 10, 25), (2024, 10, 28), (2024, 12, 24)]),
        # midnights: the day before in UTC, or one that does not exist or exists twice
        ("Europe/London", "CCY", 0, 0, [(2024, 3, 29), (2024, 4, 1), (2024, 10, 25), (2024, 10, 28)]),
        ("Asia/Tokyo", "JPX", 9, 0, [(2024, 3, 8), (2024, 3, 11), (2024, 11, 1)]),
        ("America/Sao_Paulo", "SAO", 10, 0, [(2018, 2, 16), (2018, 2, 19), (2018, 11, 1), (2018, 11, 5)]),
        ("UTC", "CCC", 0, 0, [(2024, 3, 9), (2024, 3, 10), (2024, 3, 11)]),
    ],
)
def test_fault_09_dates_are_the_exchanges_own(yahoo, source, tz, exchange, hour, minute, days):
    yahoo.serve(chart("AAPL", rows_at(tz, days, hour, minute), exchange=exchange, tz=tz))
    bars = source.bars("AAPL", None, datetime(2024, 12, 31, tzinfo=UTC)).bars
    assert dates(bars) == [date(*day).isoformat() for day in days]


@pytest.mark.parametrize(
    "symbol",
    [
        "AAPL/../MSFT",
        "../../v1/x?y=1#",
        "AAPL?interval=1h",
        "?x",
        "%2e%2e",
        "AAPL\n",
        "\n",
        "🚀",
        "A" * 10_240,
        "aapl",
        "",
        " AAPL",
        "AAPL#",
        "AAPL;",
        "AAPL\x00",
        "\uff21\uff21\uff30\uff2c",
        ".",
    ],
    ids=lambda symbol: repr(symbol[:12]),
)
def test_fault_13_what_is_no_symbol_is_never_sent(yahoo, source, symbol):
    with pytest.raises(UnknownSymbol) as caught:
        source.bars(symbol, None, NOW)
    assert len(str(caught.value)) < 200
    assert yahoo.requests == []


def test_fault_13_an_isin_is_never_looked_up(yahoo, source):
    with pytest.raises(NotListed, match="ISIN"):
        source.bars("US0378331005", None, NOW)
    assert yahoo.requests == []


def test_fault_13_a_reserved_file_name_is_a_ticker_like_any_other(yahoo, source, tmp_path):
    with pytest.raises(NotListed):
        source.bars("CON", None, NOW)
    yahoo.serve(chart("CON", WEEK))
    assert len(source.bars("CON", None, NOW).bars) == 5
    assert not [path for path in tmp_path.rglob("*") if "CON" in path.name]


@pytest.mark.parametrize(
    "url",
    [
        "https://query2.finance.yahoo.com/v8/finance/chart/AAPL/../MSFT",
        "https://fc.yahoo.com",
        "https://example.org/",
        "https://query2.finance.yahoo.com/v10/finance/quoteSummary/AAPL",
        "http://query2.finance.yahoo.com/v8/finance/chart/A",
    ],
)
def test_fault_13_the_session_sends_charts_and_nothing_else(yahoo, url):
    patience = Patience(Limits(60_000, 5, 1, 0))
    session = yahoo.session(patience)
    with pytest.raises(OSError, match="not a chart"):
        patience.call("yahoo", "AAPL", lambda: session.get(url))
    assert yahoo.requests == []


def test_no_cookie_is_kept(source, tmp_path):
    source.bars("AAPL", None, NOW)
    (tz_cache,) = tmp_path.rglob("tkr-tz.db")
    assert b"made-up" not in b"".join(path.read_bytes() for path in tz_cache.parent.iterdir())


def test_without_a_cache_folder_it_only_costs_more_requests(yahoo, tmp_path):
    (tmp_path / "file").touch()
    source = opened(yahoo, tmp_path / "file" / "cache")
    for count in (2, 4):
        assert len(source.bars("AAPL", None, NOW).bars) == 5
        assert len(yahoo.requests) == count


def test_the_pace_counts_requests_not_symbols(yahoo, tmp_path):
    source = opened(yahoo, tmp_path, per_minute=30, deadline=1.0, attempts=1)
    source.bars("AAPL", None, NOW)  # two requests of the three that may go at once
    source.bars("AAPL", None, NOW)
    with pytest.raises(SourceTemporary, match="leaves no time for another request"):
        source.bars("AAPL", None, NOW)
    assert len(yahoo.requests) == 3


def test_an_exchange_without_a_venue_is_refused_until_the_run_names_one(yahoo, source, tmp_path):
    yahoo.serve(chart("AAPL", WEEK, exchange="XXX"))
    with pytest.raises(ReplyRefused, match=r"'XXX' has no known venue; name one under venues in the run file"):
        source.bars("AAPL", None, NOW)
    assert opened(yahoo, tmp_path, venues={"AAPL": "XLON"}).bars("AAPL", None, NOW).listing.venue == "XLON"


def test_every_venue_has_a_calendar():
    assert set(_VENUES.values()) <= set(exchange_calendars.get_calendar_names(include_aliases=True))


def test_the_run_file_opens_a_source(tmp_path):
    source = YahooSource(start=date(2010, 1, 4)).open(Surroundings("XNYS", tmp_path / "cache", {}))
    assert (source.name, source.remote) == ("yahoo", True)
    assert isinstance(source._session, ChartSession)
    with pytest.raises(ValidationError, match="Extra inputs"):
        YahooSource.model_validate({"source": "yahoo", "proxy": "x"})


@with_data
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name[:60])
def test_every_recorded_chart_is_understood(yahoo, source, path):
    asked = yahoo.replay(path)
    symbol = asked.path.rsplit("/", 1)[1]
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    response = json.loads(text)["response"]
    if response["status"] == 404:
        with pytest.raises(NotListed):
            source.bars(symbol, None, NOW)
        return
    if response["status"] == 400:
        with pytest.raises(EmptyRange):
            source.bars(symbol, None, NOW)
        return
    (result,) = response["bodyJson"]["chart"]["result"]
    meta, (quote,) = result["meta"], result["indicators"]["quote"]
    if "timestamp" not in result:
        with pytest.raises(SourceTemporary if quote else EmptyRange):
            source.bars(symbol, None, NOW)
        return
    zone = ZoneInfo(meta["exchangeTimezoneName"])
    now = datetime.fromtimestamp(result["timestamp"][-1], UTC)
    reply = source.bars(symbol, None, now)
    assert reply.listing.currency == meta["currency"]
    assert dates(reply.bars) == [
        datetime.fromtimestamp(stamp, zone).date().isoformat() for stamp in result["timestamp"]
    ]
    np.testing.assert_array_equal(
        reply.bars["close"].to_numpy(), pd.array(quote["close"], "Float64").to_numpy(float, na_value=np.nan)
    )
    events = result.get("events", {})
    assert len(reply.actions) == sum(len(of) for of in events.values())
