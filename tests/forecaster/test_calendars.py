from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pytest

from forecaster.calendars import SETTLE, Calendar
from forecaster.errors import ConfigError


@pytest.fixture(scope="module")
def nyse():
    return Calendar.of("XNYS", date(2018, 6, 1), date(2019, 1, 31))


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
        Calendar.of("NOWHERE", date(2018, 1, 1), date(2018, 2, 1))


def test_fault_15_history_from_before_the_librarys_window_and_a_horizon_past_next_year():
    calendar = Calendar.of("XNYS", date(1999, 1, 1), date(2030, 12, 31))
    assert calendar.sessions[0] == np.datetime64("1999-01-04")
    assert len(calendar.after(np.datetime64("2030-01-02"), 60)) == 60


def test_fault_15_where_next_year_is_not_announced_the_sessions_end_with_this_one():
    calendar = Calendar.of("XSHG", date(2020, 1, 1), date(2027, 12, 31))
    assert calendar.sessions[-1] == np.datetime64("2026-12-31")
    with pytest.raises(ConfigError, match="2026-12-31"):
        calendar.after(np.datetime64("2026-12-31"), 1)


def test_fault_15_a_span_may_reach_two_years_past_what_is_announced():
    assert Calendar.of("XBOM", date(2020, 1, 1), date(2028, 1, 9)).sessions[-1] == np.datetime64("2026-12-31")


@pytest.mark.parametrize(("venue", "start"), [("XTKS", 1990), ("XTAE", 2010), ("XSHG", 1980)])
def test_fault_15_what_the_library_cannot_give_is_one_clear_line(venue, start):
    with pytest.raises(ConfigError, match=f"cannot give the sessions of {venue} from {start}-01-01") as caught:
        Calendar.of(venue, date(start, 1, 1), date(2024, 12, 31))
    assert len(str(caught.value)) < 150


def test_fault_15_an_instant_of_any_zone_is_compared_as_utc(nyse):
    settled = nyse.cutoffs[0]
    east = settled.astype(datetime).replace(tzinfo=UTC).astimezone(timezone(timedelta(hours=9)))
    from pipelines.coverage import naive

    assert np.datetime64(naive(east)) == settled
