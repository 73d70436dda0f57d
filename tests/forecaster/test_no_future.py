"""Nothing from the future: whatever happens after an origin's cut-off, no bit at or before the origin may move."""

import itertools
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from small_artifact import graph, manifest_of
from small_market import ONE_OF_EACH, SHORT, Market, seal, task, trained
from sqlalchemy import Engine

from forecaster.artifact import Artifact, golden_context
from forecaster.contract import LEVELS, Floats
from forecaster.facts import Facts
from forecaster.features import FEATURES, Feature, calendar
from forecaster.outlook import Outlook
from forecaster.panel import Panel
from forecaster.runtime import Runtime
from forecaster.store.artifacts import add_artifact, load_artifact
from forecaster.store.calendars import keep_calendar, read_calendar
from forecaster.store.calibrations import state_at
from forecaster.store.champions import Champion, crown
from forecaster.store.history import Row, actions_of, add_archive, bars_of, observations_of, read_facts
from forecaster.store.ledger import Entry, add_entries
from forecaster.store.scores import Score, add_scores, unscored
from forecaster.store.visits import Visit, add_visit, last_heard
from forecaster.training.fit import fit
from forecaster.worlds import Change, another_world

TRAINED = 60
"""Training origins; the rest of a market is the future."""


FOLLOWED = {name for name, feature in FEATURES.items() if feature.warm_up < 80} - {*vars(calendar), "age"}
"""Features that follow the values (a calendar's and an age do not), and have one within the shorter market."""


CHANGES = st.builds(
    Change,
    seed=st.integers(0, 2**32 - 1),
    changed=st.floats(0, 1),
    removed=st.floats(0, 1),
    added=st.integers(0, 100),
)


def in_another_world(market: Market, facts: Facts, session: np.datetime64, change: Change) -> Facts:
    """The same facts up to the session's cut-off, others after it."""
    return another_world(facts, market.cutoff(session), change)


def differing(
    market: Market, one: Facts, other: Facts, session: np.datetime64, features: Mapping[str, Feature] = FEATURES
) -> set[str]:
    """Names of all that differs, in any bit, at rows up to a session: features of any subject, contexts, targets."""
    names = set()
    panels = market.panel_of(one), market.panel_of(other)
    rows = np.searchsorted(panels[0].sessions, session) + 1
    for subject in set(market.subjects) & set(other.subject.tolist()):  # one that was yet to begin may never
        for name, feature in features.items():
            first, second = (feature.function(panel, subject)[:rows].tobytes() for panel in panels)
            if first != second:
                names.add(name)
    pair = market.windows_of(one), market.windows_of(other)
    end = np.searchsorted(pair[0].sessions, session) + 1
    origins = np.arange(market.window.context - 1, end)
    horizon = market.target.horizon
    parts: dict[str, Callable[..., np.ndarray]] = {
        "sessions": lambda windows: windows.sessions[:end],
        "contexts": lambda windows: windows.contexts(origins),
        "targets": lambda windows: windows.targets[: max(end - horizon, 0)],
        "origins": lambda windows: windows.span(None, pair[0].sessions[end - horizon].item()),
    }
    return names | {name for name, part in parts.items() if part(pair[0]).tobytes() != part(pair[1]).tobytes()}


def centred_mean(panel: Panel, subject: str) -> Floats:
    """The classic mistake: a rolling mean that looks one session ahead."""
    close = panel.column(subject, "close")
    return np.convolve(np.nan_to_num(close), np.ones(3) / 3, mode="same")


def drawn_session(market: Market, share: float, first: int = 0) -> np.datetime64:
    """An origin at a share of the way through the market, from its `first` origin on."""
    origins = market.windows.span(None, None)[first:]
    return market.windows.sessions[origins[round(share * (len(origins) - 1))]]


# A smaller example of a leak says no more than the first that is found, and takes minutes to find.
@settings(max_examples=25, phases=(Phase.generate,))
@given(share=st.floats(0, 1), change=CHANGES)
def test_features_windows_and_contexts_ignore_what_came_later(market, share, change):
    session = drawn_session(market, share)
    other = in_another_world(market, market.facts, session, change)
    cutoff = market.cutoff(session)
    assert market.facts.known(cutoff).digest() == other.known(cutoff).digest()
    assert differing(market, market.facts, other, session) == set()


def test_the_later_world_is_really_another(market):
    session = drawn_session(market, 0.5)
    other = in_another_world(market, market.facts, session, Change(1))
    end = min(market.panel_of(facts).sessions[-1] for facts in (market.facts, other))
    assert end > session
    assert {*FOLLOWED, "contexts", "targets"} <= differing(market, market.facts, other, end)
    assert len(other.known(market.cutoff(session))) < len(other)


def test_each_feature_follows_what_came_before(market):
    session = drawn_session(market, 0.5)
    early = in_another_world(market, market.facts, drawn_session(market, 0.2), Change(2, removed=0, added=0))
    assert {*FOLLOWED, "contexts", "targets"} <= differing(market, market.facts, early, session)


def test_a_feature_that_looks_ahead_is_caught(market):
    session = drawn_session(market, 0.5)
    other = in_another_world(market, market.facts, session, Change(3))
    leaking = {**FEATURES, "centred_mean": Feature(centred_mean, "price", 1)}
    assert differing(market, market.facts, other, session, leaking) == {"centred_mean"}


def test_a_panel_of_the_latest_revisions_is_caught(synthetic):
    session = drawn_session(synthetic, 0.5)
    other = in_another_world(synthetic, synthetic.facts, session, Change(4))

    def backdated(facts: Facts) -> Facts:
        """The vintage that most stockists sell: each date's last value, as if it had been known at once."""
        last = np.r_[(facts.date[1:] != facts.date[:-1]) | (facts.subject[1:] != facts.subject[:-1]), True]
        first = np.flatnonzero(np.r_[True, last[:-1]])
        return Facts.of(facts.subject[last], facts.date[last], facts.known_at[first], facts.values[last])

    assert "contexts" in differing(synthetic, backdated(synthetic.facts), backdated(other), session)


@pytest.fixture(scope="module", params=ONE_OF_EACH, ids=lambda family: family.name)
def family(request):
    return request.param


@pytest.fixture(scope="module")
def artifact(market, family):
    """The family, trained on the market as it was."""
    return trained(family, market, market.windows, market.windows.span(None, None)[:TRAINED])


@settings(max_examples=4)
@given(share=st.floats(0, 1), change=CHANGES)
def test_the_whole_forecast_ignores_what_came_later(market, artifact, share, change):
    session = drawn_session(market, share, TRAINED + market.target.horizon)
    other = market.windows_of(in_another_world(market, market.facts, session, change))
    origin = np.searchsorted(market.windows.sessions, session)
    runtime = Runtime(artifact)
    origins = np.arange(origin - 3, origin + 1)
    before, after = (runtime.quantiles(windows.contexts(origins)) for windows in (market.windows, other))
    assert before.tobytes() == after.tobytes()


def test_a_forecast_follows_what_came_before(market, artifact, family):
    change = Change(5, removed=0, added=0)
    other = market.windows_of(in_another_world(market, market.facts, drawn_session(market, 0.7), change))
    origins = np.array([len(other.sessions) - 1])
    runtime = Runtime(artifact)
    before, after = (runtime.quantiles(windows.contexts(origins)) for windows in (market.windows, other))
    # The empirical scale is one constant, whatever the context.
    assert (before.tobytes() == after.tobytes()) == (getattr(family, "scale", None) == "empirical")


def test_training_ignores_what_came_after_its_last_target(market, artifact, family):
    train = market.windows.span(None, None)[:TRAINED]
    last_target = market.windows.sessions[train[-1] + market.target.horizon]
    windows = market.windows_of(in_another_world(market, market.facts, last_target, Change(6)))
    assert trained(family, market, windows, train).digest == artifact.digest


def test_training_reads_its_last_target(synthetic, family):
    windows, train = synthetic.windows, synthetic.windows.span(None, None)[:TRAINED]
    last_target = windows.sessions[train[-1] + synthetic.target.horizon]
    change = Change(7, changed=1, removed=0, added=0)
    other = synthetic.windows_of(in_another_world(synthetic, synthetic.facts, windows.sessions[train[-1]], change))
    assert other.sessions[-1] >= last_target
    one, two = (trained(family, synthetic, each, train).digest for each in (windows, other))
    assert one != two


def test_early_stopping_ignores_what_came_after_its_last_target(synthetic, family):
    origins = synthetic.windows.span(None, None)
    train, validation = origins[:TRAINED], origins[TRAINED + 3 : TRAINED + 40]
    last_target = synthetic.windows.sessions[validation[-1] + synthetic.target.horizon]
    other = synthetic.windows_of(in_another_world(synthetic, synthetic.facts, last_target, Change(8)))
    digests = {
        seal(
            family, fit(family, synthetic.spec, SHORT, task(each, train, validation), seed=0), synthetic, each, train
        ).digest
        for each in (synthetic.windows, other)
    }
    assert len(digests) == 1


# Through the store: what is answered on demand

TABLE = np.sqrt(np.arange(1, 4))[:, None] * np.linspace(-2, 2, len(LEVELS))
ASKED = 120
"""Row of the session at whose end it is asked."""


def midnight(market: Market, row: int) -> datetime:
    """The end of a session's day, which is after its cut-off."""
    day = datetime.combine(market.windows.sessions[row].item(), datetime.min.time(), UTC)
    return day + timedelta(days=1, microseconds=-1)


def write(store: Engine, facts: Facts) -> None:
    """Facts into the store, each known when they say."""
    with store.begin() as connection:
        for subject in np.unique(facts.subject).tolist():
            own = facts.about(subject)
            bars, (name, _, kind) = not np.isnan(own.column("close")).all(), subject.partition("#")
            kept = bars_of(subject) if bars else actions_of(name, kind) if kind else observations_of(subject)
            values = (own.values[:, :5] if bars else own.values[:, 5:]).tolist()
            moments = [known.replace(tzinfo=UTC) for known in own.known_at.tolist()]
            rows = [Row(*row) for row in zip(own.date.tolist(), moments, map(tuple, values), strict=True)]
            add_archive(connection, kept, rows, max(moments))


def issue(store: Engine, market: Market, champion: Champion, origins: range, at: datetime) -> None:
    """A forecast from each of these sessions into the ledger."""
    days = market.windows.sessions.tolist()
    for row, step in itertools.product(origins, range(3)):
        said = (0.01 * TABLE[step]).tolist()
        about = (champion.target, "TGT", days[row], step + 1, days[row + step + 1])
        add_entries(store, [Entry(*about, champion.digest, champion.version, 1.0, said, at)])


def score(store: Engine, champion: Champion, until: date, at: datetime) -> None:
    """A score to every step about sessions up to `until` that has none."""
    due = unscored(store, champion.target, until)
    add_scores(store, [Score(one.id, 0.03, 1.0, 1.0, None, [True] * len(LEVELS), at) for one in due])


def begin(store: Engine, market: Market, artifact: Artifact) -> Champion:
    """Everything up to the moment: facts, sessions, a visit, a champion and forecasts, not all of them scored yet."""
    moment = midnight(market, ASKED)
    with store.begin() as connection:
        add_artifact(connection, artifact, moment)
        add_visit(connection, Visit("TGT", "sample", moment, True, "ok"))
    champion = crown(store, market.target.key, artifact.digest, None, {"passed": True, "reason": "a test"}, moment)
    keep_calendar(store, market.calendar.between(np.datetime64("2015-01-02"), np.datetime64("2015-12-31")))
    write(store, market.facts.known(np.datetime64(moment.replace(tzinfo=None))))
    issue(store, market, champion, range(90, ASKED), moment)
    score(store, champion, market.windows.sessions[ASKED - 10].item(), moment)
    return champion


def go_on(store: Engine, market: Market, champion: Champion, change: Change) -> None:
    """Everything after the moment: another world, visits, a longer calendar, late forecasts and late scores."""
    moment, later = midnight(market, ASKED), midnight(market, ASKED + 5)
    asked = np.datetime64(moment.replace(tzinfo=None))
    other = another_world(market.facts, asked, change)
    late = other.known_at > asked
    write(store, Facts.of(other.subject[late], other.date[late], other.known_at[late], other.values[late]))
    with store.begin() as connection:
        add_visit(connection, Visit("TGT", "sample", later, True, "ok"))
    keep_calendar(store, market.calendar)
    issue(store, market, champion, range(80, 90), later)
    score(store, champion, market.windows.sessions[ASKED + 2].item(), later)


def on_demand(store: Engine, market: Market, champion: Champion, as_of: datetime) -> list[object]:
    """All that a forecast as of a moment is made of, and what it says."""
    facts, venue = read_facts(store, as_of), read_calendar(store, "XNYS")
    runtime = Runtime(load_artifact(store, champion.digest))
    outlook = Outlook.of(facts, venue, runtime, "TGT", seen=last_heard(store, "TGT", as_of))
    state = state_at(store, market.target, "TGT", champion, outlook.sessions, as_of)
    stated = state.apply(outlook.quantiles)
    return [outlook.origin, outlook.close, outlook.context.tobytes(), state.digest, stated.tobytes()]


@pytest.mark.parametrize("change", [Change(1, removed=0), Change(2, removed=0, added=300)])
def test_an_answer_on_demand_ignores_whatever_came_after_its_moment(synthetic, store, change):
    model = graph(TABLE, channels=len(synthetic.window.channels))
    golden = np.abs(golden_context(synthetic.window)).astype(np.float64).mean() * TABLE
    artifact = Artifact.seal(manifest_of(model, golden, window=synthetic.window, target=synthetic.target), model)
    champion = begin(store, synthetic, artifact)
    moment = midnight(synthetic, ASKED)
    before = on_demand(store, synthetic, champion, moment)
    assert before[0] == synthetic.windows.sessions[ASKED].item()
    go_on(store, synthetic, champion, change)
    assert on_demand(store, synthetic, champion, moment) == before
    now = on_demand(store, synthetic, champion, midnight(synthetic, ASKED + 5))
    assert not set(now) & set(before)  # all of it has moved, so none of it stood still by chance
