"""Graphs that pass every check when they are loaded, and are broken for any context livelier than the golden."""

from typing import Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from small_store import WINDOW, table

from forecaster.contract import LEVELS

Fault = Literal["nan", "endless", "crossing", "short"]

_CALM = 0.0101
"""The golden context stays below this; anything that was traded does not."""


def odd_graph(fault: Fault) -> bytes:
    """quantiles [B, H, Q] = mean |context| * table where the context is calm."""
    context = helper.make_tensor_value_info("context", TensorProto.FLOAT, ["batch", "length", len(WINDOW.channels)])
    output = helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, ["batch", "horizon", "levels"])
    constants = {
        "table": table(2)[None],
        "axes": np.array([1, 2], dtype=np.int64),
        "calm": np.array(_CALM, dtype=np.float32),
        "zero": np.array(0, dtype=np.float32),
        "one": np.array(1, dtype=np.float32),
        "huge": np.array(1e6, dtype=np.float32),
        "begin": np.array([0], dtype=np.int64),
        "all": np.array([len(LEVELS)], dtype=np.int64),
        "last": np.array([2], dtype=np.int64),
    }
    usual = [
        helper.make_node("Abs", ["context"], ["size"]),
        helper.make_node("ReduceMean", ["size", "axes"], ["scale"], keepdims=1),
        helper.make_node("ReduceMax", ["size", "axes"], ["peak"], keepdims=1),
        helper.make_node("Sub", ["calm", "peak"], ["room"]),
        helper.make_node("Mul", ["scale", "table"], ["fine"]),
    ]
    made = helper.make_graph(
        [*usual, *_spoilt(fault)],
        "odd",
        [context],
        [output],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _spoilt(fault: Fault) -> list[onnx.NodeProto]:
    """From `fine` and `room`, which is below 0 where the context is lively, to `quantiles`."""
    node = helper.make_node
    if fault == "nan":
        return [
            node("Sqrt", ["room"], ["root"]),
            node("Mul", ["root", "zero"], ["nothing"]),
            node("Add", ["fine", "nothing"], ["quantiles"]),
        ]
    if fault == "endless":
        return [
            node("Min", ["room", "zero"], ["over"]),
            node("Abs", ["over"], ["beyond"]),
            node("Mul", ["beyond", "huge"], ["more"]),
            node("Add", ["more", "one"], ["factor"]),
            node("Mul", ["fine", "factor"], ["quantiles"]),
        ]
    if fault == "crossing":
        return [node("Sign", ["room"], ["sign"]), node("Mul", ["fine", "sign"], ["quantiles"])]
    return [
        node("Less", ["room", "zero"], ["lively"]),
        node("Cast", ["lively"], ["fewer"], to=TensorProto.INT64),
        node("ReduceMax", ["fewer"], ["one_fewer"], keepdims=0),
        node("Sub", ["all", "one_fewer"], ["end"]),
        node("Slice", ["fine", "begin", "end", "last"], ["quantiles"]),
    ]
