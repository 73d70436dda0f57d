"""Cluster: tasks on Ray, here or on many machines. The one room that imports ray, and only when it is asked for.

Ray reads its settings from the environment, where they are put before it is imported unless somebody has put others:
whoever connects must show the token, nothing is reported to its makers, and a cluster of this machine alone listens
to this machine alone.
"""

import os
import pickle
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from threading import Lock
from typing import Any

import numpy as np

from forecaster.artifact import code_digest
from forecaster.errors import EngineUnavailable, WorkerDied
from pipelines.engines.base import TRIES, Asked, Given, answered
from pipelines.engines.parcel import Packer
from pipelines.quiet import hush

SETTINGS = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^",  # it would write to standard output what became of its workers
    "RAY_task_oom_retries": str(TRIES - 1),  # else a task that is too large is tried for ever
}
OWN = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # where it is off, as it is by default on those two, all is loopback
    "RAY_worker_niceness": "0",  # as a pool's
}


class Cluster:
    """Workers of a Ray cluster, one processor and one thread each.

    Arguments:
        count: Questions under way at once; None for as many as there are processors.
        address: Of a cluster that this machine is a node of; None for one of its own, which ends when it is closed.
    """

    def __init__(self, count: int | None = None, address: str | None = None) -> None:
        self.count, self.address = count, address
        self._packer: Packer[Any] | None = None
        self._mine = False
        self._starting = Lock()

    def here(self, questions: int) -> bool:  # noqa: ARG002 - the protocol's
        return False

    def each(self, function: Callable[[Asked], Given], asked: Sequence[Asked]) -> Iterator[tuple[Asked, Given]]:
        ray, packer = self._started()
        task = ray.remote(num_cpus=1, max_retries=TRIES - 1)(answer)
        parcels = ((number, packer.pack((function, one))) for number, one in enumerate(asked))
        waiting: dict[Any, int] = {}
        # No more is sent than can be begun, and what was begun is never cancelled: an answer that comes meanwhile
        # makes Ray abort this very process ("Tried to complete task that was not pending", 2.60).
        while True:
            for number, parcel in islice(parcels, self._size(ray) - len(waiting)):
                waiting[task.remote(code_digest(), parcel.stream, *parcel.places)] = number
            if not waiting:
                return
            done = ray.wait(list(waiting))[0][0]
            given = _given(ray, done)
            yield asked[waiting.pop(done)], given

    def _size(self, ray: Any) -> int:
        """Questions under way at once; nodes come and go."""
        return self.count or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def _started(self) -> tuple[Any, Packer[Any]]:
        """Ray, and what makes parcels.

        Raises:
            EngineUnavailable: It is not installed, or there is no way into the cluster.
        """
        for name, value in (SETTINGS if self.address else SETTINGS | OWN).items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError as error:
            raise EngineUnavailable("ray", "it is not installed; run pip install 'forecaster[ray]'") from error
        with self._starting:
            if not ray.is_initialized():
                self._connect(ray)
                self._packer = None
            if self._packer is None:
                self._packer = Packer(lambda _digest, raw: ray.put(np.frombuffer(raw, np.uint8)))
            return ray, self._packer

    def _connect(self, ray: Any) -> None:
        quiet = {"configure_logging": False, "log_to_driver": False, "logging_level": "ERROR"}
        try:
            if self.address:
                ray.init(self.address, **quiet)
            else:
                os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
                ray.init("local", num_cpus=self.count or os.cpu_count(), include_dashboard=False, **quiet)
        except ray.exceptions.AuthenticationError as error:
            problem = "it wants a token that is not here; put the cluster's into RAY_AUTH_TOKEN"
            raise EngineUnavailable("ray", problem) from error
        except Exception as error:  # plain ones, too: of a node that has not started within Ray's half minute
            raise EngineUnavailable("ray", _line(error)) from error
        self._mine = True

    def close(self) -> None:
        self._packer = None
        if self._mine:
            import ray

            ray.shutdown()
            self._mine = False


def answer(code: str, stream: bytes, *arrays: Any) -> Any:
    """What a worker does.

    Raises:
        EngineUnavailable: This machine has other code than the one that asks: a run's key would not be true.
    """
    hush()
    if code != code_digest():
        problem = f"{socket.gethostname()} has code {code_digest()[:12]} and not {code[:12]}"
        raise EngineUnavailable("ray", f"{problem}; install the same version on every machine")
    return answered(*pickle.loads(stream, buffers=arrays))  # noqa: S301 - from the process that asks


def _given(ray: Any, done: Any) -> Any:
    failed = ray.exceptions
    try:
        return ray.get(done)
    except failed.RayTaskError as error:
        raise error.cause from None  # as it was raised there
    except (failed.WorkerCrashedError, failed.NodeDiedError, failed.OutOfMemoryError, failed.ObjectLostError) as error:
        raise WorkerDied(TRIES) from error
    except failed.RayError as error:
        raise EngineUnavailable("ray", _line(error)) from error


def _line(error: Exception) -> str:
    said = [line.strip() for line in str(error).splitlines() if line.strip()]
    return said[0][:200] if said else type(error).__name__
