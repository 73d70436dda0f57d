"""Demo: the verbs in their order, on the run file that ships with the package."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forecaster.spelling import counted
from pipelines import report
from pipelines.compare import see
from pipelines.explain import explain
from pipelines.issue import issue
from pipelines.promote import Promoted, promote
from pipelines.record import record, record_explained
from pipelines.report import Story
from pipelines.train import walk
from pipelines.workspace import Workspace

Say = Callable[[str], None]


def demo(workspace: Workspace, say: Say, progress_bar: bool = False) -> tuple[dict[str, Any], Story, Path]:
    """Fetch, snapshot, train, compare, promote, issue, report; the summary, the story, the report's path."""
    config = workspace.config
    fetcher = workspace.fetcher(os.environ, lambda: workspace.now)
    fetched = list(fetcher.fetch(config.data.symbols, config.data.series))
    added = sum(one.inserted + one.revised for one in fetched)
    data = config.data
    asked = dict.fromkeys(
        part.source for part, names in ((data.bars, data.symbols), (data.macro, data.series)) if names
    )
    say(f"fetched   {counted(len(fetched), 'subject')} from {' and '.join(asked)}, {counted(added, 'new row')}")
    for line in (subject.says for subject in fetched if subject.says):
        say(line)
    frozen = workspace.snapshot
    say(f"snapshot  {frozen.digest[:12]}, {frozen.rows} rows to {frozen.last}, {frozen.assumed:.0%} assumed")
    walked = walk(workspace.bench, workspace.folds, say, progress_bar)
    comparison = see(workspace, walked)
    say(f"compared  {len(walked)} models on {comparison.origins} origins; validation chose {comparison.candidate}")
    recorded = record(workspace.notebook, comparison, walked, frozen, workspace.now)
    explained = explain(workspace.bench, [one.folds[0] for one in walked], workspace.spans.validation, say)
    drawn = recorded.figures | record_explained(workspace.notebook, recorded, comparison, explained)
    promoted = promote(workspace, walked, comparison, progress_bar=progress_bar)
    say(f"promoted  {promoted.name} version {promoted.champion.version}: {promoted.reason}")
    issued = [issue(workspace.engine, config, symbol, workspace.now) for symbol in config.target.symbols]
    for one in issued:
        say(f"issued    {one.symbol} from {one.origin} for {one.sessions[0]} to {one.sessions[-1]}")
    story = Story(config, frozen, workspace.universe, comparison, promoted, issued)
    page = report.write(story, drawn, workspace.home.reports)
    say(f"report    {page}")
    return summary(story, page), story, page


def summary(story: Story, page: Path) -> dict[str, Any]:
    """What `forecaster demo --json` prints."""
    return {
        "snapshot": story.snapshot.digest,
        "assumed": story.snapshot.assumed,
        "leaderboard": story.comparison.table(),
        "champion": champion(story.promoted),
        "forecasts": [one.record() for one in story.issued],
        "report": str(page),
    }


def champion(promoted: Promoted) -> dict[str, Any]:
    """The champion as plain values."""
    return {
        "family": promoted.manifest.family,
        "name": promoted.name,
        "version": promoted.champion.version,
        "digest": promoted.champion.digest,
        "reason": promoted.reason,
        "moved": promoted.moved,
        "passed": promoted.decision["passed"],
        "checks": promoted.decision.get("checks", []),
    }
