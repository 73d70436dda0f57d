"""Artifacts made by hand, without torch: a graph of three nodes, and every way in which one can be wrong."""

import hashlib
from datetime import date
from statistics import NormalDist

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from forecaster.artifact import Artifact, Manifest, golden_context
from forecaster.contract import LEVELS, Floats, Target, WindowSpec

WINDOW = WindowSpec(context=8, burn_in=2, channels=("log_return", "volume_change"))
HORIZON = 2


def table() -> Floats:
    """Ordered quantiles [H, Q]."""
    normal = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
    return np.sqrt(np.arange(1, HORIZON + 1))[:, None] * normal


def graph(
    quantiles: Floats,
    operator: str = "Abs",
    channels: int = 2,
    names: tuple[str, str] = ("context", "quantiles"),
    parameters: Floats | None = None,
) -> bytes:
    """quantiles [B, H, Q] = mean of operator(context) * table; parameters [B, H, P] alike, where there are any."""
    source, sink = names
    context = helper.make_tensor_value_info(source, TensorProto.FLOAT, ["batch", "length", channels])
    output = helper.make_tensor_value_info(sink, TensorProto.FLOAT, ["batch", *quantiles.shape])
    constants = [
        numpy_helper.from_array(quantiles[None].astype(np.float32), "table"),
        numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "axes"),
    ]
    nodes = [
        helper.make_node(operator, [source], ["size"]),
        helper.make_node("ReduceMean", ["size", "axes"], ["scale"], keepdims=1),
        helper.make_node("Mul", ["scale", "table"], [sink]),
    ]
    outputs = [output]
    if parameters is not None:
        outputs.append(helper.make_tensor_value_info("parameters", TensorProto.FLOAT, ["batch", *parameters.shape]))
        constants.append(numpy_helper.from_array(parameters[None].astype(np.float32), "more"))
        nodes.append(helper.make_node("Mul", ["scale", "more"], ["parameters"]))
    made = helper.make_graph(nodes, "small", [context], outputs, constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def manifest_of(model: bytes, golden: Floats | None = None, levels: tuple[float, ...] = LEVELS, **facts) -> Manifest:
    """A manifest that fits `graph(table())`; `facts` replace its fields."""
    right = np.abs(golden_context(WINDOW)).mean() * table()
    fields = {
        "name": "small",
        "family": "naive",
        "target": Target(symbols=("T",), venue="XNYS", horizon=HORIZON),
        "window": WINDOW,
        "config": {"model": {"name": "small"}},
        "snapshot": "5" * 64,
        "trained_from": date(2010, 1, 4),
        "trained_until": date(2016, 12, 30),
        "chosen_until": None,
        "epochs": 0,
        "code": "c" * 64,
        "levels": levels,
        "density": (),
        "parameters": 0,
        "warm_up": 1,
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "golden": tuple(map(tuple, (right if golden is None else golden).tolist())),
    }
    return Manifest(**(fields | facts))


def small_artifact(name: str = "small", model: bytes | None = None) -> Artifact:
    """A sealed artifact; another name, another digest."""
    model = graph(table()) if model is None else model
    return Artifact.seal(manifest_of(model, name=name), model)
