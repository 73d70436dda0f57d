"""Cells: the ways to forecast that a study compares, trained on the same origins whatever they are shown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from forecaster.contract import Dates
from forecaster.families import AnyFamily
from forecaster.runtime import Runtime
from forecaster.training.config import TrainingConfig
from forecaster.training.fit import Task
from forecaster.windows import Sample, Spans
from pipelines.jobs import Job
from pipelines.recipe import Recipe
from pipelines.train import Bench, Say, Walked, train_all

_LOOKED_AT = 32  # contexts in which what is new is swapped, to see whether a model reads it
_ROUNDING = 1e-6  # of single precision, relative


@dataclass(frozen=True)
class Way:
    """A cell before it is trained."""

    information: str
    family: str
    """Name of the model in the study's file."""
    tuned: bool
    model: AnyFamily
    """By its name in the comparison."""
    training: TrainingConfig

    @classmethod
    def written(cls, information: str, model: AnyFamily, training: TrainingConfig) -> "Way":
        """As it comes: with the settings of the study's file."""
        return cls(information, model.name, False, model, training)

    @classmethod
    def searched(cls, information: str, model: AnyFamily, training: TrainingConfig) -> "Way":
        """With the settings that a search found."""
        return cls(information, model.name, True, model.model_copy(update={"name": f"{model.name} tuned"}), training)

    def keeps(self, families: Sequence[AnyFamily], training: TrainingConfig) -> bool:
        """Whether its settings are those of the study's file."""
        renamed = self.model.model_copy(update={"name": self.family})
        return renamed in families and self.training == training

    def recipe(self, bench: Bench) -> Recipe:
        """What the gate would judge."""
        config = bench.config
        return Recipe(
            model=self.model, training=self.training, window=config.window, features=config.features.digest,
            refit_every=config.split.refit_every,
        )  # fmt: skip


def even(every: Sequence[tuple[Spans, ...]]) -> list[tuple[Spans, ...]]:
    """Folds of each information set with the origins that all of them have.

    A set with long warm-ups starts later. Without this, one that shows less would be trained on more.
    """
    return [
        tuple(_even(spans, others) for spans, others in zip(mine, zip(*every, strict=True), strict=True))
        for mine in every
    ]


def _even(mine: Spans, all_sets: Sequence[Spans]) -> Spans:
    parts = {
        part: tuple(
            _kept(sample, [_sessions(getattr(other, part)[number]) for other in all_sets])
            for number, sample in enumerate(getattr(mine, part))
        )
        for part in ("train", "validation", "test")
    }
    return Spans(**parts)


def _kept(sample: Sample, sessions: Sequence[Dates]) -> Sample:
    common = reduce(np.intersect1d, sessions)
    return replace(sample, origins=sample.origins[np.isin(_sessions(sample), common)])


def _sessions(sample: Sample) -> Dates:
    return sample.windows.sessions[sample.origins]


def train_ways(bench: Bench, folds: Sequence[Spans], ways: Sequence[Way], say: Say) -> tuple[Walked, list[Walked]]:
    """The random walk and all ways of one information set, side by side."""
    config = bench.config
    stated = [(config.baseline, config.training), *((way.model, way.training) for way in ways)]
    jobs = [
        Job.of(model, training, Task(spans.train, spans.validation)) for spans in folds for model, training in stated
    ]
    trained = train_all(bench, jobs, say)
    walk, *others = (Walked(tuple(trained[number :: len(stated)])) for number in range(len(stated)))
    return walk, others


def reads_more(walked: Walked, spans: Spans, least: int) -> bool:
    """Whether a model's answers depend on any channel but the first `least`; asked at validation origins.

    The channels beyond are given the values of another time.
    """
    sample = spans.validation[0]
    context = sample.windows.contexts(sample.origins[-_LOOKED_AT:])
    other = context.copy()
    other[..., least:] = context[::-1, ..., least:]
    runtime = Runtime(walked.last.artifact)
    answers = runtime.quantiles(context)
    moved = np.abs(answers - runtime.quantiles(other)).max()
    return bool(moved > _ROUNDING * np.abs(answers).max())
