"""Every way this system says no, as one tree.

    ForecasterError
    ├─ ConfigError(path, problem)               the run file or a setting is wrong
    ├─ HomeUnwritable(home, reason)             the home directory is full, read-only or not ours
    ├─ UnknownSymbol(symbol, known)             no source or store knows it
    ├─ SourceError(source, subject, problem)    a source did not give what was asked
    │  ├─ NotListed                             it has no such symbol or series
    │  ├─ EmptyRange                            it has the symbol, but nothing in that range
    │  ├─ SourceTemporary                       it failed in a way that passes
    │  ├─ RateLimited                           it asked to be left alone
    │  │  └─ LeftAlone                          it was not asked, after failures in a row
    │  └─ ReplyRefused                          its reply is about something else, or cannot be right
    ├─ FetchIncomplete(failed)                  some subjects were not fetched
    ├─ DataError                                the data cannot carry the run
    │  ├─ DataStale(subject, since)             sessions have passed that the source did not deliver
    │  ├─ Delisted(symbol, since)               its source has not known it for several sessions
    │  ├─ MissingSessions(symbol, sessions)     holes against the venue's calendar
    │  ├─ ChannelHole(channel, session)         a channel without a value where it must have one
    │  ├─ NoHistory(subject, problem)           nothing stored that was known by then
    │  ├─ NoSessions(venue)                     the store has no sessions of a venue
    │  └─ TooShort(what, have, need)            too little history for the window
    ├─ SnapshotError                            → SnapshotMissing | SnapshotCorrupt
    ├─ ArtifactError                            → ArtifactMissing | ArtifactCorrupt | ContractMismatch | WrongMode
    ├─ OutputInvalid(digest, problem)           a model answered something that is no forecast
    ├─ StoreOutdated(found, expected)           the database needs a migration, or a newer version of this
    ├─ BackupUnwritten(path, reason)            a backup could not be written
    ├─ BackupRefused(path, problem)             a backup is not whole, of another schema, or has no empty store
    ├─ ForecastMissing(symbol)                  known symbol, but nothing was issued for it yet
    ├─ NotOnDemand(symbol, reason)              the champion cannot be asked beyond what was issued
    ├─ NotTrained(names)                        a verb needs a model that no run has produced
    ├─ RunError(run, problem)                   no one run has that name, or it cannot be trained again
    ├─ NoChampion(target)                       nothing has been promoted for this target
    ├─ SeveralChampions(targets)                a question about one, and there are several
    ├─ NothingBefore(target)                    a rollback, but the first champion is in charge
    ├─ RefreshRefused(name, problem)            a refit of the champion's recipe is not sound
    ├─ NotebookAway(problem)                    MLflow does not answer
    ├─ WorkerDied(tries)                        a process that trained was killed, again and again
    ├─ EngineUnavailable(engine, problem)       what was to carry out the work side by side cannot be had
    ├─ JobFailed(problem)                       a run of a job ended with an error
    ├─ Overloaded(retry_after_seconds)          so many wait for the service that one more is not let in
    ├─ DeadlineExceeded(seconds)                it took longer than a caller is kept waiting
    ├─ WebhookFailed(host, problem)             who wants to be told of events did not take one
    └─ PromotionConflict(target)                somebody else promoted in between

Constructors take facts and compose the message; each message says what happened and what to do next.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from forecaster.spelling import guess


class ForecasterError(Exception):
    """Root of every error a user can cause or must know of; `str()` of it is one clear line."""

    def __reduce__(self) -> tuple[Any, ...]:
        """As it is: constructors take facts, and a copy from another process has the message already."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[ForecasterError], args: tuple[Any, ...], state: dict[str, Any]) -> ForecasterError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(ForecasterError):
    def __init__(self, path: str | Path, problem: str) -> None:
        super().__init__(f"{path}: {problem}")


class HomeUnwritable(ForecasterError):
    def __init__(self, home: str | Path, reason: str) -> None:
        full = any(word in reason.lower() for word in ("space", "full", "quota", "free", "i/o"))
        remedy = "free space there" if full else "make it a folder that you may write"
        super().__init__(
            f"cannot write to the home directory {home}: {reason}; {remedy}, or choose another with "
            "--home or FORECASTER_HOME (what was stored before is intact)"
        )


_NOBODY = "none yet; `forecaster demo` or `forecaster fetch` brings some"


class UnknownSymbol(ForecasterError):
    def __init__(self, symbol: str, known: Iterable[str]) -> None:
        names = sorted(known)
        shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        super().__init__(f"unknown symbol {symbol[:16]!r}{guess(symbol, names) or ';'} known here: {shown or _NOBODY}")


class SourceError(ForecasterError):
    """A source did not give what was asked; `str()` of it never holds a key or a URL."""

    def __init__(self, source: str, subject: str, problem: str) -> None:
        super().__init__(f"{source}: {subject[:32]}: {problem}")


class NotListed(SourceError):
    """The source has no such symbol or series."""


class EmptyRange(SourceError):
    """The source has the symbol, but nothing in the range asked for."""


class SourceTemporary(SourceError):
    """The source failed in a way that passes: an outage, a broken reply, a deadline."""


class RateLimited(SourceError):
    """The source asked to be left alone; asking again soon makes it worse."""


class LeftAlone(RateLimited):
    """The source was not asked: it has failed several times in a row, and is probed only now and then."""


class ReplyRefused(SourceError):
    """The reply is about another symbol or currency, or rewrites history in a way that cannot be right."""


class FetchIncomplete(ForecasterError):
    """Of each subject that failed, whether it passes by itself and what the problem is."""

    def __init__(self, failed: Mapping[str, tuple[bool, str]]) -> None:
        names = list(failed)
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") + ", each for the reason above"
        if len(names) == 1:
            (shown,) = (problem for _, problem in failed.values())
        passes = all(passes for passes, _ in failed.values())
        remedy = "run `forecaster fetch` again later" if passes else "then run `forecaster fetch` again"
        super().__init__(f"{len(names)} not fetched: {shown}; {remedy} (what was stored is intact)")


class DataError(ForecasterError):
    """The data as known cannot carry what was asked."""


class DataStale(DataError):
    def __init__(self, subject: str, since: str) -> None:
        super().__init__(
            f"{subject} is stale since {since}: its source did not deliver; run `forecaster fetch` again later "
            "(nothing is trained on stale data)"
        )


class Delisted(DataError):
    def __init__(self, symbol: str, since: str) -> None:
        super().__init__(
            f"{symbol} looks delisted: its source has not known it since {since}; its history is kept, "
            "but nothing is forecast from it; leave it out of [data] symbols"
        )


class MissingSessions(DataError):
    def __init__(self, symbol: str, sessions: list[str]) -> None:
        shown = ", ".join(sessions[:3]) + (", ..." if len(sessions) > 3 else "")
        super().__init__(
            f"{symbol}: {len(sessions)} session(s) of its venue have no bar ({shown}); "
            "try `forecaster fetch --full` or start later"
        )


class ChannelHole(DataError):
    def __init__(self, channel: str, session: str, newest: bool = False) -> None:
        more = "; if it is a feature of your own, see that it reads no later row" if newest else ""
        super().__init__(f"channel {channel} has no value on {session}; fetch its data or leave the channel out{more}")


class NoHistory(DataError):
    """Arguments: `problem`, what its source said when it was last asked, where it failed."""

    def __init__(self, subject: str, recorded_only: bool = False, problem: str | None = None) -> None:
        self.problem = problem
        message = f"{subject}: nothing stored that was known by then; run `forecaster fetch` first"
        if recorded_only:
            message = f"{subject}: nothing of which it was recorded when it became known; leave --recorded-only out"
        elif problem:
            message = f"nothing stored of {subject}: {problem}; then run `forecaster fetch`"
        super().__init__(message)


class NoSessions(DataError):
    def __init__(self, venue: str) -> None:
        super().__init__(f"the store has no sessions of venue {venue}; run `forecaster issue` once")


class TooShort(DataError):
    """Arguments: `where`, which sessions these are; `remedy`, what makes them more."""

    def __init__(self, what: str, have: int, need: int, where: str = "", remedy: str = "") -> None:
        super().__init__(
            f"too little history for {what}: have {have} sessions, need {need}{where and f' ({where})'}; "
            f"{remedy or 'fetch more, shorten [window] context, or move the [split] dates'}"
        )


class SnapshotError(ForecasterError):
    """A snapshot cannot be read as what its name says."""


class SnapshotMissing(SnapshotError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"no snapshot at {path}; write one with `forecaster snapshot`")


class SnapshotCorrupt(SnapshotError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"snapshot {path} does not match the digest in its name; delete it and write it again")


class ArtifactError(ForecasterError):
    """An artifact cannot be trusted or found."""


class ArtifactMissing(ArtifactError):
    def __init__(self, digest: str) -> None:
        super().__init__(f"no artifact {digest[:12]} in the store; train it again with `forecaster train`")


class ArtifactCorrupt(ArtifactError):
    def __init__(self, digest: str, problem: str) -> None:
        super().__init__(f"artifact {digest[:12]} refused: {problem}; train it again with `forecaster train`")


class ContractMismatch(ArtifactError):
    def __init__(self, digest: str, expected: str, found: str) -> None:
        super().__init__(
            f"artifact {digest[:12]} breaks the contract: expected {expected}, found {found}; train it again"
        )


class WrongMode(ArtifactError):
    def __init__(self, digest: str, mode: str, made_from: str | None = None) -> None:
        needed, remedy = "carried", f"run `forecaster carry {digest[:12]}` and choose what it makes"
        if mode == "carried":
            other = f"{made_from[:12]}, which it was made from" if made_from else "one of those"
            needed, remedy = "windowed", f"it remembers more than the window; choose {other}"
        super().__init__(f"artifact {digest[:12]} is {mode}, where a {needed} one is needed: {remedy}")


class OutputInvalid(ForecasterError):
    def __init__(self, digest: str, problem: str) -> None:
        super().__init__(f"model {digest[:12]} gave no usable forecast: {problem}; train it again")


class StoreOutdated(ForecasterError):
    def __init__(self, found: str | None, expected: str) -> None:
        remedy = (
            "run `forecaster migrate`, or point FORECASTER_HOME to a home that has one"
            if found is None or found < expected
            else "a newer version migrated it: move to that version"
        )
        super().__init__(f"the database is at revision {found or 'none'} and this version needs {expected}; {remedy}")


class BackupUnwritten(ForecasterError):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"cannot write the backup {path}: {reason}; free space there or choose another place "
            "(nothing half is left, and what was there before is intact)"
        )


class BackupRefused(ForecasterError):
    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} was not restored, and nothing was changed: {problem}")


class ForecastMissing(ForecasterError):
    def __init__(self, symbol: str) -> None:
        super().__init__(f"no forecast has been issued for {symbol} yet; run `forecaster forecast {symbol}`")


class NotOnDemand(ForecasterError):
    def __init__(self, symbol: str, reason: str) -> None:
        super().__init__(f"{symbol[:32]} cannot be forecast on demand: {reason}; choose what was issued instead")


class NotTrained(ForecasterError):
    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(f"not trained on this snapshot by this code: {', '.join(names)}; run `forecaster train`")


class RunError(ForecasterError):
    def __init__(self, run: str, problem: str) -> None:
        super().__init__(f"run {run[:64]!r}: {problem}")


class NoChampion(ForecasterError):
    def __init__(self, target: str) -> None:
        super().__init__(
            f"no champion for {target} yet; `forecaster demo` makes one, or in turn fetch, train, compare and promote"
        )


class SeveralChampions(ForecasterError):
    def __init__(self, targets: Iterable[str]) -> None:
        super().__init__(f"there are several champions; choose one as target: {', '.join(sorted(targets))}")


class NothingBefore(ForecasterError):
    def __init__(self, target: str) -> None:
        super().__init__(
            f"{target} has no champion before this one to go back to; `forecaster promote --explain` lists them"
        )


class RefreshRefused(ForecasterError):
    def __init__(self, name: str, problem: str) -> None:
        super().__init__(
            f"the refit of {name} was refused, the champion stays: {problem}; look at the data it was trained on"
        )


class NotebookAway(ForecasterError):
    def __init__(self, problem: str) -> None:
        super().__init__(f"MLflow does not answer ({problem[:100]}); nothing that answers depends on it; retry later")


class WorkerDied(ForecasterError):
    def __init__(self, tries: int) -> None:
        super().__init__(
            f"a process that trained was killed {tries} times, perhaps for want of memory; "
            "retry with fewer --workers, or a smaller [training] batch"
        )


class EngineUnavailable(ForecasterError):
    """`str()` of it never holds a token."""

    def __init__(self, engine: str, problem: str) -> None:
        super().__init__(f"--engine {engine}: {problem}; or leave --engine out")


class JobFailed(ForecasterError):
    """A job's own error, as it was kept: by its line and the name of its class."""

    def __init__(self, problem: str, error: str = "JobFailed") -> None:
        super().__init__(problem)
        self.error = error


class Overloaded(ForecasterError):
    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"too many requests at once; retry in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class DeadlineExceeded(ForecasterError):
    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} s; ask for less, or retry later")


class PromotionConflict(ForecasterError):
    def __init__(self, target: str) -> None:
        super().__init__(f"somebody else promoted for {target} in between; look again and repeat `forecaster promote`")


class WebhookFailed(ForecasterError):
    """`str()` of it never holds the address, which may hold a token."""

    def __init__(self, host: str, problem: str) -> None:
        super().__init__(
            f"the webhook at {host[:64]} was not told: {problem}; retry later, or choose another FORECASTER_WEBHOOK_URL"
        )
