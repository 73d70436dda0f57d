"""Looks where a request should leave nothing: files, sockets, processes, statements of SQL, logs."""

import logging
import re
import sys
from collections.abc import Sequence
from typing import Any, Self

from sqlalchemy import Engine, event

_EVENTS = (
    "open", "os.", "socket.", "sqlite3.", "subprocess.", "shutil.", "glob.", "pathlib.", "tempfile.", "ctypes.",
    "urllib.", "http.", "import", "compile", "exec", "pickle.", "marshal.", "ftplib.", "smtplib.",
)  # fmt: skip

_watching: list["Watch"] = []


def _heard(name: str, arguments: tuple[object, ...]) -> None:
    # Python never takes such a hook away again, so there is one for all.
    if _watching and name.startswith(_EVENTS):
        for watch in _watching:
            watch.happened(name, arguments)


sys.addaudithook(_heard)


class Watch(logging.Handler):
    """While it is entered, what happens in this process and in a store.

    Arguments:
        words: Never to be seen, in any case of letters.
    """

    def __init__(self, store: Engine, words: Sequence[str]) -> None:
        super().__init__(logging.DEBUG)
        self.leaks: list[str] = []
        self.events: dict[str, set[str]] = {}
        """What Python did, by kind: what was opened, asked, started."""
        self.parameters: set[object] = set()
        """Of all statements."""
        self.lines: list[str] = []
        """Of all logs."""
        self._store = store
        self._words = re.compile("|".join(map(re.escape, words)), re.IGNORECASE)

    def __enter__(self) -> Self:
        self._level = logging.root.level
        logging.root.addHandler(self)
        logging.root.setLevel(logging.DEBUG)
        event.listen(self._store, "before_cursor_execute", self._executed)
        _watching.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _watching.remove(self)
        event.remove(self._store, "before_cursor_execute", self._executed)
        logging.root.setLevel(self._level)
        logging.root.removeHandler(self)

    def look(self, where: str, what: str) -> None:
        """Note it if it holds one of the words."""
        if self._words.search(what):
            self.leaks.append(f"{where}: {what[:500]}")

    def happened(self, name: str, arguments: tuple[object, ...]) -> None:
        """Python is about to do something that reaches out of the process."""
        self.events.setdefault(name, set()).add(repr(arguments[:1] if name == "open" else arguments))
        self.look(name, repr(arguments))

    def emit(self, record: logging.LogRecord) -> None:
        """Something is logged."""
        line = self.format(record)
        self.lines.append(line)
        self.look("log", f"{line} {record.args!r} {record.exc_info!r}")

    def _executed(self, _connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        rows = parameters if isinstance(parameters, list) else [parameters]
        values = [value for row in rows for value in (row.values() if isinstance(row, dict) else row)]
        self.parameters.update(values)
        self.look("sql", f"{statement} {values!r}")
