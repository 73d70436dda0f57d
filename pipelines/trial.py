"""A trial: a point of a space and what became of it; its fits, each scored on the validation span and thrown away.

What a trial makes is no artifact: nothing is exported, sealed or stored, since only the winner is of use, and that is
trained again as a model of the run. A worker needs torch for it and nothing of the search or the notebook.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from forecaster.contract import Floats
from forecaster.errors import ConfigError, ForecasterError
from forecaster.families import AnyFamily
from forecaster.families.base import Model, Spec
from forecaster.scores import crps
from forecaster.training.checkpoint import reachable
from forecaster.training.config import TrainingConfig
from forecaster.training.fit import Task, fit
from forecaster.windows import Sample, Spans
from pipelines.spaces import Values

_CHUNK = 256  # contexts scored at once

State = Literal["done", "pruned", "refused"]


@dataclass(frozen=True)
class Trial:
    """A point of the space and what became of it."""

    number: int
    """From 1; the first is the model as it stands in the run."""
    values: Values
    scores: tuple[float, ...]
    """Validation skill by seed."""
    seconds: float
    state: State
    note: str = ""
    """Why it was refused or given up."""

    @property
    def skill(self) -> float | None:
        """Mean of the seeds that were trained; None where none was."""
        return float(np.mean(self.scores)) if self.scores else None


@dataclass(frozen=True)
class Fit:
    """One fit, stated completely."""

    number: int
    """Of its trial."""
    family: AnyFamily
    training: TrainingConfig
    task: Task
    spec: Spec
    seed: int
    checkpoints: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a fit."""

    crps: tuple[float, ...]
    """[H] mean over the validation origins, in the target's unit; empty where there was a problem."""
    seconds: float
    problem: ForecasterError | None = None


def try_out(asked: Fit) -> Outcome:
    """Fit and score; a fit that runs away is an answer, too."""
    torch.set_num_threads(1)
    begun = time.perf_counter()
    try:
        fitted = fit(
            asked.family,
            asked.spec,
            asked.training,
            asked.task,
            seed=asked.seed,
            checkpoints=reachable(asked.checkpoints),
        )
        scores = validation_crps(fitted.model, asked.task.validation)
        if not np.isfinite(scores).all():
            raise ConfigError(asked.family.name, "forecasts that are no numbers")
    except ForecasterError as problem:
        return Outcome((), time.perf_counter() - begun, problem)
    return Outcome(tuple(scores.tolist()), time.perf_counter() - begun)


def validation_crps(model: Model, samples: Sequence[Sample]) -> Floats:
    """Mean CRPS by horizon [H] over the origins of all samples, in the target's unit."""
    found = []
    for sample in samples:
        for chunk in np.split(sample.origins, range(_CHUNK, len(sample.origins), _CHUNK)):
            with torch.inference_mode():
                quantiles = model(torch.from_numpy(sample.windows.contexts(chunk)))[0].double().numpy()
            found.append(crps(quantiles, sample.windows.targets[chunk]))
    mean: Floats = np.concatenate(found).mean(axis=0)
    return mean


def without_test(spans: Spans) -> Task:
    """Training and validation origins on windows that end with the last of them: no test year is there."""
    parts = [_cut(train, held_out) for train, held_out in zip(spans.train, spans.validation, strict=True)]
    return Task(tuple(train for train, _ in parts), tuple(held_out for _, held_out in parts))


def _cut(train: Sample, held_out: Sample) -> tuple[Sample, Sample]:
    whole, end = held_out.windows, int(held_out.origins[-1]) + 1
    windows = replace(
        whole,
        sessions=whole.sessions[:end],
        values=whole.values[:end],
        close=whole.close[:end],
        targets=whole.targets[:end],
        whole=whole.whole[:end],
    )
    return Sample(windows, train.origins), Sample(windows, held_out.origins)
