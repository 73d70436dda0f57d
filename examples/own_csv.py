"""From a pandas frame to a CSV to a forecast: `python examples/own_csv.py`.

The frame here is the S&P 500 as the package `arch` has it; take your own in its place.
"""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from arch.data import sp500

from pipelines.config import load_config
from pipelines.demo import demo
from pipelines.home import Home
from pipelines.quiet import hush
from pipelines.workspace import Workspace

RUN = Path(__file__).with_suffix(".toml")


def write(frame: pd.DataFrame, path: Path) -> None:
    """As the source `files` wants it: a date, five numbers a row, the oldest first, each date once."""
    bars = frame.rename_axis("Date")[["Open", "High", "Low", "Close", "Volume"]]
    bars = bars[~bars.index.duplicated()].sort_index()
    path.parent.mkdir(exist_ok=True)
    bars.to_csv(path)


def main() -> None:
    hush()
    write(sp500.load(), Path("prices/SPX.csv"))
    workspace = Workspace(Home(Path(".forecaster")), load_config(RUN), datetime.now(UTC))
    summary, _, report = demo(workspace, print)
    print(f"champion: {summary['champion']['name']}, {summary['champion']['reason']}")
    print(f"report: {report}")


if __name__ == "__main__":
    main()
