"""Is a fetch safe? `python -m benchmarks.kills [--kills 10] [--databases sqlite postgresql] [--data FOLDER] [--seed 0]`

A fetch of 12 symbols is killed with SIGKILL at random points; after each kill every symbol must be whole or absent, and
the next run must complete what an undisturbed one gives. Then two fetches of revised files run at once: nothing twice,
nothing lost. Real bars under other names, from the sample or from a folder of SYMBOL.csv[.gz]. Exits 0 where all holds.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from benchmarks.data import histories, postgresql, require
from forecaster.store.database import connect, sqlite_url
from forecaster.store.history import read_facts

SYMBOLS = [f"S{number}" for number in range(12)]
RUN = """
[data]
symbols = {symbols}
bars = {{ source = "files", folder = "{folder}" }}

[target]
symbols = ["S0"]
venue = "XNYS"
horizon = 1

[window]
context = 16
burn_in = 8
channels = ["log_return"]

[split]
validation_from = 2010-01-01
test_from = 2012-01-01

[[models]]
name = "naive"
family = "naive"
"""


def write(folder: Path, data: str, factor: float = 1.0) -> None:
    """One file a symbol; `factor` restates the last five bars."""
    replies = histories(data)
    for number, symbol in enumerate(SYMBOLS):
        bars = replies[number % len(replies)].bars.copy()
        prices = ["open", "high", "low", "close"]
        bars[prices] = bars[prices].astype(float)
        bars.loc[bars.index[-5:], prices] *= factor
        bars.rename(columns={"session": "Date"}).to_csv(folder / f"{symbol}.csv", index=False)


@contextmanager
def fetching(home: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own."""
    command = [str(Path(sys.executable).parent / "forecaster"), "fetch", "--run", str(home / "run.toml")]
    environment = {**os.environ, "FORECASTER_HOME": str(home), "FORECASTER_DATABASE_URL": url}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as one:
        yield one


def complete(home: Path, url: str) -> float:
    """Run a fetch to its end; its seconds."""
    start = time.perf_counter()
    with fetching(home, url) as one:
        _, said = one.communicate()
    require(one.returncode == 0, f"a fetch failed: {said[-300:]}")
    return time.perf_counter() - start


def stored(url: str) -> Counter[tuple[str, str, tuple[float, ...]]]:
    """Every row of the store but for when it was known."""
    engine = connect(url)
    facts = read_facts(engine, datetime.now(UTC) + timedelta(days=1))
    engine.dispose()
    rows = zip(facts.subject.tolist(), facts.date.astype(str).tolist(), facts.values[:, :5].tolist(), strict=True)
    return Counter((subject, day, tuple(values)) for subject, day, values in rows)


def killed(home: Path, url: str, rng: random.Random, whole: dict[str, int], seconds: float) -> int:
    """Kill one fetch somewhere; how many symbols it had stored."""
    after = rng.randrange(len(SYMBOLS))
    with fetching(home, url) as one:
        for _ in islice(one.stderr or (), after):
            pass  # a line a symbol: so many are stored
        time.sleep(rng.uniform(0, 2 * seconds / len(SYMBOLS)))
        one.send_signal(signal.SIGKILL)
    found = Counter(subject for subject, _, _ in stored(url).elements())
    for symbol, count in found.items():
        require(count == whole[symbol], f"{symbol} is half written: {count} of {whole[symbol]} rows")
    return len(found)


def judge(name: str, urls: Iterator[str], folder: Path, kills: int, data: str, rng: random.Random) -> str:
    """All kills and the race on one kind of database; a line about them."""
    home = folder / name
    (home / "files").mkdir(parents=True)
    write(home / "files", data)
    (home / "run.toml").write_text(RUN.format(symbols=SYMBOLS, folder=home / "files"))
    calm = next(urls)
    seconds = complete(home, calm)
    expected = stored(calm)
    whole = Counter(subject for subject, _, _ in expected.elements())
    reached = []
    for _ in range(kills):
        url = next(urls)
        complete_schema(url)
        reached.append(killed(home, url, rng, whole, seconds))
        complete(home, url)
        require(stored(url) == expected, "after a kill the next run did not complete the store")
    write(home / "files", data, factor=1.01)
    with fetching(home, calm) as one, fetching(home, calm) as other:
        said = [process.communicate()[1] for process in (one, other)]
    require(one.returncode == other.returncode == 0, f"of two at once one failed: {said}")
    more = stored(calm) - expected
    require(sum(more.values()) == 5 * len(SYMBOLS), f"{sum(more.values())} revisions, not {5 * len(SYMBOLS)}")
    require(max(more.values()) == 1, "a revision was written twice")
    return f"{name}: killed with {sorted(reached)} of {len(SYMBOLS)} symbols stored"


def complete_schema(url: str) -> None:
    """Migrate beforehand, so that a kill falls into the fetch."""
    from forecaster.store.migrate import migrate

    engine = connect(url)
    migrate(engine)
    engine.dispose()


def main() -> int:
    """Kill, race, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--databases", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    parser.add_argument("--data", default="sample")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)  # noqa: S311  # where to kill is no secret
    lines = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "sqlite" in asked.databases:
            lines.append(judge("sqlite", _files(folder), folder, asked.kills, asked.data, rng))
        if "postgresql" in asked.databases:
            with postgresql(folder) as server:
                lines.append(judge("postgresql", _databases(server), folder, asked.kills, asked.data, rng))
    print("\n".join(lines))
    print(f"{asked.kills} kills and a race on {' and '.join(asked.databases)}: nothing half written, twice or lost")
    return 0


def _files(folder: Path) -> Iterator[str]:
    for number in range(1000):
        home = folder / f"home-{number}"
        home.mkdir()
        yield sqlite_url(home)


def _databases(url: str) -> Iterator[str]:
    from sqlalchemy import create_engine, make_url, text

    server = create_engine(url, isolation_level="AUTOCOMMIT")
    for number in range(1000):
        with server.connect() as connection:
            connection.execute(text(f"CREATE DATABASE kill{number}"))
        yield make_url(url).set(database=f"kill{number}").render_as_string(hide_password=False)


if __name__ == "__main__":
    sys.exit(main())
