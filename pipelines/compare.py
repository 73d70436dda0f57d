"""Compare: every recipe on the same origins, in years its refits never saw, beside the random walk."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from forecaster.contract import Floats, Kind
from forecaster.diagnostics.pit import Pit
from forecaster.errors import TooShort
from forecaster.multiple import SIZE, confidence_set, superior
from forecaster.scores import INTERVALS
from forecaster.significance import Rate, Skill, holm, rate
from forecaster.slices import Slice, regime, slices
from forecaster.store.challenges import add_looks
from forecaster.trading import Trading, trade
from forecaster.windows import Spans
from pipelines.engines.base import Workers
from pipelines.leaderboard import Row, Verdict, row_of
from pipelines.recipe import Recipe
from pipelines.scoring import Asked, Daily, Scored, Stage, score_as_asked, versus

if TYPE_CHECKING:  # an artifact is scored without waking what trained it
    from pipelines.train import Walked
    from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Comparison:
    """What a rolling-origin comparison found."""

    key: str
    rows: tuple[Row, ...]
    """Best skill first; the random walk wherever it belongs."""
    candidate: str
    """Name of the model that the validation years chose; the random walk itself is not a candidate."""
    baseline: str
    symbols: tuple[str, ...]
    kind: Kind
    """Of the target."""
    folds: int
    """Refits, each on all that came before its stretch of the test years."""
    origins: int
    """Test sessions, each with the origins of all symbols."""
    first: str
    last: str
    scored: dict[str, Scored]
    """Name to its scores on the test years."""
    skills: dict[str, Skill]
    spa: float
    """P-value of "none of them is better than the random walk", whichever looks best."""
    slices: dict[str, tuple[Slice, ...]]
    """Name to its skill by horizon, symbol, year and volatility regime."""
    trading: Trading | None
    """What the candidate's forecasts of the first symbol would have earned; None for series, and for few sessions."""
    coverage: dict[str, dict[float, Rate]]
    reliability: dict[str, Floats]
    """Name to [Q]: share of outcomes below each level."""
    pits: dict[str, Pit]
    """Name to the PIT histogram one session ahead."""

    @property
    def unit(self) -> str:
        """Of the losses."""
        return "% log return" if self.kind == "return" else "the series' unit"

    @property
    def best(self) -> list[str]:
        """The model confidence set: the best model is among them in nine of ten such samples."""
        return [row.name for row in self.rows if row.mcs > SIZE]

    def table(self) -> list[dict[str, Any]]:
        """The leaderboard as plain values."""
        return [asdict(row) for row in self.rows]

    def record(self) -> dict[str, Any]:
        """What is found besides the leaderboard, as plain values."""
        return {
            "candidate": self.candidate,
            "spa_p": self.spa,
            "may_be_best": self.best,
            "parts": {name: [asdict(one) for one in found] for name, found in self.slices.items()},
            "trading": None if self.trading is None else self.trading.record(),
        }

    def row(self, name: str) -> Row:
        """The row of a model."""
        return next(row for row in self.rows if row.name == name)


def compare(
    walked: "Sequence[Walked]", baseline: str, folds: tuple[Spans, ...], kind: Kind, workers: Workers
) -> Comparison:
    """Score models by rolling origin on the test years, and on the validation years to choose the candidate.

    Arguments:
        walked: Every model, with a refit a fold.
        baseline: Name of the random walk among them.
        workers: Who scores, model by model.
    """
    test, held_out = Stage.test(folds, kind), Stage.validation(folds, kind)
    scored, chosen_on, by_seed = _score(walked, test, held_out, workers)
    walk = scored[baseline]
    skills = {name: versus(found, walk) for name, found in scored.items()}
    validation = {name: versus(found, chosen_on[baseline]).skill for name, found in chosen_on.items()}
    challengers = [one.name for one in walked if one.name != baseline]
    corrected = dict(zip(challengers, holm([skills[name].p for name in challengers]), strict=True))
    losses = {name: found.daily.mean(axis=1) for name, found in scored.items()}
    best = confidence_set(losses, test.outcomes.shape[1], seed=0)
    rows = []
    for one in walked:
        name, seeds = one.name, tuple(versus(found, walk).skill for found in by_seed[one.name])
        verdict = Verdict(skills[name], corrected.get(name, 1.0), best[name], validation[name], seeds)
        rows.append(row_of(one, test, scored[name], verdict))
    candidate = max(challengers or [baseline], key=lambda name: validation[name])
    digests = "".join(sorted(trained.artifact.digest for one in walked for trained in one.folds))
    dates = [str(walk.days[edge]) for edge in (0, -1)]
    return Comparison(
        key=hashlib.sha256((digests + "".join(dates)).encode()).hexdigest(),
        rows=tuple(sorted(rows, key=lambda row: -row.skill)),
        candidate=candidate,
        baseline=baseline,
        symbols=tuple(samples[0].windows.symbol for samples in test.symbols),
        kind=kind,
        folds=len(folds),
        origins=len(walk.days),
        first=dates[0],
        last=dates[1],
        scored=scored,
        skills=skills,
        spa=_superior(losses, baseline, test.outcomes.shape[1]),
        slices={name: _slices(test, found, walk, folds) for name, found in scored.items()},
        trading=_trade(test, scored[candidate], len(challengers)) if kind == "return" else None,
        coverage={name: covered(test, found) for name, found in scored.items()},
        reliability={name: found.scores.below for name, found in scored.items()},
        pits={name: found.pit for name, found in scored.items()},
    )


def _score(
    walked: "Sequence[Walked]", test: Stage, held_out: Stage, workers: Workers
) -> tuple[dict[str, Scored], dict[str, Daily], dict[str, list[Daily]]]:
    """Every model on the test years and on the validation years, and each of its seeds on the test years; all side by
    side, those first that take longest."""
    models = [Asked(one.name, test, one.artifacts) for one in walked]
    seeds = [
        [Asked(f"{one.name} {number}", test, seed.artifacts, brief=True) for number, seed in enumerate(one.seeds)]
        for one in walked
    ]
    briefly = [Asked(one.name, held_out, one.artifacts, brief=True) for one in walked]
    asked = [*reversed(models), *(one for of_one in reversed(seeds) for one in of_one), *briefly]
    found = {(one.name, one.stage is held_out): given for one, given in workers.each(score_as_asked, asked)}
    scored = {one.name: whole for one in walked if isinstance(whole := found[one.name, False], Scored)}
    by_seed = {
        one.name: [found[each.name, False] for each in of_one] for one, of_one in zip(walked, seeds, strict=True)
    }
    return scored, {one.name: found[one.name, True] for one in walked}, by_seed


def see(workspace: "Workspace", walked: "Sequence[Walked]") -> Comparison:
    """Compare a run's models, and write down whose scores on which test years were seen: the gate counts them."""
    config = workspace.config
    found = compare(walked, config.baseline.name, workspace.folds, config.target.kind, workspace.bench.workers)
    recipes = {Recipe.of(config, row.name).digest: row.name for row in found.rows if row.name != found.baseline}
    first, last = (date.fromisoformat(day) for day in (found.first, found.last))
    add_looks(workspace.engine, config.target.key, recipes, first, last, workspace.now)
    return found


def _superior(losses: dict[str, Floats], baseline: str, horizon: int) -> float:
    gains = [losses[baseline] - of for name, of in losses.items() if name != baseline]
    return superior(np.column_stack(gains), horizon, seed=0) if gains else 1.0


def _slices(stage: Stage, scored: Scored, walk: Scored, folds: tuple[Spans, ...]) -> tuple[Slice, ...]:
    symbols = np.repeat([part[0].windows.symbol for part in stage.symbols], stage.counts)
    regimes = np.concatenate(
        [
            regime(part[0].windows, np.concatenate([sample.origins for sample in part]), train.origins)
            for part, train in zip(stage.symbols, folds[0].train, strict=True)
        ]
    )
    return slices(scored.scores.crps, walk.scores.crps, stage.sessions, symbols, regimes)


def _trade(stage: Stage, scored: Scored, tried: int) -> Trading | None:
    part, windows = stage.symbols[0], stage.symbols[0][0].windows
    origins = np.concatenate([sample.origins for sample in part])
    try:
        return trade(windows.sessions, windows.targets[:, 0], origins, scored.quantiles, tried=max(tried, 1), seed=0)
    except TooShort:  # the scores stand without it
        return None


def covered(stage: Stage, scored: Scored) -> dict[float, Rate]:
    """Central interval to its realised rate, with an HAC interval over sessions."""
    return {interval: rate(stage.daily(scored.scores.hits[interval])[1]) for interval in INTERVALS}
