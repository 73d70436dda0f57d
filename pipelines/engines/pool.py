"""Pool: processes of this machine, one thread each. Arrays that questions share are mapped from a file, once for all.

These networks are small: two threads in one process go slower than one as soon as anything else runs, two processes
do not. They are forked from one that has torch and lightning imported and has done nothing else: that is paid once, not
by each worker of each pool, and half of their memory is shared.
"""

import mmap
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from tempfile import mkdtemp
from threading import Lock, Thread
from typing import Any
from weakref import finalize

from forecaster.errors import WorkerDied
from pipelines.engines.base import TRIES, Asked, Given, answered
from pipelines.engines.parcel import Packer, Parcel
from pipelines.quiet import hush


class Pool:
    """Workers of this machine; a lone question, or all where one worker is enough, is answered in this process.

    Several threads may ask. Only one of them is answered in this process at a time, because the threads of BLAS and the
    state of chance are the process's; a lone question that would have to wait for it goes to the workers.
    """

    def __init__(self, count: int | None = 1) -> None:
        self.count = count or os.cpu_count() or 1
        self._processes: ProcessPoolExecutor | None = None
        self._folder: Path | None = None
        self._packer: Packer[Path] | None = None
        self._sweep: Callable[[], object] | None = None
        self._here, self._starting = Lock(), Lock()

    def here(self, questions: int) -> bool:
        return self.count == 1 or (questions <= 1 and self._processes is None)

    def each(self, function: Callable[[Asked], Given], asked: Sequence[Asked]) -> Iterator[tuple[Asked, Given]]:
        left = list(asked)
        while left and self.here(len(asked)) and self._here.acquire(blocking=self.count == 1):
            try:
                given = answered(function, left[0])
            finally:
                self._here.release()
            yield left.pop(0), given
        if left:
            yield from self._by_workers(function, left)

    def _by_workers(self, function: Callable[[Asked], Given], asked: Sequence[Asked]) -> Iterator[tuple[Asked, Given]]:
        packer = self._packed()
        waiting = {number: packer.pack((function, one)) for number, one in enumerate(asked)}
        for tries in reversed(range(TRIES)):
            processes = self._started()
            try:
                for number, given in _side_by_side(processes, waiting):
                    del waiting[number]
                    yield asked[number], given
                return
            except BrokenProcessPool as error:
                self._stop(processes)
                if not tries:
                    raise WorkerDied(TRIES) from error

    def _started(self) -> ProcessPoolExecutor:
        """The processes, started where there are none."""
        with self._starting:
            if self._processes is None:
                context = get_context("forkserver")
                context.set_forkserver_preload(["pipelines.workers"])
                self._processes = ProcessPoolExecutor(self.count, context, begin, (self._folder,))
            return self._processes

    def _packed(self) -> Packer[Path]:
        """What makes parcels, of arrays in a folder of this pool's."""
        with self._starting:
            if self._packer is None:
                self._folder = Path(mkdtemp(prefix="forecaster-"))
                self._sweep = finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
                self._packer = Packer(partial(_put, self._folder))
            return self._packer

    def _stop(self, processes: ProcessPoolExecutor) -> None:
        """Let these go, unless another thread has done so since."""
        with self._starting:
            if self._processes is processes:
                self._processes = None
        processes.shutdown(cancel_futures=True)

    def close(self) -> None:
        if self._processes is not None:
            self._stop(self._processes)
        if self._sweep is not None:
            self._sweep()
        self._folder = self._packer = None


def _side_by_side(processes: ProcessPoolExecutor, parcels: Mapping[int, Parcel[Path]]) -> Iterator[tuple[int, Any]]:
    waiting = {processes.submit(answer, parcel): number for number, parcel in parcels.items()}
    try:
        for done in as_completed(waiting):
            yield waiting[done], done.result()
    finally:
        for future in waiting:
            future.cancel()


def _put(folder: Path, digest: str, raw: memoryview) -> Path:
    path = folder / digest
    path.write_bytes(raw)
    return path


def answer(parcel: Parcel[Path]) -> Any:
    """What a worker does."""
    return answered(*parcel.open(_mapped(path) for path in parcel.places))


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def begin(folder: Path | None = None) -> None:
    """A worker keeps quiet, and does not outlive who started it, however that ended; nor does what was put for it."""
    hush()
    Thread(target=_follow, args=(folder,), daemon=True).start()


def _follow(folder: Path | None) -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)
