"""Forecasts issued session by session, held against what came, and calibrated by it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from forecaster.calendars import trading_calendar
from forecaster.calibration import State, calibrate
from forecaster.scores import crps
from forecaster.store.ledger import all_issued
from forecaster.store.scores import Matured, track
from pipelines.compare import see
from pipelines.issue import Issued, issue
from pipelines.promote import promote
from pipelines.replay import replay
from pipelines.score import Scoring, score
from pipelines.train import walk
from pipelines.workspace import Workspace
from tests.pipelines.small_runs import GRU, fetched, levels, write_load

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*")  # mlflow, when it is imported

KEY, DAYS = "LOAD-level-2", 25
CALENDAR = trading_calendar("XNYS", date(2016, 7, 1), date(2016, 9, 30))


@dataclass(frozen=True)
class Summer:
    """A service that issued and scored after each session."""

    made: Workspace
    issued: list[Issued]
    rounds: list[Scoring]


@pytest.fixture(scope="module")
def summer(tmp_path_factory: pytest.TempPathFactory) -> Summer:
    root = tmp_path_factory.mktemp("summer")
    write_load(root)
    training = {"epochs": 8, "patience": 8, "learning_rate": 0.02}
    run = levels(root, [GRU], training=training)
    made = fetched(root / "home", run, datetime(2016, 7, 1, tzinfo=UTC))
    walked = walk(made.bench, made.folds, lambda _: None)
    promote(made, walked, see(made, walked))
    issued, rounds = [], []
    for cutoff in CALENDAR.cutoffs[:DAYS]:
        now = cutoff.astype("datetime64[us]").item().replace(tzinfo=UTC) + timedelta(minutes=5)
        done = list(made.fetcher({}, lambda now=now: now).fetch((), ("LOAD",)))
        assert done[0].status == "ok"
        rounds += score(made.engine, made.config, now)
        issued.append(issue(made.engine, made.config, "LOAD", now))
    return Summer(made, issued, rounds)


def steps(summer: Summer) -> list[Matured]:
    return track(summer.made.engine, KEY)


def test_each_session_is_an_origin_once(summer):
    assert [one.origin for one in summer.issued] == CALENDAR.sessions[:DAYS].astype(str).tolist()
    assert all(one.fresh for one in summer.issued)
    assert len(steps(summer)) == 2 * DAYS


def test_a_step_is_scored_when_its_session_is_over_and_not_before(summer):
    """One step a round for each horizon, from the second session on."""
    assert [one.scored for one in summer.rounds] == [0, 1, *[2] * (DAYS - 2)]
    assert [one.waiting for one in summer.rounds] == [0] * DAYS
    unscored = [one.entry.session for one in steps(summer) if one.score is None]
    assert min(unscored) > date.fromisoformat(summer.issued[-1].origin)


def test_a_score_is_what_came_by_a_plain_loop(summer):
    closes = {one.origin: one.origin_close for one in summer.issued}
    for one in steps(summer):
        if one.score is None:
            continue
        came = closes[str(one.entry.session)] - one.entry.origin_close
        assert one.score.outcome == pytest.approx(came, abs=1e-12)
        for said, quantiles in ((one.score.crps, one.entry.stated), (one.score.crps_raw, one.entry.quantiles)):
            assert said == pytest.approx(crps(np.array([[quantiles]]), np.array([[came]]))[0, 0])
        assert one.entry.walk is not None
        assert one.score.crps_walk == pytest.approx(crps(np.array([[one.entry.walk]]), np.array([[came]]))[0, 0])
        assert one.score.below == [came <= quantile for quantile in one.entry.stated]


def test_scoring_again_adds_nothing(summer):
    now = datetime.fromisoformat(summer.issued[-1].issued_at)
    before = steps(summer)
    assert [one.scored for one in score(summer.made.engine, summer.made.config, now)] == [0]
    assert steps(summer) == before


def test_calibration_is_that_of_the_steps_that_were_scored_before(summer):
    """By the batch function, over the whole ledger at once."""
    raw = np.array([one.raw_quantiles for one in summer.issued])
    stated = np.array([one.return_quantiles for one in summer.issued])
    closes = np.array([one.origin_close for one in summer.issued])
    came = np.full((DAYS, 2), np.nan)
    came[:-1, 0], came[:-2, 1] = closes[1:] - closes[:-1], closes[2:] - closes[:-2]
    expected, _ = calibrate(np.arange(DAYS), raw, came, State.start(2))
    np.testing.assert_allclose(stated, expected, rtol=1e-12, atol=1e-12)
    assert (stated[0] == raw[0]).all()
    assert (stated[-1] != raw[-1]).any()
    digests = [one.calibration for one in summer.issued]
    assert digests[0] == State.start(2).digest
    assert len(set(digests)) == DAYS  # each session taught something


def test_replay_still_finds_every_forecast_identical(summer):
    found = replay(summer.made.engine, summer.made.config.features, "LOAD")
    assert len(found) == DAYS
    assert [one.differs for one in found if not one.identical] == []


def test_what_is_issued_is_what_the_ledger_states(summer):
    for entries, one in zip(all_issued(summer.made.engine, "LOAD"), summer.issued, strict=True):
        assert [entry.stated for entry in entries] == one.return_quantiles
        assert [entry.quantiles for entry in entries] == one.raw_quantiles


def test_a_target_without_forecasts_scores_nothing(tmp_path: Path):
    write_load(tmp_path)
    made = fetched(tmp_path / "home", levels(tmp_path, [GRU]), datetime(2016, 7, 1, tzinfo=UTC))
    assert [one.scored for one in score(made.engine, made.config, made.now)] == [0]
