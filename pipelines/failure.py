"""How a command ends when it cannot go on: one clear line on stderr, never a stack trace, and an exit code."""

import errno
import os
import re
import shlex
import sys
import tempfile
import traceback
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NoReturn

from forecaster.errors import ForecasterError, HomeUnwritable, NoHistory
from pipelines.options import DEFAULT_HOME

_COMMAND = re.compile(r"`forecaster (?P<verb>[a-z-]+)(?P<rest>[^`]*)`")


def end(error: Exception, flags: Mapping[str, Collection[str]]) -> NoReturn:
    """Say what happened and exit with 1.

    Arguments:
        flags: The options of each command, so that the one to type next is told as it has to be typed here.
    """
    if isinstance(error, NoHistory) and error.problem is None:
        _fail(f"{_typable(str(error), flags)} (this home is {_home().resolve()})")
    if isinstance(error, ForecasterError):
        _fail(_typable(str(error), flags))
    reason = _disk_trouble(error)
    if reason is not None:
        _fail(str(HomeUnwritable(str(_home()), reason)))
    away = _database_trouble(error)
    if away is not None:
        _fail(f"the database does not answer ({away}); see that it runs and that --database is right")
    said = (str(error).splitlines() or [""])[0][:200]
    _fail(f"internal error: {type(error).__name__}: {said} ({_keep_trace()})")


def _disk_trouble(error: BaseException | None) -> str | None:
    """What a full or read-only disk looks like, however many libraries have wrapped it; None for anything else."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT):
            return error.strerror or str(error)
        text = str(error)
        for sign in ("database or disk is full", "attempt to write a readonly database", "disk I/O error",
                     "unable to open database file"):  # fmt: skip
            if sign in text:
                return sign
        error = error.__cause__ or error.__context__
    return None


def _database_trouble(error: BaseException | None) -> str | None:
    """What a database server says that cannot be reached or lets nobody in; None for anything else."""
    while error is not None:
        if type(error).__module__.startswith("sqlalchemy.") and type(error).__name__ == "OperationalError":
            return str(getattr(error, "orig", error)).splitlines()[0][:160]
        error = error.__cause__ or error.__context__
    return None


def _typable(line: str, flags: Mapping[str, Collection[str]]) -> str:
    """The line with its commands as they have to be typed here: of the same run, in the same home."""

    def completed(command: re.Match[str]) -> str:
        known = flags.get(command["verb"], ())
        more = [(flag, _asked(flag)) for flag in ("--run", "--home") if flag in known and flag not in command["rest"]]
        told = "".join(f" {flag} {shlex.quote(value)}" for flag, value in more if value)
        return f"`forecaster {command['verb']}{command['rest']}{told}`"

    return _COMMAND.sub(completed, line)


def _home() -> Path:
    return Path(_asked("--home", os.environ.get("FORECASTER_HOME", str(DEFAULT_HOME))))


def _asked(flag: str, otherwise: str = "") -> str:
    """What this command line gives an option."""
    words = sys.argv
    named = [words[place + 1] for place, word in enumerate(words[:-1]) if word == flag]
    named += [word.removeprefix(f"{flag}=") for word in words if word.startswith(f"{flag}=")]
    return named[-1] if named else otherwise


def _keep_trace() -> str:
    path = Path(tempfile.gettempdir()) / "forecaster-error.log"
    try:
        path.write_text(traceback.format_exc(), encoding="utf-8")
    except OSError:
        return "the details could not be kept"
    return f"details in {path}"


def _fail(line: str) -> NoReturn:
    sys.stderr.write(f"forecaster: {line}\n")
    raise SystemExit(1)
