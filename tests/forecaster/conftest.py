"""Two markets: made up, and the real sample data."""

from datetime import UTC, date, datetime

import pytest
import torch
from small_market import Market, made_up

from forecaster.calendars import trading_calendar
from forecaster.contract import Target, WindowSpec
from forecaster.store.database import connect, sqlite_url
from forecaster.store.history import read_facts
from forecaster.store.migrate import migrate
from pipelines.fetch import Fetcher
from pipelines.sources.sample import Sample

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
        trading_calendar("XNYS", date(1998, 12, 1), date(2019, 12, 31)),
        Target(symbols=("^GSPC",), venue="XNYS", horizon=3),
        WindowSpec(context=16, burn_in=11, channels=channels),
    )


@pytest.fixture(scope="session", params=["made up", "sample"])
def market(request: pytest.FixtureRequest) -> Market:
    return request.getfixturevalue("synthetic" if request.param == "made up" else "sample")
