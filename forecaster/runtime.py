"""Running an artifact: the only room that imports onnxruntime. What is scored is what is served."""

import os

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from forecaster.artifact import AXES, GOLDEN_TOLERANCE, Artifact, Manifest, golden_context
from forecaster.components import width
from forecaster.contract import LEVELS, Floats
from forecaster.errors import ArtifactCorrupt, ContractMismatch, OutputInvalid

_CHUNK = 64  # rows a call; larger batches are slower (they fall out of the cache)
_FILES = "session.model_external_initializers_file_folder_path"


class Runtime:
    """A loaded artifact: contract checked, golden forecast reproduced.

    Arguments:
        single: It is only ever asked about one context of the window's length. What depends on the shape is then
            worked out once: the same numbers, in half the time for a small network.

    Raises:
        ArtifactCorrupt: The graph does not load, or does not answer the golden forecast.
        ContractMismatch: Inputs, outputs or quantile levels are not those of the contract.
    """

    def __init__(self, artifact: Artifact, single: bool = False) -> None:
        self.digest = artifact.digest
        self.manifest: Manifest = artifact.manifest
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        for axis, size in zip(AXES, (1, self.manifest.window.context), strict=True) if single else ():
            options.add_free_dimension_override_by_name(axis, size)
        # Else a graph may take numbers from files below the working directory, which no digest names.
        options.add_session_config_entry(_FILES, os.devnull)
        try:
            self._session = onnxruntime.InferenceSession(artifact.model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own, unexported classes
            raise ArtifactCorrupt(self.digest, "the graph does not load") from error
        self._check_contract()
        self._check_golden()

    def quantiles(self, contexts: NDArray[np.float32]) -> Floats:
        """Quantiles of the cumulative log return, or of the level's change.

        Arguments:
            contexts: [N, L, C].
        Returns:
            [N, H, Q], non-decreasing along Q.
        Raises:
            OutputInvalid: A value is not finite, or levels cross.
        """
        return self._checked(self._run(contexts, ["quantiles"])[0])

    def distributions(self, contexts: NDArray[np.float32]) -> tuple[Floats, Floats | None]:
        """Quantiles [N, H, Q] and density parameters [N, H, P]; None where the artifact has no density.

        Raises:
            ContractMismatch: There are more or fewer parameters than the components of the density have.
            OutputInvalid: A value is not finite, or levels cross.
        """
        if not self.manifest.density:
            return self.quantiles(contexts), None
        quantiles, parameters = self._run(contexts, ["quantiles", "parameters"])
        expected = (*quantiles.shape[:2], width(self.manifest.density))
        if parameters.shape != expected:
            raise ContractMismatch(self.digest, f"parameters {expected}", str(parameters.shape))
        if not np.isfinite(parameters).all():
            raise OutputInvalid(self.digest, "a parameter of the density is not finite")
        return self._checked(quantiles), parameters

    def _checked(self, quantiles: Floats) -> Floats:
        if not np.isfinite(quantiles).all():
            raise OutputInvalid(self.digest, "a quantile is not finite")
        if (quantiles[..., 1:] < quantiles[..., :-1]).any():
            raise OutputInvalid(self.digest, "quantiles cross")
        return quantiles

    def _run(self, contexts: NDArray[np.float32], outputs: list[str]) -> list[Floats]:
        chunks = [self._answer(contexts[start : start + _CHUNK], outputs) for start in range(0, len(contexts), _CHUNK)]
        return [np.concatenate(parts).astype(np.float64) for parts in zip(*chunks, strict=True)]

    def _answer(self, contexts: NDArray[np.float32], outputs: list[str]) -> list[NDArray[np.float32]]:
        try:
            return [np.asarray(value) for value in self._session.run(outputs, {"context": contexts})]
        except Exception as error:  # onnxruntime raises its own, unexported classes
            raise ContractMismatch(self.digest, f"a graph that takes {contexts.shape}", type(error).__name__) from error

    def _check_contract(self) -> None:
        inputs = {value.name: value.shape for value in self._session.get_inputs()}
        channels = len(self.manifest.window.channels)
        if list(inputs) != ["context"] or inputs["context"][-1:] != [channels]:
            raise ContractMismatch(self.digest, f"one input `context` [B, L, {channels}]", str(inputs))
        outputs = [value.name for value in self._session.get_outputs()]
        expected = ["quantiles", "parameters"] if self.manifest.density else ["quantiles"]
        if outputs != expected:
            raise ContractMismatch(self.digest, f"outputs {expected}", str(outputs))
        golden = {len(row) for row in self.manifest.golden}
        if len(self.manifest.golden) != self.manifest.target.horizon or golden != {len(LEVELS)}:
            expected_shape = f"a golden forecast [{self.manifest.target.horizon}, {len(LEVELS)}]"
            raise ContractMismatch(self.digest, expected_shape, f"[{len(self.manifest.golden)}, {sorted(golden)}]")
        if self.manifest.levels != LEVELS:
            raise ContractMismatch(self.digest, f"{len(LEVELS)} quantile levels", f"{len(self.manifest.levels)}")

    def _check_golden(self) -> None:
        golden = np.array(self.manifest.golden)
        answer = self.quantiles(golden_context(self.manifest.window))[0]
        if answer.shape != golden.shape:
            raise ContractMismatch(self.digest, f"quantiles {golden.shape}", str(answer.shape))
        worst = float(np.max(np.abs(answer - golden) / (1 + np.abs(golden))))
        if worst > GOLDEN_TOLERANCE:
            raise ArtifactCorrupt(self.digest, f"its golden forecast is off by {worst:.1e}")
