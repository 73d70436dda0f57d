"""How long does a whole retraining take? `python -m benchmarks.retraining [--symbols 1,10,100] [--data FOLDER]`

From an empty home: `forecaster fetch` from local files, then `forecaster retrain`, which takes a snapshot, trains eight
families (three seeds of each that learns by gradient) side by side on two cores, compares, asks the gate and promotes.
One symbol is real, with 20 years; a universe is global models over it and others made of its own days, drawn in blocks
of a quarter, each from the same side of the split as where it is put.

Exits 0 where, of the sizes asked for, one symbol takes at most 90 s by the clock and 100 symbols 15 minutes; where
processor time grows with at most the power 1.05 of the number of symbols; and where the memory of all
three processes grows by at most four bytes a byte of data (facts, windows, the forecasts that are compared). One, and
one for each process that holds them, was asked: docs/log.md.
"""

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sqlalchemy import text

from benchmarks import record
from benchmarks.spent import Spent, spend
from forecaster.contract import LEVELS
from forecaster.snapshot import read_snapshot
from forecaster.store.database import connect
from forecaster.windows import walk
from pipelines.config import RunConfig, load_config
from pipelines.home import Home
from pipelines.snapshot import load_universe
from pipelines.sources.base import BarSource
from pipelines.sources.files import Files
from pipelines.sources.sample import Sample

SESSIONS, BLOCK, CORES = 20 * 252, 63, 2
SPLIT = (0.7, 0.8)
"""Where the validation years begin, and the test years."""
MOST = {1: 90.0, 100: 900.0}
"""Seconds, by the number of symbols."""
EXPONENT, BYTES = 1.05, 4.0
PRICES = ["Open", "High", "Low", "Close"]
RUN = """
[data]
symbols = {symbols}
bars = {{ source = "files", folder = {folder} }}
[target]
symbols = {symbols}
venue = "{venue}"
horizon = 2
[window]
context = 128
burn_in = 32
channels = {channels}
[split]
validation_from = {validation}
test_from = {test}
[training]
seeds = 3
epochs = {epochs}
patience = {patience}
[[models]]
name = "naive"
family = "naive"
[[models]]
name = "ngram"
family = "ngram"
[[models]]
name = "garch"
family = "garch"
[[models]]
name = "har"
family = "har"
[[models]]
name = "ar"
family = "ar"
[[models]]
name = "mlp"
family = "mlp"
[[models]]
name = "lstm"
family = "lstm"
[[models]]
name = "gru"
family = "gru"
"""
VERBS = ("fetch", "retrain")


def real(asked: argparse.Namespace) -> pd.DataFrame:
    """The newest 20 years of the symbol, as a file has them."""
    source: BarSource = Sample() if asked.data == "sample" else Files(Path(asked.data), asked.venue, {}, {})
    bars = source.bars(asked.symbol, None, datetime.now(UTC)).bars.dropna()
    named = bars.rename(columns=str.capitalize).rename(columns={"Session": "Date"})
    return named[["Date", *PRICES, "Volume"]].tail(SESSIONS).reset_index(drop=True)


def other(bars: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """A history of its own on the same sessions: the days of another, drawn in blocks.

    No block stands on both sides of a split: a network that learned it by heart would know it again in the validation
    years, and never stop.
    """
    edges = [1, *(int(share * len(bars)) for share in SPLIT), len(bars)]
    days = np.concatenate([_drawn(first, last, rng) for first, last in pairwise(edges)])
    days = np.concatenate(([1], days))
    before = bars["Close"].to_numpy()[days - 1]
    closes = bars["Close"].to_numpy()[days] / before
    levels = 100 * np.cumprod(closes)
    scaled = bars[PRICES].to_numpy()[days] / before[:, None] * (levels / closes)[:, None]
    return bars.assign(**dict(zip(PRICES, scaled.T, strict=True)), Volume=bars["Volume"].to_numpy()[days])


def _drawn(first: int, last: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """As many days as there are from first to last, from among them."""
    starts = rng.integers(first, last - BLOCK, size=(last - first) // BLOCK + 1)
    return (starts[:, None] + np.arange(BLOCK)).ravel()[: last - first]


def prepared(folder: Path, bars: pd.DataFrame, count: int, asked: argparse.Namespace) -> Path:
    """Files of so many symbols, and a run on them."""
    rng, names = np.random.default_rng(asked.seed), [f"S{number}" for number in range(count)]
    for number, name in enumerate(names):
        (other(bars, rng) if number else bars).to_csv(folder / f"{name}.csv", index=False)
    channels = ["log_return", "log_range", "close_location", "volume_change", *(["symbol"] if count > 1 else [])]
    days = pd.to_datetime(bars["Date"]).dt.date
    run = folder / "run.toml"
    run.write_text(
        RUN.format(
            symbols=json.dumps(names),
            folder=json.dumps(str(folder)),
            venue=asked.venue,
            channels=json.dumps(channels),
            validation=days.iloc[int(SPLIT[0] * len(days))],
            test=days.iloc[int(SPLIT[1] * len(days))],
            epochs=asked.epochs,
            patience=asked.patience,
        )
    )
    return run


@dataclass(frozen=True)
class Cost:
    """What a retraining took."""

    symbols: int
    seconds: dict[str, float]
    """By verb, by the clock."""
    processor: dict[str, float]
    """By verb, of all processes."""
    others: float
    """Seconds of processor time that others took of the machine meanwhile."""
    largest: float
    """Megabytes of the largest process."""
    together: float
    """Megabytes of all processes at their most, what they share counted once."""
    data: float
    """Megabytes of what is known of all symbols, of the windows cut from it and of the forecasts that are compared."""
    steps: dict[str, float]
    """Seconds by the clock, from the first beginning of a step of that name to its last end."""

    @property
    def clock(self) -> float:
        """Seconds of both verbs."""
        return sum(self.seconds.values())

    @property
    def spent(self) -> float:
        """Seconds of processor time of both verbs."""
        return sum(self.processor.values())

    @property
    def within(self) -> bool:
        """Whether it took no longer than it may."""
        return self.clock <= MOST.get(self.symbols, math.inf)

    def line(self) -> str:
        """In words."""
        parts = ", ".join(f"{name} {took:.0f}" for name, took in {**self.seconds, **self.steps}.items())
        return (
            f"{self.symbols} symbols: {self.clock:.0f} s ({parts}), {self.spent:.0f} s of processor time while others "
            f"took {self.others:.0f}; {self.together:.0f} MB, the largest process {self.largest:.0f}, "
            f"data {self.data:.0f}"
        )


def retrain(bars: pd.DataFrame, count: int, asked: argparse.Namespace) -> Cost:
    """Both verbs once, in a home of their own."""
    forecaster = str(Path(sys.executable).parent / "forecaster")
    took: dict[str, Spent] = {}
    with tempfile.TemporaryDirectory() as name:
        run, home = prepared(Path(name), bars, count, asked), Home(Path(name) / "home")
        environment = {**os.environ, "FORECASTER_HOME": str(home.root), "FORECASTER_RUN": str(run)}
        for verb in VERBS:
            more = ["--workers", str(CORES)] if verb == "retrain" else []
            took[verb] = spend([forecaster, verb, *more, "--json"], environment)
            if took[verb].said.returncode:
                sys.exit(f"{verb} on {count} symbols: {took[verb].said.stderr.strip().splitlines()[-1]}")
        return Cost(
            count,
            {verb: one.seconds for verb, one in took.items()},
            {verb: one.processor for verb, one in took.items()},
            sum(one.others for one in took.values()),
            max(one.megabytes for one in took.values()),
            max(one.together for one in took.values()),
            data_of(home, load_config(run)) / 2**20,
            steps_of(home),
        )


def data_of(home: Home, config: RunConfig) -> float:
    """Bytes of facts, windows and forecasts, as arrays."""
    (path,) = home.snapshots.glob("*.parquet")
    facts = read_snapshot(home.snapshots, path.stem)
    universe = load_universe(home.snapshots, path.stem, config)
    (fold,) = walk(universe, config.split.validation_from, config.split.test_from, None)
    arrays = [facts.subject, facts.date, facts.known_at, facts.values]
    arrays += [array for windows in universe for array in vars(windows).values() if isinstance(array, np.ndarray)]
    forecasts = sum(len(sample.origins) for sample in fold.test) * config.target.horizon * len(LEVELS) * 8
    return sum(array.nbytes for array in arrays) + len(config.models) * forecasts


def steps_of(home: Home) -> dict[str, float]:
    """Seconds from the first beginning to the last end of the steps of a name."""
    query = (
        "SELECT function_name, MIN(started_at_epoch_ms), MAX(completed_at_epoch_ms) FROM operation_outputs "
        "WHERE function_name NOT LIKE 'DBOS.%' AND NOT (function_name = 'train' AND workflow_uuid LIKE 'retrain %') "
        "GROUP BY 1 ORDER BY 2"
    )
    with connect(home.jobs_url).connect() as connection:
        return {name: (ended - begun) / 1000 for name, begun, ended in connection.execute(text(query))}


def exponent(sizes: Sequence[int], costs: Sequence[float]) -> float:
    """The power with which a cost grows: slope of its logarithm in that of the size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def judged(costs: Sequence[Cost]) -> list[tuple[bool, str]]:
    """Whether each thing that was asked holds, and its figure."""
    found = [
        (one.within, f"{one.symbols} symbols in {one.clock:.0f} s by the clock (at most {MOST[one.symbols]:.0f})")
        for one in costs
        if one.symbols in MOST
    ]
    if len(costs) > 1:
        grown = exponent([one.symbols for one in costs], [one.spent for one in costs])
        text = f"processor time grows with the power {grown:.2f} of the number of symbols (at most {EXPONENT})"
        found.append((grown <= EXPONENT, text))
        least, most = costs[0], costs[-1]
        ratio = (most.together - least.together) / (most.data - least.data)
        text = f"memory of {CORES + 1} processes grows by {ratio:.1f} bytes a byte of data (at most {BYTES})"
        found.append((ratio <= BYTES, text))
    return found


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="sample", help="folder of SYMBOL.csv[.gz] files, or sample")
    parser.add_argument("--symbol", default="^GSPC")
    parser.add_argument("--venue", default="XNYS")
    parser.add_argument("--symbols", default="1,10,100", help="sizes of the universe")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--patience", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=record.RESULTS / "retraining.json")
    asked = parser.parse_args()
    bars, costs = real(asked), list[Cost]()
    for count in sorted(map(int, asked.symbols.split(","))):
        costs.append(retrain(bars, count, asked))
        print(costs[-1].line(), flush=True)
        write(asked, costs)
    held = judged(costs)
    for good, figure in held:
        print(f"{'holds' if good else 'FAILS'}: {figure}")
    return int(not all(good for good, _ in held))


def write(asked: argparse.Namespace, costs: Sequence[Cost]) -> None:
    """The figures as JSON."""
    sizes = [one.symbols for one in costs]
    powers = {
        name: exponent(sizes, [getattr(one, name) for one in costs]) for name in ("clock", "spent") if len(costs) > 1
    }
    told = {
        "cores": CORES,
        "sessions": SESSIONS,
        "families": 8,
        "seeds": 3,
        "epochs": asked.epochs,
        "patience": asked.patience,
        "sizes": [{**asdict(one), "clock": one.clock, "spent": one.spent} for one in costs],
        "exponents": powers,
        "asked": {"seconds": MOST, "exponent": EXPONENT},
        "held": [{"holds": good, "figure": figure} for good, figure in judged(costs)],
    }
    record.write(asked.results, told)


if __name__ == "__main__":
    sys.exit(main())
