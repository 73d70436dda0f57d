"""The only room that imports optuna: what to try next, and what is hopeless.

A search lives in a file of its own and goes on where it was killed: fits that were finished are remembered, and trial n
is drawn by a sampler seeded with n from the trials before its batch, so the way there does not matter.

References:
    T. Akiba et al., Optuna: a next-generation hyperparameter optimization framework, KDD (2019), p. 2623.
    J. Bergstra et al., Algorithms for hyper-parameter optimization, NeurIPS 24 (2011), section 4 (TPE).
    S. Falkner, A. Klein, F. Hutter, BOHB, ICML (2018), section 3.2 (its multivariate form).
    D. Golovin et al., Google Vizier: a service for black-box optimization, KDD (2017), section 3.2 (stopping below a
    percentile of the others at the same step).
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from forecaster.contract import Choice, Range
from pipelines.spaces import Space, Value, Values
from pipelines.trial import State, Trial

_KEPT = 75.0
"""Per cent of the trials that may go on after a seed: seeds scatter as much as good configurations differ, so only the
worst quarter is given up."""

ScoredFit = tuple[float, float]
"""Validation skill of a fit, and the seconds it took."""


class Attempt:
    """A trial that is under way."""

    def __init__(self, number: int, trial: optuna.Trial, values: Values) -> None:
        self.number, self.values = number, values
        self._trial = trial
        self._fits: list[ScoredFit] = []
        self.record: Trial | None = None
        """Once it has come to an end."""

    @property
    def hopeless(self) -> bool:
        """Whether the mean so far is among the worst of the finished trials after as many seeds."""
        return bool(self._trial.should_prune())

    def score(self, skill: float, seconds: float) -> None:
        """Put down what the next seed gave."""
        self._fits.append((skill, seconds))
        self._trial.set_user_attr("fits", self._fits)
        self._trial.report(float(np.mean([skill for skill, _ in self._fits])), len(self._fits))

    def end(self, state: State, note: str = "") -> Trial:
        """Close it; its record."""
        self.record = _trial(self.number, self.values, self._fits, state, note)
        return self.record

    def tell(self, study: optuna.Study) -> None:
        """Let it count for what is asked next."""
        record = self.record or self.end("done")
        for name, value in (("values", dict(record.values)), ("state", record.state), ("note", record.note)):
            self._trial.set_user_attr(name, value)
        if record.state == "done":
            study.tell(self._trial, record.skill)
        else:  # counts by its last mean, or as the worst of all
            study.tell(self._trial, state=TrialState.PRUNED)


class Search:
    """The trials of one model in one file."""

    def __init__(self, path: Path, key: str, space: Space, seed: int) -> None:
        """Arguments:
        key: Of all that decides what a trial gives.
        """
        logging.getLogger("optuna").setLevel(logging.WARNING)
        self._space, self._seed = space, seed
        start = space.start
        self._axes = {place: _distribution(axis, start[place]) for place, axis in space.axes.items()}
        self._study = optuna.create_study(
            storage=f"sqlite:///{path}",
            study_name=key,
            direction="maximize",
            pruner=optuna.pruners.PercentilePruner(_KEPT),
            load_if_exists=True,
        )
        for killed in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(killed.number, state=TrialState.FAIL)  # asked again; its scores are remembered

    def finished(self) -> list[Trial]:
        """Trials that were told, in their order."""
        told = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        return [_record(number, trial) for number, trial in enumerate(told, 1)]

    def remembered(self, values: Values) -> list[ScoredFit]:
        """Fits of a point that was trained before, seed by seed; empty where it was not."""
        found: list[list[ScoredFit]] = [
            trial.user_attrs["fits"]
            for trial in self._study.get_trials(deepcopy=False)
            if "fits" in trial.user_attrs and self._space.readable(trial.params) == values
        ]
        return max(found, key=len, default=[])

    def ask(self, first: int, count: int) -> list[Attempt]:
        """The trials from number `first` on."""
        return [self._ask(number) for number in range(first, first + count)]

    def _ask(self, number: int) -> Attempt:
        drawn_from = np.random.SeedSequence((self._seed, number)).generate_state(1)
        self._study.sampler = optuna.samplers.TPESampler(seed=int(drawn_from[0]))
        if number == 1 and not self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self._study.enqueue_trial(self._space.start)
        trial = self._study.ask(self._axes)
        return Attempt(number, trial, self._space.readable(trial.params))

    def tell(self, attempts: Sequence[Attempt]) -> None:
        """Let a batch count, in its order."""
        for attempt in attempts:
            attempt.tell(self._study)


def _distribution(axis: Range | Choice, start: Value) -> BaseDistribution:
    if isinstance(axis, Choice):
        return CategoricalDistribution(axis.values)
    if isinstance(start, int):
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _record(number: int, trial: FrozenTrial) -> Trial:
    said = trial.user_attrs
    return _trial(number, said["values"], said.get("fits", []), said["state"], said["note"])


def _trial(number: int, values: Values, fits: Sequence[ScoredFit], state: State, note: str) -> Trial:
    scores, seconds = tuple(skill for skill, _ in fits), sum(seconds for _, seconds in fits)
    return Trial(number, values, scores, seconds, state, note)
