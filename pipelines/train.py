"""Train: windows -> fitted models -> sealed artifacts -> store and notebook. The same inputs are trained once."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from threading import Lock

from safetensors.numpy import load
from sqlalchemy import Connection, Engine

from forecaster.artifact import Artifact
from forecaster.errors import ConfigError, NotTrained
from forecaster.families.base import Spec, TrainedFamily
from forecaster.store.artifacts import Run, add_artifact, add_run, find_run, load_artifact, load_start, load_weights
from forecaster.store.database import look_then_write
from forecaster.training.export import Provenance
from forecaster.training.fit import Task
from forecaster.windows import Sample, Spans, Windows
from pipelines import figures
from pipelines.config import RunConfig
from pipelines.engines.base import ALONE, Workers
from pipelines.jobs import Job
from pipelines.snapshot import say_holes
from pipelines.statement import Statement
from pipelines.tracking import Notebook
from pipelines.workers import Made, Order, carry_out

Say = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    job: Job
    artifact: Artifact
    run: Run
    fresh: bool
    """False where it had been trained before on the same inputs."""
    members: tuple["Trained", ...] = ()
    """The seeds, or the models of a pool."""

    @property
    def name(self) -> str:
        return self.job.family.name

    @property
    def family(self) -> str:
        return self.job.family.family

    @property
    def seconds(self) -> float:
        """What it took, its members included."""
        return self.run.train_seconds + sum(member.seconds for member in self.members)

    @property
    def seeds(self) -> tuple["Trained", ...]:
        """The fits of a model's seeds, where it has several."""
        return tuple(member for member in self.members if member.job.family == self.job.family)


@dataclass(frozen=True)
class Walked:
    """A model trained anew for each fold, as its recipe says."""

    folds: tuple[Trained, ...]

    @property
    def last(self) -> Trained:
        """The newest refit."""
        return self.folds[-1]

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """One a fold."""
        return tuple(trained.artifact for trained in self.folds)

    @property
    def name(self) -> str:
        return self.last.name

    @property
    def family(self) -> str:
        return self.last.family

    @property
    def seconds(self) -> float:
        """What all refits took."""
        return sum(trained.seconds for trained in self.folds)

    @property
    def seeds(self) -> tuple["Walked", ...]:
        """Each seed through all folds, where there are several."""
        return tuple(Walked(seed) for seed in zip(*(trained.seeds for trained in self.folds), strict=True))


@dataclass(frozen=True)
class Bench:
    """What every training of a run shares."""

    engine: Engine
    notebook: Notebook
    config: RunConfig
    snapshot: str
    universe: tuple[Windows, ...]
    now: datetime
    checkpoints: Path
    """Where unfinished fits are kept."""
    workers: Workers = field(default_factory=ALONE.call)
    pen: Lock = field(default_factory=Lock, compare=False)
    """Held by the thread that writes into the notebook: what draws figures and logs models has its own globals."""

    @property
    def spec(self) -> Spec:
        """What families are built for."""
        target = self.config.target
        return Spec(self.config.window, target.horizon, target.kind, len(target.symbols))

    @cached_property
    def data(self) -> str:
        """Digest of what is trained on and what for."""
        parts = {
            "snapshot": self.snapshot,
            "features": self.config.features.digest,
            "target": self.config.target.model_dump(),
            "window": self.config.window.model_dump(),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def key(self, job: Job) -> str:
        """A job's name in the store."""
        return job.key(self.data)


def find(bench: Bench, job: Job) -> Trained | None:
    """The finished training of a job, verified; None where it or a part of it is missing."""
    members = tuple(find(bench, member) for member in job.members)
    run = find_run(bench.engine, bench.key(job))
    if run is None or None in members:
        return None
    there = tuple(member for member in members if member is not None)
    return Trained(job, load_artifact(bench.engine, run.digest), run, fresh=False, members=there)


def require(bench: Bench, jobs: Iterable[Job]) -> list[Trained]:
    """The finished trainings of all jobs.

    Raises:
        NotTrained: Some are missing.
    """
    found = [(job, find(bench, job)) for job in jobs]
    missing = [job.family.name for job, trained in found if trained is None]
    if missing:
        raise NotTrained(missing)
    return [trained for _, trained in found if trained is not None]


def walk(bench: Bench, folds: Sequence[Spans], say: Say, progress_bar: bool = False) -> list[Walked]:
    """Train every model of the run on every fold."""
    return _by_model(train_all(bench, walk_jobs(bench, folds), say, progress_bar), len(folds))


def require_walk(bench: Bench, folds: Sequence[Spans]) -> list[Walked]:
    """Every model of the run, trained on every fold before.

    Raises:
        NotTrained: Some are not.
    """
    return _by_model(require(bench, walk_jobs(bench, folds)), len(folds))


def walk_jobs(bench: Bench, folds: Sequence[Spans]) -> list[Job]:
    """The run's models on every fold, fold after fold."""
    return [job for spans in folds for job in scored_jobs(bench, spans)]


def _by_model(trained: Sequence[Trained], folds: int) -> list[Walked]:
    count = len(trained) // folds
    return [Walked(tuple(trained[number::count])) for number in range(count)]


def scored_jobs(bench: Bench, spans: Spans) -> list[Job]:
    """The run's models, each to be trained for scoring."""
    task = Task(spans.train, spans.validation)
    return [Job.of(model, bench.config.training, task) for model in bench.config.models]


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


def train_all(bench: Bench, jobs: Sequence[Job], say: Say, progress_bar: bool = False) -> list[Trained]:
    """Train jobs, what is independent side by side, saying how each fit went."""
    for windows in bench.universe:
        holes = say_holes(windows)
        if holes:
            say(holes)
    nodes = {bench.key(node): node for job in jobs for node in job.nodes()}
    above: dict[str, Job | None] = {bench.key(job): None for job in jobs}
    for whole in nodes.values():
        for member in whole.members:
            above.setdefault(bench.key(member), whole)
    waiting = {key: node for key, node in nodes.items() if find(bench, node) is None}
    fresh, total = set(waiting), len(waiting)
    bench.checkpoints.mkdir(parents=True, exist_ok=True)
    while waiting:
        ready = {
            key: node
            for key, node in waiting.items()
            if not {bench.key(member) for member in node.members} & set(waiting)
        }
        alone = progress_bar and bench.workers.here(len(ready))
        orders = [_order(bench, node, alone) for node in ready.values()]
        for order, made in bench.workers.each(carry_out, orders):
            _record(bench, order.job, made, above[bench.key(order.job)])
            del waiting[bench.key(order.job)]
            took = f"{made.seconds:.1f} s, {made.artifact.manifest.epochs} epochs"
            say(f"trained   {total - len(waiting)}/{total} {order.job.label}: {took}")
    return [_marked(bench, trained, fresh) for trained in require(bench, jobs)]


def train(bench: Bench, job: Job, progress_bar: bool = False) -> Trained:
    """Train one job, or find that it was trained already."""
    return train_all(bench, [job], lambda _: None, progress_bar)[0]


def refit_job(bench: Bench, trained: Trained) -> Job:
    """The same recipe on the whole snapshot, each fit for as many epochs as the scored one needed."""
    whole = Task(tuple(Sample(windows, windows.span(None, None)) for windows in bench.universe))
    return _refit(bench, trained, whole)


def _refit(bench: Bench, trained: Trained, task: Task) -> Job:
    epochs = max(trained.artifact.manifest.epochs, 1)
    training = trained.job.training.model_copy(update={"epochs": epochs})
    job = replace(trained.job, training=training, task=task)
    if not trained.members:
        return job
    shares = load(load_weights(bench.engine, trained.run.key))["share"]
    members = tuple(_refit(bench, member, task) for member in trained.members)
    return replace(job, members=members, shares=tuple(float(share) for share in shares))


def _marked(bench: Bench, trained: Trained, fresh: set[str]) -> Trained:
    return replace(trained, fresh=bench.key(trained.job) in fresh)


def _order(bench: Bench, job: Job, progress_bar: bool) -> Order:
    members = [trained for trained in (find(bench, member) for member in job.members) if trained is not None]
    start, made_from = None, tuple(member.artifact.digest for member in members)
    if job.training.start is not None and isinstance(job.family, TrainedFamily) and not members:
        start, made_from = load_start(bench.engine, job.training.start), (job.training.start,)
    provenance = Provenance(
        job.family, job.training, bench.config.target, bench.snapshot, bench.config.features.digest, made_from
    )
    return Order(
        job,
        bench.spec,
        provenance,
        below=tuple(load_weights(bench.engine, member.run.key) for member in members),
        epochs=max((member.artifact.manifest.epochs for member in members), default=0),
        start=start,
        checkpoints=bench.checkpoints.resolve(),
        progress_bar=progress_bar,
    )


def _record(bench: Bench, job: Job, made: Made, above: Job | None) -> None:
    """Keep what was made, in the notebook and in the store."""
    with bench.pen:
        run_id = _note(bench, job, made, above)
    statement = Statement.of(job.node, bench.snapshot, bench.config).record()
    run = Run(bench.key(job), made.artifact.digest, run_id, made.seconds, statement)

    def write(connection: Connection) -> None:
        add_artifact(connection, made.artifact, bench.now)
        add_run(connection, run, made.tensors, bench.now)

    look_then_write(bench.engine, write)


def _note(bench: Bench, job: Job, made: Made, above: Job | None) -> str:
    """A seed is a run under its model's; a model's own run, which is under none, holds the graph and the figures."""
    model = above is None
    parent = None if above is None else bench.notebook.open(bench.key(above), f"{above.label} {above.span}")
    run_id = bench.notebook.open(bench.key(job), f"{job.label} {job.span}", parent)
    drawn = {}
    if model and made.history:
        drawn["training"] = figures.training_curves({job.label: made.history})
    tags = {"span": job.span, "seed": str(job.seed), "members": str(len(job.members))}
    now_ms = int(bench.now.timestamp() * 1000)
    bench.notebook.log_training(run_id, made.artifact, tags, made.history, drawn, now_ms)
    if model:
        bench.notebook.log_model(run_id, made.artifact)
    return run_id
