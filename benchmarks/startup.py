"""How long until a command answers? `python -m benchmarks.startup`

`forecaster --help`, `forecaster forecast ^GSPC` and `forecaster jobs` in a home with a champion, `forecast` also where
the venue's sessions must be worked out (once a year, and after an upgrade of what they are worked out by), and the
service until it is ready, seven times each in turns, beside `python -c pass` and
`python -c 'import numpy, onnxruntime'`. CPU seconds of the whole process, which on an idle machine are its seconds on
the wall; the wall is shown beside (of the service the wall alone). Medians with least and most.

Exits 0 where `--help` takes at most .3 s and `forecast` at most 1.5 s.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete

from benchmarks.answering import OURS, service
from benchmarks.load import BIN, SYMBOL, demo_home, started
from benchmarks.record import RESULTS, write
from forecaster.store.database import connect, sqlite_url
from forecaster.store.schema import venue_rules

ROUNDS = 7
ALLOWED = {"forecaster --help": 0.3, f"forecaster forecast {SYMBOL}": 1.5}
ANEW = f"forecaster forecast {SYMBOL}, sessions anew"


@dataclass(frozen=True)
class Took:
    """Seconds of one command, run after run."""

    command: str
    cpu: list[float]
    """Empty where only the wall was looked at."""
    wall: list[float]

    @property
    def judged(self) -> list[float]:
        return self.cpu or self.wall

    def record(self) -> dict[str, object]:
        """As plain values, seconds."""
        return {"command": self.command, "cpu": spread(self.cpu) if self.cpu else None, "wall": spread(self.wall)}

    @property
    def line(self) -> str:
        low, middle, high = min(self.judged), statistics.median(self.judged), max(self.judged)
        wall = statistics.median(self.wall)
        return f"{self.command:42} {middle:8.2f} {low:8.2f} {high:8.2f} {wall:8.2f}"


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(seconds), "min": min(seconds), "max": max(seconds)}


def run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """CPU and wall seconds of a process."""
    before, begun = os.times(), time.perf_counter()
    subprocess.run(command, env={**os.environ, **environment}, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return cpu, time.perf_counter() - begun


def forget(home: Path) -> None:
    """What the sessions in the store were worked out by, as if it had changed."""
    with connect(sqlite_url(home)).begin() as connection:
        connection.execute(delete(venue_rules))


def measured(home: Path) -> list[Took]:
    """Every command, in turns."""
    ours, python = str(BIN / "forecaster"), str(BIN / "python")
    commands = {
        "python -c pass": (python, "-c", "pass"),
        "python -c 'import numpy, onnxruntime'": (python, "-c", "import numpy, onnxruntime"),
        "forecaster --help": (ours, "--help"),
        ANEW: (ours, "forecast", SYMBOL),
        f"forecaster forecast {SYMBOL}": (ours, "forecast", SYMBOL),
        "forecaster jobs": (ours, "jobs"),
    }
    found = {name: Took(name, [], []) for name in (*commands, "forecaster serve, ready")}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            if name == ANEW:
                forget(home)
            cpu, wall = run(command, {"FORECASTER_HOME": str(home)})
            found[name].cpu.append(cpu)
            found[name].wall.append(wall)
        with started(OURS, "/readyz", service(home)) as one:
            found["forecaster serve, ready"].wall.append(one.ready)
    return list(found.values())


def main() -> int:
    """Start everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS / "startup.json")
    asked = parser.parse_args()
    with demo_home("har") as home:
        found = measured(home)
    print(f"{'command':42} {'median s':>8} {'min':>8} {'max':>8} {'wall':>8}")
    for one in found:
        print(one.line)
    held = True
    for one in found:
        if one.command in ALLOWED:
            took, allowed = statistics.median(one.judged), ALLOWED[one.command]
            held &= took <= allowed
            print(f"{'holds' if took <= allowed else 'FAILS'}: {one.command} in {took:.2f} s (at most {allowed})")
    record = {"rounds": ROUNDS, "at_most": ALLOWED, "commands": [one.record() for one in found]}
    write(asked.results, record)
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())
