"""What a promotion keeps of its comparison is what the service tells of it."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipelines.compare import see
from pipelines.promote import promote
from pipelines.train import walk
from serving.engine import ChampionEngine
from serving.models import leaderboard
from serving.shelf import Shelf
from tests.pipelines.small_runs import fetched, levels, write_load

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*")  # mlflow, when it is imported

NOW = datetime(2016, 7, 1, tzinfo=UTC)
STILL = {"name": "still", "family": "naive", "scale": "empirical"}


def test_the_leaderboard_of_the_service_is_that_of_the_comparison(tmp_path: Path):
    write_load(tmp_path)
    made = fetched(tmp_path / "home", levels(tmp_path, [STILL]), NOW)
    walked = walk(made.bench, made.folds, lambda _: None)
    found = see(made, walked)
    promoted = promote(made, walked, found)
    engine = ChampionEngine(made.engine, Shelf(tmp_path / "serving"))
    engine.refresh()
    told = leaderboard(made.engine, engine.in_charge())
    assert told.in_charge.digest == promoted.champion.digest
    assert told.comparison is not None
    assert (told.comparison.key, told.comparison.origins) == (found.key, found.origins)
    assert (str(told.comparison.first), str(told.comparison.last)) == (found.first, found.last)
    assert [(row.model, row.skill, row.skill_se, row.p, row.p_holm) for row in told.comparison.rows] == [
        (row.name, row.skill, row.skill_se, row.dm_p, row.dm_p_holm) for row in found.rows
    ]
    assert [row.model for row in told.comparison.rows if row.candidate] == ["still"]
    assert [row.model for row in told.comparison.rows if row.in_charge] == [promoted.name]
    (decision,) = told.decisions
    assert (decision.candidate, decision.passed) == ("still", promoted.decision["passed"])
    assert len(decision.checks) == len(promoted.decision["checks"]) > 5
