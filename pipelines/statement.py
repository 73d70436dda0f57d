"""A statement: everything that decides a training, as plain values. The store keeps one beside every run, so that the
run can be carried out again from its snapshot and from nothing else.

What it was made with (libraries, processor) stands there too: it explains a difference, and decides nothing by name.
"""

import hashlib
import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from forecaster.artifact import code_digest
from forecaster.contract import Frozen, Target, WindowSpec
from forecaster.errors import ConfigError
from forecaster.families import AnyFamily
from forecaster.families.base import Model, Spec
from forecaster.families.pool import Pool
from forecaster.training.config import TrainingConfig
from pipelines.plugins import FeaturesConfig

if TYPE_CHECKING:  # a worker wakes neither the store nor pyarrow
    from pipelines.venue import Reads

Edges = tuple[tuple[date, date], ...]
"""First and last session of the origins of each sample, a pair a symbol."""

_LIBRARIES = ("torch", "pytorch-lightning", "numpy", "scipy", "arch", "onnx", "pyarrow", "exchange_calendars")


class Node(Frozen):
    """One training of a tree; see `pipelines.jobs`."""

    model: AnyFamily
    training: TrainingConfig
    train: Edges
    validation: Edges = ()
    """None where all epochs are run."""
    seed: int = 0
    members: tuple["Node", ...] = ()
    shares: tuple[float, ...] = ()

    def key(self, data: str, code: str) -> str:
        """Name of the training in the store: a digest of all that decides the outcome.

        Arguments:
            data: Digest of snapshot, target, window and features.
            code: Digest of the source that trains.
        """
        said = self.model_dump(mode="json")
        parts = {
            "data": data,
            "code": code,
            "model": said["model"],
            "training": said["training"],
            "spans": [said["train"], said["validation"]],
            "seed": self.seed,
            "members": [member.key(data, code) for member in self.members],
            "shares": self.shares,
        }
        return _digest(parts)

    def build(self, spec: Spec) -> Model:
        """A model of this structure, with weights that are yet to be filled in."""
        if self.members:
            return Pool([member.build(spec) for member in self.members])
        return self.model.build(spec)

    def leaves(self) -> Iterator["Node"]:
        """The single fits below, or itself."""
        for member in self.members:
            yield from member.leaves()
        if not self.members:
            yield self


@dataclass(frozen=True)
class View:
    """How a training reads facts."""

    target: Target
    window: WindowSpec
    features: FeaturesConfig


class Statement(Frozen):
    """One training and its data, stated completely."""

    snapshot: str
    """Digest."""
    target: Target
    window: WindowSpec
    modules: tuple[str, ...] = ()
    """Names of the user's own feature modules."""
    features: str = ""
    """Digest of their source; empty where there are none."""
    code: str
    """Digest of the source that trained."""
    made_with: dict[str, str]
    """Versions of the libraries, and the processor."""
    node: Node

    @classmethod
    def of(cls, node: Node, snapshot: str, reads: "Reads") -> "Statement":
        """What is trained by this code, here.

        Arguments:
            snapshot: Digest of the data.
            reads: How they are read; a run's configuration is one.
        """
        return cls(
            snapshot=snapshot,
            target=reads.target,
            window=reads.window,
            modules=reads.features.modules,
            features=reads.features.digest,
            code=code_digest(),
            made_with=made_with(),
            node=node,
        )

    @property
    def data(self) -> str:
        """Digest of what is trained on and what for."""
        return _digest(
            {
                "snapshot": self.snapshot,
                "features": self.features,
                "target": self.target.model_dump(),
                "window": self.window.model_dump(),
            }
        )

    @property
    def key(self) -> str:
        """Under which the store has the run."""
        return self.node.key(self.data, self.code)

    @property
    def spec(self) -> Spec:
        """What the families are built for."""
        return Spec(self.window, self.target.horizon, self.target.kind, len(self.target.symbols))

    def view(self, folder: Path) -> View:
        """How its data are read.

        Arguments:
            folder: Where the user's own feature modules lie.

        Raises:
            ConfigError: They are not there, or not those that it was trained with.
        """
        features = FeaturesConfig.model_validate({"modules": self.modules}, context=folder)
        if features.digest != self.features:
            where = f"{', '.join(self.modules)} in {folder.resolve()}"
            raise ConfigError("[features] modules", f"{where}: not as the run was trained with; put those there")
        return View(self.target, self.window, features)

    def record(self) -> dict[str, Any]:
        """As plain values, for the store."""
        return self.model_dump(mode="json")


def made_with() -> dict[str, str]:
    """The libraries whose arithmetic or calendars reach the weights, and the processor that does the arithmetic."""
    processor = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    found = {name: version(name) for name in _LIBRARIES}
    return {"python": platform.python_version(), **found, "processor": processor}


def _digest(parts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
