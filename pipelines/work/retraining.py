"""Retraining: when it is due, and its steps. Whoever is in charge afterwards, the gate or soundness decides."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Literal

from forecaster.errors import RefreshRefused, SnapshotMissing
from forecaster.families.pool import PoolFamily
from forecaster.snapshot import path_of
from forecaster.store.challenges import challenges
from forecaster.store.champions import find_champion, promotions
from pipelines.compare import see
from pipelines.demo import champion as told
from pipelines.promote import promote
from pipelines.record import record
from pipelines.refresh import recipe_of, refresh
from pipelines.snapshot import Snapshot
from pipelines.timetable import Timetable
from pipelines.train import select, train_all, walk
from pipelines.work.runs import Run
from pipelines.workspace import Workspace

MONTH = 21
"""Sessions from refit to refit, where the recipe says nothing of its own."""


@dataclass(frozen=True)
class Why:
    """What a retraining is for."""

    kind: Literal["refresh", "challenge"]
    because: str
    model: str | None = None
    """Model to challenge with; validation's choice if left out."""

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def why(
    workspace: Workspace,
    timetable: Timetable,
    session: date,
    whole: bool,
    alarms: Sequence[dict[str, Any]],
    past: Sequence[Run],
) -> Why | None:
    """Why to retrain after a session; None where there is no reason.

    Arguments:
        whole: Whether all that is forecast has a value of the session; nobody who is in charge is retrained without.
        alarms: Raised at the session.
        past: Retrainings that were carried out, newest first.
    """
    engine, target, jobs = workspace.engine, workspace.config.target.key, workspace.config.jobs
    champion = find_champion(engine, target)
    if champion is None:
        return Why("challenge", "nobody is in charge yet")
    if not whole:
        return None
    drifted = [alarm["says"] for alarm in alarms if alarm["kind"] != "age"]
    if drifted:
        return Why("challenge", drifted[0])
    moves, asked = promotions(engine, target), challenges(engine, target, limit=1)
    judged = next((one for one in moves if one.decision.get("kind") in ("challenge", "fallback")), moves[-1])
    came = timetable.at(judged.created_at)
    challenged = max([came, *(timetable.at(one.created_at) for one in asked), *_sessions(past, "challenge")])
    if timetable.since(challenged, session) >= jobs.challenge_every:
        return Why("challenge", f"{jobs.challenge_every} sessions since the last")
    recipe = recipe_of(champion)
    every = jobs.refresh_every or (recipe.refit_every if recipe is not None else None) or MONTH
    refitted = max([timetable.at(moves[0].created_at), challenged, *_sessions(past, "refresh")])
    if recipe is not None and timetable.since(refitted, session) >= every:
        return Why("refresh", f"{every} sessions since the last refit")
    return None


def _sessions(past: Sequence[Run], kind: str) -> list[date]:
    """Sessions whose retraining was of that kind."""
    return [run.name.session for run in past if run.told.get("kind") == kind]


def take(workspace: Workspace) -> dict[str, Any]:
    """Freeze what is known now."""
    return {"as_of": workspace.now.isoformat(), "snapshot": asdict(workspace.snapshot)}


def on(workspace: Workspace, taken: dict[str, Any]) -> Workspace:
    """The workspace on what was frozen, wherever that was.

    Raises:
        SnapshotMissing: This machine has no such file, and the store does not give the same any more.
    """
    frozen, as_of = Snapshot(**taken["snapshot"]), datetime.fromisoformat(taken["as_of"])
    path = path_of(workspace.home.snapshots, frozen.digest)
    if not path.exists() and workspace.at(as_of).snapshot.digest != frozen.digest:
        raise SnapshotMissing(path)
    return workspace.at(as_of, frozen)


def models(workspace: Workspace) -> list[str]:
    """Models that are trained by themselves; pools are made of them afterwards, in no time."""
    return [model.name for model in workspace.config.models if not isinstance(model, PoolFamily)]


def train(workspace: Workspace, model: str) -> dict[str, Any]:
    """Train one model on every fold."""
    jobs = [job for spans in workspace.folds for job in select(workspace.bench, spans, [model])]
    mine = [job for job in jobs if job.family.name == model]
    done = train_all(workspace.bench, mine, _silent)
    return {
        "model": model,
        "trained": sum(one.fresh for one in done),
        "seconds": round(sum(one.seconds for one in done), 3),
    }


def challenge(workspace: Workspace, model: str | None) -> dict[str, Any]:
    """Compare all models, and put one to the gate."""
    walked = walk(workspace.bench, workspace.folds, _silent)
    found = see(workspace, walked)
    record(workspace.notebook, found, walked, workspace.snapshot, workspace.now)
    return told(promote(workspace, walked, found, model))


def refit(workspace: Workspace) -> dict[str, Any]:
    """Refit the champion's recipe; it stays as it is where the refit is not sound."""
    try:
        after = refresh(workspace)
    except RefreshRefused as error:
        return {"moved": False, "reason": str(error)}
    return {"version": after.version, "digest": after.digest, "reason": after.decision["reason"], "moved": True}


def _silent(_line: str) -> None: ...
