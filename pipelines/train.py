"""Train: windows -> fitted model -> sealed artifact -> store and notebook. The same inputs are trained once."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import torch
from sqlalchemy import Engine

from forecaster.artifact import Artifact, code_digest
from forecaster.contract import Floats
from forecaster.errors import ConfigError, NotTrained
from forecaster.families import AnyFamily
from forecaster.families.base import Network, Spec
from forecaster.store.artifacts import Run, add_artifact, add_run, find_run, load_artifact
from forecaster.training.config import TrainingConfig
from forecaster.training.diagnostics import gradient_by_age
from forecaster.training.export import export
from forecaster.training.fit import Fitted, fit
from forecaster.windows import Indices, Spans, Windows
from pipelines import figures
from pipelines.config import RunConfig
from pipelines.snapshot import say_holes
from pipelines.tracking import Notebook

_SHOWN = 256  # newest origins over which the gradient's reach is averaged


@dataclass(frozen=True)
class Job:
    """One training, stated completely."""

    family: AnyFamily
    training: TrainingConfig
    train: Indices
    validation: Indices | None
    """Origins for early stopping; None to run `training.epochs` epochs."""

    @property
    def span(self) -> str:
        """What the training is for: "train" to be scored, "refit" to be promoted."""
        return "refit" if self.validation is None else "train"


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    name: str
    family: str
    artifact: Artifact
    run: Run
    fresh: bool
    """False where it had been trained before on the same inputs."""


@dataclass(frozen=True)
class Bench:
    """What every training of a run shares."""

    engine: Engine
    notebook: Notebook
    config: RunConfig
    snapshot: str
    windows: Windows
    now: datetime

    def key(self, job: Job) -> str:
        """Digest of all that decides the outcome: data, code, configuration and spans."""
        sessions = self.windows.sessions
        spans = [
            None if origins is None else [str(sessions[origins[0]]), str(sessions[origins[-1]])]
            for origins in (job.train, job.validation)
        ]
        parts = {
            "snapshot": self.snapshot,
            "code": code_digest(),
            "features": self.config.features.digest,
            "target": self.config.target.model_dump(),
            "window": self.config.window.model_dump(),
            "model": job.family.model_dump(),
            "training": job.training.model_dump(),
            "spans": spans,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def find(bench: Bench, job: Job) -> Trained | None:
    """The finished training of a job, verified; None where there is none."""
    run = find_run(bench.engine, bench.key(job))
    if run is None:
        return None
    artifact = load_artifact(bench.engine, run.digest)
    return Trained(job.family.name, job.family.family, artifact, run, fresh=False)


def require(bench: Bench, jobs: list[Job]) -> list[Trained]:
    """The finished trainings of all jobs.

    Raises:
        NotTrained: Some are missing.
    """
    found = [(job, find(bench, job)) for job in jobs]
    missing = [job.family.name for job, trained in found if trained is None]
    if missing:
        raise NotTrained(missing)
    return [trained for _, trained in found if trained is not None]


def train(bench: Bench, job: Job, progress_bar: bool = False) -> Trained:
    """Train one job, or find that it was trained already."""
    done = find(bench, job)
    if done is not None:
        return done
    # These networks are small: a second thread costs more than it brings as soon as anything else runs.
    torch.set_num_threads(1)
    spec = Spec(bench.config.window, bench.config.target.horizon)
    start = time.perf_counter()
    fitted = fit(job.family, spec, job.training, bench.windows, job.train, job.validation, progress_bar)
    seconds = time.perf_counter() - start
    artifact = export(fitted, job.family, spec, job.training, bench.config.target, bench.snapshot,
                      bench.config.features.digest, bench.windows,
                      job.train, job.validation)  # fmt: skip
    run_id = _note(bench, job, fitted, artifact)
    run = Run(bench.key(job), artifact.digest, run_id, seconds)
    with bench.engine.begin() as connection:
        add_artifact(connection, artifact, bench.now)
        add_run(connection, run, bench.now)
    return Trained(job.family.name, job.family.family, artifact, run, fresh=True)


def scored_jobs(bench: Bench, spans: Spans) -> list[Job]:
    """The run's models, each to be trained for scoring."""
    return [Job(model, bench.config.training, spans.train, spans.validation) for model in bench.config.models]


def select(bench: Bench, spans: Spans, names: Sequence[str]) -> list[Job]:
    """The jobs whose model name or family is among `names`; all of them where none is named.

    Raises:
        ConfigError: A name fits no model of the run.
    """
    jobs = scored_jobs(bench, spans)
    for name in names:
        if not any(name in (job.family.name, job.family.family) for job in jobs):
            known = ", ".join(job.family.name for job in jobs)
            raise ConfigError("train", f"no model or family {name!r} in this run; it has {known}")
    return [job for job in jobs if not names or {job.family.name, job.family.family} & set(names)]


def train_all(bench: Bench, jobs: Sequence[Job], say: Callable[[str], None], progress_bar: bool) -> list[Trained]:
    """Train jobs one after the other, saying how each went."""
    holes = say_holes(bench.windows)
    if holes:
        say(holes)
    done = []
    for number, job in enumerate(jobs, start=1):
        one = train(bench, job, progress_bar)
        took = (
            f"{one.run.train_seconds:.1f} s, {one.artifact.manifest.epochs} epochs" if one.fresh else "trained before"
        )
        say(f"trained   {number}/{len(jobs)} {one.name}: {took}")
        done.append(one)
    return done


def refit_job(bench: Bench, family: AnyFamily, epochs: int) -> Job:
    """The same recipe on the whole snapshot, for as many epochs as the scored fit needed."""
    training = bench.config.training.model_copy(update={"epochs": max(epochs, 1)})
    return Job(family, training, bench.windows.span(None, None), None)


def _note(bench: Bench, job: Job, fitted: Fitted, artifact: Artifact) -> str:
    gradient: Floats | None = None
    if isinstance(fitted.model, Network):
        gradient = gradient_by_age(fitted.model, bench.windows, job.train[-_SHOWN:])
    drawn = {}
    if gradient is not None:
        drawn["training"] = figures.training_curves({job.family.name: fitted.history})
        drawn["gradient"] = figures.gradient_through_time({job.family.name: gradient})
    by_age = [] if gradient is None else gradient.tolist()
    now_ms = int(bench.now.timestamp() * 1000)
    return bench.notebook.log_training(artifact, job.span, fitted.history, by_age, drawn, now_ms)
