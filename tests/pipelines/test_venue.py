"""A calendar that is kept says what would be worked out now, or is worked out now."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, delete, update

from forecaster import calendars, rules
from forecaster.calendars import trading_calendar
from forecaster.contract import Target, WindowSpec
from forecaster.errors import NoHistory
from forecaster.facts import FIELDS, Facts
from forecaster.sessions import Calendar
from forecaster.store.calendars import Rules, find_calendar, keep_calendar, read_calendar
from forecaster.store.database import connect, sqlite_url
from forecaster.store.migrate import migrate
from forecaster.store.schema import venue_rules, venue_session
from pipelines import venue
from pipelines.plugins import FeaturesConfig
from pipelines.replay import View
from pipelines.venue import calendar_of, kept_calendar

START, UNTIL = date(2017, 12, 1), date(2020, 12, 31)


def view(where: str = "XNYS") -> View:
    window = WindowSpec(context=8, burn_in=1, channels=("log_return",))
    return View(Target(symbols=("S",), venue=where, horizon=2), window, FeaturesConfig())


def facts(first: str, last: str) -> Facts:
    dates = np.array([first, last], dtype="datetime64[D]")
    values = np.ones((2, len(FIELDS)))
    return Facts.of(np.array(["S", "S"]), dates, dates.astype("datetime64[us]"), values)


def same(one: Calendar, other: Calendar) -> bool:
    """Whether two calendars are the same in venue and every bit."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("sessions", "opens", "closes")]
    return one.venue == other.venue and all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Engine]:
    """One database is enough where the library is what is looked at."""
    engine = connect(sqlite_url(tmp_path))
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def worked_out(monkeypatch: pytest.MonkeyPatch) -> list[date]:
    """The last days up to which sessions were worked out."""
    ends: list[date] = []

    def noted(where: str, start: date, end: date) -> Calendar:
        ends.append(end)
        return trading_calendar(where, start, end)

    monkeypatch.setattr(calendars, "trading_calendar", noted)
    return ends


@pytest.mark.parametrize("where", ["XNYS", "XLON", "XTKS", "XSHG", "XBOM", "24/7"])
@pytest.mark.parametrize("last", ["2018-07-03", "2026-11-30"])
def test_what_is_kept_is_what_would_be_worked_out_to_the_bit(where, last, fresh):
    asked = facts("2015-03-02", last)
    truth = calendar_of(asked, view(where), "S")
    assert same(kept_calendar(fresh, asked, view(where), "S"), truth)
    found = find_calendar(fresh, where, *venue._span(asked, "S"))
    assert found is not None
    assert same(found, truth)
    shorter = facts("2016-05-04", last)
    assert same(kept_calendar(fresh, shorter, view(where), "S"), calendar_of(shorter, view(where), "S"))


def test_it_is_worked_out_once_for_all_bars_until_the_year_after_next(store, worked_out):
    for last in ("2018-01-05", "2018-01-08", "2018-08-31", "2018-11-26"):
        kept_calendar(store, facts("2017-01-03", last), view(), "S")
    assert worked_out == [date(2019, 12, 31)]
    kept_calendar(store, facts("2017-01-03", "2018-11-27"), view(), "S")
    assert worked_out == [date(2019, 12, 31), date(2020, 12, 31)]
    kept_calendar(store, facts("2016-01-04", "2018-11-27"), view(), "S")  # a symbol that begins earlier
    kept_calendar(store, facts("2017-01-03", "2018-11-27"), view(), "S")
    assert len(worked_out) == 3


def test_a_closure_that_a_newer_library_knows_is_not_missed(store, worked_out, monkeypatch):
    """On 2018-12-05, a day of mourning that was announced four days before, the exchange was closed."""
    asked = facts("2018-01-02", "2018-11-30")
    truth = calendar_of(asked, view(), "S")
    worked_out.clear()
    mourning = np.datetime64("2018-12-05")
    place = np.searchsorted(truth.sessions, mourning)
    opens, closes = truth.opens[place], truth.closes[place]  # of the next one: the day itself is no session
    unaware = Calendar(
        "XNYS",
        np.insert(truth.sessions, place, mourning),
        np.insert(truth.opens, place, opens - np.timedelta64(1, "D")),
        np.insert(truth.closes, place, closes - np.timedelta64(1, "D")),
    )
    zone = "America/New_York"
    with monkeypatch.context() as before:
        before.setattr(rules.metadata, "version", lambda _: "before")
        keep_calendar(store, unaware, Rules(START, UNTIL, zone, rules.rules_of(zone)))
        assert mourning in kept_calendar(store, asked, view(), "S").sessions
        assert not worked_out
    assert same(kept_calendar(store, asked, view(), "S"), truth)
    assert worked_out == [date(2020, 12, 31)]
    assert mourning not in read_calendar(store, "XNYS").sessions  # nor does the service say it
    assert same(kept_calendar(store, asked, view(), "S"), truth)
    assert len(worked_out) == 1


def now() -> Rules:
    return Rules(START, UNTIL, "America/New_York", rules.rules_of("America/New_York"))


def test_a_span_that_is_not_wholly_kept_is_not_found(store):
    calendar = trading_calendar("XNYS", START, UNTIL)
    assert find_calendar(store, "XNYS", START, UNTIL) is None
    keep_calendar(store, calendar, now())
    assert find_calendar(store, "XNYS", START, UNTIL) is not None
    assert find_calendar(store, "XNYS", date(2017, 11, 30), UNTIL) is None
    assert find_calendar(store, "XNYS", START, date(2021, 1, 1)) is None
    assert find_calendar(store, "XNAS", START, UNTIL) is None


def test_a_calendar_of_unknown_rules_takes_the_word_of_the_one_before_back(store):
    calendar = trading_calendar("XNYS", START, UNTIL)
    keep_calendar(store, calendar, now())
    keep_calendar(store, replace(calendar, closes=calendar.closes + np.timedelta64(1, "h")))
    assert find_calendar(store, "XNYS", START, UNTIL) is None


def test_other_rules_and_rows_that_are_gone_are_not_believed(store: Engine):
    calendar = trading_calendar("XNYS", START, UNTIL)
    keep_calendar(store, calendar, now())
    with store.begin() as connection:
        connection.execute(update(venue_rules).values(rules="0" * 64))
    assert find_calendar(store, "XNYS", START, UNTIL) is None
    keep_calendar(store, calendar, now())
    assert find_calendar(store, "XNYS", START, UNTIL) is not None
    with store.begin() as connection:
        connection.execute(delete(venue_session))
    assert find_calendar(store, "XNYS", START, UNTIL) is None


def test_a_symbol_without_rows_is_named(store):
    with pytest.raises(NoHistory):
        kept_calendar(store, facts("2018-01-02", "2018-01-03"), view(), "T")
