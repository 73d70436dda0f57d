"""Where a decoder looks: the share of each session of the context in what it reads for each step ahead.

A share is not an explanation: other shares may give the same forecast, and what is looked at is the encoder's state at
a session, which knows of earlier ones too.

References:
    D. Bahdanau, K. Cho, Y. Bengio, Neural machine translation by jointly learning to align and translate, ICLR (2015),
    arXiv:1409.0473, section 5.2 (alignments shown).
    S. Jain, B. Wallace, Attention is not explanation, NAACL (2019), p. 3543.
"""

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from forecaster.contract import Floats
from forecaster.diagnostics.sensitivity import Contexts
from forecaster.families.base import Network


@runtime_checkable
class Attending(Protocol):
    """A body with attention over the sessions."""

    def attention(self, inputs: Tensor, keep: int) -> Tensor:
        """inputs [B, T, D], keep -> shares [B, keep, H, T], or [B, keep, H, heads, T]; they sum to 1 over T."""


def attention(network: Network, contexts: Contexts) -> Floats:
    """Shares of the sessions in the answer at each origin.

    Arguments:
        contexts: [N, L, C].
    Returns:
        [N, H, heads, L], last index = age in sessions, 0 is the origin itself; they sum to 1 over the ages.
    Raises:
        TypeError: The network has no attention.
    """
    if not isinstance(network.body, Attending):
        raise TypeError(f"{type(network.body).__name__} has no attention over the sessions")
    with torch.inference_mode():
        shares = network.body.attention(network.standardise(torch.from_numpy(contexts)), 1)[:, 0]
    shares = shares if shares.ndim == 4 else shares[:, :, None]  # one head
    return np.asarray(shares.flip(-1).numpy(), dtype=np.float64)
