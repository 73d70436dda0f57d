"""From fitted models to the gate's word, by the product's own parts: `fit`, `Stage`, `calibrate`, `versus`, `judge`.

One thing differs from `forecaster promote`: the quantiles come from the fitted torch module, because to export and load
a graph takes longer than to fit a small model. `exported` goes the whole way, and `benchmarks.gate` checks that the
gate says the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import torch

from benchmarks.gate_worlds import World
from forecaster import gate
from forecaster.calibration import State, calibrate
from forecaster.contract import Floats, Target
from forecaster.diagnostics.pit import pit
from forecaster.families import AnyFamily
from forecaster.families.base import Model
from forecaster.gate import Decision, Evidence
from forecaster.scores import Scores, expected, perplexity
from forecaster.significance import Skill
from forecaster.store.artifacts import Run
from forecaster.training.config import TrainingConfig
from forecaster.training.export import Provenance, export
from forecaster.training.fit import Fitted, fit
from forecaster.training.task import Task
from forecaster.windows import Sample
from pipelines.compare import covered
from pipelines.jobs import Job
from pipelines.promote import JUDGED, same
from pipelines.scoring import Scored, Stage, is_still, versus
from pipelines.train import Trained, Walked

WALK = "the random walk"
NOW = datetime(2026, 1, 5, tzinfo=UTC)
FIRST = gate.allowance([], NOW)
"""What a target's first challenge may spend."""
_CHUNK = 512  # contexts held in memory at once


@dataclass(frozen=True)
class Answers:
    """A model's raw quantiles."""

    before: Floats
    """[M, H, Q] at the validation origins."""
    test: Floats
    """[N, H, Q]."""


@dataclass(frozen=True)
class Bench:
    """Where the models of one world are fitted and judged."""

    world: World
    training: TrainingConfig

    @property
    def task(self) -> Task:
        """What is fitted on."""
        spans = self.world.folds[0]
        return Task(spans.train, spans.validation)

    @property
    def stage(self) -> Stage:
        """The test origins."""
        return Stage.test(self.world.folds, "return")

    @property
    def held_out(self) -> Stage:
        """The validation origins."""
        return Stage.validation(self.world.folds, "return")

    def fit(self, family: AnyFamily) -> Fitted:
        """One fit of a family."""
        torch.set_num_threads(1)  # small networks are slower on two, and two worlds are judged side by side
        return fit(family, self.world.spec, self.training, self.task, seed=self.training.seed)

    def answers(self, model: Model) -> Answers:
        """What a model says at validation and test origins."""
        spans = self.world.folds[0]
        return Answers(_quantiles(model, spans.validation[0]), _quantiles(model, spans.test[0]))

    def scored(self, family: AnyFamily) -> Scored:
        """A family on the test origins, fitted and calibrated."""
        return scored(self.stage, self.answers(self.fit(family).model))

    def exported(self, family: AnyFamily, fitted: Fitted) -> Walked:
        """The model as `forecaster train` hands it over."""
        target = Target(symbols=("SIM",), venue="XNYS", horizon=self.world.spec.horizon)
        provenance = Provenance(family, self.training, target, "0" * 64)
        artifact = export(fitted, self.world.spec, self.task, provenance)
        run = Run("simulated", artifact.digest, "none", 0.0)
        return Walked((Trained(Job.of(family, self.training, self.task), artifact, run, fresh=True),))


def _quantiles(model: Model, sample: Sample) -> Floats:
    chunks = np.split(sample.origins, range(_CHUNK, len(sample.origins), _CHUNK))
    with torch.inference_mode():
        answers = [model(torch.from_numpy(sample.windows.contexts(chunk)))[0] for chunk in chunks]
    return np.concatenate([quantiles.double().numpy() for quantiles in answers])


def scored(stage: Stage, answers: Answers) -> Scored:
    """What `Stage.score` makes of an artifact, made of its quantiles; raw where the stage has nothing before it."""
    samples, outcomes = stage.symbols[0], stage.outcomes
    quantiles = answers.test if stage.before else answers.before
    raw = quantiles
    if stage.before:
        rows = np.concatenate([sample.origins for sample in (*stage.before, *samples)])
        both = np.concatenate((answers.before, answers.test))
        known, _ = calibrate(rows, both, samples[0].windows.targets[rows], State.start(outcomes.shape[1]))
        quantiles = known[-len(outcomes) :]
    return as_they_are(stage, quantiles, raw)


def as_they_are(stage: Stage, quantiles: Floats, raw: Floats) -> Scored:
    """Scores of quantiles [N, H, Q] that are not calibrated any further."""
    scores = Scores.of(quantiles, stage.outcomes, unit=stage.unit)
    days, daily = stage.daily(scores.crps)
    return Scored(
        days,
        daily,
        scores,
        Scores.of(raw, stage.outcomes, unit=stage.unit),
        quantiles[: stage.counts[0]],
        expected(quantiles[:, 0]),
        perplexity(quantiles, stage.outcomes, stage.edges),
        pit(quantiles, stage.outcomes),
        is_still(raw),
    )


def put(
    stage: Stage,
    name: str,
    mine: Scored,
    rivals: Mapping[str, Scored],
    recipes: int = 1,
    alpha: float = FIRST,
    leak: str | None = None,
) -> Decision:
    """A candidate before the gate, against rivals on the same origins."""
    skills: dict[str, Skill] = {rival: versus(mine, theirs) for rival, theirs in rivals.items()}
    coverage = covered(stage, mine)
    return gate.judge(
        Evidence(
            candidate=name,
            skills=skills,
            coverage={interval: coverage[interval] for interval in JUDGED},
            alpha=alpha,
            recipes=recipes,
            behind=0,
            leak=leak,
            constant=mine.still,
            copies=next((rival for rival, theirs in rivals.items() if same(mine, theirs)), None),
        )
    )


def failed(decision: Decision) -> tuple[str, ...]:
    """The questions that it failed."""
    return tuple(check.question for check in decision.checks if not check.passed)
