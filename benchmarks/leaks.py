"""How many planted leaks does `check-leaks` find? `python -m benchmarks.leaks [--origins N --leaks N --seed N]`

`--data FOLDER --symbol S --venue V` looks in other bars (files SYMBOL.csv[.gz]) than the demo's.

Random leaks of several kinds are planted as features of the demo's run and looked for on its real data: some always
look ahead, some on certain days or after rare events only, some by a hair. Beside them stand all features that ship,
of every subject, none of which may be named. Exits 0 where at least 95 % are found and there is no false alarm.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np

from forecaster.contract import Floats, Target
from forecaster.facts import Facts
from forecaster.features import FEATURES
from forecaster.leaks import Dated, View, find_leaks, sessions_of, spread_origins
from forecaster.panel import Panel, build_panel
from forecaster.store.database import connect, sqlite_url
from forecaster.store.history import read_facts
from forecaster.store.migrate import migrate
from pipelines.config import DataConfig, RunConfig, load_config
from pipelines.fetch import Fetcher
from pipelines.reading import demo_path
from pipelines.sources.base import Surroundings
from pipelines.sources.files import FilesSource
from pipelines.venue import calendar_of

SHARE = 0.95
NOW = datetime(2025, 6, 1, tzinfo=UTC)

Column = Callable[[Panel], Floats]


def run_of(asked: argparse.Namespace) -> RunConfig:
    """The demo's run, on other data if they are asked for: the target, and one other symbol of the folder."""
    config = load_config(demo_path())
    if asked.data == "sample":
        return config
    folder = Path(asked.data)
    others = sorted({path.name.removesuffix(".csv.gz") for path in folder.glob("*.csv.gz")} - {asked.symbol})
    data = DataConfig(symbols=(asked.symbol, *others[:1]), bars=FilesSource(folder=folder))
    return config.model_copy(
        update={"data": data, "target": Target(symbols=(asked.symbol,), venue=asked.venue, horizon=2)}
    )


def facts_of(config: RunConfig) -> Facts:
    """The run's data, through a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        engine = connect(sqlite_url(Path(folder)))
        migrate(engine)
        around = Surroundings(config.target.venue, Path(folder), {})
        fetcher = Fetcher(engine, config.data.bars.open(around), config.data.macro.open(around), clock=lambda: NOW)
        list(fetcher.fetch(config.data.symbols, config.data.series))
        facts = read_facts(engine, NOW)
        engine.dispose()
    return facts


def _returns(panel: Panel, subject: str, field: str) -> Floats:
    column = np.nan_to_num(panel.column(subject, field), nan=1.0)
    logs = np.log(np.maximum(column, 1e-9))
    return np.diff(logs, prepend=logs[0])


def _ahead(column: Floats, sessions: int) -> Floats:
    return np.concatenate((column[sessions:], np.zeros(sessions)))[: len(column)]


def _days(rng: np.random.Generator, years: range) -> tuple[str, Column]:
    """On which rows a leak looks ahead."""
    weekday, year, share = int(rng.integers(5)), int(rng.choice(years)), rng.choice([0.9, 0.95, 0.98, 0.99])
    month, rare = int(rng.integers(1, 13)), int(rng.choice([20, 50, 100, 200]))
    choices: dict[str, Column] = {
        "always": lambda panel: np.ones(len(panel.sessions)),
        f"weekday {weekday}": lambda panel: (panel.sessions.astype(int) + 3) % 7 == weekday,
        f"in {year}": lambda panel: panel.sessions.astype("datetime64[Y]").astype(int) + 1970 == year,
        f"in month {month}": lambda panel: panel.sessions.astype("datetime64[M]").astype(int) % 12 == month - 1,
        "month end": lambda panel: np.diff(panel.sessions.astype("datetime64[M]").astype(int), append=-1) != 0,
        f"range in its top {1 - share:.0%}": lambda panel: _wide(panel, 1 - share),
        "after a fall of 4 %": lambda panel: _returns(panel, panel.symbol, "close") < -0.04,
        f"one session in {rare}": lambda panel: panel.sessions.astype(int) * 2654435761 % 2**32 % rare == 0,
        "before a hole": lambda panel: np.append(panel.holes[1:], False),
        "at a hole": lambda panel: panel.holes,
    }
    name = str(rng.choice(list(choices)))
    return name, choices[name]


def _wide(panel: Panel, share: float) -> Floats:
    """Where the range is among the widest so far, by a threshold that is fixed beforehand."""
    limit = {0.1: 0.025, 0.05: 0.031, 0.02: 0.042, 0.01: 0.053}[round(share, 2)]
    return np.log(panel.column(panel.symbol, "high") / panel.column(panel.symbol, "low")) > limit


def peek(rng: np.random.Generator, subjects: Sequence[str], years: range) -> tuple[str, Column]:
    """A column of some subject some sessions later, on some days, to some size."""
    steps = int(rng.choice([1, 1, 1, 2, 5, 21, 60]))
    subject = str(rng.choice(list(subjects)))
    field = str(rng.choice(["close", "high", "low", "volume", "open"]))
    size = float(rng.choice([1.0, 1e-3, 1e-12]))
    when, days = _days(rng, years)

    def column(panel: Panel) -> Floats:
        other = _returns(panel, subject, field)
        return _returns(panel, panel.symbol, "close") + size * days(panel) * _ahead(other, steps)

    return f"{field} of {subject} {steps} ahead x {size:g}, {when}", column


def fit(rng: np.random.Generator) -> tuple[str, Column]:
    """Something estimated from the whole sample."""
    field = str(rng.choice(["close", "volume", "high"]))
    level = float(rng.uniform(0.01, 0.99))
    width = int(rng.choice([3, 5, 11, 21, 63]))
    keep = float(rng.uniform(0.05, 0.5))

    def of(panel: Panel) -> Floats:
        return _returns(panel, panel.symbol, field)

    def smooth(panel: Panel) -> Floats:
        spectrum = np.fft.rfft(of(panel))
        spectrum[int(keep * len(spectrum)) :] = 0
        return np.fft.irfft(spectrum, len(panel.sessions))

    choices: dict[str, Column] = {
        "z-score": lambda panel: (of(panel) - of(panel).mean()) / of(panel).std(),
        "min-max": lambda panel: of(panel) / np.ptp(of(panel)),
        "rank": lambda panel: np.argsort(np.argsort(of(panel))) / len(panel.sessions),
        f"above quantile {level:.2f}": lambda panel: np.asarray(of(panel) > np.quantile(of(panel), level), dtype=float),
        f"clipped at quantile {level:.2f}": lambda panel: np.minimum(of(panel), np.quantile(of(panel), level)),
        f"centred mean of {width}": lambda panel: np.convolve(of(panel), np.ones(width) / width, mode="same"),
        f"low pass {keep:.2f}": smooth,
        "gradient": lambda panel: np.gradient(of(panel)),
        "trend": lambda panel: np.polyval(
            np.polyfit(np.arange(len(of(panel))), of(panel), 2), np.arange(len(of(panel)))
        ),
        "length": lambda panel: np.arange(len(panel.sessions)) / len(panel.sessions),
    }
    name = str(rng.choice(list(choices)))
    return f"{name} of {field}", choices[name]


def fill(rng: np.random.Generator) -> tuple[str, Column]:
    """A gap filled from what came after it."""
    field = str(rng.choice(["close", "open", "high", "low"]))

    def over(panel: Panel) -> Floats:
        column, rows = panel.column(panel.symbol, field), np.arange(len(panel.sessions))
        there = np.isfinite(column)
        return np.interp(rows, rows[there], column[there])

    def quiet(panel: Panel) -> Floats:
        volume, rows = np.nan_to_num(panel.column(panel.symbol, "volume")), np.arange(len(panel.sessions))
        following = np.minimum.accumulate(np.where(volume > 0, rows, len(rows))[::-1])[::-1]
        return np.append(volume, 0.0)[following]

    def cash(panel: Panel) -> Floats:
        return np.cumsum(panel.dividends(panel.symbol)[::-1])[::-1]

    def adjusted(panel: Panel) -> Floats:
        shares = panel.factors.get(panel.symbol, np.ones(len(panel.sessions)))
        return panel.column(panel.symbol, field) / shares[-1]

    choices: dict[str, Column] = {"interpolated": over, "volume filled back": quiet, "cash": cash, "adjusted": adjusted}
    name = str(rng.choice(list(choices)))
    return f"{name}, {field}", choices[name]


def planted(count: int, seed: int, subjects: Sequence[str], years: range) -> list[tuple[str, str, Column]]:
    """So many random leaks: kind, what it does, column."""
    rng = np.random.default_rng(seed)
    kinds = {"peek": partial(peek, subjects=subjects, years=years), "fit": fit, "fill": fill}
    drawn = [str(rng.choice(list(kinds), p=[0.6, 0.25, 0.15])) for _ in range(count)]
    return [(kind, *kinds[kind](rng)) for kind in drawn]


def views_of(config: RunConfig, facts: Facts, leaks: list[tuple[str, str, Column]]) -> list[View]:
    """A view of each leak by itself, and one of all that ships, of every subject that is there from the start."""
    symbol = config.target.symbols[0]
    calendar = calendar_of(facts, config, symbol)
    start = facts.about(symbol).known_at.min()
    subjects = [
        name for name in (*config.data.symbols, *config.data.series) if facts.about(name).known_at.min() <= start
    ]
    last: list[tuple[Facts, Panel]] = []  # a panel a world is enough

    def panel_of(facts: Facts) -> Panel:
        if not last or last[0][0] is not facts:
            last[:] = [(facts, build_panel(facts, symbol, subjects, calendar))]
        return last[0][1]

    def leak(number: int, facts: Facts) -> Dated:
        panel = panel_of(facts)
        return Dated((str(number),), panel.sessions, leaks[number][2](panel)[:, None])

    def shipped(facts: Facts) -> Dated:
        panel = panel_of(facts)
        columns = {f"{name}({subject})": feature(panel, subject) for subject in subjects
                   for name, feature in FEATURES.items()}  # fmt: skip
        return Dated(tuple(columns), panel.sessions, np.column_stack(list(columns.values())))

    return [*(partial(leak, number) for number in range(len(leaks))), shipped]


def main() -> int:
    """Plant, look, count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--origins", type=int, default=400)
    parser.add_argument("--leaks", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", default="sample", help="folder of SYMBOL.csv.gz files, or sample")
    parser.add_argument("--symbol", default="^GSPC")
    parser.add_argument("--venue", default="XNYS")
    asked = parser.parse_args()
    config = run_of(asked)
    facts = facts_of(config)
    dates = facts.about(config.target.symbols[0]).date.astype("datetime64[Y]").astype(int) + 1970
    years = range(int(dates.min()), int(dates.max()) + 1)
    leaks = planted(asked.leaks, asked.seed, config.data.symbols, years)
    symbol = config.target.symbols[0]
    calendar = calendar_of(facts, config, symbol)
    origins = spread_origins(sessions_of(facts, symbol, calendar), asked.origins, asked.seed)
    start = time.monotonic()
    views = views_of(config, facts, leaks)
    found = find_leaks(views, facts, symbol, calendar, origins, asked.seed)
    named = {leak.channel for leak in found.leaks}
    caught = [str(number) in named for number in range(len(leaks))]
    for kind in ("peek", "fit", "fill"):
        of_kind = [hit for hit, (which, _, _) in zip(caught, leaks, strict=True) if which == kind]
        print(f"{kind:5} planted {len(of_kind):4}  found {sum(of_kind):4}")
    for hit, (_, what, _) in zip(caught, leaks, strict=True):
        if not hit:
            print(f"missed: {what}")
    false = sorted(name for name in named if not name.isdigit())
    shipped = len(views[-1](facts).names)
    print(f"false alarms: {len(false)} of {shipped} shipped channels {' '.join(false[:5])}")
    share = sum(caught) / len(leaks)
    print(
        f"leaks found: {share:.1%} of {len(leaks)} (at least {SHARE:.0%}) at {found.origins} origins, "
        f"{found.comparisons} comparisons, {time.monotonic() - start:.0f} s"
    )
    return int(share < SHARE or bool(false))


if __name__ == "__main__":
    sys.exit(main())
