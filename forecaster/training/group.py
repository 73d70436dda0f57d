"""Group: one fit on several devices of a machine, a process each, which average their gradients (Lightning's DDP).

Lightning by itself starts the whole command again for every device, and each would write what it made into the store;
here every process runs this one fit, as `torchrun` would start it, and the first one's weights are handed over.
"""

import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save

if TYPE_CHECKING:
    from forecaster.training.fit import Fitted

_MEMBER = "TORCHELASTIC_RUN_ID"


@dataclass(frozen=True)
class Together:
    """What came of a fit, as it comes from another process."""

    tensors: bytes
    """The state, as safetensors."""
    epochs: int
    history: Sequence[dict[str, float]]


def is_member() -> bool:
    """Whether this process is one of a group."""
    return _MEMBER in os.environ


def together(devices: int, work: "Callable[[], Fitted]") -> Together:
    """Have as many processes as there are devices do the same work, each on its own share.

    Arguments:
        work: Can be pickled; fits alike in every process.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ProcessPoolExecutor(devices, get_context("spawn")) as processes:
        given = [processes.submit(_join, rank, devices, port, work) for rank in range(devices)]
        first, *_ = [one.result() for one in given]
        return first


def _join(rank: int, devices: int, port: int, work: "Callable[[], Fitted]") -> Together:
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(devices), "RANK": str(rank),
        "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(devices), "GROUP_RANK": "0", _MEMBER: "forecaster",
    }  # fmt: skip
    torch.set_num_threads(1)
    fitted = work()
    state = {name: tensor.cpu().contiguous() for name, tensor in fitted.model.state_dict().items()}
    return Together(save(state), fitted.epochs, fitted.history)
