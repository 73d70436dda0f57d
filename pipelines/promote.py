"""Promote: put the candidate to the gate, refit what passed on the whole snapshot, and crown it."""

import logging
from dataclasses import asdict, dataclass
from typing import Any

from forecaster.errors import ForecasterError
from forecaster.gate import Decision, judge
from forecaster.runtime import Runtime
from forecaster.store.champions import Champion, crown, find_champion
from pipelines.compare import Comparison
from pipelines.train import Bench, Trained, refit_job, train

log = logging.getLogger(__name__)

JUDGED = (0.8, 0.95)
"""Central intervals whose coverage the gate asks for."""


@dataclass(frozen=True)
class Promoted:
    """Who is champion after the gate has spoken."""

    champion: Champion
    trained: Trained
    """The refit that answers from now on."""
    moved: bool
    """False where the same artifact was champion already."""

    @property
    def reason(self) -> str:
        """Why, in one line."""
        return str(self.champion.decision["reason"])


def promote(bench: Bench, trained: list[Trained], comparison: Comparison, progress_bar: bool = False) -> Promoted:
    """Judge the candidate of a comparison; crown its refit, or the random walk's if it failed.

    Raises:
        PromotionConflict: Somebody else promoted in between; nothing has changed.
    """
    target = bench.config.target.key
    before = find_champion(bench.engine, target)
    decision = _judge(trained, comparison)
    name = comparison.candidate if decision.passed else comparison.baseline
    chosen = next(one for one in trained if one.name == name)
    refit = train(bench, refit_job(bench, chosen), progress_bar)
    Runtime(refit.artifact)  # contract and golden forecast once more: what is crowned is what the store will hand out
    moved = before is None or before.digest != refit.artifact.digest
    after = before
    if moved or after is None:
        record = _record(decision, comparison)
        after = crown(bench.engine, target, refit.artifact.digest, before, record, bench.now)
    bench.notebook.crown(target, refit.run.tracking_id, refit.artifact.digest, after.version)
    log.info("promoted", extra={"target": target, "champion": name, "version": after.version, "moved": moved})
    return Promoted(after, refit, moved)


def _judge(trained: list[Trained], comparison: Comparison) -> Decision:
    name = comparison.candidate
    coverage = {interval: comparison.coverage[name][interval] for interval in JUDGED}
    fault = _fault(next(one for one in trained if one.name == name))
    return judge(name, comparison.skills[name], coverage, fault)


def _fault(trained: Trained) -> str | None:
    try:
        Runtime(trained.artifact)
    except ForecasterError as error:
        return str(error)
    return None


def _record(decision: Decision, comparison: Comparison) -> dict[str, Any]:
    """What the promotion stores: the gate's words and the figures it saw."""
    return {
        "candidate": decision.candidate,
        "passed": decision.passed,
        "reason": decision.reason,
        "checks": [asdict(check) for check in decision.checks],
        "comparison": comparison.key,
        "origins": comparison.origins,
        "first": comparison.first,
        "last": comparison.last,
        "models_compared": len(comparison.rows),
    }
