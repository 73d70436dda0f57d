"""A feature of your own: does it see the future, and is it worth anything? `python examples/custom_feature.py`."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from pipelines.compare import see
from pipelines.config import load_config
from pipelines.home import Home
from pipelines.leaks import check_leaks, lines
from pipelines.quiet import hush
from pipelines.train import walk
from pipelines.workspace import Workspace

RUN = Path(__file__).with_suffix(".toml")


def main() -> None:
    hush()
    now = datetime.now(UTC)
    workspace = Workspace(Home(Path(".forecaster")), load_config(RUN), now)
    data = workspace.config.data
    for one in workspace.fetcher(os.environ, lambda: now).fetch(data.symbols, data.series):
        print(f"fetched {one.subject}: {one.status}")

    verdict = check_leaks(workspace, count=40)
    print(*lines(verdict), sep="\n")
    if verdict.search.leaks:
        sys.exit("a channel sees the future; nothing is trained on it")

    comparison = see(workspace, walk(workspace.bench, workspace.folds, print))
    with_feature = comparison.row("mlp")
    print(f"skill with below_high: {with_feature.skill:+.2%} (s.e. {with_feature.skill_se:.2%})")


if __name__ == "__main__":
    main()
