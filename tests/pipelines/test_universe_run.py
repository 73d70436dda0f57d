"""One model for two indices: trained on both, issued for both, compared by session, asked about a third."""

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pytest

from forecaster.calibration import State, calibrate
from forecaster.errors import UnknownSymbol
from forecaster.runtime import Runtime
from forecaster.scores import Scores
from forecaster.significance import skill
from forecaster.snapshot import read_snapshot
from forecaster.store.artifacts import load_artifact
from forecaster.store.ledger import latest
from forecaster.windows import Sample, Spans
from pipelines.compare import Comparison, compare, see
from pipelines.config import RunConfig
from pipelines.engines.pool import Pool
from pipelines.issue import Issued, issue
from pipelines.promote import Promoted, promote
from pipelines.snapshot import windows_of
from pipelines.train import Trained, Walked, walk
from pipelines.workspace import Workspace
from tests.pipelines.small_runs import GRU, NOW, fetched, prices

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*")  # mlflow, when it is imported

BOTH = ("^GSPC", "^IXIC")
RUN = prices(
    [GRU],
    target={"symbols": list(BOTH), "venue": "XNYS", "horizon": 2},
    window={"context": 24, "burn_in": 12, "channels": ["log_return", "log_range", "symbol"]},
)


@dataclass(frozen=True)
class Story:
    """A run about two symbols."""

    made: Workspace
    walked: list[Walked]
    comparison: Comparison
    promoted: Promoted
    issued: dict[str, Issued]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    made = fetched(tmp_path_factory.mktemp("universe") / "home", RUN)
    walked = walk(made.bench, made.folds, lambda _: None)
    comparison = see(made, walked)
    promoted = promote(made, walked, comparison)
    issued = {symbol: issue(made.engine, made.config, symbol, NOW) for symbol in BOTH}
    return Story(made, walked, comparison, promoted, issued)


def test_one_artifact_is_about_both(story):
    assert [windows.symbol for windows in story.made.universe] == list(BOTH)
    for one in story.walked:
        manifest = one.last.artifact.manifest
        assert manifest.target.symbols == BOTH
        assert manifest.window.channels[-1] == "symbol"
    assert story.promoted.champion.target == story.made.config.target.key
    assert len(story.made.spans.train) == 2


def test_each_symbol_has_its_own_forecast_and_the_ledger_keeps_them_apart(story):
    closes = {symbol: issued.origin_close for symbol, issued in story.issued.items()}
    assert closes["^GSPC"] < 3000 < closes["^IXIC"]
    for symbol, issued in story.issued.items():
        assert issued.digest == story.promoted.champion.digest
        stored = latest(story.made.engine, symbol)
        assert {entry.symbol for entry in stored} == {symbol}
        assert [entry.quantiles for entry in stored] == issued.return_quantiles
        again = issue(story.made.engine, story.made.config, symbol, NOW)
        assert (again.fresh, again.price_quantiles) == (False, issued.price_quantiles)
        middle = np.array(issued.price_quantiles)[:, 12]
        assert np.abs(middle / issued.origin_close - 1).max() < 0.05


def test_what_is_issued_is_what_the_symbols_own_window_gives(story):
    runtime = Runtime(load_artifact(story.made.engine, story.promoted.champion.digest))
    for number, windows in enumerate(story.made.universe, start=1):
        context = windows.contexts(np.array([len(windows.sessions) - 1]))
        assert (context[..., -1] == number).all()
        issued = story.issued[windows.symbol]
        np.testing.assert_allclose(runtime.quantiles(context)[0], issued.return_quantiles)


def test_a_symbol_that_is_not_the_targets_is_refused_by_name(story):
    with pytest.raises(UnknownSymbol, match=r"\^GSPC, \^IXIC"):
        issue(story.made.engine, story.made.config, "^DJI", NOW)


def test_a_symbol_never_seen_is_scored_as_nobody(story):
    """The same run told that its target is the first index alone: the second one is then a stranger to it."""
    alone = RunConfig.model_validate(RUN | {"target": {"symbols": ["^GSPC"], "venue": "XNYS", "horizon": 2}})
    made = replace(story.made, config=alone)
    facts = read_snapshot(made.home.snapshots, story.made.snapshot.digest)
    stranger = windows_of(facts, alone, "^IXIC")
    assert stranger.symbol == "^IXIC"
    assert set(stranger.values[:, -1]) == {0.0}
    known = story.made.universe[1]
    np.testing.assert_array_equal(stranger.values[:, :-1], known.values[:, :-1])
    gru = next(one.last for one in story.walked if one.name == "gru")
    origins = stranger.span(date(2012, 1, 1), date(2014, 1, 1))
    quantiles = Runtime(gru.artifact).quantiles(stranger.contexts(origins))
    nobody = Scores.of(quantiles, stranger.targets[origins]).crps.mean()
    own = Scores.of(Runtime(gru.artifact).quantiles(known.contexts(origins)), known.targets[origins]).crps.mean()
    assert (quantiles != Runtime(gru.artifact).quantiles(known.contexts(origins))).any()
    assert nobody == pytest.approx(own, rel=0.1)


def daily(story: Story, one: Trained) -> np.ndarray:
    """Mean CRPS over the symbols of each session [D, H], calibrated from the validation years on, by a plain loop."""
    found: dict[str, list[np.ndarray]] = {}
    for early, sample in zip(story.made.spans.validation, story.made.spans.test, strict=True):
        origins = np.concatenate((early.origins, sample.origins))
        raw, outcomes = (
            Runtime(one.artifact).quantiles(sample.windows.contexts(origins)),
            sample.windows.targets[origins],
        )
        quantiles = calibrate(origins, raw, outcomes, State.start(2))[0][len(early.origins) :]
        losses = Scores.of(quantiles, sample.windows.targets[sample.origins]).crps
        for session, loss in zip(sample.windows.sessions[sample.origins].astype(str), losses, strict=True):
            found.setdefault(session, []).append(loss)
    return np.array([np.mean(found[session], axis=0) for session in sorted(found)])


def test_models_are_compared_by_session(story):
    """Symbols of one session move together: they are one observation to the standard error, not two."""
    naive, gru = (next(one.last for one in story.walked if one.name == name) for name in ("naive", "gru"))
    expected = skill(daily(story, gru), daily(story, naive))
    row = story.comparison.row("gru")
    assert (row.skill, row.skill_se, row.dm_p) == pytest.approx((expected.skill, expected.error, expected.p))
    assert story.comparison.origins == len(daily(story, gru))
    assert story.comparison.symbols == BOTH


def test_a_second_copy_of_a_symbol_makes_nothing_surer(story):
    """Twice the same series is no more evidence than once."""
    spans = story.made.spans
    once = Spans(*((part[0],) for part in (spans.train, spans.validation, spans.test)))
    twice = Spans(*((part[0], part[0]) for part in (spans.train, spans.validation, spans.test)))
    one, two = (compare(story.walked, "naive", (each,), "return", Pool()).row("gru") for each in (once, twice))
    assert (two.skill, two.skill_se, two.crps) == pytest.approx((one.skill, one.skill_se, one.crps))


def test_symbols_need_not_have_the_same_sessions(story):
    spans = story.made.spans
    first, second = spans.test
    shorter = replace(spans, test=(first, Sample(second.windows, second.origins[100:])))
    found = compare(story.walked, "naive", (shorter,), "return", Pool())
    assert found.origins == story.comparison.origins
    assert np.isfinite(found.row("gru").skill_se)
