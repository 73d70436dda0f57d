"""How much worse a forecast gets when its contexts are tampered with: behind importance, order and memory alike.

    increase = mean over horizons of (mean loss on tampered contexts / mean loss on the true ones) - 1

Outcomes stay what they were; only what the model sees changes. Nothing is refitted: it tells what *this* model uses,
not what the data hold, and two channels that say the same thing can stand in for each other.

References:
    L. Breiman, Random forests, Machine Learning 45 (2001), p. 5, section 10 (permutation importance).
    A. Fisher, C. Rudin, F. Dominici, All models are wrong, but many are useful, JMLR 20 (2019), no. 177 (model
    reliance as a ratio of losses).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forecaster.contract import Floats
from forecaster.scores import crps
from forecaster.significance import skill

Contexts = NDArray[np.float32]
Loss = Callable[[Contexts], Floats]
"""Contexts [N, L, C] of certain origins, true or tampered with -> loss [N, H] there, positive and lower is better."""
Tamper = Callable[[Contexts, np.random.Generator], Contexts]
"""Contexts [N, L, C] -> others for the same origins, in other memory."""


def crps_loss(forecast: Callable[[Contexts], Floats], outcomes: Floats) -> Loss:
    """The CRPS of a forecast as a function of what it is shown.

    Arguments:
        forecast: contexts [N, L, C] -> quantiles [N, H, Q], as `Runtime.quantiles`.
        outcomes: [N, H].
    """
    return lambda contexts: crps(forecast(contexts), outcomes)


@dataclass(frozen=True)
class Sensitivity:
    """The relative increase of the loss under one kind of tampering; 0.01 is 1 % worse."""

    increases: Floats
    """[S, R] by model (seeds of one recipe) and repeat."""
    error: float
    """Standard error over the origins (HAC) of the mean increase: how much other years would have moved it."""

    @property
    def mean(self) -> float:
        """Over models and repeats."""
        return float(self.increases.mean())

    @property
    def seed_scatter(self) -> float:
        """Standard deviation over models; NaN where there is one."""
        by_model = self.increases.mean(axis=1)
        return float(by_model.std(ddof=1)) if len(by_model) > 1 else float("nan")

    @property
    def repeat_scatter(self) -> float:
        """Standard deviation over repeats, mean over models; NaN where there is one."""
        if self.increases.shape[1] < 2:
            return float("nan")
        return float(self.increases.std(axis=1, ddof=1).mean())


def sensitivity(
    losses: Sequence[Loss], contexts: Contexts, tampers: Mapping[str, Tamper], repeats: int = 5, seed: int = 0
) -> dict[str, Sensitivity]:
    """Tamper with the contexts in each way, so many times, and ask every model.

    All models are shown the same tampered contexts, so that their scatter is their own.

    Arguments:
        losses: One a model, S of them: the seeds of one recipe.
        contexts: [N, L, C] at ascending origins of training or validation years.
        repeats: R draws of each tampering; 1 is enough where nothing is drawn.
    """
    plain = [loss(contexts) for loss in losses]
    found = {}
    for name, tamper in tampers.items():
        rng = np.random.default_rng(seed)
        tampered = np.empty((len(losses), repeats, *plain[0].shape))  # [S, R, N, H]
        for repeat in range(repeats):
            shown = tamper(contexts, rng)
            tampered[:, repeat] = [loss(shown) for loss in losses]
        increases = [[-skill(once, base).skill for once in of] for of, base in zip(tampered, plain, strict=True)]
        error = skill(tampered.mean(axis=(0, 1)), np.mean(plain, axis=0)).error
        found[name] = Sensitivity(np.array(increases), error)
    return found
