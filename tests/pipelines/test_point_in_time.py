"""Point in time, by random histories: whatever a vendor does next, what was seen stays as it was seen.

A made-up vendor lets days pass, restates bars, splits (and rescales all it serves, in single precision), pays,
withdraws and re-adds dividends, leaves bars out and fills them later, serves open sessions, repeated dates, garbage and
splits in disarray, fails, and answers out of order. After each fetch:

(a) a view as of an earlier instant has lost and changed no row. It may have gained the *first* row of a date, which its
    source had left out: the rule dates that to its session's cut-off (decision 8). Its panel has all the rows it had
    before the first such date, the same to the bit; where nothing was gained, it has all its rows and no others.
(b) Returns in the panel are the vendor's true ones, split or not.
(c) The same question once more adds nothing.
(d) The store holds positive finite prices of settled sessions of the venue, and nothing else.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from benchmarks.restatements import PRICES, SAME_RETURN, Vendor, late_rows, panel_parts
from forecaster.calendars import trading_calendar
from forecaster.contract import WindowSpec
from forecaster.errors import SourceTemporary
from forecaster.facts import Facts
from forecaster.features import FEATURES, compute
from forecaster.panel import Panel, build_panel
from forecaster.sessions import Calendar
from forecaster.store.database import connect, sqlite_url
from forecaster.store.history import read_facts
from forecaster.store.migrate import migrate
from forecaster.store.schema import bar
from forecaster.worlds import Change, another_world
from pipelines.fetch import Fetched, Fetcher
from pipelines.sources.base import BAR_COLUMNS, Reply
from pipelines.sources.sample import Sample

BEGUN = 60
"""Sessions at the first fetch."""
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


@functools.cache
def venue() -> Calendar:
    return trading_calendar("XNAS", date(2024, 1, 2), date(2024, 12, 31))


@functools.cache
def walk() -> pd.DataFrame:
    """Bars in shares of the first session, at cents and whole shares."""
    rng, sessions = np.random.default_rng(5), venue().sessions
    close = 400.0 * np.exp(np.cumsum(rng.normal(0, 0.01, len(sessions))))
    open_ = np.r_[400.0, close[:-1]] * np.exp(rng.normal(0, 0.003, len(sessions)))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.004, len(sessions))))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.004, len(sessions))))
    table = pd.DataFrame(
        {"session": pd.DatetimeIndex(sessions), "open": open_, "high": high, "low": low, "close": close}
    )
    return table.round(dict.fromkeys(PRICES, 2)).assign(
        volume=rng.integers(1_000_000, 2_000_000, len(sessions)).astype(float)
    )


Garbling = Callable[[pd.DataFrame, int], pd.DataFrame]
"""(bars, row) -> bars with something wrong at the row."""


def one_cell(name: str, value: float) -> Garbling:
    def garbled(bars: pd.DataFrame, at: int) -> pd.DataFrame:
        bars.loc[at, name] = value
        return bars

    return garbled


def scaled(factor: float, whole: bool = False) -> Garbling:
    def garbled(bars: pd.DataFrame, at: int) -> pd.DataFrame:
        rows = slice(None) if whole else at
        bars.loc[rows, PRICES] = bars.loc[rows, PRICES] * factor
        return bars

    return garbled


def upside_down(bars: pd.DataFrame, at: int) -> pd.DataFrame:
    bars.loc[at, ["high", "low"]] = bars.loc[at, ["low", "high"]].to_numpy()
    return bars


def on_a_saturday(bars: pd.DataFrame, at: int) -> pd.DataFrame:
    day = bars.loc[at, "session"]
    return pd.concat([bars, bars.loc[[at]].assign(session=day + pd.Timedelta(days=5 - day.day_of_week))])


def twice(bars: pd.DataFrame, at: int) -> pd.DataFrame:
    return pd.concat([bars, bars.loc[[at]]])


def twice_unlike(bars: pd.DataFrame, at: int) -> pd.DataFrame:
    return pd.concat([bars, bars.loc[[at]].assign(close=bars.loc[at, "open"])])


GARBAGE: dict[str, Garbling] = {
    "nothing in a cell": one_cell("close", np.nan),
    "zero": one_cell("low", 0.0),
    "below zero": one_cell("open", -37.63),
    "infinity": one_cell("high", np.inf),
    "a negative volume": one_cell("volume", -1.0),
    "pence": scaled(100.0),
    "pounds": scaled(0.01),
    "a history in pence": scaled(100.0, whole=True),
    "upside down": upside_down,
    "on a Saturday": on_a_saturday,
    "twice": twice,
    "twice, unlike": twice_unlike,
    "a short history": lambda bars, at: bars.iloc[max(at - 8, 0) :],
    "a stale end": lambda bars, at: bars.iloc[: at + 1],
}


def without_events(reply: Reply, _: "Moody") -> Reply:
    """The prices are rescaled for splits that the reply does not list."""
    return replace(reply, actions=reply.actions.iloc[:0])


def split_not_applied(reply: Reply, vendor: "Moody") -> Reply:
    """The newest split is listed, but the prices before it are still in the old shares."""
    begun = {ex: ratio for ex, ratio in vendor.splits.items() if pd.Timestamp(ex) <= reply.bars["session"].max()}
    if not begun:
        return reply
    bars, ex = reply.bars.copy(), max(begun)
    early = bars["session"] < pd.Timestamp(ex)
    bars.loc[early, PRICES] *= begun[ex]
    bars.loc[early, "volume"] /= begun[ex]
    return replace(reply, bars=bars)


def split_not_listed(reply: Reply, vendor: "Moody") -> Reply:
    """The newest split is applied to the prices, but not listed."""
    newest = max(vendor.splits, default=date.min)
    gone = (reply.actions["kind"] == "split") & (reply.actions["session"].dt.date == newest)
    return replace(reply, actions=reply.actions[~gone])


DISARRAY = (without_events, split_not_applied, split_not_listed)


@dataclass
class Moody(Vendor):
    """The vendor on its worse days."""

    out: set[date] = field(default_factory=set)
    """Sessions that it leaves out for now."""
    withdrawn: dict[date, float] = field(default_factory=dict)
    garbage: tuple[str, int] | None = None
    """What is wrong with the next reply, and how many sessions from its end."""
    disarray: Callable[[Reply, "Moody"], Reply] | None = None
    """What is wrong with the splits and dividends of the next reply."""
    fails: bool = False
    meanwhile: Callable[[], None] | None = None
    """What happens between its next answer and that this is kept."""

    def bars(self, symbol: str, since: date | None, now: datetime) -> Reply:
        if self.fails:
            raise SourceTemporary(self.name, symbol, "away")
        reply = super().bars(symbol, since, now)
        bars = reply.bars[~reply.bars["session"].dt.date.isin(self.out)].reset_index(drop=True)
        if self.garbage is not None and len(bars):
            kind, back = self.garbage
            bars = GARBAGE[kind](bars, max(len(bars) - 1 - back, 0))
        reply = replace(reply, bars=bars[list(BAR_COLUMNS)])
        if self.disarray is not None and len(bars) and len(reply.actions):
            reply = self.disarray(reply, self)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return reply

    def recover(self) -> None:
        """To its better days."""
        self.fails, self.garbage, self.disarray, self.meanwhile = False, None, None, None


@dataclass
class History:
    """A vendor, a store, a clock, and all that was seen of the store."""

    engine: Engine
    vendor: Moody
    now: datetime
    seen: dict[datetime, tuple[Facts, Panel]] = field(default_factory=dict)
    first: dict[date, float] = field(default_factory=dict)
    """The close that the vendor truly had when a session was first believed."""

    def fetch(self, full: bool = True) -> Fetched:
        fetcher = Fetcher(self.engine, self.vendor, Sample(), lambda: self.now, full)
        (done,) = fetcher.fetch([self.vendor.symbol], [])
        return done

    def view(self, as_of: datetime) -> tuple[Facts, Panel]:
        facts = read_facts(self.engine, as_of)
        return facts, build_panel(facts, self.vendor.symbol, [], venue())

    def newest(self) -> int:
        """Row of the last session that has begun."""
        return int(np.searchsorted(venue().opens, np.datetime64(self.now.replace(tzinfo=None)), side="right")) - 1

    def require_kept(self) -> None:
        """Promise (a), and then remember what is seen now."""
        for as_of, (facts, panel) in self.seen.items():
            later_facts, later_panel = self.view(as_of)
            gained, wrong = late_rows(facts, later_facts, venue())
            assert wrong == []
            if not gained:
                assert facts.digest() == later_facts.digest()
            cut = np.datetime64(gained[0]) if gained else np.datetime64("9999-01-01")
            for one, other in zip(panel_parts(panel), panel_parts(later_panel), strict=True):
                rows = one[panel.sessions < cut]
                assert rows.tobytes() == other[: len(rows)].tobytes()
                assert gained or len(one) == len(other)
        self.seen = {as_of: self.view(as_of) for as_of in (*self.seen, self.now)}

    def require_true(self) -> None:
        """Promise (b)."""
        _, panel = self.view(self.now)
        evens = dict(zip(self.vendor.even["session"].dt.date, self.vendor.even["close"], strict=True))
        for session in panel.sessions[~panel.holes].tolist():
            self.first.setdefault(session, evens[session])
        truth = np.log([self.first.get(session, np.nan) for session in panel.sessions.tolist()])
        closes = np.log(panel.column(panel.symbol, "close"))
        believed = ~panel.holes
        np.testing.assert_allclose(np.diff(closes[believed]), np.diff(truth[believed]), atol=SAME_RETURN)

    def require_sound(self) -> None:
        """Promise (d)."""
        cutoffs = dict(zip(venue().sessions.tolist(), venue().cutoffs.tolist(), strict=True))
        with self.engine.connect() as connection:
            for row in connection.execute(select(bar)).mappings():
                prices = [row[name] for name in PRICES]
                assert np.isfinite([*prices, row["volume"]]).all()
                assert min(prices) > 0
                assert row["recorded_at"].replace(tzinfo=None) >= cutoffs[row["session"]]
                assert row["known_at"].replace(tzinfo=None) >= cutoffs[row["session"]]


@contextmanager
def begun(remote: bool = False) -> Iterator[History]:
    """A store after the first fetch."""
    with TemporaryDirectory() as name:
        engine = connect(sqlite_url(Path(name)))
        migrate(engine)
        now = venue().cutoffs[BEGUN - 1].item().replace(tzinfo=UTC) + MINUTE
        history = History(engine, Moody("X", venue(), walk().copy(), remote=remote), now)
        assert history.fetch().status == "ok"
        history.require_true()
        history.require_kept()
        yield history
        engine.dispose()


def nothing(history: History, _: float) -> None:
    """A day like others."""


def restate(history: History, share: float) -> None:
    row = history.newest() - int(share * 12)
    prices = history.vendor.even.loc[row, PRICES].astype(float)
    history.vendor.even.loc[row, PRICES] = (prices * (1.0 + 0.004 * (share - 0.5))).to_numpy()


def split(history: History, share: float) -> None:
    ratio = (2.0, 4.0, 10.0, 1.5, 0.1, 1.1)[int(share * 5.999)]
    history.vendor.splits[venue().sessions[history.newest() + 1].item()] = ratio


def pay(history: History, share: float) -> None:
    row = history.newest() + 1
    history.vendor.dividends[venue().sessions[row].item()] = round((0.002 + 0.006 * share) * walk()["close"][row], 2)


def withdraw(history: History, _: float) -> None:
    if history.vendor.dividends:
        ex, cash = history.vendor.dividends.popitem()
        history.vendor.withdrawn[ex] = cash


def add_again(history: History, _: float) -> None:
    history.vendor.dividends |= history.vendor.withdrawn
    history.vendor.withdrawn.clear()


def leave_out(history: History, share: float) -> None:
    history.vendor.out.add(venue().sessions[history.newest() + 1 - int(share * 4)].item())


def fill(history: History, _: float) -> None:
    history.vendor.out.clear()


def garble(history: History, share: float) -> None:
    number = share * (len(GARBAGE) - 0.001)
    history.vendor.garbage = (tuple(GARBAGE)[int(number)], int((number % 1.0) * 5))


def disarray(history: History, share: float) -> None:
    history.vendor.disarray = DISARRAY[int(share * (len(DISARRAY) - 0.001))]


def fail(history: History, _: float) -> None:
    history.vendor.fails = True


def be_overtaken(history: History, share: float) -> None:
    """While the next answer is on its way, a later question is answered, of a bar restated once more."""

    def meanwhile() -> None:
        history.now += MINUTE
        restate(history, share)
        history.fetch()
        history.require_true()
        history.require_kept()

    history.vendor.meanwhile = meanwhile


HAPPENINGS = (nothing, restate, split, pay, withdraw, add_again, leave_out, fill, garble, disarray, fail, be_overtaken)
STEPS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(HAPPENINGS), st.floats(0, 1)), max_size=2),
        st.integers(0, 4),  # days that pass
        st.sampled_from([3, 9, 15, 16, 20, 21]),  # UTC hour of the fetch: before, in, at the end of and after a session
        st.booleans(),  # whether everything is asked for
    ),
    min_size=10,
    max_size=20,
)


@settings(max_examples=12)
@given(steps=STEPS, remote=st.booleans())
def test_whatever_a_vendor_does_next_what_was_seen_stays(steps, remote):
    with begun(remote) as history:
        for happenings, days, hour, full in steps:
            for happen, share in happenings:
                happen(history, share)
            later = (history.now + days * DAY).replace(hour=hour, minute=45)
            history.now = max(later, history.now + MINUTE)
            done = history.fetch(full)
            history.require_sound()
            history.require_true()
            history.require_kept()
            history.now += MINUTE
            again = history.fetch(full)
            assert (again.inserted, again.revised, again.quarantined) == (0, 0, 0), done
            history.vendor.recover()


def test_a_restatement_is_not_dated_before_it_was_written():
    """An answer takes its time; whoever looks meanwhile must see later what they saw then."""
    with begun() as history:
        history.now += DAY
        restate(history, 0.9)

        def look() -> None:
            history.now += timedelta(seconds=20)
            history.seen[history.now] = history.view(history.now)
            history.now += timedelta(seconds=20)

        history.vendor.meanwhile = look
        assert history.fetch().revised == 1
        history.now += MINUTE
        history.require_kept()


@pytest.mark.parametrize("ratio", [2.0, 1.5, 10.0, 0.5, 0.1])
def test_a_split_restates_nothing(ratio):
    """Vendors round volumes to whole shares, also those of before a reverse split."""
    with begun() as history:
        history.vendor.splits[venue().sessions[history.newest() + 1].item()] = ratio
        history.now += 5 * DAY
        done = history.fetch()
        assert (done.status, done.revised, done.quarantined) == ("ok", 0, 0)
        assert done.inserted >= 2
        history.require_kept()
        history.require_true()


def test_an_older_answer_that_comes_later_changes_nothing():
    with begun() as history:
        history.now += DAY
        restate(history, 0.9)
        be_overtaken(history, 0.95)
        assert history.fetch().status == "overtaken"
        before = read_facts(history.engine, history.now).digest()
        assert history.fetch(full=True).revised == 0
        assert read_facts(history.engine, history.now).digest() == before


def test_a_bar_that_comes_late_is_dated_by_the_rule_and_moves_nothing_before_it():
    """What may change in an earlier view, shown once."""
    with begun() as history:
        session = venue().sessions[history.newest() + 1].item()
        history.vendor.out.add(session)
        history.now += 5 * DAY
        history.fetch()
        history.require_kept()
        seen = history.now
        fill(history, 0.0)
        history.now += DAY
        history.fetch()
        gained, wrong = late_rows(history.seen[seen][0], history.view(seen)[0], venue())
        assert (gained, wrong) == ([session], [])
        history.require_kept()
        history.require_true()


def test_each_mood_is_met_and_does_something():
    """The random histories would prove nothing if their happenings did not reach the store."""
    for number in range(len(GARBAGE)):
        with begun() as history:
            history.now += 3 * DAY
            garble(history, (number + 0.3) / len(GARBAGE))
            kind = history.vendor.garbage[0]
            done = history.fetch()
            held = done.quarantined or done.missing_sessions or done.stale_since
            assert bool(held) or done.status == "refused" or kind in ("twice", "a short history", "a stale end"), kind


CHANGES = st.builds(Change, st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1), st.integers(20, 100))


@pytest.fixture(scope="module")
def eventful() -> Facts:
    """Facts of a history with splits, dividends, a withdrawal and restatements."""
    with begun() as history:
        for happen, share in ((split, 0.3), (pay, 0.5), (restate, 0.9), (withdraw, 0), (split, 0.7), (pay, 0.2)) * 3:
            happen(history, share)
            history.now += 3 * DAY
            assert history.fetch().status == "ok"
        facts, _ = history.view(history.now)
    assert {"X", "X#split", "X#dividend"} <= set(facts.subject.tolist())
    return facts


@settings(max_examples=25)
@given(share=st.floats(0, 1), change=CHANGES)
def test_actions_that_become_known_after_an_origin_change_no_bit_up_to_it(eventful, share, change):
    own = eventful.about("X").date
    origin = np.unique(own)[30 + int(share * (len(np.unique(own)) - 31))]
    cutoff = venue().cutoffs[np.searchsorted(venue().sessions, origin)]
    other = another_world(eventful, cutoff, change)
    assert other.digest() != eventful.digest()
    window = WindowSpec(context=8, burn_in=2, channels=("log_return", "log_range", "volume_change", "total_return"))
    found = []
    for facts in (eventful, other):
        panel = build_panel(facts, "X", [], venue())
        channels = compute(panel, window)
        parts = [*panel_parts(panel), *(feature(panel, "X") for feature in FEATURES.values())]
        found.append(
            [part[panel.sessions <= origin].tobytes() for part in parts]
            + [part[channels.sessions <= origin].tobytes() for part in (channels.values, channels.close)]
        )
    assert found[0] == found[1]


def test_actions_before_an_origin_do_change_what_follows(eventful):
    """The test above would pass on a panel that read no actions."""
    none = Facts.of(*(column[np.char.find(eventful.subject, "#") < 0] for column in (
        eventful.subject, eventful.date, eventful.known_at, eventful.values)))  # fmt: skip
    with_actions, without = (build_panel(facts, "X", [], venue()) for facts in (eventful, none))
    assert panel_parts(with_actions)[5].tobytes() != panel_parts(without)[5].tobytes()
    assert with_actions.dividends("X").any()
