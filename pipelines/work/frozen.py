"""Frozen: the workspace on a snapshot, which the steps of a retraining that one process carries out have in common.

Windows are cut once for all of them, and one crew works for all: what one step leaves idle, another uses.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from pipelines.work.retraining import on
from pipelines.workspace import Workspace


@dataclass
class _Frozen:
    workspace: Workspace
    users: int = 0


@dataclass
class Freezer:
    """Keeps the last one. Its crew is let go while nobody needs it."""

    workspace: Workspace
    """On the run file."""
    _taken: dict[str, Any] = field(default_factory=dict, init=False)
    _frozen: _Frozen | None = field(default=None, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    @contextmanager
    def on(self, taken: dict[str, Any]) -> Iterator[Workspace]:
        """The workspace on what `retraining.take` took; several threads may have it at once.

        Raises:
            SnapshotMissing: This machine has no such file, and the store does not give the same any more.
        """
        with self._lock:
            if self._frozen is None or self._taken != taken:
                self._taken, self._frozen = taken, _Frozen(on(self.workspace, taken))
            frozen = self._frozen
            bench = frozen.workspace.bench  # under the lock: two threads would make two crews
            frozen.users += 1
        try:
            yield frozen.workspace
        finally:
            with self._lock:
                frozen.users -= 1
                if not frozen.users:
                    bench.workers.close()
