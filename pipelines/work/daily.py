"""Daily: what is done about a session after its close, step by step. Each may be done twice without effect."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from forecaster.errors import DataError, NotebookAway
from forecaster.store.visits import is_delisted
from pipelines.backfill import issue_on, stored_days
from pipelines.issue import issue as issue_now
from pipelines.mirror import mirror as run_mirror
from pipelines.monitor import raise_alarms, watch
from pipelines.score import score as run_score
from pipelines.timetable import Timetable
from pipelines.workspace import Workspace


def fetch(workspace: Workspace, environment: Mapping[str, str]) -> dict[str, Any]:
    """Bring the store up to date; what every subject came to, and what is wrong where something is."""
    data = workspace.config.data
    fetcher = workspace.fetcher(environment, lambda: workspace.now)
    found = list(fetcher.fetch(data.symbols, data.series))
    return {
        "remote": (fetcher.bars if workspace.config.target.kind == "return" else fetcher.macro).remote,
        "asked_at": workspace.now.isoformat(),
        "inserted": sum(one.inserted for one in found),
        "revised": sum(one.revised for one in found),
        "quarantined": sum(one.quarantined for one in found),
        "problems": {one.subject: one.problem or one.status for one in found if one.status not in ("ok", "overtaken")},
    }


def check(workspace: Workspace, session: date) -> dict[str, Any]:
    """Which of the target's symbols have a believed value of the session, and which have not; not the delisted ones."""
    listed = [one for one in workspace.config.target.symbols if is_delisted(workspace.engine, one) is None]
    arrived = [symbol for symbol in listed if session in stored_days(workspace, symbol)]
    return {"arrived": arrived, "missing": sorted(set(listed) - set(arrived))}


def score(workspace: Workspace) -> dict[str, Any]:
    """Hold what was issued against what has arrived."""
    found = run_score(workspace.engine, workspace.config, workspace.now)
    return {"scored": sum(one.scored for one in found), "waiting": sum(one.waiting for one in found)}


def issue(workspace: Workspace, timetable: Timetable, session: date, symbols: list[str]) -> dict[str, Any]:
    """Issue from the session; a symbol that cannot be forecast does not stop the others."""
    issued: dict[str, str] = {}
    problems: dict[str, str] = {}
    for symbol in symbols:
        try:
            found = issue_on(workspace, timetable, symbol, session)
        except DataError as error:
            problems[symbol] = str(error)
            continue
        if found is not None:
            issued[symbol] = found.kind
    return {"issued": issued, "problems": problems}


def issue_newest(workspace: Workspace) -> dict[str, Any]:
    """Let whoever is in charge now speak from the newest session there is."""
    issued: dict[str, str] = {}
    problems: dict[str, str] = {}
    for symbol in workspace.config.target.symbols:
        try:
            issued[symbol] = issue_now(workspace.engine, workspace.config, symbol, workspace.now).kind
        except DataError as error:
            problems[symbol] = str(error)
    return {"issued": issued, "problems": problems}


def monitor(workspace: Workspace, session: date) -> dict[str, Any]:
    """What is watched at the session, and the alarms that it raises."""
    watched = watch(workspace, session)
    raised = raise_alarms(workspace, session, watched)
    facts = ("kind", "subject", "says", "statistic", "threshold")
    return {
        "watched": [{name: getattr(one, name) for name in facts if name != "says"} for one in watched],
        "alarms": [{name: getattr(one, name) for name in facts} for one in raised],
    }


def mirror(workspace: Workspace, answer: str | None = None) -> dict[str, Any]:
    """Bring MLflow's alias in line with who is in charge; MLflow being away stops nothing."""
    try:
        return {"request": run_mirror(workspace, answer), "problem": None}
    except NotebookAway as error:
        return {"request": None, "problem": str(error)}
