"""From a fitted model to an artifact: the ONNX graph, and proof that it answers as torch does."""

import hashlib
import io
import warnings
from datetime import date

import numpy as np
import onnxruntime
import torch

from forecaster.artifact import Artifact, Manifest, code_digest, golden_context
from forecaster.contract import LEVELS, Target
from forecaster.errors import ContractMismatch
from forecaster.families import AnyFamily
from forecaster.families.base import PARAMETERS, Model, Network, Spec
from forecaster.training.config import TrainingConfig
from forecaster.training.fit import Fitted
from forecaster.windows import Indices, Windows

PARITY = 1e-5
"""Largest |ONNX - torch| / (1 + |torch|) that is accepted."""
OPSET = 17


def to_onnx(model: Model, context: torch.Tensor) -> bytes:
    """The graph of a model, batch and context length left free.

    The exporter that traces is used: it takes 0.2 s a model where the newer one takes 5 to 9 s, emits the RNN
    operators, and writes one self-contained file.
    """
    outputs = ["quantiles", "parameters"] if isinstance(model, Network) else ["quantiles"]
    free = {"context": {0: "batch", 1: "length"}} | {name: {0: "batch"} for name in outputs}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # It announces its retirement, and doubts that a free batch axis holds for RNNs; `parity` proves it does.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.onnx")
        warnings.filterwarnings("ignore", message=".*legacy TorchScript-based ONNX export.*")
        warnings.filterwarnings("ignore", message=".*variable length with LSTM|.*with a batch_size other than 1.*")
        warnings.filterwarnings("ignore", category=torch.jit._trace.TracerWarning)
        torch.onnx.export(
            model,
            (context,),
            buffer,  # type: ignore[arg-type]  # accepted by the tracing exporter, missing in its annotation
            input_names=["context"],
            output_names=outputs,
            dynamic_axes=free,
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


def parity(model: Model, graph: bytes, context: torch.Tensor) -> float:
    """Largest |ONNX - torch| / (1 + |torch|) over all outputs."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        expected = [output.numpy() for output in model(context)]
    found = session.run(None, {"context": context.numpy()})
    return max(
        float(np.max(np.abs(one - other) / (1 + np.abs(other)))) for one, other in zip(found, expected, strict=True)
    )


def export(
    fitted: Fitted,
    family: AnyFamily,
    spec: Spec,
    config: TrainingConfig,
    target: Target,
    snapshot: str,
    features: str,
    windows: Windows,
    train: Indices,
    validation: Indices | None,
) -> Artifact:
    """Seal a fitted model.

    Arguments:
        features: Digest of the user's own feature modules.

    Raises:
        ContractMismatch: The graph does not answer as torch does, at batch 1 or 9.
    """
    model = fitted.model
    golden = torch.from_numpy(golden_context(spec.window))
    graph = to_onnx(model, golden)
    real = torch.from_numpy(windows.contexts(train[-9:]))
    worst = max(parity(model, graph, golden), parity(model, graph, real))
    if worst > PARITY:
        raise ContractMismatch(family.name, f"ONNX within {PARITY} of torch", f"{worst:.1e}")
    with torch.inference_mode():
        quantiles = model(golden)[0][0].double()
    manifest = Manifest(
        name=family.name,
        family=family.family,
        target=target,
        window=spec.window,
        config={"model": family.model_dump(), "training": config.model_dump()},
        snapshot=snapshot,
        features=features,
        trained_from=_session(windows, train[0]),
        trained_until=_session(windows, train[-1] + spec.horizon),
        chosen_until=None if validation is None else _session(windows, validation[-1] + spec.horizon),
        epochs=fitted.epochs,
        code=code_digest(),
        levels=LEVELS,
        density=PARAMETERS if isinstance(model, Network) else (),
        parameters=sum(weight.numel() for weight in model.parameters()),
        warm_up=windows.warm_up,
        model_sha256=hashlib.sha256(graph).hexdigest(),
        golden=tuple(tuple(row) for row in quantiles.tolist()),
    )
    return Artifact.seal(manifest, graph)


def _session(windows: Windows, index: np.intp) -> date:
    session: date = windows.sessions[index].item()
    return session
