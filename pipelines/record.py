"""Record: a comparison into the notebook, once: leaderboard, figures, and the merits at each model's own run."""

from datetime import datetime

import numpy as np
from matplotlib.figure import Figure

from pipelines import figures
from pipelines.compare import Comparison
from pipelines.snapshot import Snapshot
from pipelines.tracking import Notebook

_MERITS = (
    "crps", "crps_1", "skill", "skill_se", "dm_p", "dm_p_holm", "pinball", "mae", "validation_skill",
    "coverage_50", "coverage_80", "coverage_95",
)  # fmt: skip
_SHOWN = 5  # models in the calibration plot: the random walk and the best


def record(notebook: Notebook, comparison: Comparison, snapshot: Snapshot, now: datetime) -> dict[str, Figure]:
    """Log a comparison; its figures by name, for the report."""
    drawn = _draw(notebook, comparison)
    merits = {row.run_id: {name: getattr(row, name) for name in _MERITS} for row in comparison.rows}
    leaderboard = {"rows": comparison.table(), "assumed": snapshot.assumed}
    notebook.log_comparison(comparison.key, snapshot.digest, merits, leaderboard, drawn, int(now.timestamp() * 1000))
    return drawn


def _draw(notebook: Notebook, comparison: Comparison) -> dict[str, Figure]:
    networks = [row for row in comparison.rows if row.epochs]
    names = [comparison.baseline, *(row.name for row in comparison.rows if row.name != comparison.baseline)]
    curves = {row.name: _history(notebook, row.run_id) for row in networks}
    gradients = {row.name: np.array(notebook.curve(row.run_id, "gradient_by_age")) for row in networks}
    return {
        "leaderboard": figures.leaderboard(comparison.table(), comparison.origins, comparison.first, comparison.last),
        "calibration": figures.calibration(comparison.reliability, names[:_SHOWN]),
        "training": figures.training_curves(curves),
        "gradient": figures.gradient_through_time(gradients),
    }


def _history(notebook: Notebook, run_id: str) -> list[dict[str, float]]:
    names = ("train_loss", "validation_loss")
    columns = [notebook.curve(run_id, name) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
