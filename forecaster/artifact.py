"""The artifact: what training hands over and everything else runs. One ONNX graph, one manifest, one digest.

The manifest names the SHA-256 of the graph, and the artifact's digest is the SHA-256 of the manifest's bytes: checking
the digest checks both. Nothing in it depends on when or where it was made, so the same run on another machine of the
same kind gives the same digest. Nothing in it is a pickle.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from forecaster.components import Component
from forecaster.contract import Frozen, Target, WindowSpec
from forecaster.errors import ArtifactCorrupt

AXES = ("batch", "length")
"""What a graph calls the free axes of its input [B, L, C]."""
AFTER = "_after"
"""What a graph that carries a state puts behind its inputs' names where it returns them for the next session."""
GOLDEN_TOLERANCE = 1e-5
"""Largest |difference| / (1 + |quantile|) between the golden forecast and what a loaded graph answers."""


Mode = Literal["windowed", "carried"]
"""How a model is asked: about windows of L sessions, or about one session after another from the state it returned."""


class Manifest(Frozen):
    """What a model is, what it was made from, and how to check that it is intact."""

    format: int = 2
    name: str
    family: str
    mode: Mode = Field(default="windowed", exclude_if=lambda mode: mode == "windowed")
    """Left out where it is windowed, so that such a manifest has the bytes, and the digest, that it always had."""
    target: Target
    window: WindowSpec
    config: dict[str, Any]
    """The family's and the training's configuration, as in the run file."""
    snapshot: str
    """Digest of the data it was trained on."""
    made_from: tuple[str, ...] = ()
    """Digests of the artifacts it was made from: a pool's members, where a warm start or a finetuning began, or the
    windowed model that this one carries a state for."""
    features: str = ""
    """Digest of the modules of the user's own features; empty where there are none."""
    trained_from: date
    """Session of the first training origin."""
    trained_until: date
    """Session of the last training origin's last target: nothing later was read for the weights."""
    chosen_until: date | None
    """Session up to which early stopping looked; None where there was none."""
    remarks: dict[str, float] = Field(default_factory=dict)
    """What the family has to say of itself at the validation origins."""
    epochs: int
    code: str
    """Digest of the source that trained it."""
    levels: tuple[float, ...]
    """Q quantile levels, ascending."""
    density: tuple[Component, ...]
    """What the graph's second output, the density parameters, holds along P; empty for a family without a density."""
    parameters: int
    """Trained weights."""
    warm_up: int
    """Sessions needed before the context for the channels to have a value."""
    model_sha256: str
    golden: tuple[tuple[float, ...], ...]
    """Quantiles [H, Q] after `golden_context`, checked whenever the graph is loaded."""


@dataclass(frozen=True)
class Artifact:
    """A verified pair of manifest and graph."""

    digest: str
    manifest: Manifest
    model: bytes
    """ONNX."""

    @classmethod
    def seal(cls, manifest: Manifest, model: bytes) -> Self:
        """An artifact with its digest, from a manifest and the graph it names."""
        return cls.verify(hashlib.sha256(serialise(manifest).encode()).hexdigest(), serialise(manifest), model)

    @classmethod
    def verify(cls, digest: str, manifest: str, model: bytes) -> Self:
        """An artifact from stored bytes, checked before anything reads them.

        Raises:
            ArtifactCorrupt: A digest does not match, or the manifest is not one.
        """
        if hashlib.sha256(manifest.encode()).hexdigest() != digest:
            raise ArtifactCorrupt(digest, "the manifest does not match the digest")
        try:
            parsed = Manifest.model_validate_json(manifest)
        except ValidationError as error:
            raise ArtifactCorrupt(digest, f"the manifest is not valid ({error.error_count()} problems)") from error
        if hashlib.sha256(model).hexdigest() != parsed.model_sha256:
            raise ArtifactCorrupt(digest, "the model's bytes do not match the manifest")
        return cls(digest, parsed, model)

    @property
    def kilobytes(self) -> float:
        """Size of the graph."""
        return len(self.model) / 1024


def serialise(manifest: Manifest) -> str:
    """Canonical JSON: sorted keys, so that one manifest has one digest."""
    return json.dumps(manifest.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))


def golden_context(window: WindowSpec) -> NDArray[np.float32]:
    """A fixed, made-up context [1, L, C] of the size of daily returns, the same everywhere."""
    count = window.context * len(window.channels)
    wave = 0.01 * np.sin(1.7 * np.arange(count) + 0.3 * np.sin(0.13 * np.arange(count)))
    return np.asarray(wave.reshape(1, window.context, len(window.channels)), dtype=np.float32)


@cache
def code_digest() -> str:
    """SHA-256 of this package's source: which code trained a model, also where there is no git."""
    sha = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        sha.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return sha.hexdigest()
