"""How a command ends when it cannot go on: one clear line on stderr, never a stack trace, and an exit code."""

import errno
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

from forecaster.errors import ForecasterError, HomeUnwritable
from pipelines.options import DEFAULT_HOME


def end(error: Exception) -> NoReturn:
    """Say what happened and exit with 1."""
    if isinstance(error, ForecasterError):
        _fail(str(error))
    reason = _disk_trouble(error)
    if reason is not None:
        _fail(str(HomeUnwritable(_asked_home(), reason)))
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


def _asked_home() -> Path:
    """The home that this command line names, for a message."""
    words = sys.argv
    named = [words[place + 1] for place, word in enumerate(words[:-1]) if word == "--home"]
    named += [word.removeprefix("--home=") for word in words if word.startswith("--home=")]
    return Path(named[-1] if named else os.environ.get("FORECASTER_HOME", str(DEFAULT_HOME)))


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
