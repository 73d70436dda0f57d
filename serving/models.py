"""Models that are or were in charge, what the gate said, and the comparison behind it."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from sqlalchemy import Engine

from forecaster.artifact import Manifest
from forecaster.store.artifacts import load_manifest
from forecaster.store.challenges import Challenge, challenges
from forecaster.store.champions import Champion, Promotion, promotions, promotions_of
from serving.engine import Loaded
from serving.forecasts import data_until
from serving.schemas.models import (
    Check,
    Comparison,
    Decision,
    InCharge,
    Leaderboard,
    ModelAnswer,
    Move,
    Row,
)

_DECISIONS = 10


def in_charge(loaded: Loaded) -> InCharge:
    """The model in charge of a target, in short."""
    champion, manifest = loaded.champion, loaded.runtime.manifest
    return InCharge(
        target=champion.target,
        symbols=list(manifest.target.symbols),
        horizon=manifest.target.horizon,
        family=manifest.family,
        name=manifest.name,
        version=champion.version,
        digest=champion.digest,
        passed=champion.decision["passed"],
        reason=champion.decision["reason"],
        since=champion.created_at,
    )


def find_model(store: Engine, target: str | None, which: str, now: Mapping[str, int]) -> ModelAnswer | None:
    """A model that is or was in charge; None where no promotion is on record.

    Arguments:
        target: Of which; may be left out with a digest.
        which: Its version as digits, or its digest: then the newest promotion of it.
        now: Target to the version that answers now.
    """
    moves = [] if target is None else promotions(store, target)
    if not which.isdecimal():
        found = next((one for one in promotions_of(store, which) if target in (None, one.target)), None)
    else:
        found = next((one for one in moves if one.version == int(which)), None)
    if found is None:
        return None
    history = moves or promotions(store, found.target)
    return describe(found, load_manifest(store, found.digest), now.get(found.target) == found.version, history)


def describe(
    promoted: Champion | Promotion, manifest: Manifest, answers: bool, history: Sequence[Promotion] | None
) -> ModelAnswer:
    """A model, from its promotion and its manifest.

    Arguments:
        answers: Whether it does now.
        history: Every promotion of its target; None where the database is away.
    """
    decision = promoted.decision
    return ModelAnswer(
        target=promoted.target,
        symbols=list(manifest.target.symbols),
        horizon=manifest.target.horizon,
        family=manifest.family,
        name=manifest.name,
        version=promoted.version,
        digest=promoted.digest,
        promoted_at=promoted.created_at,
        in_charge=answers,
        passed=decision["passed"],
        reason=decision["reason"],
        checks=_checks(decision),
        walk=decision.get("walk"),
        trained_from=manifest.trained_from,
        trained_until=manifest.trained_until,
        data_until=data_until(manifest),
        snapshot=manifest.snapshot,
        code=manifest.code,
        parameters=manifest.parameters,
        epochs=manifest.epochs,
        levels=list(manifest.levels),
        channels=list(manifest.window.channels),
        context=manifest.window.context,
        history=None if history is None else [_move(one) for one in history],
    )


def _move(one: Promotion) -> Move:
    said = one.decision
    return Move(
        version=one.version,
        digest=one.digest,
        kind=said.get("kind"),
        passed=said["passed"],
        reason=said["reason"],
        at=one.created_at,
    )


def _checks(decision: Mapping[str, Any]) -> list[Check]:
    return [
        Check(question=one["question"], passed=one["passed"], figures=str(one["figures"]))
        for one in decision.get("checks", ())
    ]


def leaderboard(store: Engine, loaded: Loaded) -> Leaderboard:
    """The comparison behind a target's newest decision, and the decisions before."""
    past = challenges(store, loaded.champion.target, _DECISIONS)
    told = (one.decision for one in past if one.decision.get("leaderboard"))
    newest = next(told, None)
    return Leaderboard(
        target=loaded.champion.target,
        in_charge=in_charge(loaded),
        comparison=None if newest is None else _comparison(newest, loaded.runtime.manifest.name),
        decisions=[_decision(one) for one in past],
    )


def _comparison(decision: Mapping[str, Any], champion: str) -> Comparison:
    rows = [
        Row(
            model=one["name"],
            family=one["family"],
            skill=_figure(one["skill"]),
            skill_se=_figure(one["skill_se"]),
            p=_figure(one["dm_p"]),
            p_holm=_figure(one["dm_p_holm"]),
            crps=_figure(one["crps"]),
            coverage_80=_figure(one["coverage_80"]),
            in_charge=one["name"] == champion,
            candidate=one["name"] == decision["candidate"],
        )
        for one in decision["leaderboard"]
    ]
    return Comparison(
        key=decision["comparison"],
        first=decision["first"],
        last=decision["last"],
        origins=decision["origins"],
        rows=rows,
    )


def _figure(value: float | None) -> float | None:
    """JSON has no word for what is not a number."""
    return value if value is not None and isfinite(value) else None


def _decision(one: Challenge) -> Decision:
    said = one.decision
    return Decision(
        number=one.number,
        candidate=said["candidate"],
        passed=one.passed,
        reason=said["reason"],
        alpha=one.alpha,
        recipes=said.get("recipes"),
        checks=_checks(said),
        at=one.created_at,
    )
