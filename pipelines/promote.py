"""Promote: put a recipe to the gate; what passes is refitted on the whole snapshot and crowned.

Whether it passes or not, the challenge is written down, with what it spent and what the gate said. Where nobody is in
charge yet and the candidate fails, the random walk is.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

import numpy as np
from sqlalchemy.exc import IntegrityError

from forecaster import gate
from forecaster.artifact import Manifest
from forecaster.errors import ConfigError, ForecasterError, PromotionConflict
from forecaster.gate import Decision, Evidence
from forecaster.runtime import Runtime
from forecaster.snapshot import read_snapshot
from forecaster.store.artifacts import load_artifact
from forecaster.store.challenges import (
    Challenge,
    add_challenge,
    challenges,
    count_recipes,
    find_challenge,
    spending,
)
from forecaster.store.champions import Champion, crown, find_champion
from pipelines.compare import Comparison
from pipelines.leaks import lines, search
from pipelines.recipe import Recipe
from pipelines.refresh import recipe_of, refresh
from pipelines.scoring import Asked, Scored, Stage, score, versus
from pipelines.train import Walked, refit_job, train, walk
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)

JUDGED = (0.8, 0.95)
"""Central intervals whose coverage the gate asks for."""
TOLD = ("name", "family", "skill", "skill_se", "dm_p", "dm_p_holm", "crps", "coverage_80")
"""What is kept of every model of the comparison, for whoever asks the service."""
LEAK_ORIGINS = 24
"""Sessions after which the facts are changed, to see whether anything before moves; `check-leaks` looks at more."""


@dataclass(frozen=True)
class Promoted:
    """Who is champion after the gate has spoken."""

    champion: Champion
    manifest: Manifest
    """Of the artifact that answers from now on."""
    decision: dict[str, Any]
    """What the gate said, of whoever stood before it."""
    moved: bool
    """False where the same artifact was champion already."""

    @property
    def name(self) -> str:
        """Of the champion."""
        return self.manifest.name

    @property
    def reason(self) -> str:
        """The decision, in one line."""
        return str(self.decision["reason"])


def promote(
    workspace: Workspace,
    walked: Sequence[Walked],
    comparison: Comparison,
    name: str | None = None,
    progress_bar: bool = False,
) -> Promoted:
    """Put one of a comparison's recipes to the gate; the one that validation chose if none is named.

    A recipe that is in charge already is refreshed instead. A question that was put before gets the same answer, and
    spends nothing.

    Raises:
        ConfigError: The run has no such model, or the champion cannot be scored any more.
        PromotionConflict: Somebody else promoted in between; nothing has changed.
    """
    config, engine = workspace.config, workspace.engine
    name = _required(name or comparison.candidate, comparison)
    recipe, before = Recipe.of(config, name), find_champion(engine, config.target.key)
    in_charge = None if before is None else recipe_of(before)
    if before is not None and in_charge == recipe:
        return _refreshed(workspace, before, progress_bar)
    if in_charge is not None and in_charge.model == config.baseline:
        in_charge = None  # the random walk is a rival anyway
    asked = [recipe.digest, in_charge.digest if in_charge else "", workspace.snapshot.digest, comparison.key]
    key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
    put = find_challenge(engine, key)
    if put is not None and before is not None:
        workspace.notebook.log_decision(comparison.key, put.decision)  # it may have been away
        return Promoted(before, load_artifact(engine, before.digest).manifest, put.decision, moved=False)
    evidence = _evidence(workspace, walked, comparison, name, in_charge, progress_bar)
    decision = gate.judge(evidence)
    record = _record(decision, evidence, comparison, recipe)
    past = challenges(engine, config.target.key)
    challenge = Challenge(
        config.target.key, 1 + len(past), key, recipe.digest, evidence.alpha, decision.passed, record, workspace.now
    )
    answer = _decided(workspace, walked, comparison, challenge, before, progress_bar)
    workspace.notebook.log_decision(comparison.key, record)
    return answer


def _required(name: str, comparison: Comparison) -> str:
    known = [row.name for row in comparison.rows if row.name != comparison.baseline]
    if name not in known:
        raise ConfigError("promote", f"no model {name!r} to challenge with; the run has {', '.join(known)}")
    return name


def _decided(
    workspace: Workspace,
    walked: Sequence[Walked],
    comparison: Comparison,
    challenge: Challenge,
    before: Champion | None,
    progress_bar: bool,
) -> Promoted:
    """Write down what the gate said, and crown whom it said."""
    engine, target = workspace.engine, challenge.target
    if before is not None and not challenge.passed:
        try:
            with engine.begin() as connection:
                add_challenge(connection, challenge)
        except IntegrityError as error:
            raise PromotionConflict(target) from error
        log.info("refused", extra={"target": target, "reason": challenge.decision["reason"]})
        return Promoted(before, load_artifact(engine, before.digest).manifest, challenge.decision, moved=False)
    name = challenge.decision["candidate"] if challenge.passed else comparison.baseline
    chosen = next(one for one in walked if one.name == name)
    refit = train(workspace.bench, refit_job(workspace.bench, chosen.last), progress_bar)
    baseline = next(one for one in walked if one.name == comparison.baseline)
    # Issued beside it, so that its live record has something to beat.
    beside = train(workspace.bench, refit_job(workspace.bench, baseline.last))
    Runtime(refit.artifact)  # contract and golden forecast once more: what is crowned is what the store will hand out
    recipe = Recipe.of(workspace.config, name)
    kind = "challenge" if challenge.passed else "fallback"
    said = challenge.decision | {
        "kind": kind,
        "recipe": recipe.model_dump(mode="json"),
        "walk": beside.artifact.digest,
    }
    after = crown(engine, target, refit.artifact.digest, before, said, workspace.now, challenge)
    workspace.notebook.crown(target, refit.run.tracking_id, refit.artifact.digest, after.version)
    log.info("promoted", extra={"target": target, "champion": name, "version": after.version})
    return Promoted(after, refit.artifact.manifest, challenge.decision, moved=True)


def _refreshed(workspace: Workspace, before: Champion, progress_bar: bool) -> Promoted:
    after = refresh(workspace, progress_bar)
    manifest = load_artifact(workspace.engine, after.digest).manifest
    return Promoted(after, manifest, after.decision, moved=after.digest != before.digest)


def _evidence(
    workspace: Workspace,
    walked: Sequence[Walked],
    comparison: Comparison,
    name: str,
    in_charge: Recipe | None,
    progress_bar: bool,
) -> Evidence:
    """What the gate wants to know, the champion's recipe scored on the same years first."""
    config, mine = workspace.config, comparison.scored[name]
    skills, copies = {"the random walk": comparison.skills[name]}, None
    if in_charge is not None:
        rival = f"champion {in_charge.model.name}"
        theirs = _score_champion(workspace, in_charge, progress_bar)
        skills[rival] = versus(mine, theirs)
        copies = rival if same(mine, theirs) else None
    elif same(mine, comparison.scored[comparison.baseline]):
        copies = "the random walk"
    first, last = (date.fromisoformat(day) for day in (comparison.first, comparison.last))
    verdict = search(config, read_snapshot(workspace.home.snapshots, workspace.snapshot.digest), LEAK_ORIGINS)
    spent = spending(workspace.engine, config.target.key)
    windows = workspace.universe[0]
    return Evidence(
        candidate=name,
        skills=skills,
        coverage={interval: comparison.coverage[name][interval] for interval in JUDGED},
        alpha=gate.allowance(spent, workspace.now),
        recipes=count_recipes(workspace.engine, config.target.key, first, last),
        behind=int((windows.sessions > mine.days[-1]).sum()) - config.target.horizon,
        leak=lines(verdict)[0] if verdict.leaks else None,
        artifact_fault=_fault(next(one for one in walked if one.name == name)),
        constant=mine.still,
        copies=copies,
    )


def _score_champion(workspace: Workspace, recipe: Recipe, progress_bar: bool) -> Scored:
    """The champion's recipe, walked through the same years on the same snapshot."""
    if recipe.features != workspace.config.features.digest:
        problem = "they changed since the champion came, so it cannot be scored; put them back, or roll it back"
        raise ConfigError("[features] modules", problem)
    theirs = replace(workspace, config=recipe.within(workspace.config))
    workers = workspace.bench.workers
    done = walk(replace(theirs.bench, workers=workers), theirs.folds, log.info, progress_bar)
    asked = Asked(recipe.model.name, Stage.test(theirs.folds, theirs.config.target.kind), done[-1].artifacts)
    return next(scored for _, scored in workers.each(score, [asked]))


def same(mine: Scored, theirs: Scored) -> bool:
    """Whether two models make the very same forecasts."""
    ours, others = mine.raw.crps, theirs.raw.crps
    return ours.shape == others.shape and bool(np.allclose(ours, others, rtol=0, atol=1e-9))


def _fault(walked: Walked) -> str | None:
    try:
        for trained in walked.folds:
            Runtime(trained.artifact)
    except ForecasterError as error:
        return str(error)
    return None


def _record(decision: Decision, evidence: Evidence, comparison: Comparison, recipe: Recipe) -> dict[str, Any]:
    """What is stored: the gate's words and the figures it saw."""
    return {
        "candidate": decision.candidate,
        "passed": decision.passed,
        "reason": decision.reason,
        "checks": [asdict(check) for check in decision.checks],
        "skills": {rival: asdict(found) for rival, found in evidence.skills.items()},
        "alpha": evidence.alpha,
        "recipes": evidence.recipes,
        "comparison": comparison.key,
        "origins": comparison.origins,
        "first": comparison.first,
        "last": comparison.last,
        "models_compared": len(comparison.rows),
        "leaderboard": [{name: getattr(row, name) for name in TOLD} for row in comparison.rows],
        "recipe": recipe.model_dump(mode="json"),
        "kind": "challenge",
    }
