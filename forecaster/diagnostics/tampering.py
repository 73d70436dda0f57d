"""Ways of taking one thing away from contexts and leaving the rest: a group of channels, an order, a past.

What is put in its place is always real: another origin's channels, the same sessions in another order, another origin's
past. Zeros or means would show a model what it never saw (a market that stands still) and measure its surprise.

References:
    U. Khandelwal et al., Sharp nearby, fuzzy far away: how neural language models use context, ACL (2018), p. 284
    (contexts shuffled, replaced and dropped beyond a distance).
    H. Kuensch, The jackknife and the bootstrap for general stationary observations, Annals of Statistics 17 (1989),
    p. 1217 (blocks keep the dependence within them).
"""

import numpy as np

from forecaster.diagnostics.sensitivity import Contexts, Tamper
from forecaster.windows import Indices


def other_origins(count: int, block: int, rng: np.random.Generator) -> Indices:
    """For each of `count` origins another one, in blocks of time: neighbours within a block stay neighbours.

    The blocks take each other's places along one random cycle (Sattolo), so that none stays where it was.

    Arguments:
        block: Origins a block; where fewer than two blocks fit, there are two.
    """
    blocks = np.array_split(np.arange(count), max(2, count // block))
    for last in range(len(blocks) - 1, 0, -1):
        place = int(rng.integers(last))
        blocks[last], blocks[place] = blocks[place], blocks[last]
    return np.concatenate(blocks)


def swap_channels(channels: tuple[int, ...], block: int) -> Tamper:
    """A group's channels over the whole context are those of another origin; the other channels stay."""

    def tamper(contexts: Contexts, rng: np.random.Generator) -> Contexts:
        shown = contexts.copy()
        places = list(channels)
        shown[..., places] = contexts[other_origins(len(contexts), block, rng)][..., places]
        return shown

    return tamper


def shuffle_past(kept: int) -> Tamper:
    """All but the newest `kept` sessions in random order, all channels of a session together, anew at every origin.

    What happened is kept; when it happened is not. The newest session stays where it is from kept = 1 on, or a forecast
    would lose its present along with its order.
    """

    def tamper(contexts: Contexts, rng: np.random.Generator) -> Contexts:
        older = contexts.shape[1] - kept
        order = rng.random((len(contexts), older)).argsort(axis=1)[..., None]
        shown = contexts.copy()
        shown[:, :older] = np.take_along_axis(contexts[:, :older], order, axis=1)
        return shown

    return tamper


def replace_past(kept: int, block: int) -> Tamper:
    """All but the newest `kept` sessions are another origin's: a real past, but not the one that led here."""

    def tamper(contexts: Contexts, rng: np.random.Generator) -> Contexts:
        older = contexts.shape[1] - kept
        shown = contexts.copy()
        shown[:, :older] = contexts[other_origins(len(contexts), block, rng), :older]
        return shown

    return tamper


def drop_past(kept: int) -> Tamper:
    """Only the newest `kept` sessions: a shorter context, which must not be below a family's reach."""

    def tamper(contexts: Contexts, _: np.random.Generator) -> Contexts:
        return np.ascontiguousarray(contexts[:, contexts.shape[1] - kept :])

    return tamper
