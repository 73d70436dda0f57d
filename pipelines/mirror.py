"""Mirror: MLflow's alias shows who is in charge. The store decides; an alias moved by hand is a request."""

import logging

from forecaster.errors import ForecasterError
from forecaster.store.artifacts import find_run_of, load_artifact
from forecaster.store.champions import find_champion
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)


def mirror(workspace: Workspace, answer: str | None = None) -> str | None:
    """Bring the alias in line with the champion, unless somebody has moved it; then the model he asks for.

    A request that cannot be put to the gate (a model of another run, or none of ours) is refused at once: the alias is
    set back, and the reason stands on the registered model.

    Arguments:
        answer: What the gate said to a request; the alias then goes where it belongs.

    Raises:
        NotebookAway: MLflow does not answer.
    """
    champion = find_champion(workspace.engine, workspace.config.target.key)
    if champion is None:
        return None
    alias = workspace.notebook.alias(champion.target)
    if alias.digest == champion.digest and alias.mirrored == champion.digest:
        return None
    wanted = _wanted(workspace, alias.digest or "") if alias.moved and answer is None else None
    if wanted is not None:
        return wanted
    reason = answer or f"version {champion.version} is in charge: {champion.decision['reason']}"
    run = find_run_of(workspace.engine, champion.digest)
    log.info("mirrored", extra={"target": champion.target, "digest": champion.digest, "moved_by_hand": alias.moved})
    tracked = None if run is None else run.tracking_id
    workspace.notebook.crown(champion.target, tracked, champion.digest, champion.version)
    workspace.notebook.explain(champion.target, reason)
    return None


def _wanted(workspace: Workspace, digest: str) -> str | None:
    """The run's model that an artifact was trained as; None where it cannot be put to the gate."""
    try:
        name = load_artifact(workspace.engine, digest).manifest.name
    except ForecasterError:
        return None
    challengers = [model.name for model in workspace.config.models if model != workspace.config.baseline]
    return name if name in challengers else None
