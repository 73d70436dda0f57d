"""The one way from facts to a forecast: the same for issue, replay and on demand."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from small_artifact import graph, manifest_of, table
from small_market import Market, made_up

from forecaster.artifact import Artifact, golden_context
from forecaster.calendars import trading_calendar
from forecaster.contract import LEVELS, Target, WindowSpec
from forecaster.errors import ConfigError, MissingSessions, NoHistory, OutputInvalid, TooShort
from forecaster.facts import Facts
from forecaster.features import FEATURES, Feature
from forecaster.outlook import Outlook
from forecaster.runtime import Runtime

RATIOS = np.sqrt(np.arange(1, 4))[:, None] * table()[:1]
LAST = np.datetime64("2015-10-02")


@pytest.fixture(scope="module")
def market() -> Market:
    return made_up()


def runtime_of(window: WindowSpec, target: Target, operator: str = "Abs") -> Runtime:
    """Quantiles are multiples of the mean (absolute) value of the whole context."""
    model = graph(RATIOS, operator, channels=len(window.channels))
    context = golden_context(window).astype(np.float64)
    golden = (np.abs(context) if operator == "Abs" else context).mean() * RATIOS
    return Runtime(Artifact.seal(manifest_of(model, golden, window=window, target=target), model))


@pytest.fixture(scope="module")
def runtime(market) -> Runtime:
    return runtime_of(market.window, market.target)


def bits(outlook: Outlook) -> list[bytes | float]:
    arrays = (outlook.sessions, outlook.ahead, outlook.context, outlook.quantiles)
    return [*(array.tobytes() for array in arrays), outlook.close]


def test_it_is_the_models_answer_to_the_last_window(market, runtime):
    outlook = Outlook.of(market.facts, market.calendar, runtime, "TGT")
    windows = market.windows
    last = len(windows.sessions) - 1
    assert (outlook.sessions == windows.sessions).all()
    assert outlook.origin == LAST.item()
    own = market.facts.about("TGT")
    assert outlook.close == own.column("close")[own.date == LAST][0]
    assert outlook.ahead.astype(str).tolist() == ["2015-10-05", "2015-10-06", "2015-10-07"]
    assert outlook.context.tobytes() == windows.contexts(np.array([last])).tobytes()
    assert outlook.quantiles.shape == (3, len(LEVELS))
    np.testing.assert_allclose(outlook.quantiles, np.abs(outlook.context).mean() * RATIOS, rtol=1e-5)


def test_what_it_does_not_need_changes_nothing(market, runtime):
    """Facts of other symbols are read in the same go, and the store's calendar reaches further than a run's."""
    expected = bits(Outlook.of(market.facts, market.calendar, runtime, "TGT"))
    facts, own = market.facts, market.facts.about("PEER")
    other = Facts.of(
        np.concatenate((facts.subject, np.full(len(own), "OTHER"))),
        np.concatenate((facts.date, own.date)),
        np.concatenate((facts.known_at, own.known_at)),
        np.concatenate((facts.values, 3 * own.values)),
    )
    longer = trading_calendar("XNYS", date(2012, 1, 3), date(2019, 12, 31))
    assert bits(Outlook.of(other, longer, runtime, "TGT")) == expected


def test_an_origin_of_before_is_answered_from_what_was_known_then(market, runtime):
    cutoff = market.cutoff(np.datetime64("2015-08-03"))
    outlook = Outlook.of(market.facts.known(cutoff), market.calendar, runtime, "TGT")
    assert outlook.origin == date(2015, 8, 3)
    at = np.searchsorted(market.windows.sessions, np.datetime64("2015-08-03"))
    assert outlook.context.tobytes() == market.windows.contexts(np.array([at])).tobytes()


def test_a_hole_in_the_context_is_named(market, runtime):
    facts, day = market.facts, np.datetime64("2015-09-30")
    keep = (facts.subject != "TGT") | (facts.date != day)
    left = Facts.of(facts.subject[keep], facts.date[keep], facts.known_at[keep], facts.values[keep])
    with pytest.raises(MissingSessions, match=r"TGT: 1 session\(s\) .* \(2015-09-30\)"):
        Outlook.of(left, market.calendar, runtime, "TGT")


def test_nothing_and_too_little_are_named(market, runtime):
    with pytest.raises(NoHistory, match="NONE"):
        Outlook.of(market.facts, market.calendar, runtime, "NONE")
    few = market.facts.known(market.cutoff(np.datetime64("2015-02-20")))
    with pytest.raises(TooShort, match="need 28"):
        Outlook.of(few, market.calendar, runtime, "TGT")


def test_a_calendar_that_ends_too_early_is_named(market, runtime):
    short = market.calendar.between(market.calendar.sessions[0], np.datetime64("2015-10-06"))
    with pytest.raises(ConfigError, match="only loaded up to 2015-10-06"):
        Outlook.of(market.facts, short, runtime, "TGT")


def test_an_answer_that_is_no_forecast_is_refused(market):
    """The graph scales by the plain mean: upside down where that is negative, as in this world, not in the golden."""
    window = WindowSpec(context=10, burn_in=2, channels=("log_return",))
    assert golden_context(window).mean() > 0
    runtime = runtime_of(window, market.target, "Identity")
    facts = market.facts.about("TGT")
    falling = facts.values * np.exp(-0.01 * np.arange(len(facts)))[:, None]
    with pytest.raises(OutputInvalid, match="cross"):
        Outlook.of(replace(facts, values=falling), market.calendar, runtime, "TGT")


def test_a_users_own_feature_is_used_where_it_is_handed_in(market):
    window = WindowSpec(context=8, burn_in=2, channels=("log_return", "mine"))
    runtime = runtime_of(window, market.target)
    mine = {**FEATURES, "mine": Feature(lambda panel, _: np.full(len(panel.sessions), 0.5), "ratio", 0)}
    outlook = Outlook.of(market.facts, market.calendar, runtime, "TGT", mine)
    assert (outlook.context[0, :, 1] == 0.5).all()
    with pytest.raises(ConfigError, match="mine"):
        Outlook.of(market.facts, market.calendar, runtime, "TGT")


def test_a_series_stands_until_its_source_was_last_asked(market):
    """Its own last row says nothing of how long it stands: what was seen later does."""
    window = WindowSpec(context=8, burn_in=2, channels=("change",))
    target = Target(symbols=("DAILY",), venue="XNYS", horizon=3, kind="level")
    runtime, facts = runtime_of(window, target), market.facts.about("DAILY")
    plain = Outlook.of(facts, market.calendar, runtime, "DAILY")
    seen = facts.known_at.max() + np.timedelta64(4, "D")
    later = Outlook.of(facts, market.calendar, runtime, "DAILY", seen=seen)
    assert later.origin > plain.origin
    assert later.close == plain.close
    assert later.origin == market.calendar.sessions[market.calendar.cutoffs <= seen][-1].item()
