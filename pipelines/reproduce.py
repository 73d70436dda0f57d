"""Reproduce: train a run again from its snapshot and its statement, in a process of its own, and compare what came out.

The fresh process gets the statement and reads the snapshot: no artifact, no weights, no unfinished fit. A pool's
members are trained again, too. What the store holds of the outcome is read afterwards, to be compared with. One input
is stored weights by nature: those that a warm start or a finetuning goes on from.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError
from safetensors.numpy import load
from sqlalchemy import Engine

from forecaster.artifact import Artifact, Manifest
from forecaster.errors import RunError
from forecaster.families.base import TrainedFamily
from forecaster.snapshot import read_snapshot
from forecaster.store.artifacts import Run, load_artifact, load_start, load_weights, require_run
from forecaster.training.export import Provenance
from pipelines.engines.base import answered
from pipelines.engines.pool import begin
from pipelines.jobs import Job
from pipelines.snapshot import load_universe
from pipelines.statement import Node, Statement, made_with
from pipelines.workers import Made, Order, carry_out

_TOLD = {"golden", "code"}
"""Fields of a manifest that are spoken of in another way."""
_WIDE = 60  # characters of a value that are shown


@dataclass(frozen=True)
class Difference:
    """Something that was not the same the second time."""

    what: str
    stored: str
    again: str

    @property
    def line(self) -> str:
        return f"{self.what:<16} {self.stored} -> {self.again}"


@dataclass(frozen=True)
class Reproduced:
    """A run beside the same run once more."""

    key: str
    name: str
    digest: str
    """Of the stored artifact."""
    again: str
    """Of the one that came out now."""
    causes: tuple[Difference, ...]
    """What it was made with then and now: code, libraries, processor."""
    differences: tuple[Difference, ...]
    """What came out otherwise."""
    golden: float
    """Largest difference of the golden forecast, in its own unit."""
    weights: float
    """Largest difference of a weight; infinite where there are others."""
    start: tuple[str, ...]
    """Artifacts whose stored weights it went on from: the one input besides the snapshot."""
    seconds: float

    @property
    def identical(self) -> bool:
        """Whether manifest, graph and weights are the same to the bit."""
        return self.digest == self.again and not self.differences

    @property
    def verdict(self) -> str:
        """In a few words."""
        if self.identical:
            return "identical"
        parts = {one.what for one in self.differences}
        if parts <= {"made_from"} and self.causes and self.causes[0].what == "code":
            return "the same weights and graph, by other code"
        return "differs"

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return {"verdict": self.verdict, "identical": self.identical, **asdict(self)}

    @property
    def lines(self) -> list[str]:
        """For people: the verdict, then what it was made with where that changed, then what came out otherwise."""
        begun = "".join(f", going on from the stored weights of {digest[:12]}" for digest in self.start)
        head = f"{self.verdict}: {self.name} {self.digest[:12]}"
        head += "" if self.identical else f", again {self.again[:12]}"
        head += f" (trained again in a fresh process in {self.seconds:.1f} s{begun})"
        return [head, *(f"  {one.line}" for one in (*self.causes, *self.differences))]


@dataclass(frozen=True)
class _Asked:
    """All that the fresh process is given."""

    statement: Statement
    snapshots: Path
    folder: Path
    starts: Mapping[str, bytes] = field(default_factory=dict)
    """Weights by the digest of the artifact whose they are."""


def reproduce(
    engine: Engine, snapshots: Path, name: str, folder: Path, say: Callable[[str], None] = lambda _: None
) -> Reproduced:
    """Train a run again and compare.

    Arguments:
        snapshots: Where snapshots are kept.
        name: The run's key or its artifact's digest, or how one begins, or its MLflow run id.
        folder: Where the user's own feature modules lie, if it has any: that of the run file.
        say: Takes a line about what is going on.

    Raises:
        RunError: No one run has that name, or it has no statement that fits it.
        SnapshotMissing: Its snapshot is not there.
        SnapshotCorrupt: Its snapshot was changed.
        ConfigError: The user's own features are not those it was trained with.
    """
    run = require_run(engine, name)
    statement = stated(run)
    statement.view(folder)  # what is not there is said before a process is started
    read_snapshot(snapshots, statement.snapshot)
    starts = {digest: load_start(engine, digest) for digest in _starts(statement.node)}
    fits = len(list(statement.node.leaves()))
    say(f"training  {statement.node.model.name} again: {fits} fit(s) from snapshot {statement.snapshot[:12]}")
    made = _afresh(_Asked(statement, snapshots, folder, starts))
    return compared(run, statement, load_artifact(engine, run.digest), load_weights(engine, run.key), made)


def stated(run: Run) -> Statement:
    """The statement of a run, checked against the key that it must give.

    Raises:
        RunError: It has none, or another's.
    """
    if run.statement is None:
        raise RunError(run.key, "older than statements: what decided it was not kept; train it again")
    try:
        statement = Statement.model_validate(run.statement)
    except ValidationError as error:
        problem = f"its statement cannot be read ({error.error_count()} problems); train it again"
        raise RunError(run.key, problem) from error
    if statement.key != run.key:
        raise RunError(run.key, "its statement gives another key: one of the two was changed; train it again")
    return statement


def compared(run: Run, statement: Statement, stored: Artifact, tensors: bytes, made: Made) -> Reproduced:
    """What differs between what is stored of a run and what was made again.

    Arguments:
        tensors: Stored weights and buffers, as safetensors.
    """
    golden = _largest(np.array(stored.manifest.golden), np.array(made.artifact.manifest.golden))
    weights = _weights(load(tensors), load(made.tensors))
    differences = _manifests(stored.manifest, made.artifact.manifest)
    if golden:
        differences.append(Difference("golden forecast", "as sealed", f"off by up to {golden:.2e}"))
    if weights:
        worst = max(weights, key=lambda name: weights[name])
        said = f"{len(weights)} of them off, most of all {worst} by {weights[worst]:.2e}"
        differences.append(Difference("weights", "as kept", said))
    return Reproduced(
        run.key,
        stored.manifest.name,
        run.digest,
        made.artifact.digest,
        causes=tuple(_causes(statement, stored.manifest, made.artifact.manifest)),
        differences=tuple(differences),
        golden=golden,
        weights=max(weights.values(), default=0.0),
        start=tuple(_starts(statement.node)),
        seconds=round(made.seconds, 3),
    )


def _afresh(asked: _Asked) -> Made:
    """What comes of it in a process that has seen nothing else."""
    with ProcessPoolExecutor(1, get_context("spawn"), begin) as process:
        return process.submit(_train, asked).result()


def _train(asked: _Asked) -> Made:
    statement = asked.statement
    universe = load_universe(asked.snapshots, statement.snapshot, statement.view(asked.folder))
    return _made(asked, Job.again(statement.node, universe))


def _made(asked: _Asked, job: Job) -> Made:
    """A job carried out, what it pools first."""
    stated, members = asked.statement, [_made(asked, member) for member in job.members]
    begun = _start(job.node)
    made_from = tuple(member.artifact.digest for member in members) or (() if begun is None else (begun,))
    provenance = Provenance(job.family, job.training, stated.target, stated.snapshot, stated.features, made_from)
    order = Order(
        job,
        stated.spec,
        provenance,
        below=tuple(member.tensors for member in members),
        epochs=max((member.artifact.manifest.epochs for member in members), default=0),
        start=None if begun is None else asked.starts[begun],
    )
    made = answered(carry_out, order)
    seconds = made.seconds + sum(member.seconds for member in members)
    return Made(made.artifact, made.tensors, made.history, seconds)


def _start(node: Node) -> str | None:
    """The artifact whose weights a fit goes on from."""
    return node.training.start if isinstance(node.model, TrainedFamily) and not node.members else None


def _starts(node: Node) -> list[str]:
    return sorted({begun for leaf in node.leaves() if (begun := _start(leaf)) is not None})


def _causes(statement: Statement, stored: Manifest, again: Manifest) -> list[Difference]:
    """What else was at work: the code first."""
    now = made_with()
    found = [Difference("code", stored.code[:12], again.code[:12])] if stored.code != again.code else []
    names = sorted({*statement.made_with, *now})
    pairs = [(name, statement.made_with.get(name, "none"), now.get(name, "none")) for name in names]
    return found + [Difference(name, before, after) for name, before, after in pairs if before != after]


def _manifests(stored: Manifest, again: Manifest) -> list[Difference]:
    before, after = stored.model_dump(mode="json"), again.model_dump(mode="json")
    return [
        Difference(name, _short(before[name]), _short(after[name]))
        for name in before
        if name not in _TOLD and before[name] != after[name]
    ]


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _WIDE else f"{text[: _WIDE - 3]}..."


def _weights(stored: Mapping[str, Any], again: Mapping[str, Any]) -> dict[str, float]:
    """Largest difference of each tensor that is not the same; infinite where only one has it."""
    found = {
        name: _largest(stored[name], again[name]) if name in stored and name in again else float("inf")
        for name in sorted({*stored, *again})
    }
    return {name: off for name, off in found.items() if off}


def _largest(one: Any, other: Any) -> float:
    """Largest |difference|; infinite where the shapes differ, or only one is a number."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return float("inf")
    same = (one == other) | ((one != one) & (other != other))
    if same.all():
        return 0.0
    with np.errstate(invalid="ignore"):
        off = np.abs(one.astype(np.float64) - other.astype(np.float64))[~same]
    return float(np.nan_to_num(off, nan=np.inf, posinf=np.inf).max())
