"""The FRED client against a loopback FRED: what was published when, bad replies, and a key that nobody gets to see."""

import csv
import gzip
import json
import logging
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests

from forecaster.errors import (
    ConfigError,
    EmptyRange,
    NotListed,
    RateLimited,
    ReplyRefused,
    SourceError,
    SourceTemporary,
)
from pipelines.sources.base import OBSERVATION_COLUMNS, Published, Surroundings
from pipelines.sources.fred import PUBLICATIONS, Fred, FredSource
from pipelines.sources.patience import Limits, Patience
from tests.pipelines.stand_in_fred import KEY, Archive, Asked, StandInFred, archive_of, daily_archive
from tests.real_data import DATA, with_data

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
START = date(1900, 1, 1)


Triple = tuple[date, datetime, float]


@pytest.fixture
def server() -> Iterator[StandInFred]:
    with StandInFred() as running:
        yield running


def client(server: StandInFred, key: str | None = KEY, deadline: float = 20.0, attempts: int = 1) -> Fred:
    patience = Patience(Limits(per_minute=60_000, deadline=deadline, attempts=attempts, first_wait=0.01))
    return Fred(START, key, patience, api=server.url, graph=server.url)


def triples(published: Published) -> list[Triple]:
    assert tuple(published.observations) == OBSERVATION_COLUMNS
    return [
        (period.date(), known_at.to_pydatetime(), value)
        for period, known_at, value in published.observations.itertuples(index=False)
    ]


def the_day_after(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)


def told_by(archive: Archive) -> list[Triple]:
    """The plain-loop twin: every number of an archive, from the midnight after its publication on."""
    return sorted(
        (date.fromisoformat(row["date"]), the_day_after(row["realtime_start"]), float(row["value"]))
        for row in archive.rows
        if row["value"] != "."
    )


def as_of(rows: list[Triple], moment: datetime) -> dict[date, float]:
    return {period: value for period, known_at, value in sorted(rows) if known_at <= moment}


def windows(server: StandInFred) -> list[Asked]:
    return [asked for asked in server.requests if asked.path == "/fred/series/observations"]


def recorded_gdp() -> Archive:
    body = DATA / "payloads/fred/json_bodies/observations_GDP_all_releases_1776-07-04_9999-12-31.json.gz"
    return Archive("GDP", json.loads(gzip.decompress(body.read_bytes()))["observations"])


# ---- the stand-in is as strict as what it stands for


@with_data
def test_the_stand_in_clips_as_the_recorded_archive_did():
    bodies, gdp = DATA / "payloads/fred/json_bodies", recorded_gdp()
    early = json.loads(
        gzip.decompress((bodies / "observations_GDP_realtime_1776-07-04_2019-01-01.json.gz").read_bytes())
    )
    newest = json.loads((bodies / "observations_GDP.json").read_text())
    assert gdp.window("1776-07-04", "2019-01-01") == early["observations"]
    assert gdp.window("2024-10-30", "2024-10-30") == newest["observations"]


def test_the_stand_in_refuses_more_than_2000_vintages_at_once(server):
    server.add(daily_archive("DAILY", 2001))
    query = {"series_id": "DAILY", "api_key": KEY, "realtime_start": "1776-07-04", "realtime_end": "9999-12-31"}
    reply = requests.get(f"{server.url}/fred/series/observations", params=query, timeout=10)
    assert reply.status_code == 400
    assert "There are 2001 vintage dates" in reply.json()["error_message"]


# ---- vintages


@with_data
def test_the_recorded_releases_of_gdp_equal_a_plain_reading(server):
    server.replay(DATA / "payloads/fred")
    published = client(server).observations("GDP", NOW)
    assert triples(published) == told_by(recorded_gdp())
    assert published.recorded
    assert len(published.observations) == 3199 - 245  # all rows but those that are "."


@with_data
@pytest.mark.parametrize("today", ["1996-01-19", "2019-01-01", "2024-10-30"])
def test_only_what_was_known_by_now_is_given(server, today):
    server.replay(DATA / "payloads/fred")
    now = datetime.fromisoformat(today).replace(hour=20, tzinfo=UTC)
    expected = [row for row in told_by(recorded_gdp()) if row[1] <= now]
    assert triples(client(server).observations("GDP", now)) == expected
    assert expected[0][1] <= now < max(row[1] for row in told_by(recorded_gdp()))


def test_fault_14_more_than_2000_vintages_are_asked_for_in_parts(server):
    daily = daily_archive("DAILY", 5000)
    server.add(daily)
    assert triples(client(server).observations("DAILY", NOW)) == told_by(daily)
    spans = [(asked.query["realtime_start"], asked.query["realtime_end"]) for asked in windows(server)]
    day = date.fromisoformat
    assert [opens for opens, _ in spans] == [daily.vintages[n] for n in (0, 2000, 4000)]
    assert all(day(later[0]) - day(earlier[1]) == timedelta(days=1) for earlier, later in pairwise(spans))
    # What the parts alone say would be wrong: each shows all older values as published on its own first day.
    assert (
        len(daily.window(*spans[1]))
        > 2 * sum(spans[1][0] <= row["realtime_start"] <= spans[1][1] for row in daily.rows) - 10
    )


def test_fault_14_what_happens_on_the_edge_of_a_part_is_kept(server):
    days = [str(date(2005, 1, 3) + timedelta(days=n)) for n in range(4100)]
    edge, next_edge = days[2000], days[4000]
    held = {"2000-01-01": "1", "2000-02-01": "2", "2000-03-01": "3", "2000-04-01": "4", "2000-05-01": "5"}
    vintages = {}
    for day in days:
        vintages[day] = dict(held)
        if day >= edge:
            vintages[day] |= {"2000-01-01": "1.5", "2000-02-01": "."}  # a revision and a withdrawal on the edge
        if day >= next_edge:
            vintages[day] |= {"2000-01-01": "1", "2000-02-01": "2"}  # both undone on the next edge
        if day == days[1999]:
            vintages[day]["2000-03-01"] = "3.5"  # a revision of one day, undone on the edge
        if day >= days[4001]:
            vintages[day]["2000-04-01"] = "4.5"  # one just past an edge
    archive = archive_of("EDGY", vintages)
    server.add(archive)
    found = triples(client(server).observations("EDGY", NOW))
    assert found == told_by(archive)
    assert [(known_at, value) for period, known_at, value in found if period == date(2000, 3, 1)] == [
        (the_day_after(days[0]), 3.0),
        (the_day_after(days[1999]), 3.5),
        (the_day_after(edge), 3.0),
    ]
    assert [known_at for period, known_at, _ in found if period == date(2000, 5, 1)] == [the_day_after(days[0])]


def test_fault_14_missing_values_are_left_out_and_a_withdrawn_one_stays_as_last_published(server):
    first, second, third = "2020-01-10", "2020-02-10", "2020-03-10"
    server.add(
        archive_of(
            "GONE",
            {
                first: {"2019-11-01": "1.0", "2019-12-01": "."},
                second: {"2019-11-01": ".", "2019-12-01": "7.0"},
                third: {"2019-11-01": "1.2", "2019-12-01": "7.0"},
            },
        )
    )
    rows = triples(client(server).observations("GONE", NOW))
    november, december = date(2019, 11, 1), date(2019, 12, 1)
    assert as_of(rows, the_day_after(first)) == {november: 1.0}
    assert as_of(rows, the_day_after(second)) == {november: 1.0, december: 7.0}
    assert as_of(rows, the_day_after(third)) == {november: 1.2, december: 7.0}


def test_fault_14_a_revision_is_not_visible_before_its_realtime_start(server):
    server.add(archive_of("REVISED", {"2024-05-01": {"2024-04-01": "100"}, "2024-06-01": {"2024-04-01": "250"}}))
    rows = triples(client(server).observations("REVISED", NOW))
    period, moment = date(2024, 4, 1), timedelta(microseconds=1)
    assert as_of(rows, the_day_after("2024-05-01") - moment) == {}
    assert as_of(rows, the_day_after("2024-06-01") - moment) == {period: 100.0}
    assert as_of(rows, the_day_after("2024-06-01")) == {period: 250.0}
    before = datetime(2024, 6, 1, 23, 59, tzinfo=UTC)  # asked on the day of the revision: not yet
    assert triples(client(server).observations("REVISED", before)) == rows[:1]


def test_a_series_of_which_nothing_is_known_yet_is_an_empty_range(server):
    server.add(archive_of("YOUNG", {"2026-10-01": {"2026-09-01": "1"}}))
    early = datetime(2020, 1, 1, tzinfo=UTC)
    with pytest.raises(EmptyRange, match=r"YOUNG.*2020-01-01"):
        client(server).observations("YOUNG", early)


def test_periods_before_the_start_are_not_asked_for(server):
    server.add(archive_of("LONG", {"2020-01-01": {"1950-01-01": "1", "2019-01-01": "2"}}))
    patience = Patience(Limits(per_minute=6000, deadline=10, attempts=1, first_wait=0.01))
    source = Fred(date(1990, 1, 1), KEY, patience, api=server.url, graph=server.url)
    assert [period for period, _, _ in triples(source.observations("LONG", NOW))] == [date(2019, 1, 1)]


def test_an_answer_in_pages_is_read_to_its_end():
    daily = daily_archive("DAILY", 900)
    with StandInFred(page=250) as server:
        server.add(daily)
        assert triples(client(server).observations("DAILY", NOW)) == told_by(daily)
        assert [asked.query["offset"] for asked in windows(server)] == ["0", "250", "500", "750"]


def test_a_series_without_vintages_falls_back_to_a_stated_lag_and_says_so_once(server, caplog):
    row = {"realtime_start": "2026-11-20", "realtime_end": "2026-11-20", "date": "2026-11-18", "value": "6845.5"}
    server.add_current("SP500", [row, {**row, "date": "2026-11-20"}])
    source = client(server)
    with caplog.at_level(logging.WARNING):
        published = [source.observations("SP500", NOW) for _ in range(2)][1]
    assert not published.recorded
    assert triples(published) == [
        (date(2026, 11, 18), datetime(2026, 11, 20, tzinfo=UTC), 6845.5),
        (date(2026, 11, 20), datetime(2026, 11, 22, tzinfo=UTC), 6845.5),  # seen already, and counts from then
    ]
    assert [(record.message, record.subject) for record in caplog.records] == [
        ("no vintages, publication lag assumed", "SP500")
    ]


@with_data
def test_recorded_series_without_vintages_are_dated_by_lag_or_refused(server):
    server.replay(DATA / "payloads/fred")
    core = client(server).observations("CPILFESL", NOW)
    assert (core.recorded, len(core.observations)) == (False, 813)
    with pytest.raises(NotListed, match="no vintages"):
        client(server).observations("WGS10YR", NOW)


# ---- without a key


def native(series: str, path: Path) -> str:
    """A stored table as fredgraph.csv writes it."""
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()
    return text.replace("date,value", f"observation_date,{series}", 1)


def numbers(table: str) -> dict[date, float]:
    """The plain-loop reading: blanks and "." are no values."""
    rows = list(csv.reader(table.splitlines()))[1:]
    return {date.fromisoformat(day): float(value) for day, value in rows if value not in ("", ".")}


@with_data
@pytest.mark.parametrize("series", ["DGS10", "DTWEXBGS", "T10Y2Y", "VIXCLS"])
def test_keyless_the_native_table_equals_a_plain_reading(server, series):
    table = native(series, DATA / f"macro/fredgraph_dev_to_2024-12-31/{series}.csv.gz")
    server.add_graph(series, table)
    published = client(server, key=None).observations(series, NOW)
    assert {period: value for period, _, value in triples(published)} == numbers(table)
    assert not published.recorded
    lag = timedelta(days=PUBLICATIONS[series].days + 1)
    assert all(
        known_at - datetime(*period.timetuple()[:3], tzinfo=UTC) == lag for period, known_at, _ in triples(published)
    )
    assert date(2024, 12, 25) not in numbers(table)
    assert ",\n" in table  # there are blanks to leave out


@with_data
def test_the_negative_oil_price_is_an_observation(server):
    server.add_graph("DCOILWTICO", native("DCOILWTICO", DATA / "macro/fred_api_2026-01-02/DCOILWTICO.csv"))
    rows = triples(client(server, key=None).observations("DCOILWTICO", NOW))
    assert {row[0]: row[2] for row in rows}[date(2020, 4, 20)] == -36.98


@with_data
@pytest.mark.parametrize("series", ["CPIAUCSL", "UNRATE"])
def test_a_month_that_was_never_measured_has_no_row(server, series):
    server.add_graph(series, native(series, DATA / f"macro/fred_api_2026-01-02/{series}.csv"))
    periods = [row[0] for row in triples(client(server, key=None).observations(series, NOW))]
    assert periods[-2:] == [date(2025, 9, 1), date(2025, 11, 1)]


def test_keyless_a_value_waits_for_its_lag(server):
    server.add_graph("UNRATE", "observation_date,UNRATE\n2026-09-01,4.4\n2026-10-01,4.5\n")
    source = client(server, key=None)
    known = the_day_after("2026-11-14")
    assert triples(source.observations("UNRATE", known))[1] == (date(2026, 10, 1), known, 4.5)


@pytest.mark.parametrize(("series", "reason"), [("USREC", "many months"), ("M2SL", "no publication lag")])
def test_keyless_a_series_that_cannot_be_dated_is_refused_unasked(server, series, reason):
    with pytest.raises(NotListed, match=rf"{reason}.*set FRED_API_KEY"):
        client(server, key=None).observations(series, NOW)
    assert server.requests == []


# ---- the stated lags


@with_data
def test_the_lag_of_gdp_is_late_enough_outside_three_shutdowns():
    gdp = recorded_gdp()
    firsts = {}
    for period, known_at, _ in told_by(gdp):
        firsts.setdefault(period, known_at)
    fresh = [day for day in firsts if day >= date(1991, 10, 1)]  # older ones were there when the archive began
    assumed = PUBLICATIONS["GDP"].known_at(pd.Series(pd.to_datetime(fresh)))
    early = [str(day) for day, known_at in zip(fresh, assumed, strict=True) if known_at < firsts[day]]
    assert early == ["1995-10-01", "2013-07-01", "2018-10-01"]


@with_data
@pytest.mark.parametrize("series", ["CPIAUCSL", "UNRATE", "ICSA"])
def test_a_value_counts_only_after_the_day_on_which_it_was_first_retrieved(series):
    files = sorted((DATA / "vintages/fred_as_retrieved" / series).glob("*.csv.gz"))
    assert len(files) >= 3
    for earlier, later in pairwise(files):
        fresh = set(numbers(native(series, later))) - set(numbers(native(series, earlier)))
        assert fresh
        known_at = PUBLICATIONS[series].known_at(pd.Series(pd.to_datetime(sorted(fresh))))
        assert known_at.min() >= the_day_after(later.name[:10])


@with_data
@pytest.mark.parametrize("series", sorted(set(PUBLICATIONS) - {"AAA", "BAA", "CPILFESL", "GDP"}))
def test_a_value_missing_from_a_download_does_not_count_before_it(series):
    downloaded = pd.Timestamp("2026-01-02", tz="UTC")
    last = pd.Timestamp(max(numbers(native(series, DATA / f"macro/fred_api_2026-01-02/{series}.csv"))))
    publication = PUBLICATIONS[series]
    # The first period after the last one there; of days, the first on which markets were open.
    days = pd.Series(pd.bdate_range(last, periods=300, freq="C", holidays=["2026-01-01"], inclusive="right"))
    periods = days.dt.to_period(publication.frequency)
    missing = days[periods != pd.Period(last, publication.frequency)].iloc[:1]
    assert publication.known_at(missing).iloc[0] > downloaded


# ---- bad replies


TEMPORARY = ["500", "403", "html", "empty", "half_json", "cut_off", "wrong_shape", "redirect", "disconnect"]


@pytest.mark.parametrize("fault", TEMPORARY)
def test_a_broken_reply_is_temporary_and_over_when_it_is_over(server, fault):
    daily = daily_archive("DAILY", 50)
    server.add(daily)
    server.behave(fault, times=1)
    with pytest.raises(SourceTemporary, match="DAILY"):
        client(server).observations("DAILY", NOW)
    assert triples(client(server).observations("DAILY", NOW)) == told_by(daily)
    server.behave(fault, times=1, after=1)  # past the list of vintages
    with pytest.raises(SourceTemporary, match="DAILY"):
        client(server).observations("DAILY", NOW)
    server.behave(fault, times=2)
    assert triples(client(server, attempts=3).observations("DAILY", NOW)) == told_by(daily)


@pytest.mark.parametrize("fault", TEMPORARY)
def test_keyless_a_broken_reply_is_temporary(server, fault):
    server.add_graph("DGS10", "observation_date,DGS10\n2024-12-30,4.55\n2024-12-31,4.58\n")
    server.behave(fault, times=1)
    with pytest.raises(SourceTemporary, match="DGS10"):
        client(server, key=None).observations("DGS10", NOW)
    assert len(triples(client(server, key=None).observations("DGS10", NOW))) == 2


def test_a_table_of_another_series_is_refused(server):
    server.behave("foreign")
    with pytest.raises(ReplyRefused, match="DGS10: the reply is about OTHER"):
        client(server, key=None, attempts=3).observations("DGS10", NOW)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "table", ["a,DGS10\n2024-13-01,1\n", "a,DGS10\n2024-12-01,1,2\n", "a,DGS10\n2024-12-01,x\n", "a,DGS10\n2024,1\n"]
)
def test_keyless_a_malformed_row_is_no_value(server, table):
    server.add_graph("DGS10", table)
    with pytest.raises(SourceTemporary, match="malformed"):
        client(server, key=None).observations("DGS10", NOW)


@pytest.mark.parametrize("fault", ["hang", "drip"])
@pytest.mark.parametrize("key", [KEY, None])
def test_a_hang_and_a_slow_drip_end_with_the_deadline(server, fault, key):
    server.add(daily_archive("DGS10", 50))
    server.add_graph("DGS10", "observation_date,DGS10\n" + "2024-12-31,4.58\n" * 50)
    server.behave(fault)
    began = time.monotonic()
    with pytest.raises(SourceTemporary, match="DGS10"):
        client(server, key=key, deadline=0.6, attempts=5).observations("DGS10", NOW)
    assert 0.4 < time.monotonic() - began < 5.0  # unended, the drip takes half a minute


def test_fault_14_a_rate_limit_is_not_asked_again(server):
    server.add(daily_archive("DAILY", 50))
    server.behave("429")
    with pytest.raises(RateLimited, match="429"):
        client(server, attempts=5).observations("DAILY", NOW)
    assert len(server.requests) == 1


@pytest.mark.parametrize("key", ["z" * 32, "WRONG", "-"])
def test_fault_14_a_refused_key_names_the_remedy(server, key):
    server.add(daily_archive("DAILY", 50))
    with pytest.raises(ReplyRefused, match=r"set FRED_API_KEY or FRED_API_KEY_FILE") as caught:
        client(server, key=key, attempts=5).observations("DAILY", NOW)
    assert len(server.requests) == 1
    assert "://" not in str(caught.value)


@pytest.mark.parametrize("key", [KEY, None])
def test_a_series_that_does_not_exist_is_not_listed(server, key):
    with pytest.raises(NotListed, match="no such series"):
        client(server, key=key).observations("GDP", NOW)


@pytest.mark.parametrize("series", ["../x", "DGS10&api_key=1", "dgs10", "A\n", "", "A" * 10_000, "é", "GDP?x=1"])
def test_what_is_no_name_of_a_series_is_never_asked_for(server, series):
    with pytest.raises(NotListed):
        client(server).observations(series, NOW)
    assert server.requests == []


# ---- the key


def everything_said(error: BaseException) -> str:
    """A traceback with all that a debugger would show of it, and of what it came from."""
    told, one = [str(error), repr(error)], error
    while one is not None:
        told.append("".join(traceback.TracebackException.from_exception(one, capture_locals=True).format()))
        one = one.__context__ or one.__cause__
    return "\n".join(told)


@pytest.mark.parametrize(
    "fault", ["429", "403", "500", "html", "cut_off", "redirect", "disconnect", "echo", "hang", "wrong_shape"]
)
def test_fault_14_the_key_is_in_no_message_traceback_or_log(server, caplog, fault):
    server.add(daily_archive("DAILY", 50))
    server.behave(fault)
    source = client(server, deadline=0.6, attempts=2)
    with caplog.at_level(logging.DEBUG), pytest.raises(SourceError) as caught:
        source.observations("DAILY", NOW)
    assert server.requests[0].query["api_key"] == KEY
    logged = "\n".join(record.getMessage() for record in caplog.records) + caplog.text
    said = everything_said(caught.value) + logged + repr(source) + repr(vars(source))
    assert KEY not in said
    assert "://" not in str(caught.value)
    if fault in ("429", "500"):
        assert "api_key=***" in logged  # the client did log its request, and the key was blotted out of it


def test_fault_14_the_key_is_not_logged_when_nobody_answers(caplog):
    with StandInFred() as gone:
        pass
    with caplog.at_level(logging.DEBUG), pytest.raises(SourceTemporary) as caught:
        client(gone, deadline=2).observations("DAILY", NOW)
    assert KEY not in everything_said(caught.value) + caplog.text


def around(tmp_path: Path, **environment: str) -> Surroundings:
    return Surroundings("XNYS", tmp_path / "cache", environment)


def asks_with(source: Fred, server: StandInFred) -> str | None:
    """The key that a source of `FredSource.open` sends; its addresses are the real ones, so they are bent here."""
    source._api = source._graph = server.url
    server.add(archive_of("DGS10", {"2020-01-03": {"2020-01-02": "1.88"}}))
    server.add_graph("DGS10", "observation_date,DGS10\n2020-01-02,1.88\n")
    assert len(triples(source.observations("DGS10", NOW))) == 1
    return server.requests[-1].query.get("api_key")


def test_the_key_comes_from_the_environment_or_a_file_it_names(server, tmp_path):
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    assert asks_with(FredSource().open(around(tmp_path)), server) is None
    assert asks_with(FredSource().open(around(tmp_path, FRED_API_KEY="")), server) is None
    assert asks_with(FredSource().open(around(tmp_path, FRED_API_KEY=KEY)), server) == KEY
    assert asks_with(FredSource().open(around(tmp_path, FRED_API_KEY_FILE=str(file))), server) == KEY


def test_a_key_file_that_cannot_be_read_is_said_and_not_ignored(tmp_path):
    with pytest.raises(ConfigError, match="FRED_API_KEY_FILE"):
        FredSource().open(around(tmp_path, FRED_API_KEY_FILE=str(tmp_path / "absent")))


def test_a_run_file_names_the_source_and_nothing_unknown():
    assert FredSource.model_validate({"source": "fred"}).start == date(1990, 1, 1)
    unknown: dict[str, Any] = {"source": "fred", "api_key": KEY}
    with pytest.raises(ValueError, match="api_key"):
        FredSource.model_validate(unknown)
