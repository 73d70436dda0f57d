"""Real vintages, faults and files, from the source through the store to snapshot, windows and models.

Reads the real data beside the project; `benchmarks.restatements` prints what each download of a vintage did.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine, select, text

from benchmarks import faults, restatements
from forecaster.calendars import trading_calendar
from forecaster.families.base import Spec
from forecaster.panel import build_panel
from forecaster.snapshot import read_snapshot
from forecaster.store.artifacts import Run
from forecaster.store.database import connect, sqlite_url
from forecaster.store.history import read_facts
from forecaster.store.migrate import migrate
from forecaster.store.schema import bar, observation, quarantine
from forecaster.training.export import Provenance, export
from forecaster.training.fit import Task, fit
from pipelines.compare import compare
from pipelines.config import DataConfig, load_config
from pipelines.engines.pool import Pool
from pipelines.fetch import Fetched, Fetcher
from pipelines.home import Home
from pipelines.jobs import Job
from pipelines.snapshot import say_holes, snapshot
from pipelines.sources.base import Reply
from pipelines.sources.files import Files
from pipelines.sources.sample import Sample
from pipelines.train import Trained, Walked
from pipelines.workspace import Workspace
from tests.real_data import DATA, with_data

NOW = datetime(2025, 1, 15, tzinfo=UTC)

pytestmark = [
    with_data,
    # exchange_calendars 4.13 on pandas 3.1, for venues with lunar holidays.
    pytest.mark.filterwarnings("ignore:DatetimeIndex.weekday is deprecated"),
]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = connect(sqlite_url(tmp_path))
    migrate(engine)
    yield engine
    engine.dispose()


class One:
    """A source that gives one reply."""

    name, remote = "one", False

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def bars(self, symbol: str, since: date | None, now: datetime) -> Reply:
        return self._reply


def told(lines: list[restatements.Line]) -> dict[str, list[tuple[int, int, int]]]:
    """(inserted, revised, quarantined) by subject, in the order of the fetches."""
    table: dict[str, list[tuple[int, int, int]]] = {}
    for line in lines:
        assert line.changed == []
        assert line.fetched.status == "ok", line.fetched.problem
        done = (line.fetched.inserted, line.fetched.revised, line.fetched.quarantined)
        table.setdefault(line.subject, []).append(done)
    return table


def test_downloads_of_seven_days_change_no_earlier_view_to_the_bit(engine):
    """NVDA's dividend of 2026-06-04 is gone on 07-07 (335 rows rise by .12 %) and back on 07-10; volumes still rise on
    the last bar. Samsung moves in the eighth digit only."""
    table = told(list(restatements.yahoo_vintages(engine, DATA)))
    assert table == {
        "NVDA": [(358, 0, 0), (1, 1, 0), (1, 1, 0), (2, 335, 0), (1, 1, 0), (1, 1, 0), (1, 333, 0)],
        "005930.KS": [(344, 0, 0), (1, 0, 0), (2, 0, 0), (2, 0, 0), (1, 0, 0), (1, 0, 0), (1, 0, 0)],
    }


def test_the_watch_of_views_sees_a_revision_that_is_dated_back(engine):
    """What the test above would say if a fetch rewrote the past."""
    made = restatements.stamps(DATA / "vintages" / "yf_daily_snapshots")
    watch = restatements.Watch(engine, "NVDA", trading_calendar("XNAS", date(2025, 1, 2), date(2026, 12, 30)))
    first = min(made)
    list(restatements.fetched_in_turn(watch, {first: Files(made[first], "XNAS", {}, {})}))
    assert watch.changed() == []
    with engine.begin() as connection:
        one = dict(connection.execute(select(bar).where(bar.c.session == date(2026, 6, 15))).mappings().one())
        earlier = one["known_at"] - timedelta(microseconds=1)
        connection.execute(bar.insert(), [one | {"known_at": earlier, "close": one["close"] * 1.001}])
    assert {change.split(" as of ")[0] for change in watch.changed()} == {"facts"}
    with engine.begin() as connection:
        other = dict(connection.execute(select(bar).where(bar.c.session == date(2026, 6, 16))).mappings().one())
        day_before = other | {"session": date(2026, 6, 15), "known_at": one["known_at"] + timedelta(microseconds=1)}
        connection.execute(bar.insert(), [day_before])
    assert {change.split(" as of ")[0] for change in watch.changed()} == {"facts"}
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER bar_no_update"))
        connection.execute(bar.update().where(bar.c.session == date(2026, 6, 15)).values(close=one["close"] * 1.002))
    assert {change.split(" as of ")[0] for change in watch.changed()} == {"facts", "panel", "windows", "naive", "ar"}


@pytest.fixture(scope="module")
def retrieved(tmp_path_factory) -> Iterator[tuple[Engine, list[restatements.Line]]]:
    """A store after the series have been fetched in turn, and what each fetch did."""
    engine = connect(sqlite_url(tmp_path_factory.mktemp("retrieved")))
    migrate(engine)
    yield engine, list(restatements.fred_vintages(engine, DATA))
    engine.dispose()


def test_series_as_retrieved_are_revised_from_the_fetch_on(retrieved):
    engine, lines = retrieved
    assert {name: len(rows) for name, rows in told(lines).items()} == {"UNRATE": 4, "CPIAUCSL": 3, "ICSA": 12}
    with engine.connect() as connection:
        rows = connection.execute(select(observation).order_by("series", "period", "known_at")).all()
    first = {}
    for row in rows:
        if first.setdefault((row.series, row.period), row) is not row:
            assert row.known_at == row.recorded_at
            assert not row.assumed


@pytest.mark.parametrize("series", restatements.RELEASES)
def test_no_view_shows_a_value_that_no_download_had_shown_by_then(series, retrieved):
    """A week's first count of claims comes on a Thursday and is revised the Thursday after. Seen on the first, known
    from the Friday by the lag: it must not be lost for the revised one, which nobody knew then."""
    engine, _ = retrieved
    made = restatements.stamps(DATA / "vintages/fred_as_retrieved" / series)
    shown = {now: pd.read_csv(path, index_col=0).iloc[-20:, 0].to_dict() for now, path in made.items()}
    ahead = []
    for day in pd.date_range(min(made), max(made), freq="D"):
        facts = read_facts(engine, day.to_pydatetime(), [series])
        newest = dict(zip(facts.date.astype(str).tolist()[-10:], facts.column("value").tolist()[-10:], strict=True))
        told_by_then = [values for now, values in shown.items() if now <= day]
        ahead += [f"{period}: {value} as of {day:%m-%d}" for period, value in newest.items()
                  if value not in [values.get(period) for values in told_by_then]]  # fmt: skip
    assert ahead == []


def pairs() -> list[str]:
    """Daily files with a fault and a repaired twin; the calendar of Tel Aviv cannot be built by the library."""
    names = {path.name.removesuffix("-fixed.csv.gz") for path in DATA.glob("bad_data_yfinance/*-fixed.csv.gz")}
    return sorted(name for name in names if "-1d-" in name and "-TA-" not in name)


def as_of(engine: Engine, now: datetime) -> dict[tuple[str, date], tuple[float, ...]]:
    """The newest revision of each date."""
    facts = read_facts(engine, now, ["FILE"])
    keys = zip(facts.subject.tolist(), facts.date.tolist(), strict=True)
    return {key: tuple(np.nan_to_num(row).tolist()) for key, row in zip(keys, facts.values, strict=True)}


@pytest.mark.parametrize("name", pairs())
def test_no_bad_bar_reaches_a_snapshot_and_the_repaired_file_mends_the_store(name, engine, tmp_path):
    path, twin = (DATA / "bad_data_yfinance" / f"{name}{end}.csv.gz" for end in ("", "-fixed"))
    venue = faults.VENUES.get(name.split("-1d")[0].split("-")[-1], "XNYS")
    faulty, fixed = faults.opened(path, venue), faults.opened(twin, venue)
    later = faults.NOW + timedelta(hours=1)

    def fetch(reply: Reply, now: datetime, into: Engine = engine) -> Fetched:
        (done,) = Fetcher(into, One(reply), Sample(), lambda: now).fetch(["FILE"], [])
        return done

    assert fetch(faulty, faults.NOW).status == "ok"
    written = snapshot(engine, DataConfig(symbols=("FILE",)), tmp_path / "snapshots", faults.NOW)
    before = read_snapshot(tmp_path / "snapshots", written.digest)
    held = {(subject.partition("#")[2], str(day)) for subject, day in zip(before.subject, before.date, strict=True)}
    bad_bars = {("", day) for day, _ in faults.differing(faulty.bars, fixed.bars, [])}
    bad_actions = {(kind, day) for day, kind in faults.differing(faulty.actions, fixed.actions, ["kind"])}
    assert held & (bad_bars | bad_actions) == set()

    mended = fetch(fixed, later)
    assert mended.status == "ok", mended.problem
    clean = connect(sqlite_url(tmp_path / "clean"))
    (tmp_path / "clean").mkdir()
    migrate(clean)
    fetch(fixed, later, clean)
    good, found = as_of(clean, later), as_of(engine, later)
    clean.dispose()
    neutral = {key for key in found.keys() - good.keys() if found[key][-1] in (0.0, 1.0) and "#" in key[0]}
    assert found.keys() - neutral == good.keys()
    for key, values in good.items():
        np.testing.assert_allclose(found[key], values, rtol=2e-5, err_msg=str(key))
    _, wrong = restatements.late_rows(before, read_facts(engine, faults.NOW, ["FILE"]), faults.span(fixed, venue))
    assert wrong == []


CLASSIC = """
[data]
symbols = ["AAPL", "^IXIC", "^DJI", "CL=F", "DX-Y.NYB", "^GSPC", "GC=F", "^RUT"]
series = ["DGS10", "VIXCLS", "T10Y2Y"]
bars = {{ source = "files", folder = "{bars}", venues = {{ "CL=F" = "CMES", "GC=F" = "CMES", "DX-Y.NYB" = "IEPA" }} }}
macro = {{ source = "files", folder = "{macro}", publications = {{ DGS10 = {{ frequency = "D", days = 1 }}, VIXCLS = {{ frequency = "D", days = 1 }}, T10Y2Y = {{ frequency = "D", days = 1 }} }} }}

[target]
symbols = ["AAPL"]
venue = "XNAS"
horizon = 2

[window]
context = 32
burn_in = 16
channels = [
    "log_return", "open_return", "high_return", "low_return", "volume_change", "log_return(^IXIC)", "log_return(^DJI)",
    "log_return(CL=F)", "log_return(DX-Y.NYB)", "log_return(^GSPC)", "log_return(GC=F)", "log_return(^RUT)",
    "change(DGS10)", "log_change(VIXCLS)", "change(T10Y2Y)",
]

[split]
validation_from = 2019-01-01
test_from = 2020-01-01

[training]
epochs = 1
patience = 1

[[models]]
name = "naive"
family = "naive"

[[models]]
name = "ar"
family = "ar"
"""  # noqa: E501


@pytest.fixture(scope="module")
def classic(tmp_path_factory) -> Iterator[tuple[Workspace, list[Fetched]]]:
    """The classic experiment's store after one fetch."""
    home, bars = tmp_path_factory.mktemp("classic"), tmp_path_factory.mktemp("bars")
    for path in (DATA / "core/stitched_dev_to_2024-12-31").glob("*.csv.gz"):
        name = {"AAPL_noadj_plus_adjclose.csv.gz": "AAPL.csv.gz"}.get(path.name, path.name)
        (bars / name).symlink_to(path)
    run = home / "classic.toml"
    run.write_text(CLASSIC.format(bars=bars, macro=DATA / "macro/fredgraph_dev_to_2024-12-31"))
    workspace = Workspace(Home(home), load_config(run), NOW)
    fetcher = workspace.fetcher({}, lambda: NOW)
    yield workspace, list(fetcher.fetch(workspace.config.data.symbols, workspace.config.data.series))
    workspace.engine.dispose()


def test_the_classic_set_is_fetched_and_its_holes_are_reported(classic):
    workspace, fetched = classic
    done = {one.subject: one for one in fetched}
    assert {one.status for one in fetched} == {"ok"}
    assert {name: one.missing_sessions for name, one in done.items() if name in ("AAPL", "^IXIC", "^GSPC")} == {
        "AAPL": [], "^IXIC": [], "^GSPC": [],
    }  # fmt: skip
    assert "2020-04-20" in done["CL=F"].missing_sessions
    with workspace.engine.connect() as connection:
        mine = select(quarantine.c.reason).where(quarantine.c.subject == "CL=F", quarantine.c.date == date(2020, 4, 20))
        assert connection.scalars(mine).all() == ["price not positive"]


def test_the_classic_windows_have_all_their_channels(classic):
    workspace, _ = classic
    (windows,) = workspace.universe
    assert windows.values.shape[1] == 15
    assert np.isfinite(windows.values).all()
    assert (windows.lost, say_holes(windows)) == (0, "")


def test_oil_below_zero_is_no_bar_and_the_price_before_it_stands(classic):
    """In New York's row of a day stands oil's session of the day before: its own settles two hours later."""
    workspace, _ = classic
    (windows,), facts = workspace.universe, read_facts(workspace.engine, NOW, ["CL=F"])
    oil = windows.values[:, windows.spec.channels.index("log_return(CL=F)")]
    closes = dict(zip(facts.date.astype(str).tolist(), facts.column("close").tolist(), strict=True))
    assert not {"2020-04-20", "2020-04-21"} & closes.keys()
    rows = [int(np.flatnonzero(windows.sessions == np.datetime64(f"2020-04-{day}"))[0]) for day in (20, 21, 22, 23)]
    moved = [np.log(closes["2020-04-17"] / closes["2020-04-16"]), np.log(closes["2020-04-22"] / closes["2020-04-17"])]
    assert oil[rows].tolist() == pytest.approx([moved[0], 0.0, 0.0, moved[1]])


def test_a_model_of_the_classic_set_is_trained_and_compared(classic):
    workspace, _ = classic
    config, spans = workspace.config, workspace.spans
    spec, task, trained = Spec(config.window, config.target.horizon), Task(spans.train, spans.validation), []
    for family in config.models:
        fitted = fit(family, spec, config.training, task, seed=config.training.seed)
        provenance = Provenance(family, config.training, config.target, workspace.snapshot.digest)
        artifact = export(fitted, spec, task, provenance)
        run = Run(family.name, artifact.digest, "", 0.0)
        trained.append(Walked((Trained(Job.of(family, config.training, task), artifact, run, fresh=True),)))
    found = compare(trained, "naive", (spans,), "return", Pool())
    assert np.isfinite([[row.crps, row.skill, row.pinball, row.coverage_80] for row in found.rows]).all()
    assert found.origins == len(spans.test[0].origins) > 1200
    assert (found.first, {row.name for row in found.rows}) == ("2020-01-02", {"naive", "ar"})
    assert all(0.2 < row.crps < 5.0 for row in found.rows)  # percent


@pytest.mark.parametrize("week", ["2023-11-03", "2023-11-06", "2024-03-08", "2024-03-11", "2024-11-01", "2024-11-04"])
@pytest.mark.parametrize("symbol", ["AAPL", "^GSPC"])
def test_hours_on_both_sides_of_a_change_of_the_clock_are_those_of_the_trading_floor(symbol, week, engine):
    """Before and after the market AAPL has bars without volume and with wild lows (209.06 on 2024-11-04)."""
    folder = DATA / "hourly/reits_dev_to_2024-12-31"
    list(Fetcher(engine, Files(folder, "XNAS", {}, {}), Sample(), lambda: NOW).fetch([symbol], []))
    calendar = trading_calendar("XNAS", date(2023, 7, 14), date(2024, 12, 31))
    panel = build_panel(read_facts(engine, NOW, [symbol]), symbol, [], calendar)
    hours = pd.read_csv(folder / f"{symbol}.csv.gz", parse_dates=["Datetime"]).set_index("Datetime")
    floor = hours.tz_convert("America/New_York").loc[week].between_time("09:30", "15:59")
    row = int(np.flatnonzero(panel.sessions == np.datetime64(week))[0])
    bar_of = [panel.traded(name)[row] for name in ("open", "high", "low", "close", "volume")]
    expected = [floor["Open"].iloc[0], floor["High"].max(), floor["Low"].min(), floor["Close"].iloc[-1]]
    assert bar_of == [*expected, floor["Volume"].sum()]
    assert len(floor) == 7
