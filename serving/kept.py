"""A file that is kept for a start without the database: whole or not at all, and only its owner reads it."""

import logging
import os
from pathlib import Path
from tempfile import mkstemp

log = logging.getLogger(__name__)


class KeptFile:
    """A file whose content changes now and then; making one writes nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._due: bytes | None = None
        self._troubled = False

    def write(self, content: bytes) -> None:
        """Put this in the place of what is there; where that fails, `catch_up` tries again."""
        self._due = content
        self.catch_up()

    def catch_up(self) -> None:
        """Write what could not be written before."""
        if self._due is None:
            return
        try:
            self._replace(self._due)
        except OSError as error:
            if not self._troubled:  # said once, not at every look
                log.warning("%s not kept on disk: %s", self.path.stem, error)
            self._troubled = True
        else:
            self._due, self._troubled = None, False

    def _replace(self, content: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = mkstemp(dir=self.path.parent, prefix=f".{self.path.stem}-")  # mode 0600
        os.close(handle)
        fresh = Path(name)
        try:
            fresh.write_bytes(content)
            fresh.replace(self.path)
        finally:
            fresh.unlink(missing_ok=True)
