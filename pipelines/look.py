"""Look: what one trained model shows of itself, asked through its artifacts and opened where it is a network.

Apart from the verb, so that a worker that looks wakes neither MLflow nor the store.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from safetensors.torch import load

from forecaster.artifact import Artifact
from forecaster.contract import Dates, Floats
from forecaster.diagnostics.attention import Attending, attention
from forecaster.diagnostics.gates import Gate, gate_activity
from forecaster.diagnostics.gradient import body_gradient_by_age, gradient_by_age
from forecaster.diagnostics.lags import response_by_lag
from forecaster.diagnostics.memory import effective_length
from forecaster.diagnostics.sensitivity import Sensitivity, crps_loss, sensitivity
from forecaster.diagnostics.tampering import drop_past, shuffle_past, swap_channels
from forecaster.families.ar import ArFamily
from forecaster.families.base import Network, Spec
from forecaster.families.recurrent import GatedFamily
from forecaster.runtime import Runtime
from forecaster.windows import Sample
from pipelines.jobs import Job

TOLERANCE = 0.005
"""Relative increase of the loss up to which a shorter past counts as long enough."""
_BLOCK = 21  # sessions that are swapped together: a month
_REPEATS = 3
_OPENED = 256  # newest origins at which a network is opened
_ASKED = 256  # origins, spread over the validation years, at which contexts are tampered with


@dataclass(frozen=True)
class Asked:
    """What a worker needs to explain one model."""

    name: str
    seeds: tuple[Artifact, ...]
    leaves: tuple[tuple[Job, bytes], ...]
    """Fits with their weights; empty where there is nothing to open."""
    reach: int
    spec: Spec
    sample: Sample
    groups: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Explained:
    """What a model showed."""

    name: str
    importance: dict[str, Sensitivity]
    """Group of channels, or "order" -> how much worse without it."""
    kept: dict[int, float]
    """Sessions kept -> relative increase of the loss without the older ones."""
    memory: int | None
    """Sessions that suffice; None where more would be needed than were tried."""
    gradient: Floats | None = None
    """[L] by age, through the whole forecast."""
    body: Floats | None = None
    """[L] by age, through the body alone."""
    lags: Floats | None = None
    """[S, H, p] weights of an autoregression."""
    gates: dict[str, Gate] = field(default_factory=dict)
    attention: Floats | None = None
    """[H, heads, L] mean over origins."""
    attended: tuple[Floats, Dates, Floats] | None = None
    """The newest origin's [H, heads, L], its sessions [L] and their returns [L]."""

    def merits(self) -> dict[str, float]:
        """As metrics."""
        found = {f"importance_{part}": one.mean for part, one in self.importance.items()}
        return found if self.memory is None else {**found, "memory_sessions": float(self.memory)}


def look(asked: Asked) -> Explained:
    """Explain one model."""
    windows, origins = asked.sample.windows, asked.sample.origins
    spread = origins[:: max(1, len(origins) // _ASKED)]
    losses = [crps_loss(Runtime(artifact).quantiles, windows.targets[spread]) for artifact in asked.seeds]
    contexts = windows.contexts(spread)
    tampers = {group: swap_channels(at, _BLOCK) for group, at in asked.groups.items()} | {"order": shuffle_past(1)}
    kept = [sessions for sessions in _ladder(asked.spec.window.context) if sessions >= asked.reach]
    cut = sensitivity(losses, contexts, {str(sessions): drop_past(sessions) for sessions in kept}, repeats=1)
    by_kept = {int(sessions): one for sessions, one in cut.items()}
    return Explained(
        asked.name,
        importance=sensitivity(losses, contexts, tampers, _REPEATS),
        kept={sessions: one.mean for sessions, one in by_kept.items()},
        memory=effective_length(by_kept, TOLERANCE),
        **_opened(asked),
    )


def _ladder(context: int) -> list[int]:
    """Sessions kept: 1, 2, 3, 5, 8, ... up to the whole context, each about half as many again."""
    rungs = [1]
    while rungs[-1] < context:
        rungs.append(min(context, max(rungs[-1] + 1, round(rungs[-1] * 1.6))))
    return rungs


def _opened(asked: Asked) -> dict[str, Any]:
    networks = []
    for job, tensors in asked.leaves:
        model = job.build(asked.spec)
        model.load_state_dict(load(tensors))
        if isinstance(model, Network):
            networks.append(model.eval())
    if not networks:
        return {}
    first, windows, origins = networks[0], asked.sample.windows, asked.sample.origins[-_OPENED:]
    contexts, family = windows.contexts(origins), asked.leaves[0][0].family
    found: dict[str, Any] = {
        "gradient": np.mean([gradient_by_age(network, windows, origins) for network in networks], axis=0),
        "body": np.mean([body_gradient_by_age(network, windows, origins) for network in networks], axis=0),
    }
    if isinstance(family, ArFamily):
        found["lags"] = np.stack([response_by_lag(network, contexts)[:, : family.order] for network in networks])
    if isinstance(family, GatedFamily):
        found["gates"] = gate_activity(first, contexts)
    if isinstance(first.body, Attending):
        shares = attention(first, contexts)
        sessions = slice(int(origins[-1]) + 1 - contexts.shape[1], int(origins[-1]) + 1)
        found["attention"] = shares.mean(axis=0)
        found["attended"] = (shares[-1], windows.sessions[sessions], windows.values[sessions, 0])
    return found
