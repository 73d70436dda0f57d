"""Record: a comparison into the notebook, once: leaderboard, figures, and a run for each model and seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from pipelines import figures
from pipelines.compare import Comparison
from pipelines.leaderboard import Row
from pipelines.snapshot import Snapshot
from pipelines.tracking import Entry, Notebook

if TYPE_CHECKING:  # recording needs nothing of what trained or explained
    from pipelines.look import Explained
    from pipelines.train import Walked

_MERITS = (
    "crps", "crps_1", "crps_raw", "log_score", "skill", "skill_se", "dm_p", "dm_p_holm", "pinball",
    "tail_1", "tail_5", "mae", "rmse", "mase", "direction", "ic", "rank_ic", "mcs", "perplexity",
    "validation_skill", "coverage_50", "coverage_80", "coverage_90", "coverage_95",
    "coverage_80_raw", "coverage_95_raw", "interval_95", "interval_95_raw", "seed_skill", "seed_sd",
)  # fmt: skip
_SHOWN = 5  # models in the calibration plots: the random walk and the best


@dataclass(frozen=True)
class Recorded:
    """A comparison in the notebook."""

    run_id: str
    models: dict[str, str]
    """Name to the run below it."""
    figures: dict[str, Figure]


def record(
    notebook: Notebook, comparison: Comparison, walked: "Sequence[Walked]", snapshot: Snapshot, now: datetime
) -> Recorded:
    """Log a comparison; its runs and its figures by name, for the report."""
    drawn = _draw(notebook, comparison, walked)
    tags = {"snapshot": snapshot.digest, "first": comparison.first, "last": comparison.last}
    leaderboard = {"rows": comparison.table(), "assumed": snapshot.assumed, **comparison.record()}
    now_ms = int(now.timestamp() * 1000)
    entries = [_entry(row) for row in comparison.rows]
    run_id, models = notebook.log_comparison(comparison.key, tags, entries, leaderboard, drawn, now_ms)
    return Recorded(run_id, models, drawn)


def _entry(row: Row) -> Entry:
    metrics = {name: getattr(row, name) for name in _MERITS if getattr(row, name) is not None} | row.remarks
    tags = {"model": row.name, "family": row.family, "digest": row.digest, "trained_in": row.run_id}
    return Entry(row.name, tags, metrics, {seed: {"skill": skill} for seed, skill in enumerate(row.seed_skills)})


def record_explained(
    notebook: Notebook, recorded: Recorded, comparison: Comparison, explained: "Sequence[Explained]"
) -> dict[str, Figure]:
    """Log what models showed of themselves, into the comparison's runs; the figures by name."""
    from pipelines.explain import draw

    drawn = draw(explained, comparison.kind)
    merits = {recorded.models[one.name]: one.merits() for one in explained}
    notebook.add_figures(recorded.run_id, drawn, merits)
    return drawn


def _draw(notebook: Notebook, comparison: Comparison, walked: "Sequence[Walked]") -> dict[str, Figure]:
    names = [comparison.baseline, *(row.name for row in comparison.rows if row.name != comparison.baseline)][:_SHOWN]
    histories = {
        one.name: [_history(notebook, fit.run.tracking_id) for fit in one.seeds or (one,)]
        for one in (each.last for each in walked)
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
    if comparison.trading is not None:
        drawn["trading"] = figures.trading(comparison.trading, comparison.symbols[0], comparison.candidate)
    return {**drawn, "training": figures.learning_curves(histories)} if histories else drawn


def _history(notebook: Notebook, run_id: str) -> list[dict[str, float]]:
    names = ("train_loss", "validation_loss")
    columns = [notebook.curve(run_id, name) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
