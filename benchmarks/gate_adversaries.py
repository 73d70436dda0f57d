"""Those that must not pass: each is put to the gate beside what would pass without the trick."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.gate_judged import WALK, Bench, as_they_are, failed, put, scored
from benchmarks.gate_power import TRAINING
from benchmarks.gate_worlds import CONSTANT, GJR, Cut, divided, led, market, world
from forecaster.calendars import trading_calendar
from forecaster.contract import LEVELS, MEDIAN, Floats
from forecaster.facts import FIELDS, Facts
from forecaster.families.garch import GarchFamily
from forecaster.families.mlp import MlpFamily
from forecaster.families.naive import NaiveFamily
from forecaster.gate import Decision
from pipelines.config import RunConfig
from pipelines.leaks import lines, search
from pipelines.promote import LEAK_ORIGINS
from pipelines.scoring import Scored
from pipelines.snapshot import windows_of

CUT = Cut(train=2000, validation=500, test=2000, horizon=1)
WIDER = 1.3
"""By how much the tails beyond the 10 and 90 % levels are drawn out."""
CHAMPION = "champion garch"
_WALK, _STILL = NaiveFamily(name="walk"), NaiveFamily(name="still", scale="empirical")
_MLP = MlpFamily(name="mlp", lags=1, hidden=8, dropout=0.0, head="student_t")
_TOMORROW = """import numpy as np
from forecaster.features import feature

@feature(unit="none", warm_up=0)
def tomorrow(panel, subject):
    return np.append(np.diff(np.log(panel.column(subject, "close"))), 0.0)
"""


@dataclass(frozen=True)
class Attempt:
    """One that was put to the gate."""

    title: str
    decision: Decision
    wanted: tuple[str, ...]
    """Questions that it must fail, among others; none for one that should pass, and is here for comparison."""

    @property
    def right(self) -> bool:
        """Whether it was refused for the reason for which it should be; or passed, where it should."""
        return set(self.wanted) <= set(self.failed) if self.wanted else self.decision.passed

    @property
    def failed(self) -> tuple[str, ...]:
        """The questions that it failed."""
        return failed(self.decision)


def attempts(seed: int) -> list[Attempt]:
    """All of them."""
    makers: tuple[Callable[[np.random.Generator], list[Attempt]], ...] = (_shuffled, _leaking, _constant, _champions)
    return [one for number, make in enumerate(makers) for one in make(np.random.default_rng((seed, 4, number)))]


def _shuffled(rng: np.random.Generator) -> list[Attempt]:
    """A channel leads the return; the same with every target put in another's place."""
    true = world(led(rng, CUT.sessions, 0.09), CUT)
    windows, known = true.windows, np.isfinite(true.windows.targets).all(axis=1)
    targets = windows.targets.copy()
    targets[known] = rng.permutation(targets[known])
    decisions = []
    for one in (true, divided(replace(windows, targets=targets), CUT)):
        bench = Bench(one, TRAINING)
        mine, walk = (bench.scored(family) for family in (_MLP, _WALK))
        decisions.append(put(bench.stage, "mlp", mine, {WALK: walk}))
    return [
        Attempt("a channel that leads, as it is", decisions[0], ()),
        Attempt("the same, targets shuffled", decisions[1], (f"better than {WALK}",)),
    ]


def _leaking(rng: np.random.Generator) -> list[Attempt]:
    """A feature that is tomorrow's return, on bars of a random walk: by its scores it is the best there is."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "mine.py").write_text(_TOMORROW, "utf-8")
        config = RunConfig.model_validate(_run(), context=Path(folder))
        facts = _bars(rng, config)
        bench = Bench(divided(windows_of(facts, config, "SIM"), CUT), TRAINING)
        mine, walk = (bench.scored(family) for family in (_MLP, _WALK))
        verdict = search(config, facts, LEAK_ORIGINS)
    blind = put(bench.stage, "mlp", mine, {WALK: walk})
    told = put(bench.stage, "mlp", mine, {WALK: walk}, leak=lines(verdict)[0] if verdict.leaks else None)
    return [
        Attempt("a leaked feature, were it not looked for", blind, ()),
        Attempt("a leaked feature", told, ("nothing from the future",)),
    ]


def _run() -> dict[str, object]:
    return {
        "data": {"symbols": ["SIM"]},
        "target": {"symbols": ["SIM"], "venue": "XNYS", "horizon": CUT.horizon},
        "window": {"context": 64, "burn_in": 32, "channels": ["log_return", "tomorrow"]},
        "features": {"modules": ["mine"]},
        "split": {"validation_from": "2015-01-01", "test_from": "2016-01-01"},
        "models": [_WALK.model_dump(), _MLP.model_dump()],
    }


def _bars(rng: np.random.Generator, config: RunConfig) -> Facts:
    """A random walk's daily bars, each known at the cut-off of its session."""
    calendar = trading_calendar(config.target.venue, date(1995, 1, 1), date(2019, 1, 1))
    count = CUT.sessions + 30
    found = market(rng, count, CONSTANT)
    close = 100 * np.exp(np.cumsum(found.returns))
    values = np.full((count, len(FIELDS)), np.nan)
    ends = {"open": 1.0, "high": np.exp(found.ranges / 2), "low": np.exp(-found.ranges / 2), "close": 1.0}
    for name, factor in ends.items():
        values[:, FIELDS.index(name)] = close * factor
    values[:, FIELDS.index("volume")] = 1e6
    return Facts.of(np.full(count, "SIM"), calendar.sessions[:count], calendar.cutoffs[:count], values)


def _constant(rng: np.random.Generator) -> list[Attempt]:
    """Where volatility is constant the constant forecast is the best; the gate wants one that looks."""
    bench = Bench(world(market(rng, CUT.sessions), CUT), TRAINING)
    mine, walk = (bench.scored(family) for family in (_STILL, _WALK))
    return [Attempt("a constant forecast", put(bench.stage, "still", mine, {WALK: walk}), ("answers to what it sees",))]


def _champions(rng: np.random.Generator) -> list[Attempt]:
    """A GARCH that passes, and then what can be made of it without knowing more."""
    bench = Bench(world(market(rng, CUT.sessions, GJR), CUT), TRAINING)
    stage = bench.stage
    answers = bench.answers(bench.fit(GarchFamily(name="garch", variance="gjr")).model)
    champion, walk = scored(stage, answers), bench.scored(_STILL)
    rivals: Mapping[str, Scored] = {WALK: walk, CHAMPION: champion}
    noise = np.exp(0.01 * rng.standard_normal(answers.test.shape[:2]))[..., None]
    better = f"better than {CHAMPION}"
    wide = replace(answers, before=widened(answers.before), test=widened(answers.test))
    uncalibrated = as_they_are(stage, widened(champion.quantiles), wide.test)
    return [
        Attempt("the champion itself, before it was one", put(stage, "garch", champion, {WALK: walk}), ()),
        Attempt("a copy of the champion", put(stage, "copy", scored(stage, answers), rivals), ("no copy", better)),
        Attempt(
            "a copy with 1 % of noise on its scale",
            put(stage, "copy", scored(stage, replace(answers, test=answers.test * noise)), rivals),
            (better,),
        ),
        Attempt("the champion, tails widened by 30 %", put(stage, "wide", scored(stage, wide), rivals), (better,)),
        Attempt("the same, not calibrated again", put(stage, "wide", uncalibrated, rivals), (better,)),
    ]


def widened(quantiles: Floats) -> Floats:
    """Quantiles [..., Q] beyond the 10 and 90 % levels, as far from the median again by WIDER."""
    levels = np.array(LEVELS)
    outer = (levels < 0.1) | (levels > 0.9)
    median = quantiles[..., MEDIAN : MEDIAN + 1]
    return np.asarray(median + np.where(outer, WIDER, 1.0) * (quantiles - median))
