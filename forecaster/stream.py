"""Running an artifact that carries a state: one session after another, however many symbols side by side.

An answer rests on everything since the state was fresh. From a fresh state over exactly L sessions it is the windowed
model's; later it remembers more, so it is scored, promoted and served nowhere in that model's place.
"""

from collections.abc import Iterator, Mapping, Sequence
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
        shapes = {name: shape for name, shape in self._graph.inputs.items() if name != "bars"}
        self._graph.require("bars", "B, T", [f"{name}{AFTER}" for name in shapes])
        self._states = {name: self._sizes(shape) for name, shape in shapes.items()}
        golden = golden_context(self.manifest.window)
        self._graph.check_golden(self.step(golden, self.begin(1)).quantiles[0, -1])

    def _sizes(self, shape: Sequence[int | str]) -> tuple[int, int]:
        """Layers and width of a state."""
        match shape:
            case [int(layers), _, int(width)]:
                return layers, width
        raise ContractMismatch(self.digest, "states [layers, B, width]", str(shape))

    def begin(self, count: int) -> State:
        """The state of so many symbols before their first session."""
        return {
            name: np.zeros((layers, count, width), dtype=np.float32) for name, (layers, width) in self._states.items()
        }

    def step(self, bars: NDArray[np.float32], state: State) -> Passed:
        """Go on over sessions.

        Arguments:
            bars: [B, T, C] the channels of symbols at their next sessions, without a hole: behind one, begin anew.
            state: After the sessions before.

        Raises:
            ContractMismatch: Bars or state are of another shape.
            OutputInvalid: A value is not finite, or levels cross.
        """
        passed = list(self.passes(bars, state))
        if len(passed) == 1:
            return passed[0]
        parameters = [one.parameters for one in passed if one.parameters is not None]
        return Passed(
            np.concatenate([one.quantiles for one in passed], axis=1),
            np.concatenate(parameters, axis=1) if parameters else None,
            passed[-1].state,
        )

    def passes(self, bars: NDArray[np.float32], state: State) -> Iterator[Passed]:
        """The same a few sessions at a time, so that a long history takes no memory for answers that were looked at.

        Raises:
            ContractMismatch: Bars or state are of another shape.
            OutputInvalid: A value is not finite, or levels cross.
        """
        if bars.ndim != 3 or not bars.size:
            raise ContractMismatch(self.digest, "bars [B, T, C]", str(bars.shape))
        length = max(1, _POSITIONS // len(bars))
        answers, names = self._graph.answers, list(self._states)
        outputs = [*answers, *(f"{name}{AFTER}" for name in names)]
        for start in range(0, bars.shape[1], length):
            found = self._graph.ask(outputs, {"bars": bars[:, start : start + length], **state})
            quantiles, *parameters = self._checked(found[: len(answers)])
            state = dict(zip(names, found[len(answers) :], strict=True))
            yield Passed(quantiles, parameters[0] if parameters else None, state)

    def _checked(self, told: list[NDArray[np.float32]]) -> list[Floats]:
        """Quantiles and parameters of one call."""
        self._graph.quantiles(told[0])
        for parameters in told[1:]:
            self._graph.parameters(parameters, told[0])
        return [one.astype(np.float64) for one in told]
