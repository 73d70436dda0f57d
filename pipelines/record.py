"""Record: a comparison into the notebook, once: leaderboard, figures, and the merits at each model's own run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from pipelines import figures
from pipelines.compare import Comparison
from pipelines.snapshot import Snapshot
from pipelines.tracking import Notebook

if TYPE_CHECKING:  # recording needs nothing of what trained or explained
    from pipelines.look import Explained
    from pipelines.train import Trained

_MERITS = (
    "crps", "crps_1", "log_score", "skill", "skill_se", "dm_p", "dm_p_holm", "pinball", "mae", "perplexity",
    "validation_skill", "coverage_50", "coverage_80", "coverage_90", "coverage_95", "seed_skill", "seed_sd",
)  # fmt: skip
_SHOWN = 5  # models in the calibration plots: the random walk and the best


@dataclass(frozen=True)
class Recorded:
    """A comparison in the notebook."""

    run_id: str
    figures: dict[str, Figure]


def record(
    notebook: Notebook, comparison: Comparison, trained: "Sequence[Trained]", snapshot: Snapshot, now: datetime
) -> Recorded:
    """Log a comparison; its run and its figures by name, for the report."""
    drawn = _draw(notebook, comparison, trained)
    merits = {
        row.run_id: {name: getattr(row, name) for name in _MERITS if getattr(row, name) is not None} | row.remarks
        for row in comparison.rows
    }
    leaderboard = {"rows": comparison.table(), "assumed": snapshot.assumed}
    now_ms = int(now.timestamp() * 1000)
    run_id = notebook.log_comparison(comparison.key, snapshot.digest, merits, leaderboard, drawn, now_ms)
    return Recorded(run_id, drawn)


def record_explained(
    notebook: Notebook, recorded: Recorded, comparison: Comparison, explained: "Sequence[Explained]"
) -> dict[str, Figure]:
    """Log what models showed of themselves, into the comparison's run and their own; the figures by name."""
    from pipelines.explain import draw

    drawn = draw(explained, comparison.kind)
    merits = {comparison.row(one.name).run_id: one.merits() for one in explained}
    notebook.add_figures(recorded.run_id, drawn, merits)
    return drawn


def _draw(notebook: Notebook, comparison: Comparison, trained: "Sequence[Trained]") -> dict[str, Figure]:
    names = [comparison.baseline, *(row.name for row in comparison.rows if row.name != comparison.baseline)][:_SHOWN]
    histories = {
        one.name: [_history(notebook, fit.run.tracking_id) for fit in one.seeds or (one,)]
        for one in trained
        if one.artifact.manifest.epochs and (one.seeds or not one.members)
    }
    seeds = {row.name: row.seed_skills for row in comparison.rows if row.seed_skills}
    first = comparison.pits[comparison.baseline]
    drawn = {
        "leaderboard": figures.leaderboard(
            comparison.table(), comparison.origins, comparison.first, comparison.last, seeds
        ),
        "calibration": figures.calibration(comparison.reliability, names),
        "pit": figures.pit({name: comparison.pits[name].shares for name in names}, (first.low, first.high)),
    }
    return {**drawn, "training": figures.learning_curves(histories)} if histories else drawn


def _history(notebook: Notebook, run_id: str) -> list[dict[str, float]]:
    names = ("train_loss", "validation_loss")
    columns = [notebook.curve(run_id, name) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
