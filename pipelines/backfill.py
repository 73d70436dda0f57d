"""Backfill: what would have been issued on past sessions by who was in charge then, from what could be known then.

It is written down as such, stands apart from the live record, and teaches calibration nothing.
"""

from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

from forecaster.errors import ConfigError, DataError, MissingSessions, NoHistory
from forecaster.store import history
from forecaster.store.champions import champion_at
from forecaster.store.database import reading
from pipelines.issue import Issued, issue, issue_as_of
from pipelines.timetable import Timetable, timetable_of
from pipelines.workspace import Workspace


@dataclass(frozen=True)
class Filled:
    """What was done about one symbol on one session."""

    symbol: str
    session: str
    fresh: bool
    """Whether it was issued now."""
    says: str
    """The kind of forecast, or why there is none."""

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def backfill(workspace: Workspace, first: date, last: date) -> list[Filled]:
    """Issue from every session from `first` to `last` that is due, symbol by symbol; what was issued then stands.

    Raises:
        ConfigError: None of them is a session that is due.
        NoHistory: Nothing is stored of a symbol.
    """
    timetable = timetable_of(workspace.config, first, last + timedelta(days=10))
    latest = timetable.latest(workspace.now)
    days = [day for day in timetable.between(first, last) if latest is not None and day <= latest]
    if not days:
        raise ConfigError("backfill", f"no session from {first} to {last} is over; choose earlier ones")
    for symbol in workspace.config.target.symbols:
        if not stored_days(workspace, symbol):
            raise NoHistory(symbol)
    return [_fill(workspace, timetable, symbol, day) for day in days for symbol in workspace.config.target.symbols]


def _fill(workspace: Workspace, timetable: Timetable, symbol: str, day: date) -> Filled:
    try:
        found = issue_on(workspace, timetable, symbol, day)
    except DataError as error:
        return Filled(symbol, str(day), fresh=False, says=str(error))
    if found is None:
        return Filled(symbol, str(day), fresh=False, says="nobody was in charge then")
    return Filled(symbol, str(day), found.fresh, found.kind)


def issue_on(workspace: Workspace, timetable: Timetable, symbol: str, day: date) -> Issued | None:
    """Issue from a session: as things are while it is the newest, else as they were when it was due.

    None where nobody was in charge.

    Raises:
        MissingSessions: The store has no value of the session.
    """
    config, engine = workspace.config, workspace.engine
    if day not in stored_days(workspace, symbol):
        raise MissingSessions(symbol, [str(day)])
    if workspace.now < timetable.over_at(day):
        now_in_charge = champion_at(engine, config.target.key, workspace.now)
        return None if now_in_charge is None else issue(engine, config, symbol, workspace.now)
    due = timetable.due_at(day)
    champion = champion_at(engine, config.target.key, due)
    return None if champion is None else issue_as_of(engine, config, symbol, champion, due, workspace.now)


def stored_days(workspace: Workspace, symbol: str) -> set[date]:
    """Sessions of which the store has a target's value."""
    kept = history.bars_of(symbol) if workspace.config.target.kind == "return" else history.observations_of(symbol)
    with reading(workspace.engine).connect() as connection:
        return set(history.dates(connection, kept))
