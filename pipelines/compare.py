"""Compare: every artifact on the same origins, in years it never saw, beside the random walk."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from forecaster.contract import Floats
from forecaster.runtime import Runtime
from forecaster.scores import INTERVALS, Scores
from forecaster.significance import Rate, Skill, holm, rate, skill
from forecaster.windows import Indices, Spans, Windows

if TYPE_CHECKING:  # an artifact is scored without waking what trained it
    from pipelines.train import Trained


@dataclass(frozen=True)
class Row:
    """One model on the leaderboard; losses in percent log return."""

    name: str
    family: str
    crps: float
    """Mean over origins and horizons."""
    crps_1: float
    """One session ahead."""
    skill: float
    skill_se: float
    dm_p: float
    """One-sided, against the random walk."""
    dm_p_holm: float
    """The same, corrected for all trained models of this comparison."""
    pinball: float
    mae: float
    coverage_50: float
    coverage_80: float
    coverage_95: float
    validation_skill: float
    """On the years that early stopping and the choice of a candidate used."""
    parameters: int
    kilobytes: float
    epochs: int
    train_seconds: float
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
    origins: int
    """Test origins."""
    first: str
    last: str
    skills: dict[str, Skill]
    coverage: dict[str, dict[float, Rate]]
    reliability: dict[str, Floats]
    """Name to [Q]: share of outcomes below each level."""

    def table(self) -> list[dict[str, Any]]:
        """The leaderboard as plain values."""
        return [asdict(row) for row in self.rows]

    def row(self, name: str) -> Row:
        """The row of a model."""
        return next(row for row in self.rows if row.name == name)


def compare(trained: "Sequence[Trained]", baseline: str, windows: Windows, spans: Spans) -> Comparison:
    """Score artifacts by rolling origin on the test span, and on the validation span to choose the candidate.

    Arguments:
        baseline: Name of the random walk among `trained`.
    """
    test = {one.name: _scores(one, windows, spans.test) for one in trained}
    chosen_on = {one.name: _scores(one, windows, spans.validation) for one in trained}
    reference = test[baseline].crps
    skills = {name: skill(scores.crps, reference) for name, scores in test.items()}
    validation = {name: skill(scores.crps, chosen_on[baseline].crps).skill for name, scores in chosen_on.items()}
    challengers = [one.name for one in trained if one.name != baseline]
    corrected = dict(zip(challengers, holm([skills[name].p for name in challengers]), strict=True))
    rows = [
        _row(one, test[one.name], skills[one.name], corrected.get(one.name, 1.0), validation[one.name])
        for one in trained
    ]
    digests = "".join(sorted(one.artifact.digest for one in trained))
    dates = [str(windows.sessions[spans.test[edge]]) for edge in (0, -1)]
    return Comparison(
        key=hashlib.sha256((digests + "".join(dates)).encode()).hexdigest(),
        rows=tuple(sorted(rows, key=lambda row: -row.skill)),
        candidate=max(challengers or [baseline], key=lambda name: validation[name]),
        baseline=baseline,
        origins=len(spans.test),
        first=dates[0],
        last=dates[1],
        skills=skills,
        coverage={name: {i: rate(scores.hits[i]) for i in INTERVALS} for name, scores in test.items()},
        reliability={name: scores.below for name, scores in test.items()},
    )


def _scores(trained: "Trained", windows: Windows, origins: Indices) -> Scores:
    quantiles = Runtime(trained.artifact).quantiles(windows.contexts(origins))
    return Scores.of(quantiles, windows.targets[origins])


def _row(trained: "Trained", scores: Scores, found: Skill, corrected: float, validation_skill: float) -> Row:
    coverage = {interval: float(np.mean(hits)) for interval, hits in scores.hits.items()}
    return Row(
        name=trained.name,
        family=trained.family,
        crps=float(scores.crps.mean()),
        crps_1=float(scores.crps[:, 0].mean()),
        skill=found.skill,
        skill_se=found.error,
        dm_p=found.p,
        dm_p_holm=corrected,
        pinball=float(scores.pinball.mean()),
        mae=float(scores.absolute_error.mean()),
        coverage_50=coverage[0.5],
        coverage_80=coverage[0.8],
        coverage_95=coverage[0.95],
        validation_skill=validation_skill,
        parameters=trained.artifact.manifest.parameters,
        kilobytes=round(trained.artifact.kilobytes, 1),
        epochs=trained.artifact.manifest.epochs,
        train_seconds=round(trained.run.train_seconds, 2),
        run_id=trained.run.tracking_id,
        digest=trained.artifact.digest,
    )
