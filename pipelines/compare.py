"""Compare: every recipe on the same origins, in years its refits never saw, beside the random walk."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from forecaster.contract import Floats, Kind
from forecaster.diagnostics.pit import Pit
from forecaster.scores import INTERVALS
from forecaster.significance import Rate, Skill, holm, rate
from forecaster.store.challenges import add_looks
from forecaster.windows import Spans
from pipelines.recipe import Recipe
from pipelines.scoring import Scored, Stage, versus

if TYPE_CHECKING:  # an artifact is scored without waking what trained it
    from pipelines.train import Walked
    from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Row:
    """One model on the leaderboard, calibrated; losses in percent log return, or in the series' unit."""

    name: str
    family: str
    crps: float
    """Mean over sessions, symbols and horizons."""
    crps_1: float
    """One session ahead."""
    crps_raw: float
    """Of the quantiles as the graph gave them."""
    log_score: float | None
    """Mean negative log density of the raw forecast, one session ahead; None for a model without a density."""
    skill: float
    skill_se: float
    dm_p: float
    """One-sided, against the random walk."""
    dm_p_holm: float
    """The same, corrected for all trained models of this comparison."""
    pinball: float
    mae: float
    perplexity: float
    """Of the ten bins that training outcomes fill alike, one session ahead."""
    coverage_50: float
    coverage_80: float
    coverage_90: float
    coverage_95: float
    coverage_80_raw: float
    coverage_95_raw: float
    validation_skill: float
    """On the years that early stopping and the choice of a candidate used."""
    seeds: int
    """Fits that are pooled, in each fold."""
    seed_skills: tuple[float, ...]
    """Skill of each single fit; empty where there is one."""
    seed_skill: float | None
    """Their mean."""
    seed_sd: float | None
    """Their standard deviation."""
    remarks: dict[str, float]
    """What the family has to say of itself at the validation origins: an n-gram's share of contexts never seen."""
    parameters: int
    kilobytes: float
    epochs: int
    train_seconds: float
    """Of all its fits."""
    run_id: str
    digest: str


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
    coverage: dict[str, dict[float, Rate]]
    reliability: dict[str, Floats]
    """Name to [Q]: share of outcomes below each level."""
    pits: dict[str, Pit]
    """Name to the PIT histogram one session ahead."""

    @property
    def unit(self) -> str:
        """Of the losses."""
        return "% log return" if self.kind == "return" else "the series' unit"

    def table(self) -> list[dict[str, Any]]:
        """The leaderboard as plain values."""
        return [asdict(row) for row in self.rows]

    def row(self, name: str) -> Row:
        """The row of a model."""
        return next(row for row in self.rows if row.name == name)


def compare(walked: "Sequence[Walked]", baseline: str, folds: tuple[Spans, ...], kind: Kind) -> Comparison:
    """Score models by rolling origin on the test years, and on the validation years to choose the candidate.

    Arguments:
        walked: Every model, with a refit a fold.
        baseline: Name of the random walk among them.
    """
    test, held_out = Stage.test(folds, kind), Stage.validation(folds, kind)
    scored = {one.name: test.score(one) for one in walked}
    chosen_on = {one.name: held_out.score(one) for one in walked}
    walk = scored[baseline]
    skills = {name: versus(found, walk) for name, found in scored.items()}
    validation = {name: versus(found, chosen_on[baseline]).skill for name, found in chosen_on.items()}
    challengers = [one.name for one in walked if one.name != baseline]
    corrected = dict(zip(challengers, holm([skills[name].p for name in challengers]), strict=True))
    rows = [
        _row(one, scored[one.name], skills[one.name], corrected.get(one.name, 1.0), validation[one.name],
             [versus(test.score(seed), walk).skill for seed in one.seeds])
        for one in walked
    ]  # fmt: skip
    digests = "".join(sorted(trained.artifact.digest for one in walked for trained in one.folds))
    dates = [str(walk.days[edge]) for edge in (0, -1)]
    return Comparison(
        key=hashlib.sha256((digests + "".join(dates)).encode()).hexdigest(),
        rows=tuple(sorted(rows, key=lambda row: -row.skill)),
        candidate=max(challengers or [baseline], key=lambda name: validation[name]),
        baseline=baseline,
        symbols=tuple(samples[0].windows.symbol for samples in test.symbols),
        kind=kind,
        folds=len(folds),
        origins=len(walk.days),
        first=dates[0],
        last=dates[1],
        scored=scored,
        skills=skills,
        coverage={name: covered(test, found) for name, found in scored.items()},
        reliability={name: found.scores.below for name, found in scored.items()},
        pits={name: found.pit for name, found in scored.items()},
    )


def see(workspace: "Workspace", walked: "Sequence[Walked]") -> Comparison:
    """Compare a run's models, and write down whose scores on which test years were seen: the gate counts them."""
    config = workspace.config
    found = compare(walked, config.baseline.name, workspace.folds, config.target.kind)
    recipes = {Recipe.of(config, row.name).digest: row.name for row in found.rows if row.name != found.baseline}
    first, last = (date.fromisoformat(day) for day in (found.first, found.last))
    add_looks(workspace.engine, config.target.key, recipes, first, last, workspace.now)
    return found


def covered(stage: Stage, scored: Scored) -> dict[float, Rate]:
    """Central interval to its realised rate, with an HAC interval over sessions."""
    return {interval: rate(stage.daily(scored.scores.hits[interval])[1]) for interval in INTERVALS}


def _row(
    walked: "Walked", scored: Scored, found: Skill, corrected: float, validation_skill: float, seeds: list[float]
) -> Row:
    scores, artifact = scored.scores, walked.last.artifact
    coverage, raw = (
        {interval: float(np.mean(hits)) for interval, hits in these.hits.items()} for these in (scores, scored.raw)
    )
    return Row(
        name=walked.name,
        family=walked.family,
        crps=float(scores.crps.mean()),
        crps_1=float(scores.crps[:, 0].mean()),
        crps_raw=float(scored.raw.crps.mean()),
        log_score=None if scores.log_score is None else float(scores.log_score[:, 0].mean()),
        skill=found.skill,
        skill_se=found.error,
        dm_p=found.p,
        dm_p_holm=corrected,
        pinball=float(scores.pinball.mean()),
        mae=float(scores.absolute_error.mean()),
        perplexity=scored.perplexity,
        coverage_50=coverage[0.5],
        coverage_80=coverage[0.8],
        coverage_90=coverage[0.9],
        coverage_95=coverage[0.95],
        coverage_80_raw=raw[0.8],
        coverage_95_raw=raw[0.95],
        validation_skill=validation_skill,
        seeds=max(len(seeds), 1),
        seed_skills=tuple(seeds),
        seed_skill=float(np.mean(seeds)) if seeds else None,
        seed_sd=float(np.std(seeds, ddof=1)) if seeds else None,
        remarks=artifact.manifest.remarks,
        parameters=artifact.manifest.parameters,
        kilobytes=round(artifact.kilobytes, 1),
        epochs=artifact.manifest.epochs,
        train_seconds=round(walked.seconds, 2),
        run_id=walked.last.run.tracking_id,
        digest=artifact.digest,
    )
