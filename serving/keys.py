"""The key ring: who may ask, in memory, and by hash on disk for a start while the database is away."""

import hmac
import logging
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter
from sqlalchemy import Engine

from forecaster.store.keys import Key, all_keys, fingerprint
from serving.database import AWAY
from serving.kept import KeptFile

log = logging.getLogger(__name__)

_KEYS = TypeAdapter(list[Key])
_NOBODYS = fingerprint(b"")
_ID = slice(len("fk_"), len("fk_") + 12)


class KeyRing:
    """Keys as the store last knew them; making one opens nothing."""

    def __init__(self, store: Engine, file: Path) -> None:
        self.known = False
        """Whether the store, or the disk, ever said who has a key: before that nobody is let in by one."""
        self._store = store
        self._file = KeptFile(file)
        self._keys: dict[bytes, Key] = {}

    def restore(self) -> None:
        """Take what is on disk."""
        try:
            self._take(_KEYS.validate_json(self._file.path.read_bytes()))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            log.error("keys on disk cannot be read: %s", type(error).__name__)

    def refresh(self) -> None:
        """Take what the store says, if it answers."""
        try:
            found = all_keys(self._store)
        except AWAY:  # the engine, which looks at the same database, says so
            return
        if not self.known or found != list(self._keys.values()):
            self._take(found)
            self._file.write(_KEYS.dump_json(found))
        self._file.catch_up()

    def find(self, credentials: bytes, now: datetime) -> Key | None:
        """The valid key that an Authorization header holds.

        It takes as long whatever is wrong with it.
        """
        scheme, _, token = credentials.partition(b" ")
        key = self._keys.get(token[_ID])
        same = hmac.compare_digest(fingerprint(token), _NOBODYS if key is None else key.hash)
        good = same and scheme.lower() == b"bearer"
        return key if key is not None and good and key.valid(now) else None

    def _take(self, keys: list[Key]) -> None:
        # A new dict: requests read the old one until it is replaced.
        self._keys = {key.id.encode(): key for key in keys}
        self.known = True
