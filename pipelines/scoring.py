"""Scoring: artifacts at the origins of a stage, each fold's by its own refit, raw and calibrated.

What is scored is what would have been served: the quantiles of the exported graph, shifted by what had been scored of
the same model before (`forecaster.calibration`), at the earlier origins of this stage and, first, of the years before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from forecaster.artifact import Artifact
from forecaster.calibration import calibrate_together
from forecaster.contract import Dates, Floats, Kind
from forecaster.densities import log_density
from forecaster.diagnostics.pit import Pit, pit
from forecaster.runtime import Runtime
from forecaster.scores import PERCENT, Scores, expected, perplexity, scale
from forecaster.significance import Skill, skill
from forecaster.windows import Sample, Spans

_TOGETHER = 16
"""Symbols that are calibrated in one pass: bounds its memory."""


@dataclass(frozen=True)
class Daily:
    """What skill is made of."""

    days: Dates
    """[D] sessions of the origins."""
    daily: Floats
    """[D, H] CRPS, the mean over the symbols of a session."""


@dataclass(frozen=True)
class Scored(Daily):
    """A model on a stage."""

    scores: Scores
    """Of the calibrated quantiles."""
    raw: Scores
    """Of the quantiles as the graph gave them."""
    quantiles: Floats
    """[n, H, Q] calibrated, of the first symbol: those of all are as much as all data that they were made from."""
    expected: Floats
    """[N] mean one session ahead."""
    perplexity: float
    pit: Pit
    still: bool
    """Whether the graph said the same at every origin."""


def is_still(quantiles: Floats) -> bool:
    """Whether quantiles [N, H, Q] are the same at every origin."""
    return bool(np.ptp(quantiles, axis=0).max() <= 1e-9 * np.abs(quantiles).max())


def versus(scored: Daily, reference: Daily) -> Skill:
    """Skill on the sessions that both were scored on.

    Symbols are averaged by session first: they move together, and only sessions follow each other in time.
    """
    _, here, there = np.intersect1d(scored.days, reference.days, assume_unique=True, return_indices=True)
    return skill(scored.daily[here], reference.daily[there])


@dataclass(frozen=True)
class Stage:
    """Origins that every model is scored on, symbol after symbol, and within a symbol fold after fold."""

    symbols: tuple[tuple[Sample, ...], ...]
    """For each symbol a sample a fold."""
    before: tuple[Sample, ...]
    """For each symbol the origins that calibration begins with, by the first fold's artifact; empty for none of it."""
    sessions: Dates
    """[N] of the origins."""
    outcomes: Floats
    """[N, H]."""
    scale: Floats
    """[H] mean absolute change of the training outcomes, in the unit of the losses."""
    edges: Floats
    """[9] between the ten bins that training outcomes one session ahead fill alike."""
    unit: float

    @classmethod
    def test(cls, folds: tuple[Spans, ...], kind: Kind) -> Self:
        """The test years, calibrated from the first fold's validation years on."""
        return cls._of(tuple(zip(*(spans.test for spans in folds), strict=True)), folds[0].validation, folds, kind)

    @classmethod
    def validation(cls, folds: tuple[Spans, ...], kind: Kind) -> Self:
        """The first fold's validation years, raw: none of them is a test year of any fold."""
        return cls._of(tuple((sample,) for sample in folds[0].validation), (), folds, kind)

    @classmethod
    def _of(
        cls, symbols: tuple[tuple[Sample, ...], ...], before: tuple[Sample, ...], folds: tuple[Spans, ...], kind: Kind
    ) -> Self:
        samples = [sample for symbol in symbols for sample in symbol]
        trained_on = np.concatenate([sample.windows.targets[sample.origins] for sample in folds[0].train])
        unit = PERCENT if kind == "return" else 1.0
        return cls(
            symbols,
            before,
            np.concatenate([sample.windows.sessions[sample.origins] for sample in samples]),
            np.concatenate([sample.windows.targets[sample.origins] for sample in samples]),
            scale(trained_on, unit),
            np.quantile(trained_on[:, 0], np.arange(1, 10) / 10),
            unit,
        )

    @property
    def counts(self) -> list[int]:
        """Origins of each symbol."""
        return [sum(len(sample.origins) for sample in samples) for samples in self.symbols]

    def score(self, refits: Sequence[Artifact]) -> Scored:
        """Every origin answered by the refit of its fold, and judged.

        Arguments:
            refits: Of one recipe, an artifact a fold.
        """
        runtimes = [Runtime(artifact) for artifact in refits]
        raws, parameters = [], []
        for samples in self.symbols:
            answers = [
                runtime.distributions(sample.windows.contexts(sample.origins))
                for runtime, sample in zip(runtimes, samples, strict=False)
            ]
            raws.append(np.concatenate([quantiles for quantiles, _ in answers]))
            parameters += [found for _, found in answers if found is not None]
        raw, quantiles = np.concatenate(raws), np.concatenate(self._calibrate(runtimes[0], raws))
        density = refits[-1].manifest.density
        logs = log_density(density, np.concatenate(parameters), self.outcomes) if parameters else None
        scores = Scores.of(quantiles, self.outcomes, logs, self.unit)
        days, daily = self.daily(scores.crps)
        return Scored(
            days,
            daily,
            scores,
            Scores.of(raw, self.outcomes, logs, self.unit),
            quantiles[: self.counts[0]].copy(),
            expected(quantiles[:, 0]),
            perplexity(quantiles, self.outcomes, self.edges),
            pit(quantiles, self.outcomes),
            is_still(raw),
        )

    def _calibrate(self, first: Runtime, raws: Sequence[Floats]) -> Sequence[Floats]:
        """[N, H, Q] of each symbol, calibrated by its own earlier origins; symbols of the same rows together."""
        if not self.before:
            return raws
        alike: dict[bytes, list[int]] = {}
        rows = [
            np.concatenate([sample.origins for sample in (early, *samples)])
            for early, samples in zip(self.before, self.symbols, strict=True)
        ]
        for number, own in enumerate(rows):
            alike.setdefault(own.tobytes(), []).append(number)
        calibrated = list(raws)
        for same in alike.values():
            for some in (same[at : at + _TOGETHER] for at in range(0, len(same), _TOGETHER)):
                before = [self.before[number] for number in some]
                early = [first.quantiles(sample.windows.contexts(sample.origins)) for sample in before]
                whole = [np.concatenate((known, raws[number])) for known, number in zip(early, some, strict=True)]
                outcomes = [sample.windows.targets[rows[number]] for sample, number in zip(before, some, strict=True)]
                found = calibrate_together(rows[some[0]], np.stack(whole, axis=2), np.stack(outcomes, axis=2))
                for place, number in enumerate(some):
                    calibrated[number] = found[-len(raws[number]) :, :, place]
        return calibrated

    def daily(self, scores: Floats) -> tuple[Dates, Floats]:
        """Mean over the symbols of each session: [N, H] -> [D], [D, H], by date."""
        days, at, count = np.unique(self.sessions, return_inverse=True, return_counts=True)
        sums = np.zeros((len(days), scores.shape[1]))
        np.add.at(sums, at, scores)
        return days, sums / count[:, None]


@dataclass(frozen=True)
class Asked:
    """What a worker needs to score a model; it wakes nothing that trained it."""

    name: str
    stage: Stage
    refits: tuple[Artifact, ...]
    brief: bool = False
    """Whether only its skill is wanted."""


def score(asked: Asked) -> Scored:
    """Score one model."""
    return asked.stage.score(asked.refits)


def score_daily(asked: Asked) -> Daily:
    """Score one model, of which only the skill is wanted."""
    found = score(asked)
    return Daily(found.days, found.daily)


def score_as_asked(asked: Asked) -> Daily:
    """Score one model, in full or in brief."""
    return score_daily(asked) if asked.brief else score(asked)
