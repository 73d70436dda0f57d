"""Jobs: what is to be trained, as a tree. A leaf is one fit of one seed; any other node pools the nodes below it.

    model `gru` with 3 seeds ─▶ pool of (gru, seed 0) (gru, seed 1) (gru, seed 2)
    model `pool` of har, gru ─▶ pool of (har) and the pool above

A leaf that stands in two trees is trained once: its key says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property

from forecaster.artifact import code_digest
from forecaster.families import AnyFamily
from forecaster.families.base import Model, Spec, TrainedFamily
from forecaster.families.pool import PoolFamily
from forecaster.training.config import TrainingConfig
from forecaster.training.fit import Task
from forecaster.windows import Sample, Windows
from pipelines.statement import Edges, Node


@dataclass(frozen=True)
class Job:
    """One training, stated completely."""

    family: AnyFamily
    training: TrainingConfig
    task: Task
    seed: int = 0
    """Of a leaf."""
    members: tuple["Job", ...] = ()
    """What is pooled; empty for a leaf."""
    shares: tuple[float, ...] = ()
    """Weights of the members, where they are given instead of found."""

    @classmethod
    def of(cls, family: AnyFamily, training: TrainingConfig, task: Task) -> "Job":
        """The tree of a model: seeds are pooled, and what a pool names is pooled."""
        whole = cls(family, training, task, training.seed)
        if isinstance(family, PoolFamily):
            return replace(whole, members=tuple(cls.of(member, training, task) for member in family.members))
        if isinstance(family, TrainedFamily) and training.seeds > 1:
            seeds = range(training.seed, training.seed + training.seeds)
            return replace(whole, members=tuple(replace(whole, seed=seed) for seed in seeds))
        return whole

    @property
    def span(self) -> str:
        """What the training is for: "train" to be scored, "refit" to be promoted."""
        return "train" if self.task.validation else "refit"

    @property
    def label(self) -> str:
        """What it is called among others."""
        seeded = isinstance(self.family, TrainedFamily) and self.training.seeds > 1 and not self.members
        return f"{self.family.name} seed {self.seed}" if seeded else self.family.name

    def nodes(self) -> Iterator["Job"]:
        """This job and all below it, each after what it is made of."""
        for member in self.members:
            yield from member.nodes()
        yield self

    def build(self, spec: Spec) -> Model:
        """A model of this structure, with weights that are yet to be filled in."""
        return self.node.build(spec)

    def key(self, data: str) -> str:
        """Digest of all that decides the outcome: data, code, configuration, spans and seed.

        Arguments:
            data: Digest of snapshot, target, window and features.
        """
        return self.node.key(data, code_digest())

    @cached_property
    def node(self) -> Node:
        """It in plain values."""
        return Node(
            model=self.family,
            training=self.training,
            train=_edges(self.task.train),
            validation=_edges(self.task.validation),
            seed=self.seed,
            members=tuple(member.node for member in self.members),
            shares=self.shares,
        )

    @classmethod
    def again(cls, node: Node, universe: Sequence[Windows]) -> "Job":
        """What a node says, on windows cut anew.

        Arguments:
            universe: Windows of each of the target's symbols.
        """
        task = Task(_between(node.train, universe), _between(node.validation, universe))
        members = tuple(cls.again(member, universe) for member in node.members)
        return cls(node.model, node.training, task, node.seed, members, node.shares)


def _edges(samples: Sequence[Sample]) -> Edges:
    return tuple((_session(sample, 0), _session(sample, -1)) for sample in samples)


def _session(sample: Sample, edge: int) -> date:
    session: date = sample.windows.sessions[sample.origins[edge]].item()
    return session


def _between(edges: Edges, universe: Sequence[Windows]) -> tuple[Sample, ...]:
    """The origins from edge to edge of each symbol; none at all where there are no edges."""
    pairs = zip(universe, edges, strict=True) if edges else ()
    return tuple(Sample(windows, windows.span(first, last + timedelta(days=1))) for windows, (first, last) in pairs)
