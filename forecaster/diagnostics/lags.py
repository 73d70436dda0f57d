"""What a past return does to the expected one, by lag, in natural units: for `ar` its learned weights."""

import numpy as np
import torch

from forecaster.contract import MEDIAN, Floats
from forecaster.diagnostics.gradient import leaf_inputs
from forecaster.diagnostics.sensitivity import Contexts
from forecaster.families.base import Network


def response_by_lag(network: Network, contexts: Contexts) -> Floats:
    """How far the median forecast moves for a return that is one unit larger, at usual volatility, the scales held.

    -0.05 at lag 1: after a day of +1 % the median lies 0.05 % lower. The body of `ar` is linear, so that this is its
    weight times what one raw unit of location is worth; for others it is the local slope, mean over the contexts. Usual
    volatility is that of the training years: at twice of it, a return counts half.

    Arguments:
        contexts: [N, L, C].
    Returns:
        [H, L]; lag i of the docstring of `ar` is column i - 1, the newest return first.
    """
    with leaf_inputs(network.body) as given:
        medians = network.head.quantiles(network.parameters_at(torch.from_numpy(contexts), 1)[:, 0])[..., MEDIAN]
    slopes = [torch.autograd.grad(of.sum(), given[0], retain_graph=True)[0][..., 0].mean(0) for of in medians.unbind(1)]
    return np.asarray((torch.stack(slopes).flip(1) / network.spread[0]).numpy(), dtype=np.float64)
