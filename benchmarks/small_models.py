"""Models that need no training: graphs that scale a table of quantiles, for any target and window; and broken ones."""

import hashlib
import pickle
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import NormalDist
from typing import Literal, get_args

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from forecaster.artifact import Artifact, Manifest, golden_context
from forecaster.contract import LEVELS, Target, WindowSpec

Fault = Literal["no number", "another output", "another channel", "a pickle", "numbers in a file"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
ELSEWHERE = "../../etc/passwd"


@dataclass(frozen=True)
class Design:
    """What a model is about and what it sees; two of a design differ by their seed, in every quantile."""

    target: Target
    window: WindowSpec

    def artifact(self, seed: int, model: bytes | None = None) -> Artifact:
        """A sealed artifact; `model` puts another graph in the place of the one its golden forecast came from."""
        quantiles = _table(self.target.horizon, seed)
        model = _serialised(_graph(quantiles, len(self.window.channels))) if model is None else model
        golden = np.abs(golden_context(self.window)).mean() * quantiles
        manifest = Manifest(
            name="small",
            family="naive",
            target=self.target,
            window=self.window,
            config={},
            snapshot="5" * 64,
            trained_from=date(2000, 1, 3),
            trained_until=date(2016, 12, 30),
            chosen_until=None,
            epochs=0,
            code="c" * 64,
            levels=LEVELS,
            density=(),
            parameters=0,
            warm_up=1,
            model_sha256=hashlib.sha256(model).hexdigest(),
            golden=tuple(tuple(row) for row in golden.tolist()),
        )
        return Artifact.seal(manifest, model)

    def broken(self, fault: Fault, seed: int, trap: Path) -> Artifact:
        """One that must not come to answer.

        Arguments:
            trap: A file that a pickle makes once it is read.
        """
        if fault == "a pickle":
            return self.artifact(seed, pickle.dumps(_Trap(trap)))
        quantiles = _table(self.target.horizon, seed)
        if fault == "no number":
            quantiles[-1, -1] = np.nan
        made = _graph(quantiles, len(self.window.channels) + (fault == "another channel"))
        if fault == "another output":
            made.node[-1].output[0] = made.output[0].name = "answers"
        if fault == "numbers in a file":
            table = made.initializer[0]
            external_data_helper.set_external_data(table, ELSEWHERE, offset=0, length=len(table.raw_data))
            table.ClearField("raw_data")
            table.data_location = TensorProto.EXTERNAL
        return self.artifact(seed, _serialised(made))


def _table(horizon: int, seed: int) -> NDArray[np.float32]:
    """Ordered quantiles [H, Q]."""
    normal = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
    return (np.sqrt(np.arange(1, horizon + 1))[:, None] * (normal + 0.01 * seed)).astype(np.float32)


def _graph(quantiles: NDArray[np.float32], channels: int) -> onnx.GraphProto:
    """quantiles [B, H, Q] = mean |context [B, L, C]| * table."""
    context = helper.make_tensor_value_info("context", TensorProto.FLOAT, ["batch", "length", channels])
    output = helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, ["batch", *quantiles.shape])
    numbers = [
        numpy_helper.from_array(quantiles[None], "table"),
        numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "axes"),
    ]
    nodes = [
        helper.make_node("Abs", ["context"], ["size"]),
        helper.make_node("ReduceMean", ["size", "axes"], ["scale"], keepdims=1),
        helper.make_node("Mul", ["scale", "table"], ["quantiles"]),
    ]
    return helper.make_graph(nodes, "small", [context], [output], numbers)


def _serialised(made: onnx.GraphProto) -> bytes:
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    said: bytes = model.SerializeToString()
    return said


@dataclass(frozen=True)
class _Trap:
    """What a pickle can do when it is read."""

    path: Path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)
