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
from threading import Thread
from typing import Any
from weakref import finalize

from forecaster.errors import WorkerDied
from pipelines.engines.base import TRIES, Asked, Given, answered
from pipelines.engines.parcel import Packer, Parcel
from pipelines.quiet import hush


class Pool:
    """Workers of this machine; one question, or all of them where one worker is enough, is answered in this process."""

    def __init__(self, count: int | None = 1) -> None:
        self.count = count or os.cpu_count() or 1
        self._processes: ProcessPoolExecutor | None = None
        self._folder: Path | None = None
        self._packer: Packer[Path] | None = None
        self._sweep: Callable[[], object] | None = None

    def here(self, questions: int) -> bool:
        return self.count == 1 or questions <= 1

    def each(self, function: Callable[[Asked], Given], asked: Sequence[Asked]) -> Iterator[tuple[Asked, Given]]:
        if self.here(len(asked)):
            for one in asked:
                yield one, answered(function, one)
            return
        packer, folder = self._packed()
        waiting = {number: packer.pack((function, one)) for number, one in enumerate(asked)}
        for left in reversed(range(TRIES)):
            try:
                for number, given in self._side_by_side(waiting, folder):
                    del waiting[number]
                    yield asked[number], given
                return
            except BrokenProcessPool as error:
                self._stop()
                if not left:
                    raise WorkerDied(TRIES) from error

    def _side_by_side(self, parcels: Mapping[int, Parcel[Path]], folder: Path) -> Iterator[tuple[int, Any]]:
        if self._processes is None:
            context = get_context("forkserver")
            context.set_forkserver_preload(["pipelines.workers"])
            self._processes = ProcessPoolExecutor(self.count, context, begin, (folder,))
        waiting = {self._processes.submit(answer, parcel): number for number, parcel in parcels.items()}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            for future in waiting:
                future.cancel()

    def _packed(self) -> tuple[Packer[Path], Path]:
        """What makes parcels, and the folder that it puts arrays in."""
        if self._folder is None or self._packer is None:
            self._folder = Path(mkdtemp(prefix="forecaster-"))
            self._sweep = finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            self._packer = Packer(partial(_put, self._folder))
        return self._packer, self._folder

    def _stop(self) -> None:
        if self._processes is not None:
            self._processes.shutdown(cancel_futures=True)
            self._processes = None

    def close(self) -> None:
        self._stop()
        if self._sweep is not None:
            self._sweep()
        self._folder = self._packer = None


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
