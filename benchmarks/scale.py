"""What does it cost as work grows? `python -m benchmarks.scale [--data FOLDER] [--rounds N]`

Symbols 1 to 500, sessions 1,000 to 20,000, channels 6 to 60, networks and seeds 1 to 8, one dimension at a time: a
snapshot is read and cut into windows, LSTMs are trained for two epochs and sealed, and all are compared with the random
walk (`benchmarks.scale_point`). Markets are simulated from a stated seed, or real daily files under FOLDER, repeated
and cut. Each size has a fresh process, on one thread, whose peak is its own; rounds go through all sizes in turn, and
of each size the median counts. The power of a cost is the slope of its logarithm in that of the size, by least squares,
and between the two largest sizes, where what does not grow counts least.

Exits 0 where processor time grows with at most the power 1.05 of the number of symbols, by either slope; and where
memory grows, as symbols and as sessions do, by at most six bytes a byte of data (facts, windows and the forecasts that
are compared). One, the data plus a constant, was asked: docs/log.md.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.record import RESULTS, write
from benchmarks.scale_growth import HELD, Growth, Size, Took, claims
from benchmarks.scale_world import SEED, calendar, frozen

DIMENSIONS: dict[str, tuple[int, ...]] = {
    "symbols": (1, 10, 100, 500),
    "sessions": (1000, 5000, 20_000),
    "channels": (6, 20, 60),
    "families": (1, 2, 4, 8),
    "seeds": (1, 2, 4, 8),
}
BASE = {"symbols": Size(sessions=1000)}
"""Of the other dimensions; the default of `Size` where nothing is said."""


def measured(size: Size, data: str | None) -> Took:
    """One size, in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        digest = frozen(size, data, calendar(size.sessions), Path(folder))
        command = [sys.executable, "-m", "benchmarks.scale_point", json.dumps(asdict(size)), folder, digest]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Took.read(json.loads(done.stdout.splitlines()[-1]))


def main() -> int:
    """Every size, round after round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder of daily SYMBOL.csv.gz files; simulated where left out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=list(DIMENSIONS), nargs="+", default=list(DIMENSIONS))
    parser.add_argument("--results", type=Path, default=RESULTS / "scale.json")
    asked = parser.parse_args()
    sizes = {name: [replace(BASE.get(name, Size()), **{name: n}) for n in DIMENSIONS[name]] for name in asked.only}
    taken: dict[str, list[list[Took]]] = {name: [[] for _ in of] for name, of in sizes.items()}
    for _ in range(asked.rounds):
        for name, of in sizes.items():
            for place, size in enumerate(of):
                took = measured(size, asked.data)
                taken[name][place].append(took)
                parts = ", ".join(f"{part} {seconds:.2f}" for part, seconds in took.seconds.items())
                text = f"{name} {getattr(size, name):6}: {took.processor:7.2f} s ({parts}), {took.grown_mb:6.0f} MB"
                print(f"{text} beyond {took.before_mb:.0f}, data {took.data_mb:.1f}", flush=True)
    found = [Growth(name, DIMENSIONS[name], tuple(map(tuple, runs))) for name, runs in taken.items()]
    for one in found:
        whole, last = one.exponents
        print(f"{one.dimension}: time grows with the power {whole:.2f}, {last:.2f} at the end")
    said = list(claims(found, HELD))
    for text, holds in said:
        print(f"{'holds' if holds else 'FAILS'}: {text}")
    figures = {"seed": SEED, "data": asked.data and "real", "growth": [one.record() for one in found]}
    write(asked.results, {**figures, "claims": [{"claim": text, "holds": holds} for text, holds in said]})
    return int(not all(holds for _, holds in said))


if __name__ == "__main__":
    sys.exit(main())
