"""Rollback: the artifact that was in charge before, back in charge, in one step."""

import logging

from forecaster.errors import NothingBefore
from forecaster.runtime import Runtime
from forecaster.store.artifacts import load_artifact
from forecaster.store.champions import Champion, crown, promotions, require_champion
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)


def rollback(workspace: Workspace) -> Champion:
    """Put the champion before this one back; a second rollback goes one further back.

    Raises:
        NoChampion: Nothing has been promoted.
        NothingBefore: The first champion is in charge.
        ArtifactCorrupt: The earlier artifact is not what its digest says.
        PromotionConflict: Somebody else promoted in between; nothing has changed.
    """
    target = workspace.config.target.key
    now = require_champion(workspace.engine, target)
    history = {one.version: one for one in promotions(workspace.engine, target)}
    stands_for = int(now.decision.get("restored", now.version))
    earlier = history.get(stands_for - 1)
    if earlier is None:
        raise NothingBefore(target)
    restored = int(earlier.decision.get("restored", earlier.version))
    Runtime(load_artifact(workspace.engine, earlier.digest))
    said = earlier.decision | {
        "kind": "rollback",
        "restored": restored,
        "reason": f"rolled back from version {now.version} to version {restored}",
    }
    after = crown(workspace.engine, target, earlier.digest, now, said, workspace.now)
    workspace.notebook.crown(target, None, earlier.digest, after.version)
    log.info("rolled back", extra={"target": target, "version": after.version, "restored": restored})
    return after
