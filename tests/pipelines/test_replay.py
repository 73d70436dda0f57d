"""Replay: the ledger recomputed from artifact and data as they were, whatever was written since."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forecaster.calendars import trading_calendar
from forecaster.contract import LEVELS
from forecaster.errors import ConfigError, ForecastMissing
from forecaster.store.champions import crown, find_champion
from forecaster.store.history import Row, actions_of, add_rows, bars_of, latest_rows, read_facts
from forecaster.store.ledger import Entry, all_issued
from pipelines.issue import issue
from pipelines.plugins import FeaturesConfig
from pipelines.replay import Replayed, replay, replay_one
from pipelines.train import Trained, scored_jobs, train_all
from pipelines.workspace import Workspace
from tests.pipelines.small_runs import NOW, fetched, levels, prices, write_load

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*")  # mlflow, when it is imported

LATER = NOW + timedelta(days=30)
OWN = FeaturesConfig()
COUNT = len(LEVELS)
DRIFTING = {"name": "drifting", "family": "naive", "drift": True}


def champion(made: Workspace, one: Trained) -> None:
    key = made.config.target.key
    crown(made.engine, key, one.artifact.digest, find_champion(made.engine, key), {"reason": "a test"}, made.now)


def all_trained(made: Workspace) -> list[Trained]:
    return train_all(made.bench, scored_jobs(made.bench, made.spans), lambda _: None)


@dataclass(frozen=True)
class Story:
    """A forecast, what was written after it, and a second forecast."""

    made: Workspace
    trained: list[Trained]
    before: list[Replayed]
    """The first one replayed before anything else was written."""

    @property
    def forecasts(self) -> list[list[Entry]]:
        return all_issued(self.made.engine, "^GSPC")


def write_more(made: Workspace) -> None:
    """A month later the bars of two months come in, the newest ones are restated, and a split of before is told."""
    kept = bars_of("^GSPC")
    venue = trading_calendar("XNYS", date(2018, 12, 1), date(2019, 3, 1))
    cutoffs = dict(zip(venue.sessions.tolist(), venue.cutoffs.tolist(), strict=True))
    with made.engine.begin() as connection:
        (*_, last) = latest_rows(connection, kept)
        new = [
            Row(day, known.replace(tzinfo=UTC), (*(1.01 * price for price in last.values[:4]), last.values[4]))
            for day, known in cutoffs.items()
            if day > last.date
        ]
        restated = [
            replace(row, values=tuple(1.5 * value for value in row.values))
            for row in latest_rows(connection, kept, date(2018, 11, 1))
        ]
        assert add_rows(connection, kept, restated, LATER) == (0, len(restated))
        assert add_rows(connection, kept, new, LATER) == (len(new), 0)
        split = Row(date(2018, 12, 20), cutoffs[date(2018, 12, 20)].replace(tzinfo=UTC), (2.0,))
        assert add_rows(connection, actions_of("^GSPC", "split"), [split], LATER) == (1, 0)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    made = fetched(tmp_path_factory.mktemp("replay") / "home", prices([DRIFTING]))
    trained = all_trained(made)
    champion(made, trained[0])
    issue(made.engine, made.config, "^GSPC", NOW)
    before = replay(made.engine, OWN, "^GSPC")
    write_more(made)
    issue(made.engine, made.config, "^GSPC", LATER)
    return Story(made, trained, before)


def test_what_was_just_issued_is_identical(story):
    (found,) = story.before
    assert (found.identical, found.off, found.differs) == (True, 0.0, ())
    assert (found.origin, found.horizons, found.version) == ("2018-12-31", 2, 1)
    assert found.line == f"identical ^GSPC from 2018-12-31 by {found.digest[:12]}, issued {NOW.isoformat()}"
    assert found.record()["verdict"] == "identical"


def test_what_was_written_since_changes_nothing(story):
    """Bars and a split dated before the first forecast came in after it, and bars that it had seen were restated."""
    engine = story.made.engine
    held = read_facts(engine, NOW, ["^GSPC"], recorded_by=NOW)
    told = read_facts(engine, NOW, ["^GSPC"])
    assert len(told) > len(held) + 30  # without this the test would prove nothing
    first, second = replay(engine, OWN, "^GSPC")
    assert (first, second.origin) == (story.before[0], "2019-03-01")
    assert second.identical, second.line
    assert replay(engine, OWN, "^GSPC", date(2019, 3, 1)) == [second]


def _off(entries: list[Entry], **parts: Any) -> list[Entry]:
    return [*entries[:-1], replace(entries[-1], **parts)]


def test_a_row_that_was_tampered_with_is_found(story):
    entries = story.forecasts[0]
    nudged = [*entries[1].quantiles[:-1], entries[1].quantiles[-1] + 1e-9]
    every = [
        (_off(entries, quantiles=nudged), "a quantile is off by 1.00e-09"),
        (_off(entries, quantiles=nudged[1:]), f"rows of {[COUNT - 1, COUNT]} quantiles, again {COUNT}"),
        (_off(entries, session=date(2019, 1, 9)), "sessions 2019-01-02 to 2019-01-09, again 2019-01-02 to 2019-01-03"),
        ([replace(one, origin_close=1.0) for one in entries], "close of the origin 1.0, again "),
        ([replace(one, origin=date(2018, 12, 28)) for one in entries], "origin 2018-12-28, again 2018-12-31"),
        ([replace(one, target="X-return-2") for one in entries], "the artifact is of target ^GSPC-return-2"),
        ([replace(one, digest=story.trained[1].artifact.digest) for one in entries], "a quantile is off by"),
        ([replace(one, digest="d" * 64) for one in entries], "cannot be recomputed: no artifact dddddddddddd"),
        ([replace(one, issued_at=LATER) for one in entries], "origin 2018-12-31, again 2019-03-01"),
        (entries[:1], "1 step(s), again 2"),
    ]
    for tampered, said in every:
        found = replay_one(story.made.engine, OWN, tampered)
        assert not found.identical
        assert said in found.line, (said, found.line)
        assert found.line.startswith("differs")
    assert replay_one(story.made.engine, OWN, entries).identical


def test_a_features_module_that_the_artifact_does_not_know_is_said(story, tmp_path):
    (tmp_path / "mine.py").write_text("x = 1\n")
    other = FeaturesConfig.model_validate({"modules": ["mine"]}, context=tmp_path)
    found = replay_one(story.made.engine, other, story.forecasts[0])
    assert "cannot be recomputed: [features] modules: not those it was issued with" in found.line


def test_nothing_to_replay_is_one_clear_line(story):
    with pytest.raises(ForecastMissing, match="no forecast has been issued for \\^IXIC"):
        replay(story.made.engine, OWN, "^IXIC")
    with pytest.raises(ConfigError, match="no forecast of \\^GSPC from 2018-12-30; leave it out"):
        replay(story.made.engine, OWN, "^GSPC", date(2018, 12, 30))


def _appended(path: Path, rows: dict[str, float]) -> None:
    path.write_text(path.read_text() + "".join(f"{day},{value}\n" for day, value in rows.items()))


def test_a_level_is_replayed_up_to_when_its_source_was_last_asked_by_then(tmp_path):
    """A series stands until it is asked about again: a visit after the forecast says nothing about before it."""
    path = write_load(tmp_path)
    asked = datetime(2017, 1, 2, tzinfo=UTC)
    at, later = datetime(2017, 1, 7, tzinfo=UTC), datetime(2017, 2, 1, tzinfo=UTC)
    made = fetched(tmp_path / "home", levels(tmp_path, []), asked)
    champion(made, all_trained(made)[0])
    first = issue(made.engine, made.config, "LOAD", at)
    assert first.origin == "2016-12-30"  # four sessions have settled by then of which nobody asked
    _appended(path, {"2017-01-03": -1.0, "2017-01-04": 3.0, "2017-01-05": -5.0})
    assert [one.inserted for one in made.fetcher({}, lambda: later).fetch([], ["LOAD"])] == [3]
    issue(made.engine, made.config, "LOAD", later)
    old, new = replay(made.engine, OWN, "LOAD")
    assert (old.identical, old.origin, old.off) == (True, "2016-12-30", 0.0), old.line
    assert new.identical, new.line
    assert new.origin > "2017-01-05"
