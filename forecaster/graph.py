"""The graph of an artifact: the only room that imports onnxruntime. What is scored is what is served."""

import os
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from forecaster.artifact import GOLDEN_TOLERANCE, Artifact, Manifest, Mode
from forecaster.components import width
from forecaster.contract import LEVELS, Floats
from forecaster.errors import ArtifactCorrupt, ContractMismatch, OutputInvalid, WrongMode

Some = TypeVar("Some", NDArray[np.float32], Floats)
_FILES = "session.model_external_initializers_file_folder_path"


class Graph:
    """A loaded graph, on one thread, with what its manifest says of it.

    Arguments:
        mode: How it will be asked.
        sizes: Of free axes that will always have the same: what depends on the shape is then worked out once.

    Raises:
        WrongMode: It is to be asked otherwise.
        ArtifactCorrupt: It does not load.
        ContractMismatch: Outputs, levels or golden forecast are not those of the contract.
    """

    def __init__(self, artifact: Artifact, mode: Mode, sizes: Mapping[str, int]) -> None:
        self.digest = artifact.digest
        self.manifest: Manifest = artifact.manifest
        if self.manifest.mode != mode:
            raise WrongMode(self.digest, self.manifest.mode, *self.manifest.made_from[:1])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        for axis, size in sizes.items():
            options.add_free_dimension_override_by_name(axis, size)
        # Else a graph may take numbers from files below the working directory, which no digest names.
        options.add_session_config_entry(_FILES, os.devnull)
        try:
            self._session = onnxruntime.InferenceSession(artifact.model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own, unexported classes
            raise ArtifactCorrupt(self.digest, "the graph does not load") from error

    @property
    def inputs(self) -> dict[str, list[int | str]]:
        """Shapes by name, free axes by theirs."""
        return {value.name: value.shape for value in self._session.get_inputs()}

    @property
    def answers(self) -> list[str]:
        """The outputs that are a forecast."""
        return ["quantiles", "parameters"] if self.manifest.density else ["quantiles"]

    def require(self, first: str, axes: str, others: Sequence[str] = ()) -> None:
        """Hold it to the contract.

        Arguments:
            first: Name of the input that has the channels on its last axis.
            axes: Its other axes, in words.
            others: Outputs behind the forecast.

        Raises:
            ContractMismatch: Inputs, outputs, levels or golden forecast are others.
        """
        channels, shapes = len(self.manifest.window.channels), self.inputs
        if next(iter(shapes), None) != first or shapes[first][-1:] != [channels]:
            raise ContractMismatch(self.digest, f"an input `{first}` [{axes}, {channels}]", str(shapes))
        outputs = [value.name for value in self._session.get_outputs()]
        if outputs != [*self.answers, *others]:
            raise ContractMismatch(self.digest, f"outputs {[*self.answers, *others]}", str(outputs))
        golden = {len(row) for row in self.manifest.golden}
        if len(self.manifest.golden) != self.manifest.target.horizon or golden != {len(LEVELS)}:
            expected_shape = f"a golden forecast [{self.manifest.target.horizon}, {len(LEVELS)}]"
            raise ContractMismatch(self.digest, expected_shape, f"[{len(self.manifest.golden)}, {sorted(golden)}]")
        if self.manifest.levels != LEVELS:
            raise ContractMismatch(self.digest, f"{len(LEVELS)} quantile levels", f"{len(self.manifest.levels)}")

    def check_golden(self, answer: Floats) -> None:
        """Compare what it says [H, Q] of the golden context with what it is to say.

        Raises:
            ContractMismatch: The shape is another.
            ArtifactCorrupt: The numbers are.
        """
        golden = np.array(self.manifest.golden)
        if answer.shape != golden.shape:
            raise ContractMismatch(self.digest, f"quantiles {golden.shape}", str(answer.shape))
        worst = float(np.max(np.abs(answer - golden) / (1 + np.abs(golden))))
        if worst > GOLDEN_TOLERANCE:
            raise ArtifactCorrupt(self.digest, f"its golden forecast is off by {worst:.1e}")

    def ask(self, outputs: list[str], inputs: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Its outputs of that name.

        Raises:
            ContractMismatch: It does not take inputs of such shapes.
        """
        try:
            return [np.asarray(value) for value in self._session.run(outputs, inputs)]
        except Exception as error:  # onnxruntime raises its own, unexported classes
            shapes = ", ".join(str(value.shape) for value in inputs.values())
            raise ContractMismatch(self.digest, f"a graph that takes {shapes}", type(error).__name__) from error

    def quantiles(self, found: Some) -> Some:
        """Quantiles [..., Q], if they are a forecast.

        Raises:
            OutputInvalid: A value is not finite, or levels cross.
        """
        # Between finite ends, what rises is finite; each end by itself, since pairs are slow to walk along.
        if not (_rises(found) and np.isfinite(found[..., 0]).all() and np.isfinite(found[..., -1]).all()):
            problem = "quantiles cross" if np.isfinite(found).all() else "a quantile is not finite"
            raise OutputInvalid(self.digest, problem)
        return found

    def parameters(self, found: Some, quantiles: Some) -> Some:
        """Density parameters [..., H, P], if they belong to such quantiles [..., H, Q].

        Raises:
            ContractMismatch: There are more or fewer than the components of the density have.
            OutputInvalid: A value is not finite.
        """
        expected = (*quantiles.shape[:-1], width(self.manifest.density))
        if found.shape != expected:
            raise ContractMismatch(self.digest, f"parameters {expected}", str(found.shape))
        if not np.isfinite(found).all():
            raise OutputInvalid(self.digest, "a parameter of the density is not finite")
        return found


def _rises(found: NDArray[np.floating]) -> bool:
    """Whether no value along the last axis is below the one before it, in one run over memory; NaN never is."""
    flat, levels = found.ravel(), found.shape[-1]
    rises = flat[1:] >= flat[:-1]
    rises[levels - 1 :: levels] = True  # from the end of one forecast to the beginning of the next
    return bool(rises.all())
