"""One symbol, the whole job, and what came of it as pandas frames: `python examples/one_symbol.py`."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from pipelines.config import load_config
from pipelines.demo import demo
from pipelines.home import Home
from pipelines.quiet import hush
from pipelines.workspace import Workspace

RUN = Path(__file__).with_suffix(".toml")


def main() -> None:
    hush()
    workspace = Workspace(Home(Path(".forecaster")), load_config(RUN), datetime.now(UTC))
    summary, _, report = demo(workspace, print)

    board = pd.DataFrame(summary["leaderboard"]).set_index("name")
    print(board[["crps", "skill", "skill_se", "dm_p", "coverage_80"]].round(4))

    (forecast,) = summary["forecasts"]
    prices = pd.DataFrame(forecast["price_quantiles"], forecast["sessions"], forecast["levels"])
    print(prices[[0.1, 0.5, 0.9]].round(2))
    print(f"champion: {summary['champion']['name']}, {summary['champion']['reason']}")
    print(f"report: {report}")


if __name__ == "__main__":
    main()
