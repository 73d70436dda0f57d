"""The models of `benchmarks.accuracy`: the frozen recipe, and forecasts of it from exported artifacts.

Nothing here is chosen at run time: what depends on the data is the number of epochs, by the rule of `epochs`.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np

from forecaster.components import Component
from forecaster.contract import Dates, Floats, Target, WindowSpec
from forecaster.errors import TooShort
from forecaster.facts import Facts
from forecaster.families import AnyFamily
from forecaster.families.base import Spec
from forecaster.families.garch import GarchFamily
from forecaster.families.har import HarFamily
from forecaster.families.lstm import LstmFamily
from forecaster.families.naive import NaiveFamily
from forecaster.families.pool import Pool
from forecaster.runtime import Runtime
from forecaster.snapshot import read_snapshot
from forecaster.training.config import TrainingConfig
from forecaster.training.export import Provenance, export
from forecaster.training.fit import Fitted, fit
from forecaster.training.task import Task
from forecaster.windows import Indices, Sample, Windows
from pipelines.config import DataConfig, RunConfig, SplitConfig
from pipelines.home import Home
from pipelines.snapshot import windows_of
from pipelines.sources.files import FilesSource
from pipelines.sources.sample import SampleSource
from pipelines.workspace import Workspace

HORIZON = 1
ECONOMETRIC: tuple[AnyFamily, ...] = (
    GarchFamily(name="garch-t"),
    GarchFamily(name="gjr-skewt", variance="gjr", distribution="skewt"),
    GarchFamily(name="egarch-t", variance="egarch"),
    HarFamily(name="har", range="garman_klass", leverage=True),
)
ECONOMETRIC_WINDOW = WindowSpec(context=256, burn_in=32, channels=("log_return", "log_range", "open_return"))
NETWORK = LstmFamily(name="network", hidden=16, dropout=0.3, head="johnson_su", sizes=("log_return", "garman_klass"))
OWN = ("log_return", "log_range", "close_location", "garman_klass", "volume_change")
OTHERS = ("log_return(others)", "garman_klass(others)")
CONTEXT, BURN_IN = 128, 32
TRAINING = TrainingConfig(
    seed=0, seeds=5, batch=16, learning_rate=3e-3, schedule="constant", weight_decay=1e-4, clip=1.0
)
STEPS = 240
"""Optimiser steps of a fit, whatever the length of the data."""
POOLED = ("gjr-skewt", "egarch-t", "har")
"""The econometric pool; the network joins them in the pool that is claimed. Weights are equal."""


def protocol() -> str:
    """Digest of everything that was chosen."""
    chosen = {
        "models": [family.model_dump(mode="json") for family in (*ECONOMETRIC, NETWORK)],
        "windows": [ECONOMETRIC_WINDOW.model_dump(mode="json"), OWN, OTHERS, CONTEXT, BURN_IN],
        "training": TRAINING.model_dump(mode="json"),
        "steps": STEPS,
        "horizon": HORIZON,
        "pooled": POOLED,
    }
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Forecasts:
    """One model's forecasts of one symbol in the order of time, as its artifacts answered."""

    sessions: Dates
    """[N] of the outcomes."""
    outcomes: Floats
    """[N] log returns."""
    density: tuple[Component, ...]
    parameters: Floats
    """[N, P]."""
    quantiles: Floats
    """[N, Q]."""
    rough: bool = False
    """Whether the quantiles only say where about the distribution lies."""

    def at(self, sessions: Dates) -> "Forecasts":
        """Those of some of the sessions."""
        rows = np.isin(self.sessions, sessions)
        return replace(
            self,
            sessions=self.sessions[rows],
            outcomes=self.outcomes[rows],
            parameters=self.parameters[rows],
            quantiles=self.quantiles[rows],
        )


@dataclass(frozen=True)
class Market:
    """What is forecast, from a snapshot of its own."""

    facts: Facts
    snapshot: str
    data: DataConfig
    venue: str
    test_from: date
    until: date
    """Outcomes dated in [test_from, until) are scored; nothing dated from test_from on is fitted on."""

    @property
    def symbols(self) -> tuple[str, ...]:
        return self.data.symbols

    @classmethod
    def of(cls, home: Path, data: DataConfig, venue: str, span: tuple[date, date | None], now: datetime) -> "Market":
        """Fetch into an empty home and freeze."""
        test_from, until = span
        run = _run(data, Target(symbols=data.symbols, venue=venue, horizon=HORIZON), ECONOMETRIC_WINDOW)
        workspace = Workspace(Home(home), run, now)
        list(workspace.fetcher({}, lambda: now).fetch(data.symbols, ()))
        digest = workspace.snapshot.digest
        workspace.engine.dispose()
        facts = read_snapshot(workspace.home.snapshots, digest)
        newest = facts.date.max().astype("datetime64[D]").item()
        return cls(facts, digest, data, venue, test_from, until or newest + timedelta(days=1))

    def windows(self, target: Target, window: WindowSpec, symbol: str) -> Windows:
        """The product's own way from facts to windows."""
        return windows_of(self.facts, _run(self.data, target, window), symbol)

    def years(self) -> Iterator[tuple[date, date]]:
        """The scored span, cut at each turn of the year."""
        edges = [date(year, 1, 1) for year in range(self.test_from.year + 1, self.until.year + 1)]
        edges = [self.test_from, *(edge for edge in edges if self.test_from < edge < self.until), self.until]
        yield from pairwise(edges)


def bars(folder: str, symbols: Sequence[str]) -> DataConfig:
    """What is fetched: the sample, or a folder of files."""
    source = SampleSource() if folder == "sample" else FilesSource(folder=Path(folder).absolute())
    return DataConfig(symbols=tuple(symbols), bars=source)


def _run(data: DataConfig, target: Target, window: WindowSpec) -> RunConfig:
    """A run file with this target and window; its split and its model are not used."""
    split = SplitConfig(validation_from=date(1900, 1, 1), test_from=date(1900, 1, 2))
    return RunConfig(data=data, target=target, window=window, split=split, models=(NaiveFamily(name="naive"),))


def dated(windows: Windows, first: date | None, until: date) -> Indices:
    """Origins whose outcome is dated in [first, until).

    Raises:
        TooShort: There is none.
    """
    origins = windows.span(None, None)
    sessions = windows.sessions[origins + HORIZON]
    keep = sessions < np.datetime64(until)
    if first is not None:
        keep &= sessions >= np.datetime64(first)
    if not keep.any():
        raise TooShort(f"outcomes of {windows.symbol} from {first or 'the start'} to {until}", 0, 1)
    return origins[keep]


def epochs(samples: Sequence[Sample], window: WindowSpec, steps: int = STEPS) -> int:
    """Passes that make so many optimiser steps, by the mean number of blocks that a random offset cuts."""
    keep = window.supervised
    blocks = sum((len(sample.origins) + keep - 1) / keep for sample in samples)
    return max(1, round(steps / math.ceil(blocks / TRAINING.batch)))


def single(market: Market, family: AnyFamily, symbol: str) -> Forecasts:
    """An econometric model of one symbol, estimated anew for each year on all that lies before it."""
    target = Target(symbols=(symbol,), venue=market.venue, horizon=HORIZON)
    windows = market.windows(target, ECONOMETRIC_WINDOW, symbol)
    spec, parts = Spec(ECONOMETRIC_WINDOW, HORIZON), []
    for first, until in market.years():
        task = Task((Sample(windows, dated(windows, None, first)),))
        fitted = fit(family, spec, TRAINING, task, seed=TRAINING.seed)
        artifact = export(fitted, spec, task, Provenance(family, TRAINING, target, market.snapshot))
        parts.append(_answers(Runtime(artifact), windows, dated(windows, first, until)))
    return _one_after_the_other(parts)


def network(market: Market, seeds: int = TRAINING.seeds, steps: int = STEPS) -> dict[str, Forecasts]:
    """The network, by symbol: one for all of them, fitted once on what lies before `test_from`, its seeds pooled."""
    target = Target(symbols=market.symbols, venue=market.venue, horizon=HORIZON)
    channels = OWN + (OTHERS if len(market.symbols) > 1 else ())
    window = WindowSpec(context=CONTEXT, burn_in=BURN_IN, channels=channels)
    universe = [market.windows(target, window, symbol) for symbol in market.symbols]
    task = Task(tuple(Sample(windows, dated(windows, None, market.test_from)) for windows in universe))
    training = TRAINING.model_copy(update={"seeds": seeds, "epochs": epochs(task.train, window, steps)})
    spec = Spec(window, HORIZON, symbols=len(market.symbols))
    numbers = range(training.seed, training.seed + seeds)
    members = [fit(NETWORK, spec, training, task, seed=seed).model for seed in numbers]
    pooled = Fitted(Pool(members).eval(), training.epochs)
    runtime = Runtime(export(pooled, spec, task, Provenance(NETWORK, training, target, market.snapshot)))
    return {
        windows.symbol: _answers(runtime, windows, dated(windows, market.test_from, market.until))
        for windows in universe
    }


def _answers(runtime: Runtime, windows: Windows, origins: Indices) -> Forecasts:
    quantiles, parameters = runtime.distributions(windows.contexts(origins))
    if parameters is None:
        raise TypeError(f"{runtime.manifest.name} has no density to score")
    return Forecasts(
        windows.sessions[origins + HORIZON],
        windows.targets[origins, 0],
        runtime.manifest.density,
        parameters[:, 0],
        quantiles[:, 0],
    )


def _one_after_the_other(parts: Sequence[Forecasts]) -> Forecasts:
    return replace(
        parts[0],
        sessions=np.concatenate([part.sessions for part in parts]),
        outcomes=np.concatenate([part.outcomes for part in parts]),
        parameters=np.concatenate([part.parameters for part in parts]),
        quantiles=np.concatenate([part.quantiles for part in parts]),
    )
