"""From a windowed artifact and the model behind it to a second one that carries a state, its twin."""

import hashlib

import numpy as np
import torch
from torch import Tensor

from forecaster.artifact import AFTER, AXES, Artifact, golden_context
from forecaster.errors import ConfigError, ContractMismatch
from forecaster.families.base import Model
from forecaster.families.carried import Carried, carried
from forecaster.families.pool import Pool
from forecaster.runtime import Runtime
from forecaster.stream import Stream
from forecaster.training.export import PARITY, off, parity, trace

SEARCHED = 1e-4
"""The same of a pool, whose quantiles are searched for: a rounding may move one by 2e-4 of the members' range."""
_PROOF = 9  # contexts that the twin is tried on besides the golden one


def carry_state(model: Model, windowed: Artifact) -> Artifact:
    """Seal the twin of an artifact.

    Arguments:
        model: What the artifact was sealed from.

    Raises:
        ConfigError: The model has no state to carry.
        ContractMismatch: From a fresh state over L sessions it does not answer as the artifact does, or not as torch.
    """
    going, facts = carried(model), windowed.manifest
    if going is None:
        raise ConfigError(f"model {facts.name}", "has no state to carry; rnn, lstm, gru and pools of them alone have")
    allowed = SEARCHED if isinstance(model, Pool) else PARITY
    graph = _to_onnx(going.eval(), torch.from_numpy(golden_context(facts.window)), windowed, allowed)
    manifest = facts.model_copy(
        update={"mode": "carried", "made_from": (windowed.digest,), "model_sha256": hashlib.sha256(graph).hexdigest()}
    )
    twin = Artifact.seal(manifest, graph)
    _prove(twin, windowed, allowed)
    return twin


def _to_onnx(going: Carried, golden: Tensor, windowed: Artifact, allowed: float) -> bytes:
    answers = ["quantiles", "parameters"] if windowed.manifest.density else ["quantiles"]
    names = list(going.states)
    begin, further = _inputs(going, golden), _inputs(going, golden.expand(_PROOF, -1, -1) * 1.5)
    free = {name: dict(enumerate(AXES)) for name in ("bars", *answers)}
    free |= {name: {1: AXES[0]} for state in names for name in (state, state + AFTER)}
    graph = trace(going, begin, [*answers, *(name + AFTER for name in names)], free)
    with torch.inference_mode():
        for name, state in zip(names, going(*further.values())[len(answers) :], strict=True):
            further[name] = state
    worst = max(parity(going, graph, *inputs.values()) for inputs in (begin, further))
    if worst > allowed:
        raise ContractMismatch(windowed.manifest.name, f"ONNX within {allowed} of torch", f"{worst:.1e}")
    return graph


def _inputs(going: Carried, bars: Tensor) -> dict[str, Tensor]:
    fresh = {name: torch.zeros(layers, len(bars), width) for name, (layers, width) in going.states.items()}
    return {"bars": bars.contiguous(), **fresh}


def _prove(twin: Artifact, windowed: Artifact, allowed: float) -> None:
    """From a fresh state over L sessions both say the same, here as everywhere they are loaded.

    Raises:
        ContractMismatch: They do not.
    """
    window = windowed.manifest.window
    noise = np.random.default_rng(0).standard_normal((_PROOF, window.context, len(window.features)))
    contexts = np.zeros((_PROOF, window.context, len(window.channels)), dtype=np.float32)
    contexts[..., : len(window.features)] = 0.01 * noise
    stream = Stream(twin)
    passed = stream.step(contexts, stream.begin(_PROOF))
    expected = Runtime(windowed).quantiles(contexts)
    worst = off(passed.quantiles[:, -1], expected, max(1.0, float(np.abs(expected).max())))
    if worst > allowed:
        raise ContractMismatch(twin.digest, f"the answers of {windowed.digest[:12]} within {allowed}", f"{worst:.1e}")
