"""The leaderboard's lines: what is told of each model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forecaster.scores import mase
from forecaster.significance import Skill, ic
from pipelines.scoring import Scored, Stage

if TYPE_CHECKING:  # an artifact is scored without waking what trained it
    from pipelines.train import Walked


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
    tail_1: float
    """Pinball loss of the 1 % level."""
    tail_5: float
    mae: float
    """Of the median."""
    rmse: float
    mase: float
    """Absolute error in that of "no change" in training."""
    direction: float
    """Share of origins and horizons at which the median has the outcome's sign."""
    ic: float
    """Correlation of expectation and outcome one session ahead: across symbols, or over time where there is one."""
    rank_ic: float
    mcs: float
    """P-value of its place in the model confidence set: above .1 it may be the best."""
    perplexity: float
    """Of the ten bins that training outcomes fill alike, one session ahead."""
    coverage_50: float
    coverage_80: float
    coverage_90: float
    coverage_95: float
    coverage_80_raw: float
    coverage_95_raw: float
    interval_95: float
    """Interval score of the central 95 %: width, and fines for what falls outside."""
    interval_95_raw: float
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
class Verdict:
    """What the comparison found about a model, beside its own scores."""

    skill: Skill
    """Against the random walk."""
    corrected: float
    """Its p-value, for all that were compared (Holm)."""
    mcs: float
    validation: float
    """Skill on the validation years."""
    seeds: tuple[float, ...]
    """Skill of each single fit, where several are pooled."""

    @property
    def seed_skill(self) -> float | None:
        """Their mean."""
        return float(np.mean(self.seeds)) if self.seeds else None

    @property
    def seed_sd(self) -> float | None:
        """Their standard deviation."""
        return float(np.std(self.seeds, ddof=1)) if self.seeds else None


def row_of(walked: "Walked", stage: Stage, scored: Scored, verdict: Verdict) -> Row:
    """A model's line."""
    scores, before, manifest = scored.scores, scored.raw, walked.last.artifact.manifest
    information = ic(scored.expected, stage.outcomes[:, 0], stage.sessions, 1)
    coverage, raw = ({share: float(np.mean(hits)) for share, hits in of.hits.items()} for of in (scores, before))
    return Row(
        name=walked.name,
        family=walked.family,
        crps=float(scores.crps.mean()),
        crps_1=float(scores.crps[:, 0].mean()),
        crps_raw=float(before.crps.mean()),
        log_score=None if scores.log_score is None else float(scores.log_score[:, 0].mean()),
        skill=verdict.skill.skill,
        skill_se=verdict.skill.error,
        dm_p=verdict.skill.p,
        dm_p_holm=verdict.corrected,
        pinball=scores.pinball,
        tail_1=float(scores.tails[0.01].mean()),
        tail_5=float(scores.tails[0.05].mean()),
        mae=float(scores.absolute_error.mean()),
        rmse=float(np.sqrt(scores.squared_error.mean())),
        mase=float(mase(scores.absolute_error, stage.scale).mean()),
        direction=float(scores.direction.mean()),
        ic=information.ic,
        rank_ic=information.rank_ic,
        mcs=verdict.mcs,
        perplexity=scored.perplexity,
        coverage_50=coverage[0.5],
        coverage_80=coverage[0.8],
        coverage_90=coverage[0.9],
        coverage_95=coverage[0.95],
        coverage_80_raw=raw[0.8],
        coverage_95_raw=raw[0.95],
        interval_95=float(scores.interval_score[0.95].mean()),
        interval_95_raw=float(before.interval_score[0.95].mean()),
        validation_skill=verdict.validation,
        seeds=max(len(verdict.seeds), 1),
        seed_skills=verdict.seeds,
        seed_skill=verdict.seed_skill,
        seed_sd=verdict.seed_sd,
        remarks=manifest.remarks,
        parameters=manifest.parameters,
        kilobytes=round(walked.last.artifact.kilobytes, 1),
        epochs=manifest.epochs,
        train_seconds=round(walked.seconds, 2),
        run_id=walked.last.run.tracking_id,
        digest=walked.last.artifact.digest,
    )
