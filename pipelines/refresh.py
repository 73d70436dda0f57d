"""Refresh: the champion's own recipe, refitted on newer data. Nothing is claimed, so it need only be sound."""

import logging
from dataclasses import replace

from forecaster.errors import ConfigError, RefreshRefused
from forecaster.runtime import Runtime
from forecaster.scores import crps
from forecaster.store.champions import Champion, crown, require_champion
from forecaster.windows import Indices, Windows
from pipelines.recipe import Recipe
from pipelines.scoring import is_still
from pipelines.train import Trained, refit_job, train_all, walk_jobs
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)

_NEWEST = 250  # origins on which a refresh is looked at
_WORST = 1.1  # most CRPS on them, in the random walk's


def recipe_of(champion: Champion) -> Recipe | None:
    """The recipe that a champion was made by; None for one from before recipes were kept."""
    kept = champion.decision.get("recipe")
    return None if kept is None else Recipe.model_validate(kept)


def refresh(workspace: Workspace, progress_bar: bool = False) -> Champion:
    """Refit the champion's recipe on the whole snapshot and put it in charge.

    Raises:
        NoChampion: Nothing has been promoted.
        ConfigError: The champion has no recipe, or was trained with other features of the user's own.
        RefreshRefused: The refit is not sound; the champion stays.
        PromotionConflict: Somebody else promoted in between; nothing has changed.
    """
    before = require_champion(workspace.engine, workspace.config.target.key)
    recipe = recipe_of(before)
    if recipe is None:
        raise ConfigError("promote", "the champion is older than recipes are; put one to the gate instead")
    if recipe.features != workspace.config.features.digest:
        raise ConfigError("[features] modules", "they changed since the champion came; put a recipe to the gate")
    mine = replace(workspace, config=recipe.within(workspace.config))
    walk, model = _refits(mine, progress_bar)
    if model.artifact.digest == before.digest:
        return before
    _require_sound(mine, model, walk)
    said = before.decision | {
        "kind": "refresh",
        "walk": walk.artifact.digest,
        "reason": f"{recipe.model.name} refitted on data to {mine.snapshot.last}, as its recipe says",
    }
    after = crown(mine.engine, before.target, model.artifact.digest, before, said, mine.now)
    mine.notebook.crown(before.target, model.run.tracking_id, model.artifact.digest, after.version)
    log.info("refreshed", extra={"target": before.target, "version": after.version})
    return after


def _refits(workspace: Workspace, progress_bar: bool) -> tuple[Trained, Trained]:
    """The random walk and the recipe's model on the whole snapshot, each for the epochs of the newest fold."""
    bench = workspace.bench
    scored = train_all(bench, walk_jobs(bench, workspace.folds[-1:]), log.info, progress_bar)
    refits = train_all(bench, [refit_job(bench, one) for one in scored], log.info, progress_bar)
    return refits[0], refits[-1]


def _require_sound(workspace: Workspace, model: Trained, walk: Trained) -> None:
    """Check contract and golden forecast, and that it neither stands still nor has lost its mind."""
    runtime, reference = Runtime(model.artifact), Runtime(walk.artifact)
    for windows in workspace.universe:
        origins = windows.span(None, None)[-_NEWEST:]
        answers = runtime.quantiles(windows.contexts(origins))
        if is_still(answers) and not is_still(reference.quantiles(windows.contexts(origins))):
            raise RefreshRefused(model.name, f"it says the same on all of the newest {len(origins)} origins")
        share = _mean(runtime, windows, origins) / _mean(reference, windows, origins)
        if not share <= _WORST:
            problem = f"its CRPS on the newest {len(origins)} origins is {share:.2f} times the random walk's"
            raise RefreshRefused(model.name, f"{problem} (at most {_WORST})")


def _mean(runtime: Runtime, windows: Windows, origins: Indices) -> float:
    return float(crps(runtime.quantiles(windows.contexts(origins)), windows.targets[origins]).mean())
