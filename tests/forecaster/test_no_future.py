"""Nothing from the future: whatever happens after an origin's cut-off, no bit at or before the origin may move."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_market import ONE_OF_EACH, SHORT, Market, seal, task, trained

from forecaster.contract import Floats
from forecaster.facts import Facts
from forecaster.features import FEATURES, Feature, calendar
from forecaster.panel import Panel
from forecaster.runtime import Runtime
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


@settings(max_examples=25)
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
