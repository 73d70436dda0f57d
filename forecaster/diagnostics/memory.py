"""Effective memory: how many sessions back a forecast still needs, in one number, read off a curve.

Two curves, two questions. The *gradient* by age tells how strongly the loss would move if a past session did: local,
cheap, exact where a family reads a fixed window. The *sensitivity* by sessions kept tells how much worse the forecast
gets when everything older is taken away: what counts in the end, and the same question for every family.

References:
    U. Khandelwal et al., Sharp nearby, fuzzy far away: how neural language models use context, ACL (2018), p. 284,
    section 3 (effective context size: where more context lowers the loss by less than a tolerance).
    R. Pascanu, T. Mikolov, Y. Bengio, On the difficulty of training recurrent neural networks, ICML (2013), p. 1310
    (norms that shrink or grow geometrically with age: vanishing, exploding).
"""

from collections.abc import Mapping

import numpy as np

from forecaster.contract import Floats
from forecaster.diagnostics.sensitivity import Sensitivity

_NOISE = 1e-6  # of the largest norm: below it a float32 gradient is rounding


def gradient_length(by_age: Floats, share: float = 0.95) -> int:
    """Sessions that hold this share of the gradient's norm, from the newest on.

    Arguments:
        by_age: [L], index = age; 0 is the origin.
    Returns:
        1 to L; 0 where there is no gradient at all.
    """
    total = by_age.sum()
    return int(np.searchsorted(np.cumsum(by_age), share * total * (1 - 1e-9))) + 1 if total > 0 else 0


def decay(by_age: Floats) -> float:
    """Factor by which the gradient's norm changes with each session of age: the slope of its logarithm.

    Below 1 it vanishes (0.9: a tenth is lost a session), above 1 it explodes. NaN where fewer than two ages have one.

    Arguments:
        by_age: [L], index = age; 0 is the origin.
    """
    heard = np.flatnonzero(by_age > _NOISE * by_age.max())
    return float(np.exp(np.polyfit(heard, np.log(by_age[heard]), 1)[0])) if len(heard) > 1 else float("nan")


def effective_length(by_kept: Mapping[int, Sensitivity], tolerance: float) -> int | None:
    """Sessions that must be kept for the loss to stay within a tolerance of what the whole context gives.

    Arguments:
        by_kept: Sessions kept -> what became of the loss without the older ones.
        tolerance: Largest relative increase of the loss; 0.01 is 1 %.
    Returns:
        The smallest number kept from which on no larger one exceeds the tolerance; None where even the largest does.
    """
    length = None
    for kept in sorted(by_kept, reverse=True):
        if by_kept[kept].mean > tolerance:
            break
        length = kept
    return length
