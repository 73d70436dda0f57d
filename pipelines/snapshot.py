"""Snapshot: freeze what the store knew at a moment into a file that training, comparison and replay read."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from sqlalchemy import Engine

from forecaster.calendars import trading_calendar
from forecaster.contract import Target
from forecaster.errors import ConfigError, DataStale, Delisted, NoHistory
from forecaster.facts import Facts
from forecaster.snapshot import path_of, read_snapshot, write_snapshot
from forecaster.store import visits
from forecaster.store.history import all_instruments, count_assumed, read_facts
from forecaster.windows import Windows, windows_from
from pipelines.config import DataConfig
from pipelines.venue import Reads, calendar_of


@dataclass(frozen=True)
class Snapshot:
    """A written snapshot."""

    digest: str
    path: str
    rows: int
    first: str
    last: str
    assumed: float
    """Share of the rows of which it is only assumed when they could be known."""


def snapshot(engine: Engine, data: DataConfig, folder: Path, as_of: datetime, recorded_only: bool = False) -> Snapshot:
    """Write what was known of the run's subjects at `as_of`; the same content is written once.

    Arguments:
        recorded_only: Leave out rows of which it is only assumed when they could be known.

    Raises:
        NoHistory: A subject has no rows.
        DataStale: The source of a subject did not deliver when it was last asked, and sessions have passed since.
        Delisted: The source of a symbol has not known it for several sessions.
    """
    wanted = (*data.symbols, *data.series)
    require_delivered(engine, wanted)
    facts = read_facts(engine, as_of, wanted, recorded_only)
    require_history(engine, facts, wanted, recorded_only)
    digest = write_snapshot(facts, folder)
    assumed = 0.0 if recorded_only else count_assumed(engine, as_of, wanted) / len(facts)
    span = str(facts.date.min()), str(facts.date.max())
    return Snapshot(digest, str(path_of(folder, digest)), len(facts), *span, round(assumed, 6))


def require_history(engine: Engine, facts: Facts, subjects: Iterable[str], recorded_only: bool) -> None:
    """Check that there are rows of every subject.

    Raises:
        NoHistory: There are none of one; why, if its source was asked and gave none.
    """
    for subject in subjects:
        if not len(facts.about(subject)):
            last = visits.last_visit(engine, subject)
            raise NoHistory(subject, recorded_only, None if last is None else last.problem)


def require_delivered(engine: Engine, subjects: Iterable[str]) -> None:
    """Check that the last visit to each subject's source was answered, or that nothing was missed.

    Raises:
        DataStale: It was not, and sessions have passed since.
        Delisted: The source has not known the symbol for several sessions.
    """
    for subject in subjects:
        gone = visits.is_delisted(engine, subject)
        if gone is not None:
            raise Delisted(subject, str(gone.stale_since))
        last = visits.last_visit(engine, subject)
        if last is not None and last.status not in ("ok", "overtaken") and last.stale_since is not None:
            raise DataStale(subject, str(last.stale_since))


def require_venue(engine: Engine, target: Target, now: datetime) -> None:
    """Check that the target's venue keeps the sessions of the one where its source says it trades.

    Raises:
        ConfigError: It does not: bars would be dated and settled by the wrong clock.
    """
    if target.kind == "level":  # a series is published, not traded
        return
    span, known = (now.date() - timedelta(days=800), now.date()), all_instruments(engine)
    for symbol in target.symbols:
        if (
            symbol not in known or known[symbol].venue == target.venue
        ):  # one that was never fetched has no history either
            continue
        traded = known[symbol].venue
        ours, theirs = (trading_calendar(venue, *span) for venue in (target.venue, traded))
        if not np.array_equal(ours.closes, theirs.closes):
            problem = f"{symbol} trades at {traded}, whose sessions are not those of {target.venue}"
            raise ConfigError("[target] venue", f'{problem}; write venue = "{traded}"')


def say_holes(windows: Windows) -> str:
    """A line about sessions without a bar and what they cost; empty where there are none."""
    holes = windows.sessions[np.isnan(windows.close)].astype(str).tolist()
    if not holes:
        return ""
    shown = ", ".join(holes[:3]) + (", ..." if len(holes) > 3 else "")
    return (
        f"holes     {windows.symbol}: {len(holes)} session(s) without a bar ({shown}); {windows.lost} origins left out"
    )


def load_universe(folder: Path, digest: str, config: Reads) -> tuple[Windows, ...]:
    """The windows of a run, one of each of the target's symbols, from a snapshot and nothing else."""
    facts = read_snapshot(folder, digest)
    return tuple(windows_of(facts, config, symbol) for symbol in config.target.symbols)


def windows_of(facts: Facts, config: Reads, symbol: str, seen: np.datetime64 | None = None) -> Windows:
    """`windows_from`, as a run says."""
    calendar = calendar_of(facts, config, symbol)
    return windows_from(facts, calendar, config.target, config.window, symbol, config.features.table, seen)
