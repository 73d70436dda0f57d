"""How long does a whole retraining take? `python -m benchmarks.retraining [--symbols 1 10 100] [--data FOLDER]`

From an empty home: `forecaster fetch` from local files, then `forecaster retrain`, which takes a snapshot, trains eight
families (three seeds of each that learns by gradient) side by side on two cores, compares, asks the gate and promotes.
One symbol is real, with 20 years; a universe is global models over it and others made of its own days, drawn in blocks
of a quarter. Exits 0 where one symbol takes at most 90 s and 100 symbols 15 minutes, by the clock, or, where other work
shares the machine, by the processor time of two cores; and where processor time grows with at most the power 1.05 of
the number of symbols.
"""

import argparse
import json
import os
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.spent import spend
from pipelines.sources.base import BarSource
from pipelines.sources.files import Files
from pipelines.sources.sample import Sample

SESSIONS, BLOCK, CORES = 20 * 252, 63, 2
MOST = {1: 90.0, 100: 900.0}
"""Seconds, by the number of symbols."""
EXPONENT = 1.05
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
    """A history of its own on the same sessions: the days of another, drawn in blocks."""
    count = len(bars)
    starts = rng.integers(1, count - BLOCK, size=count // BLOCK + 1)
    days = (starts[:, None] + np.arange(BLOCK)).ravel()[:count]
    before = bars["Close"].to_numpy()[days - 1]
    closes = bars["Close"].to_numpy()[days] / before
    levels = 100 * np.cumprod(closes)
    scaled = bars[PRICES].to_numpy()[days] / before[:, None] * (levels / closes)[:, None]
    return bars.assign(**dict(zip(PRICES, scaled.T, strict=True)), Volume=bars["Volume"].to_numpy()[days])


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
            validation=days.iloc[int(0.7 * len(days))],
            test=days.iloc[int(0.8 * len(days))],
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
    megabytes: float
    """Of the largest process."""

    @property
    def within(self) -> bool:
        """Whether it took no longer than it may."""
        limit = MOST.get(self.symbols, float("inf"))
        return sum(self.seconds.values()) <= limit or sum(self.processor.values()) / CORES <= limit

    def line(self) -> str:
        """In words."""
        parts = ", ".join(f"{verb} {took:.0f}" for verb, took in self.seconds.items())
        processor = sum(self.processor.values())
        return (
            f"{self.symbols} symbols: {sum(self.seconds.values()):.0f} s ({parts}), {processor:.0f} s of processor "
            f"time, largest process {self.megabytes:.0f} MB"
        )


def retrain(bars: pd.DataFrame, count: int, asked: argparse.Namespace) -> Cost:
    """Both verbs once, in a home of their own."""
    forecaster = str(Path(sys.executable).parent / "forecaster")
    took = {}
    with tempfile.TemporaryDirectory() as name:
        run = prepared(Path(name), bars, count, asked)
        environment = {**os.environ, "FORECASTER_HOME": str(Path(name) / "home"), "FORECASTER_RUN": str(run)}
        for verb in VERBS:
            more = ["--workers", str(CORES)] if verb == "retrain" else []
            took[verb] = spend([forecaster, verb, *more, "--json"], environment)
            if took[verb].said.returncode:
                sys.exit(f"{verb} on {count} symbols: {took[verb].said.stderr.strip().splitlines()[-1]}")
    return Cost(
        count,
        {verb: one.seconds for verb, one in took.items()},
        {verb: one.processor for verb, one in took.items()},
        max(one.megabytes for one in took.values()),
    )


def exponent(sizes: list[int], costs: list[float]) -> float:
    """The power with which a cost grows: slope of its logarithm in that of the size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="sample", help="folder of SYMBOL.csv[.gz] files, or sample")
    parser.add_argument("--symbol", default="^GSPC")
    parser.add_argument("--venue", default="XNYS")
    parser.add_argument("--symbols", type=int, nargs="+", default=[1, 10, 100], help="sizes of the universe")
    parser.add_argument("--epochs", type=int, default=200)
    parser.add_argument("--patience", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file that the figures go to")
    asked = parser.parse_args()
    bars, costs = real(asked), []
    for count in sorted(asked.symbols):
        costs.append(retrain(bars, count, asked))
        print(costs[-1].line(), flush=True)
    if asked.json is not None:
        asked.json.write_text(json.dumps([asdict(one) for one in costs], indent=1))
    good = all(one.within for one in costs)
    if len(costs) > 1:
        grown = exponent([one.symbols for one in costs], [sum(one.processor.values()) for one in costs])
        good &= grown <= EXPONENT
        print(f"processor time grows with the power {grown:.2f} of the number of symbols (at most {EXPONENT})")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
