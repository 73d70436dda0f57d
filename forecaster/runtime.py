"""Running an artifact on windows: what compare scores, what is issued and what the service answers on demand.

An artifact that carries a state answers otherwise (`forecaster.stream`), and is refused here.
"""

import numpy as np
from numpy.typing import NDArray

from forecaster.artifact import AXES, Artifact, golden_context
from forecaster.contract import Floats
from forecaster.errors import ContractMismatch
from forecaster.graph import Graph

_CHUNK = 64  # rows a call; larger batches are slower (they fall out of the cache)


class Runtime:
    """A loaded artifact: contract checked, golden forecast reproduced.

    Arguments:
        single: It is only ever asked about one context of the window's length. What depends on the shape is then
            worked out once: the same numbers, in half the time for a small network.

    Raises:
        WrongMode: It carries a state.
        ArtifactCorrupt: The graph does not load, or does not answer the golden forecast.
        ContractMismatch: Inputs, outputs or quantile levels are not those of the contract.
    """

    def __init__(self, artifact: Artifact, single: bool = False) -> None:
        self.digest, self.manifest = artifact.digest, artifact.manifest
        sizes = (1, self.manifest.window.context)
        self._graph = Graph(artifact, "windowed", dict(zip(AXES, sizes, strict=True)) if single else {})
        self._graph.require("context", "B, L")
        if len(self._graph.inputs) > 1:
            raise ContractMismatch(self.digest, "one input `context`", str(self._graph.inputs))
        self._graph.check_golden(self.quantiles(golden_context(self.manifest.window))[0])

    def quantiles(self, contexts: NDArray[np.float32]) -> Floats:
        """Quantiles of the cumulative log return, or of the level's change.

        Arguments:
            contexts: [N, L, C].
        Returns:
            [N, H, Q], non-decreasing along Q.
        Raises:
            OutputInvalid: A value is not finite, or levels cross.
        """
        return self._graph.quantiles(self._run(contexts, ["quantiles"])[0])

    def distributions(self, contexts: NDArray[np.float32]) -> tuple[Floats, Floats | None]:
        """Quantiles [N, H, Q] and density parameters [N, H, P]; None where the artifact has no density.

        Raises:
            ContractMismatch: There are more or fewer parameters than the components of the density have.
            OutputInvalid: A value is not finite, or levels cross.
        """
        if not self.manifest.density:
            return self.quantiles(contexts), None
        quantiles, parameters = self._run(contexts, self._graph.answers)
        parameters = self._graph.parameters(parameters, quantiles)
        return self._graph.quantiles(quantiles), parameters

    def _run(self, contexts: NDArray[np.float32], outputs: list[str]) -> list[Floats]:
        rows = range(0, len(contexts), _CHUNK)
        chunks = [self._graph.ask(outputs, {"context": contexts[row : row + _CHUNK]}) for row in rows]
        if len(chunks) == 1:
            return [part.astype(np.float64) for part in chunks[0]]
        return [np.concatenate(parts).astype(np.float64) for parts in zip(*chunks, strict=True)]
