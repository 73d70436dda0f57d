"""Logs of what runs for long: one JSON object a line, with the ids of what is being done, and without secrets.

    start(os.environ, sys.stderr)
    with bound(run="retrain-2018-12-03", session="2018-12-03"):
        log.info("trained", extra={"family": "gru"})

A line has `time` (UTC), `level`, `logger`, `message`, the ids, and what came with the record; after an exception
`error` (its class) and `problem` (its line), and `trace` where it is none of ours. On a terminal, or with
FORECASTER_LOG=text, the same in words; a terminal is never shown a trace.
"""

import logging
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from forecaster.errors import ConfigError, ForecasterError
from forecaster.hidden import Blotter

VARIABLE = "FORECASTER_LOG"
STYLES = ("json", "text")

_IDS: ContextVar[Mapping[str, str]] = ContextVar("ids", default=MappingProxyType({}))
_CHATTY = ("opentelemetry", "urllib3")
_RESERVED = (*RESERVED_ATTRS, "color_message", "applicationID", "applicationVersion", "executorID", "operationUUID")
"""What others add to every record of theirs; ids of ours say as much."""


@contextmanager
def bound(**ids: str) -> Iterator[None]:
    """Ids that every line of this thread or task carries, until it is left; they add to those outside."""
    token = _IDS.set(MappingProxyType({**_IDS.get(), **ids}))
    try:
        yield
    finally:
        _IDS.reset(token)


def start(environment: Mapping[str, str], stream: TextIO, level: int = logging.INFO) -> None:
    """Write all logs of this process to a stream, from a level up, in place of whatever wrote them before.

    Raises:
        ConfigError: FORECASTER_LOG names no style.
    """
    style = environment.get(VARIABLE) or ("text" if stream.isatty() else "json")
    if style not in STYLES:
        raise ConfigError(VARIABLE, f"{style[:16]!r} is no style; choose one of {', '.join(STYLES)}")
    blotter = Blotter.of(environment)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Json(blotter) if style == "json" else _Text(blotter, traces=not stream.isatty()))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    # DBOS writes in a form of its own unless its logger has a handler already.
    logging.getLogger("dbos").addHandler(logging.NullHandler())


class _Json(JsonFormatter):
    """One JSON object a line."""

    def __init__(self, blotter: Blotter) -> None:
        super().__init__(reserved_attrs=_RESERVED, json_default=str)
        self._blotter = blotter

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """The fields of a line, in their order."""
        extra: dict[str, Any] = {}  # what came with a record cannot take the place of what is ours
        super().add_fields(extra, record, message_dict)
        extra.pop("exc_info", None)  # told below
        ours = {"time": _time(record), "level": record.levelname, "logger": record.name}
        ours |= {"message": record.getMessage(), **_IDS.get()}
        log_data |= {**ours, **{name: value for name, value in extra.items() if name not in ours}, **_told(record)}

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return self._blotter.blot(super().format(record))


class _Text(logging.Formatter):
    """A line of words; below it a trace, where it may be."""

    def __init__(self, blotter: Blotter, traces: bool) -> None:
        super().__init__()
        self._blotter = blotter
        self._traces = traces

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        extra = {name: value for name, value in vars(record).items() if name not in _RESERVED and name[0] != "_"}
        told = _told(record)
        trace = told.pop("trace", None)
        fields = {**_IDS.get(), **extra, **told}
        words = [record.levelname, record.name, record.getMessage()]
        words += [f"{name}={value}" for name, value in fields.items()]
        line = self._blotter.blot(" ".join(words))
        return f"{line}\n{self._blotter.blot(trace)}" if trace and self._traces else line


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _told(record: logging.LogRecord) -> dict[str, str]:
    """What is said of a record's exception: of one of ours its line, of any other where it came from too."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return {}
    told = {"error": type(error).__name__, "problem": (str(error).splitlines() or [""])[0]}
    if not isinstance(error, ForecasterError):
        told["trace"] = "".join(traceback.format_exception(error)).rstrip()
    return told
