"""Pool: processes of this machine, one thread each. Arrays that questions share are mapped from a file, once for all.

These networks are small: two threads in one process go slower than one as soon as anything else runs, two processes
do not. They are forked from one that has torch and lightning imported and has done nothing else: that is paid once, not
by each worker of each pool, and half of their memory is shared.

A thread stands before each process, with a pipe of its own. The library's pool of processes has one queue for all, and
waits for ever where a worker is killed while another is being started (decision 22).
"""

import atexit
import mmap
import os
import pickle
import shutil
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import mkdtemp
from threading import Lock, Thread
from typing import Any
from weakref import finalize

from forecaster.errors import ForecasterError, WorkerDied
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
        self._threads: ThreadPoolExecutor | None = None
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        self._folder: Path | None = None
        self._packer: Packer[Path] | None = None
        self._sweep: Callable[[], object] | None = None
        self._here, self._starting = Lock(), Lock()

    def here(self, questions: int) -> bool:
        return self.count == 1 or (questions <= 1 and self._threads is None)

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
        threads, packer = self._started()
        waiting = {threads.submit(self._ask, packer.pack((function, one))): one for one in asked}
        try:
            for done in as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            for future in waiting:
                future.cancel()

    def _started(self) -> tuple[ThreadPoolExecutor, Packer[Path]]:
        """A thread for each worker, and what makes parcels, of arrays in a folder of this pool's."""
        with self._starting:
            if self._threads is None or self._packer is None:
                self._folder = Path(mkdtemp(prefix="forecaster-"))
                self._sweep = finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
                self._packer = Packer(partial(_put, self._folder))
                self._threads = ThreadPoolExecutor(self.count, "worker")
            return self._threads, self._packer

    def _ask(self, parcel: Parcel[Path]) -> Any:
        """The answer of a worker that has nothing else to do.

        Raises:
            WorkerDied: As many as are tried were killed at this question.
        """
        for _ in range(TRIES):
            worker = self._worker()
            try:
                given, error = worker.ask(parcel)
            except (EOFError, OSError):
                worker.close()
                continue
            self._idle.put(worker)
            if error is not None:
                raise error
            return given
        raise WorkerDied(TRIES)

    def _worker(self) -> "Worker":
        try:
            return self._idle.get_nowait()
        except Empty:
            return Worker(self._folder)

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        while not self._idle.empty():
            self._idle.get().close()
        if self._sweep is not None:
            self._sweep()
        self._threads = self._folder = self._packer = self._sweep = None


class Worker:
    """A process and the pipe to it."""

    def __init__(self, folder: Path | None) -> None:
        context = get_context("forkserver")
        context.set_forkserver_preload(["pipelines.workers"])
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, folder))
        self._process.start()
        theirs.close()
        # At the end of this process, too: whoever does not hear it, is waited for.
        self._hang_up = finalize(self, self._pipe.close)
        atexit.register(self._hang_up)

    def ask(self, parcel: Parcel[Path]) -> tuple[Any, BaseException | None]:
        """The answer, or what was raised instead.

        Raises:
            EOFError, OSError: Nobody lives to say it.
        """
        self._pipe.send(parcel)
        given: tuple[Any, BaseException | None] = self._pipe.recv()
        return given

    def close(self) -> None:
        self._hang_up()
        atexit.unregister(self._hang_up)
        self._process.join()


def _serve(pipe: Connection, folder: Path | None) -> None:
    """What a worker does, until nobody asks any more."""
    begin(folder)
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            pipe.send_bytes(_outcome(pipe.recv()))


def _outcome(parcel: Parcel[Path]) -> bytes:
    """What :meth:`Worker.ask` gives. Errors of ours say all in their line; others say where they were raised."""
    try:
        return pickle.dumps((answered(*parcel.open(_mapped(path) for path in parcel.places)), None))
    except BaseException as error:
        if not isinstance(error, ForecasterError):
            error.add_note(f"in a worker: {traceback.format_exc()}")
        return pickle.dumps((None, error))


def _put(folder: Path, digest: str, raw: memoryview) -> Path:
    path = folder / digest
    path.write_bytes(raw)
    return path


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
