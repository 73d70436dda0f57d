"""How far back a network's gradient reaches: the norm of the loss's derivative by each past session.

Through the whole forecast, or through the body alone. Every network also feels the past through the EWMA scales around
its body, which lose 6 % of it an age whatever the body learned. A vanishing or exploding gradient is a matter of the
body.

References:
    Y. Bengio, P. Simard, P. Frasconi, Learning long-term dependencies with gradient descent is difficult,
    IEEE Trans. Neural Networks 5 (1994), p. 157.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from forecaster.contract import Floats
from forecaster.families.base import Network
from forecaster.windows import Indices, Windows


def gradient_by_age(network: Network, windows: Windows, origins: Indices) -> Floats:
    """Mean norm of the gradient of the loss at an origin with respect to each past session's channels.

    In standardised units, so channels count alike: a curve that falls to nothing within a few sessions is a vanishing
    gradient (or a short memory), one that rises with age an exploding one.

    Returns:
        [L], index = age in sessions, 0 is the origin itself.
    """
    contexts = torch.from_numpy(windows.contexts(origins)).requires_grad_()
    (gradient,) = torch.autograd.grad(_loss(network, contexts, windows, origins), contexts)
    return _norms(gradient[..., : len(network.spread)] * network.spread)


def body_gradient_by_age(network: Network, windows: Windows, origins: Indices) -> Floats:
    """The same through the body alone, by what it is given of each session; the scales around it are held.

    Returns:
        [L], index = age in sessions, 0 is the origin itself. Zero, to the bit, where the body does not read.
    """
    contexts = torch.from_numpy(windows.contexts(origins))
    with leaf_inputs(network.body) as given:
        loss = _loss(network, contexts, windows, origins)
    (gradient,) = torch.autograd.grad(loss, given[0])
    return _norms(gradient[..., : len(network.spread)])


@contextmanager
def leaf_inputs(module: nn.Module) -> Iterator[list[Tensor]]:
    """While it lasts, the module's first argument is cut off from what made it, and kept: a list that grows by call."""
    given: list[Tensor] = []

    def cut(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        given.append(arguments[0].detach().requires_grad_())
        return (given[-1], *arguments[1:])

    handle = module.register_forward_pre_hook(cut)
    try:
        yield given
    finally:
        handle.remove()


def _loss(network: Network, contexts: Tensor, windows: Windows, origins: Indices) -> Tensor:
    """The training loss at each origin, mean over horizons, summed so that each keeps its own gradient."""
    parameters = network.parameters_at(contexts, 1)[:, 0]  # [N, H, P]
    outcomes = torch.from_numpy(windows.targets[origins]).float()
    return network.head.loss(parameters, outcomes, network.unit).mean(-1).sum()


def _norms(gradient: Tensor) -> Floats:
    """[N, L, C] -> [L] by age."""
    return np.asarray(gradient.norm(dim=-1).mean(0).flip(0).numpy(), dtype=np.float64)
