"""A home whose champion is the random walk, for tests of jobs."""

from pathlib import Path

import pytest

from pipelines.mirror import mirror
from pipelines.workspace import Workspace
from tests.pipelines.small_runs import fetched, moved


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A home whose champion was crowned an hour before the first of the days is due. Tests take a copy."""
    # Here, since it opens a calendar, and the warnings of that are let pass once tests are collected.
    from tests.pipelines.at_work.stage import DAYS, HOUR, RUN, TABLE, crowned

    made = crowned(fetched(tmp_path_factory.mktemp("work") / "home", RUN, TABLE.due_at(DAYS[0]) - HOUR))
    assert mirror(made) is None  # registered in MLflow
    return made


@pytest.fixture
def made(base: Workspace, tmp_path: Path) -> Workspace:
    return moved(base.home.root, tmp_path / "home", base)
