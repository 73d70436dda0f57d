from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest
from sqlalchemy import event

from forecaster.calendars import trading_calendar
from forecaster.errors import ConfigError, NoSessions
from forecaster.sessions import SETTLE, Calendar
from forecaster.store.calendars import keep_calendar, read_calendar


@pytest.fixture(scope="module")
def nyse():
    return trading_calendar("XNYS", date(2018, 6, 1), date(2019, 1, 31))


def cutoff(calendar: Calendar, session: str) -> np.datetime64:
    (index,) = np.flatnonzero(calendar.sessions == np.datetime64(session))
    return calendar.cutoffs[index]


@pytest.mark.parametrize(
    ("session", "close"),
    [
        ("2018-07-02", "2018-07-02T20:00"),  # summer time
        ("2018-07-03", "2018-07-03T17:00"),  # half day
        ("2018-11-23", "2018-11-23T18:00"),  # half day, winter time
        ("2018-12-31", "2018-12-31T21:00"),
    ],
)
def test_the_cutoff_is_the_close_and_the_time_to_settle(nyse, session, close):
    assert cutoff(nyse, session) == np.datetime64(close) + SETTLE


@pytest.mark.parametrize("closed", ["2018-07-04", "2018-09-03", "2018-12-05", "2018-12-25", "2018-06-30"])
def test_holidays_weekends_and_days_of_mourning_are_no_sessions(nyse, closed):
    assert np.datetime64(closed) not in nyse.sessions


def test_the_next_sessions_skip_new_year(nyse):
    ahead = nyse.after(np.datetime64("2018-12-31"), 3)
    assert ahead.astype(str).tolist() == ["2019-01-02", "2019-01-03", "2019-01-04"]


def test_after_a_day_without_a_session_comes_the_next_session(nyse):
    assert nyse.after(np.datetime64("2018-12-29"), 1).astype(str).tolist() == ["2018-12-31"]


def test_past_the_end_of_the_calendar_is_refused(nyse):
    assert len(nyse.after(np.datetime64("2019-01-30"), 1)) == 1
    with pytest.raises(ConfigError, match="2019-01-31"):
        nyse.after(np.datetime64("2019-01-30"), 2)


def test_between_includes_both_ends(nyse):
    part = nyse.between(np.datetime64("2018-12-24"), np.datetime64("2018-12-27"))
    assert part.sessions.astype(str).tolist() == ["2018-12-24", "2018-12-26", "2018-12-27"]
    assert part.cutoffs[0] == cutoff(nyse, "2018-12-24")


def test_sessions_are_ascending_dates_and_cutoffs_instants(nyse):
    assert nyse.sessions.dtype == "datetime64[D]"
    assert nyse.cutoffs.dtype == "datetime64[us]"
    assert (np.diff(nyse.sessions).astype(int) > 0).all()


def test_an_unknown_venue_is_named():
    with pytest.raises(ConfigError, match="'NOWHERE'"):
        trading_calendar("NOWHERE", date(2018, 1, 1), date(2018, 2, 1))


def test_fault_15_history_from_before_the_librarys_window_and_a_horizon_past_next_year():
    calendar = trading_calendar("XNYS", date(1999, 1, 1), date(2030, 12, 31))
    assert calendar.sessions[0] == np.datetime64("1999-01-04")
    assert len(calendar.after(np.datetime64("2030-01-02"), 60)) == 60


def test_fault_15_where_next_year_is_not_announced_the_sessions_end_with_this_one():
    calendar = trading_calendar("XSHG", date(2020, 1, 1), date(2027, 12, 31))
    assert calendar.sessions[-1] == np.datetime64("2026-12-31")
    with pytest.raises(ConfigError, match="2026-12-31"):
        calendar.after(np.datetime64("2026-12-31"), 1)


def test_fault_15_a_span_may_reach_two_years_past_what_is_announced():
    assert trading_calendar("XBOM", date(2020, 1, 1), date(2028, 1, 9)).sessions[-1] == np.datetime64("2026-12-31")


@pytest.mark.parametrize(("venue", "start"), [("XTKS", 1990), ("XTAE", 2010), ("XSHG", 1980)])
def test_fault_15_what_the_library_cannot_give_is_one_clear_line(venue, start):
    with pytest.raises(ConfigError, match=f"cannot give the sessions of {venue} from {start}-01-01") as caught:
        trading_calendar(venue, date(start, 1, 1), date(2024, 12, 31))
    assert len(str(caught.value)) < 150


def test_fault_15_an_instant_of_any_zone_is_compared_as_utc(nyse):
    settled = nyse.cutoffs[0]
    east = settled.astype(datetime).replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=9)))
    from pipelines.coverage import naive

    assert np.datetime64(naive(east)) == settled


# In the store


def same(one: Calendar, other: Calendar) -> bool:
    """Whether two calendars are the same in venue and every bit."""
    arrays = ("sessions", "opens", "closes")
    pairs = [(getattr(one, name), getattr(other, name)) for name in arrays]
    return one.venue == other.venue and all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


def test_what_is_kept_is_read_back_to_the_bit(store, nyse):
    assert keep_calendar(store, nyse) == len(nyse.sessions)
    assert same(read_calendar(store, "XNYS"), nyse)


def test_a_venue_of_which_nothing_is_kept_is_named(store, nyse):
    keep_calendar(store, nyse)
    with pytest.raises(NoSessions, match="no sessions of venue XLON"):
        read_calendar(store, "XLON")


def test_keeping_the_same_again_writes_nothing(store, nyse):
    keep_calendar(store, nyse)
    said: list[str] = []
    event.listen(store, "before_cursor_execute", lambda *words: said.append(words[2]))
    assert keep_calendar(store, nyse) == 0
    assert [line for line in said if not line.startswith(("SELECT", "BEGIN"))] == []
    assert any(line.startswith("SELECT") for line in said)  # it did look


def test_a_half_day_that_was_announced_later_is_corrected_and_a_holiday_is_taken_out(store, nyse):
    keep_calendar(store, nyse)
    half, gone = (int(np.searchsorted(nyse.sessions, np.datetime64(day))) for day in ("2018-12-27", "2019-01-09"))
    closes = nyse.closes.copy()
    closes[half] -= np.timedelta64(180, "m")
    parts = (np.delete(column, gone) for column in (nyse.sessions, nyse.opens, closes))
    announced = Calendar("XNYS", *parts)
    assert keep_calendar(store, announced) == 1
    assert same(read_calendar(store, "XNYS"), announced)


def test_sessions_outside_the_span_and_of_other_venues_stay(store, nyse):
    london = replace(nyse, venue="XLON")
    keep_calendar(store, nyse)
    keep_calendar(store, london)
    span = nyse.between(np.datetime64("2018-07-02"), np.datetime64("2018-07-31"))
    moved = replace(span, opens=span.opens + np.timedelta64(1, "h"))
    assert keep_calendar(store, moved) == len(span.sessions)
    found = read_calendar(store, "XNYS")
    inside = np.isin(found.sessions, span.sessions)
    assert (found.sessions == nyse.sessions).all()
    assert (found.opens[inside] == moved.opens).all()
    assert (found.opens[~inside] == nyse.opens[~inside]).all()
    assert same(read_calendar(store, "XLON"), london)
