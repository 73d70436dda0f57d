"""Running an artifact that carries a state: one session after another, however many symbols side by side.

An answer rests on everything since the state was fresh. From a fresh state over exactly L sessions it is the windowed
model's; later it remembers more, so it is scored, promoted and served nowhere in that model's place.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forecaster.artifact import AFTER, Artifact, golden_context
from forecaster.contract import Floats
from forecaster.errors import ContractMismatch
from forecaster.graph import Graph

State = Mapping[str, NDArray[np.float32]]
"""What is carried, by name [layers, B, width]; never changed, so one can be kept and gone on from twice."""

_POSITIONS = 1600  # sessions a call, over all symbols; more are slower (they fall out of the cache)


@dataclass(frozen=True)
class Passed:
    """What was said along the way."""

    quantiles: Floats
    """[B, T, H, Q] from each session on, non-decreasing along Q."""
    parameters: Floats | None
    """[B, T, H, P] of the density; None where the artifact has none."""
    state: State
    """After the last session."""


class Stream:
    """A loaded artifact whose state is carried: contract checked, golden forecast reproduced.

    Raises:
        WrongMode: It is one that is asked about windows.
        ArtifactCorrupt: The graph does not load, or does not answer the golden forecast.
        ContractMismatch: Inputs, outputs or quantile levels are not those of the contract.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.digest, self.manifest = artifact.digest, artifact.manifest
        self._graph = Graph(artifact, "carried", {})
        self._states = {name: shape for name, shape in self._graph.inputs.items() if name != "bars"}
        self._graph.require("bars", "B, T", [f"{name}{AFTER}" for name in self._states])
        golden = golden_context(self.manifest.window)
        self._graph.check_golden(self.step(golden, self.begin(1)).quantiles[0, -1])

    def begin(self, count: int) -> State:
        """The state of so many symbols before their first session."""
        fresh = {}
        for name, (layers, _, width) in self._states.items():
            fresh[name] = np.zeros((layers, count, width), dtype=np.float32)
        return fresh

    def step(self, bars: NDArray[np.float32], state: State) -> Passed:
        """Go on over sessions.

        Arguments:
            bars: [B, T, C] the channels of symbols at their next sessions, without a hole: behind one, begin anew.
            state: After the sessions before.

        Raises:
            ContractMismatch: Bars or state are of another shape.
            OutputInvalid: A value is not finite, or levels cross.
        """
        if bars.ndim != 3 or not bars.size:
            raise ContractMismatch(self.digest, "bars [B, T, C]", str(bars.shape))
        length = max(1, _POSITIONS // len(bars))
        answers, names = self._graph.answers, list(self._states)
        outputs = [*answers, *(f"{name}{AFTER}" for name in names)]
        whole: list[Floats] = []
        for start in range(0, bars.shape[1], length):
            place = slice(start, start + length)
            found = self._graph.ask(outputs, {"bars": bars[:, place], **state})
            told = self._checked(found[: len(answers)])
            whole = whole or [np.empty((*bars.shape[:2], *one.shape[2:])) for one in told]
            for one, part in zip(whole, told, strict=True):
                one[:, place] = part
            state = dict(zip(names, found[len(answers) :], strict=True))
        return Passed(whole[0], whole[1] if len(whole) > 1 else None, state)

    def _checked(self, told: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Quantiles and parameters of one call, while they are still in the cache."""
        self._graph.quantiles(told[0])
        for parameters in told[1:]:
            self._graph.parameters(parameters, told[0])
        return told
