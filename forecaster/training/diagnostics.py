"""What a trained network shows of itself: how far back its gradient reaches."""

import numpy as np
import torch
from torch import Tensor

from forecaster.contract import Floats
from forecaster.families.base import Network
from forecaster.windows import Indices, Windows


def gradient_by_age(network: Network, windows: Windows, origins: Indices) -> Floats:
    """Mean norm of the gradient of the loss at an origin with respect to each past session's channels.

    In standardised units, so channels count alike: a curve that falls to nothing within a few sessions is a vanishing
    gradient (or a short memory), one that rises with age an exploding one.

    Returns:
        [L], index = age in sessions, 0 is the origin itself.
    References:
        Y. Bengio, P. Simard, P. Frasconi, IEEE Trans. Neural Networks 5 (1994), p. 157.
    """
    contexts = torch.from_numpy(windows.contexts(origins)).requires_grad_()
    parameters = network.parameters_at(contexts, 1)[:, 0]  # [N, H, P]
    outcomes = torch.from_numpy(windows.targets[origins]).float()
    loss: Tensor = -network.head.log_density(parameters, outcomes).mean(-1).sum()
    (gradient,) = torch.autograd.grad(loss, contexts)
    by_age = (gradient * network.spread).norm(dim=-1).mean(0).flip(0)  # [L]
    return np.asarray(by_age.numpy(), dtype=np.float64)
