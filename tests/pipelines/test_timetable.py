"""Which sessions are due: across summer time, half days, holidays, jumps of the clock, and whoever was away."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecaster.errors import ConfigError
from forecaster.sessions import Calendar
from pipelines.config import JobsConfig, RunConfig
from pipelines.timetable import Timetable, timetable_of
from pipelines.work.living import Living
from pipelines.work.runs import Name, Policy, Run, State
from tests.pipelines.small_runs import prices

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
FIRST, LAST = date(2017, 1, 2), date(2018, 12, 31)
VENUES = ("XNYS", "XLON", "XTKS")
ZONES = {"XNYS": ZoneInfo("America/New_York"), "XLON": ZoneInfo("Europe/London"), "XTKS": ZoneInfo("Asia/Tokyo")}
POLICIES: tuple[Policy, ...] = ("latest", "all", "none")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def timetable(venue: str, delay: int = 15) -> Timetable:
    run = prices([]) | {"jobs": {"delay_minutes": delay}}
    run["target"] = run["target"] | {"venue": venue}
    return timetable_of(RunConfig.model_validate(run), FIRST, LAST)


TABLES = {venue: timetable(venue) for venue in VENUES}
venues = st.sampled_from(VENUES)
policies = st.sampled_from(POLICIES)


@st.composite
def moments(draw: st.DrawFn) -> datetime:
    """Instants, half of them close to when a session is due."""
    table = TABLES[draw(venues)]
    if draw(st.booleans()):
        session = draw(st.sampled_from(table.between(date(2017, 2, 1), LAST)))
        return table.due_at(session) + timedelta(seconds=draw(st.integers(-7200, 7200)))
    return datetime(2017, 2, 1, tzinfo=UTC) + timedelta(minutes=draw(st.integers(0, 680 * 24 * 60)))


def watched(table: Timetable, looks: list[datetime], policy: Policy, after: date | None = None) -> list[date]:
    """Sessions that somebody who looks at these times, by his clock, asks for, as the worker does it."""
    asked: list[date] = []
    for now in looks:
        newest = max([*asked, *([after] if after else [])], default=None)
        asked += table.missed(newest, now, policy, looks[0])
    return asked


@pytest.mark.parametrize(
    ("venue", "session", "due"),
    [
        (
            "XNYS",
            date(2018, 3, 9),
            "21:45",
        ),  # the Friday before summer time: 16:00 in New York, 30 minutes, our 15
        ("XNYS", date(2018, 3, 12), "20:45"),
        ("XNYS", date(2018, 11, 2), "20:45"),
        ("XNYS", date(2018, 11, 5), "21:45"),
        ("XNYS", date(2018, 11, 23), "18:45"),  # a half day
        ("XLON", date(2018, 3, 23), "17:15"),
        ("XLON", date(2018, 3, 26), "16:15"),
        ("XLON", date(2018, 12, 24), "13:15"),  # a half day
        ("XTKS", date(2018, 3, 26), "06:45"),
    ],
)
def test_due_follows_the_venues_own_clock(venue: str, session: date, due: str) -> None:
    table = TABLES[venue]
    close: datetime = table.calendar.closes[table.calendar.sessions == np.datetime64(session)][0].item()
    settled: datetime = table.calendar.cutoffs[table.calendar.sessions == np.datetime64(session)][0].item()
    assert table.due_at(session) == settled.replace(tzinfo=UTC) + timedelta(minutes=15)
    assert settled >= close
    assert f"{table.due_at(session):%Y-%m-%d %H:%M}" == f"{session} {due}"


@pytest.mark.parametrize("venue", VENUES)
def test_due_is_at_the_same_local_time_but_for_half_days(venue: str) -> None:
    table = TABLES[venue]
    times = [table.due_at(day).astimezone(ZONES[venue]).time() for day in table.between(FIRST, LAST)]
    usual = max(set(times), key=times.count)
    assert sum(time != usual for time in times) <= 8  # of two years
    assert all(time <= usual for time in times)


def test_holidays_and_weekends_are_never_due() -> None:
    days = TABLES["XNYS"].between(date(2018, 12, 21), date(2019, 1, 2))
    assert date(2018, 12, 25) not in days
    assert date(2019, 1, 1) not in days
    assert all(day.weekday() < 5 for day in days)
    christmas = datetime(2018, 12, 25, 23, tzinfo=UTC)
    assert TABLES["XNYS"].latest(christmas) == date(2018, 12, 24)
    assert TABLES["XNYS"].missed(date(2018, 12, 24), christmas, "all", LONG_AGO) == []


def test_venues_of_one_moment_differ() -> None:
    """On a Monday at noon in London Tokyo is done, London and New York are not."""
    noon = datetime(2018, 6, 11, 11, tzinfo=UTC)
    assert {venue: str(TABLES[venue].latest(noon)) for venue in VENUES} == {
        "XTKS": "2018-06-11",
        "XLON": "2018-06-08",
        "XNYS": "2018-06-08",
    }


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("session", [date(2018, 3, 12), date(2018, 3, 26), date(2018, 11, 5)])
@pytest.mark.parametrize("jump", [HOUR, -HOUR])
def test_jump_of_the_clock_at_any_minute_skips_nothing_and_repeats_nothing(
    venue: str, session: date, jump: timedelta
) -> None:
    """A clock that is looked at every ten minutes and jumps by an hour, at each minute of the four hours around."""
    table = TABLES[venue]
    due = table.due_at(session)
    before = table.between(FIRST, session - timedelta(days=1))[-1]
    for minute in range(-120, 121):
        true = [due + MINUTE * at for at in range(minute % 10 - 130, 200, 10)]
        looks = [now + jump * (now >= due + MINUTE * minute) for now in true]
        for policy in POLICIES:
            assert watched(table, looks, policy, before) == [session], (minute, policy)


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("policy", ["latest", "all", "none"])
def test_whoever_looks_all_the_time_sees_every_session_once(venue: str, policy: Policy) -> None:
    """A year, looked at every 17 minutes, over both changes of the clocks."""
    table = TABLES[venue]
    days = table.between(date(2018, 1, 3), date(2018, 12, 21))
    start = table.due_at(days[0]) - HOUR
    steps = int((table.due_at(days[-1]) + HOUR - start) / (17 * MINUTE))
    before = table.between(FIRST, days[0] - timedelta(days=1))[-1]
    assert watched(table, [start + 17 * MINUTE * step for step in range(steps)], policy, before) == days


@given(venues, st.lists(moments(), min_size=1, max_size=30), policies, st.booleans())
def test_no_session_is_asked_for_twice_whatever_the_clock_does(
    venue: str, looks: list[datetime], policy: Policy, knows: bool
) -> None:
    """Looks in any order, as of a clock that jumps back and forth at will, with restarts in between."""
    table = TABLES[venue]
    asked = watched(table, looks, policy, FIRST if knows else None)
    assert len(set(asked)) == len(asked)
    assert asked == sorted(asked)
    assert all(table.due_at(day) <= max(looks) for day in asked)


@given(venues, st.lists(moments(), min_size=1, max_size=30))
def test_all_leaves_nothing_out_between_the_first_and_the_last(venue: str, looks: list[datetime]) -> None:
    table = TABLES[venue]
    asked = watched(table, looks, "all", FIRST)
    latest = table.latest(max(looks))
    assert latest is not None
    assert asked == table.between(FIRST + timedelta(days=1), latest)


@given(venues, moments(), policies)
def test_nothing_is_due_before_its_time(venue: str, now: datetime, policy: Policy) -> None:
    table = TABLES[venue]
    latest = table.latest(now)
    assert latest is not None
    assert table.due_at(latest) <= now
    following = table.between(latest + timedelta(days=1), LAST + timedelta(days=30))[0]
    assert now < table.due_at(following)
    assert table.missed(latest, now, policy, LONG_AGO) == []


@pytest.mark.parametrize("venue", VENUES)
def test_down_for_five_sessions_under_each_policy(venue: str) -> None:
    """The last one seen to on a Friday, back on the next Friday night: five sessions are due."""
    table = TABLES[venue]
    days = table.between(date(2018, 6, 8), date(2018, 6, 15))
    back = table.due_at(days[-1]) + 2 * HOUR
    assert len(days) == 6
    assert table.missed(days[0], back, "all", back) == days[1:]
    assert table.missed(days[0], back, "latest", back) == days[-1:]
    assert table.missed(days[0], back, "none", back) == []
    following = table.between(days[-1] + timedelta(days=1), date(2018, 6, 30))[0]
    then = table.due_at(following)
    assert table.missed(days[0], then, "none", back) == [following]  # from then on it is live again
    assert table.missed(None, back, "all", back) == days[-1:]  # who never began has missed nothing


@given(venues, moments(), st.integers(0, 2000), st.sampled_from(["holiday", "half day", "extra session"]), policies)
def test_what_comes_later_in_the_calendar_changes_nothing_that_is_due_by_now(
    venue: str, now: datetime, seed: int, change: str, policy: Policy
) -> None:
    """A holiday, a half day or an extra session that is announced for later."""
    table = TABLES[venue]
    calendar, latest = table.calendar, table.latest(now)
    assert latest is not None
    later = np.flatnonzero(calendar.sessions > np.datetime64(latest))
    at = later[1 + seed % (len(later) - 2)]  # the very next one may be open
    if change == "extra session":
        at = next(row for row in later[1:] if calendar.sessions[row].item().weekday() == 0)
    moved = Timetable(changed(calendar, int(at), change), table.delay)
    assert moved.latest(now) == latest
    for after in (None, FIRST, latest):
        assert moved.missed(after, now, policy, LONG_AGO) == table.missed(after, now, policy, LONG_AGO)
    assert moved.due_at(latest) == table.due_at(latest)
    assert moved.since(FIRST, latest) == table.since(FIRST, latest)


def changed(calendar: Calendar, at: int, change: str) -> Calendar:
    columns = {
        name: getattr(calendar, name) for name in vars(calendar) if isinstance(getattr(calendar, name), np.ndarray)
    }
    if change == "holiday":
        columns = {name: np.delete(column, at) for name, column in columns.items()}
    elif change == "half day":
        hours = {name: column.copy() for name, column in columns.items() if name != "sessions"}
        for column in hours.values():
            column[at] -= np.timedelta64(3, "h")
        columns |= hours
    else:
        columns = {name: np.insert(column, at, column[at] - np.timedelta64(2, "D")) for name, column in columns.items()}
    return replace(calendar, **columns)


@given(venues, moments())
def test_the_next_is_due_after_now_and_none_before_it(venue: str, now: datetime) -> None:
    table = TABLES[venue]
    due = table.next(now)
    assert due > now
    assert table.latest(due - timedelta(microseconds=1)) == table.latest(now) != table.latest(due)


def test_over_at_is_the_next_close() -> None:
    table = TABLES["XNYS"]
    assert table.over_at(date(2018, 11, 21)) == datetime(2018, 11, 23, 18, tzinfo=UTC)  # a half day after Thanksgiving


def test_sessions_since() -> None:
    table = TABLES["XNYS"]
    assert table.since(date(2018, 12, 21), date(2018, 12, 28)) == 4  # without Christmas
    assert table.since(date(2018, 12, 28), date(2018, 12, 28)) == 0
    assert table.since(date(2018, 12, 31), date(2018, 12, 28)) == 0


def test_delay_is_after_the_cutoff() -> None:
    day = date(2018, 6, 12)
    assert timetable("XNYS", 90).due_at(day) - timetable("XNYS", 0).due_at(day) == timedelta(minutes=90)
    assert JobsConfig().delay_minutes == 15


def test_venue_that_is_none_is_told_in_one_line() -> None:
    with pytest.raises(ConfigError, match="NOWHERE"):
        timetable("NOWHERE")


class Still:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_worker_lives_while_its_count_moves() -> None:
    clock = Still()
    living = Living(30, clock)
    assert living.look({"a": 1, "b": 7}) == {"a", "b"}  # whoever is new is given the whole lease
    clock.now += 29
    assert living.look({"a": 2, "b": 7}) == {"a", "b"}
    clock.now += 2
    assert living.look({"a": 2, "b": 7}) == {"a"}
    assert living.look({"a": 2, "b": 8}) == {"a", "b"}  # one that was only asleep
    clock.now += 31
    assert living.look({"a": 2, "b": 8}) == set()
    assert living.look({"b": 9}) == {"b"}
    assert living.look({"a": 2, "b": 9}) == {"a", "b"}  # one that came back under its old name is new


@given(
    st.lists(
        st.tuples(st.floats(0, 20), st.dictionaries(st.sampled_from("abc"), st.integers(0, 3))), min_size=1, max_size=40
    )
)
def test_nobody_is_dead_before_its_lease_is_over(looks: list[tuple[float, dict[str, int]]]) -> None:
    clock = Still()
    living = Living(30, clock)
    moved: dict[str, float] = {}
    counts: dict[str, int] = {}
    for pause, now in looks:
        clock.now += pause
        moved = {name: moved[name] if counts.get(name) == now[name] else clock.now for name in now}
        counts = now
        assert living.look(now) == {name for name in now if clock.now - moved[name] < 30}


@given(
    st.sampled_from(["session", "retrain", "train"]),
    st.sampled_from(["^GSPC-2", "LOAD-level-2"]),
    st.dates(date(1980, 1, 1), date(2099, 1, 1)),
    st.sampled_from(["", "again 3", "2018-12-28T22:00:00+00:00 lstm"]),
)
def test_name_is_read_as_it_was_written(job: str, target: str, session: date, more: str) -> None:
    name = Name(job, target, session, more)
    assert Name.of(str(name)) == name


@pytest.mark.parametrize(
    "other", ["", "scheduled-abc", "5e3b2f6c-1d2e-4f3a", "session", "session ^GSPC-2", "sessions a b"]
)
def test_name_of_another_is_none(other: str) -> None:
    assert Name.of(other) is None


def test_attempts_are_counted() -> None:
    day = date(2018, 12, 28)
    assert [Name("session", "t", day, more).attempt for more in ("", "again 1", "again 57")] == [0, 1, 57]


@pytest.mark.parametrize(
    ("state", "over"),
    [("waits", False), ("runs", False), ("done", True), ("stale", True), ("deferred", True), ("failed", True)],
)
def test_over(state: State, over: bool) -> None:
    name = Name("session", "t", date(2018, 12, 28))
    assert Run(name, state, "", {}, "", LONG_AGO, None).over is over
