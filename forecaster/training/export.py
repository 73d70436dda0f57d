"""From a fitted model to an artifact: the ONNX graph, and proof that it answers as torch does."""

import hashlib
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from forecaster.artifact import AXES, Artifact, Manifest, code_digest, golden_context
from forecaster.contract import LEVELS, Target
from forecaster.errors import ContractMismatch
from forecaster.families import AnyFamily
from forecaster.families.base import Model, Spec, folded
from forecaster.training.config import TrainingConfig
from forecaster.training.fit import Fitted, Task
from forecaster.windows import Sample, Windows

PARITY = 1e-5
"""Largest |ONNX - torch| / (1 + |torch|) that is accepted."""
OPSET = 17


def to_onnx(model: Model, context: torch.Tensor) -> bytes:
    """The graph of a model, batch and context length left free."""
    outputs = ["quantiles", "parameters"] if model.density else ["quantiles"]
    free = {"context": dict(enumerate(AXES))} | {name: {0: AXES[0]} for name in outputs}
    return trace(model, {"context": context}, outputs, free)


def trace(
    model: nn.Module, inputs: Mapping[str, torch.Tensor], outputs: list[str], free: Mapping[str, Mapping[int, str]]
) -> bytes:
    """The graph of any module.

    The exporter that traces is used: it takes 0.2 s a model where the newer one takes 5 to 9 s, emits the RNN
    operators, and writes one self-contained file.

    Arguments:
        inputs: Examples, by name in the module's order.
        free: Axes of inputs and outputs that may have any size, with what they are called.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # It announces its retirement, and doubts that a free batch axis holds for RNNs; `parity` proves it does.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.onnx")
        warnings.filterwarnings("ignore", message=".*legacy TorchScript-based ONNX export.*")
        warnings.filterwarnings("ignore", message=".*variable length with LSTM|.*with a batch_size other than 1.*")
        warnings.filterwarnings("ignore", category=torch.jit._trace.TracerWarning)
        torch.onnx.export(
            folded(model),
            tuple(inputs.values()),
            buffer,  # type: ignore[arg-type]  # accepted by the tracing exporter, missing in its annotation
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes=free,
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


def parity(model: nn.Module, graph: bytes, *inputs: torch.Tensor) -> float:
    """Largest |ONNX - torch| / (1 + |torch|) over all outputs.

    What is in the target's unit is told in the size of the widest quantile where that is above 1: a median change of 90
    of a load that moves by 30000 a day is a sum of such numbers, and rounded like them.
    """
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = [output.numpy() for output in model(*inputs)]
    names = [value.name for value in session.get_inputs()]
    found = session.run(None, {name: one.numpy() for name, one in zip(names, inputs, strict=True)})
    widest = max(1.0, float(np.abs(expected[0]).max()))
    outputs = [value.name for value in session.get_outputs()]
    units = [widest if name in ("quantiles", "parameters") else 1.0 for name in outputs]
    return max(off(one, other, unit) for one, other, unit in zip(found, expected, units, strict=True))


def off(found: NDArray[np.floating], expected: NDArray[np.floating], unit: float = 1.0) -> float:
    """Largest |found - expected| / (unit + |expected|)."""
    return float(np.max(np.abs(found - expected) / (unit + np.abs(expected))))


@dataclass(frozen=True)
class Provenance:
    """What an artifact says it was made from."""

    family: AnyFamily
    training: TrainingConfig
    target: Target
    snapshot: str
    """Digest of the data."""
    features: str = ""
    """Digest of the user's own feature modules."""
    made_from: tuple[str, ...] = ()
    """Digests of the artifacts it was made from."""


def export(fitted: Fitted, spec: Spec, task: Task, provenance: Provenance) -> Artifact:
    """Seal a fitted model.

    Raises:
        ContractMismatch: The graph does not answer as torch does, at batch 1 or 9.
    """
    model, family = fitted.model, provenance.family
    golden = torch.from_numpy(golden_context(spec.window))
    graph = to_onnx(model, golden)
    real = torch.from_numpy(task.train[0].windows.contexts(task.train[0].origins[-9:]))
    worst = max(parity(model, graph, golden), parity(model, graph, real))
    if worst > PARITY:
        raise ContractMismatch(family.name, f"ONNX within {PARITY} of torch", f"{worst:.1e}")
    with torch.inference_mode():
        quantiles = model(golden)[0][0].double()
    manifest = Manifest(
        name=family.name,
        family=family.family,
        target=provenance.target,
        window=spec.window,
        config={"model": family.model_dump(mode="json"), "training": provenance.training.model_dump(mode="json")},
        snapshot=provenance.snapshot,
        features=provenance.features,
        made_from=provenance.made_from,
        trained_from=min(_session(sample.windows, sample.origins[0]) for sample in task.train),
        trained_until=_last_target(task.train, spec.horizon),
        chosen_until=_last_target(task.validation, spec.horizon) if task.validation else None,
        remarks={name: round(value, 6) for name, value in model.remarks(task.validation).items()},
        epochs=fitted.epochs,
        code=code_digest(),
        levels=LEVELS,
        density=model.density,
        parameters=sum(weight.numel() for weight in model.parameters()),
        warm_up=max(sample.windows.warm_up for sample in task.train),
        model_sha256=hashlib.sha256(graph).hexdigest(),
        golden=tuple(tuple(row) for row in quantiles.tolist()),
    )
    return Artifact.seal(manifest, graph)


def _last_target(samples: Sequence[Sample], horizon: int) -> date:
    """Session of the last target that the samples' origins reach."""
    return max(_session(sample.windows, sample.origins[-1] + horizon) for sample in samples)


def _session(windows: Windows, index: np.intp) -> date:
    session: date = windows.sessions[index].item()
    return session
