"""Compare: every artifact on the same origins, in years it never saw, beside the random walk."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from forecaster.contract import Dates, Floats, Kind
from forecaster.densities import log_density
from forecaster.diagnostics.pit import Pit, pit
from forecaster.runtime import Runtime
from forecaster.scores import INTERVALS, PERCENT, Scores, perplexity
from forecaster.significance import Rate, Skill, holm, rate, skill
from forecaster.windows import Sample, Spans

if TYPE_CHECKING:  # an artifact is scored without waking what trained it
    from pipelines.train import Trained


@dataclass(frozen=True)
class Row:
    """One model on the leaderboard; losses in percent log return, or in the series' unit."""

    name: str
    family: str
    crps: float
    """Mean over sessions, symbols and horizons."""
    crps_1: float
    """One session ahead."""
    log_score: float | None
    """Mean negative log density, one session ahead; None for a model without a density."""
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
    validation_skill: float
    """On the years that early stopping and the choice of a candidate used."""
    seeds: int
    """Fits that are pooled."""
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
    origins: int
    """Test sessions, each with the origins of all symbols."""
    first: str
    last: str
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


def compare(trained: "Sequence[Trained]", baseline: str, spans: Spans, kind: Kind) -> Comparison:
    """Score artifacts by rolling origin on the test span, and on the validation span to choose the candidate.

    Arguments:
        baseline: Name of the random walk among `trained`.
    """
    test, held_out = (_Stage.of(samples, spans.train, kind) for samples in (spans.test, spans.validation))
    scored = {one.name: test.score(one) for one in trained}
    chosen_on = {one.name: held_out.score(one) for one in trained}
    skills = {name: test.skill(scores, scored[baseline]) for name, scores in scored.items()}
    validation = {name: held_out.skill(scores, chosen_on[baseline]).skill for name, scores in chosen_on.items()}
    challengers = [one.name for one in trained if one.name != baseline]
    corrected = dict(zip(challengers, holm([skills[name].p for name in challengers]), strict=True))
    rows = [
        _row(one, scored[one.name], skills[one.name], corrected.get(one.name, 1.0), validation[one.name],
             [test.skill(test.score(seed), scored[baseline]).skill for seed in one.seeds])
        for one in trained
    ]  # fmt: skip
    digests = "".join(sorted(one.artifact.digest for one in trained))
    dates = [str(test.sessions.min()), str(test.sessions.max())]
    return Comparison(
        key=hashlib.sha256((digests + "".join(dates)).encode()).hexdigest(),
        rows=tuple(sorted(rows, key=lambda row: -row.skill)),
        candidate=max(challengers or [baseline], key=lambda name: validation[name]),
        baseline=baseline,
        symbols=tuple(sample.windows.symbol for sample in spans.test),
        kind=kind,
        origins=len(np.unique(test.sessions)),
        first=dates[0],
        last=dates[1],
        skills=skills,
        coverage={
            name: {i: rate(test.daily(scores.scores.hits[i])) for i in INTERVALS} for name, scores in scored.items()
        },
        reliability={name: scores.scores.below for name, scores in scored.items()},
        pits={name: scores.pit for name, scores in scored.items()},
    )


@dataclass(frozen=True)
class _Scored:
    """A model's scores on a stage."""

    scores: Scores
    perplexity: float
    pit: Pit


@dataclass(frozen=True)
class _Stage:
    """Origins of all symbols that every model is scored on."""

    samples: tuple[Sample, ...]
    sessions: Dates
    """[N] of the origins, symbol after symbol."""
    outcomes: Floats
    """[N, H]."""
    edges: Floats
    """[9] between the ten bins that training outcomes one session ahead fill alike."""
    unit: float

    @classmethod
    def of(cls, samples: tuple[Sample, ...], train: tuple[Sample, ...], kind: Kind) -> Self:
        before = np.concatenate([sample.windows.targets[sample.origins, 0] for sample in train])
        return cls(
            samples,
            np.concatenate([sample.windows.sessions[sample.origins] for sample in samples]),
            np.concatenate([sample.windows.targets[sample.origins] for sample in samples]),
            np.quantile(before, np.arange(1, 10) / 10),
            PERCENT if kind == "return" else 1.0,
        )

    def score(self, trained: "Trained") -> _Scored:
        runtime, density = Runtime(trained.artifact), trained.artifact.manifest.density
        answers = [runtime.distributions(sample.windows.contexts(sample.origins)) for sample in self.samples]
        quantiles = np.concatenate([quantiles for quantiles, _ in answers])
        parameters = [parameters for _, parameters in answers if parameters is not None]
        logs = log_density(density, np.concatenate(parameters), self.outcomes) if parameters else None
        scores = Scores.of(quantiles, self.outcomes, logs, self.unit)
        return _Scored(scores, perplexity(quantiles, self.outcomes, self.edges), pit(quantiles, self.outcomes))

    def skill(self, scored: _Scored, reference: _Scored) -> Skill:
        """Symbols are averaged by session first: they move together, and only sessions follow each other in time."""
        return skill(self.daily(scored.scores.crps), self.daily(reference.scores.crps))

    def daily(self, scores: Floats) -> Floats:
        """Mean over the symbols of each session: [N, H] -> [D, H], by date."""
        days, at, count = np.unique(self.sessions, return_inverse=True, return_counts=True)
        sums = np.zeros((len(days), scores.shape[1]))
        np.add.at(sums, at, scores)
        return sums / count[:, None]


def _row(
    trained: "Trained", scored: _Scored, found: Skill, corrected: float, validation_skill: float, seeds: list[float]
) -> Row:
    scores = scored.scores
    coverage = {interval: float(np.mean(hits)) for interval, hits in scores.hits.items()}
    return Row(
        name=trained.name,
        family=trained.family,
        crps=float(scores.crps.mean()),
        crps_1=float(scores.crps[:, 0].mean()),
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
        validation_skill=validation_skill,
        seeds=max(len(seeds), 1),
        seed_skills=tuple(seeds),
        seed_skill=float(np.mean(seeds)) if seeds else None,
        seed_sd=float(np.std(seeds, ddof=1)) if seeds else None,
        remarks=trained.artifact.manifest.remarks,
        parameters=trained.artifact.manifest.parameters,
        kilobytes=round(trained.artifact.kilobytes, 1),
        epochs=trained.artifact.manifest.epochs,
        train_seconds=round(trained.seconds, 2),
        run_id=trained.run.tracking_id,
        digest=trained.artifact.digest,
    )
