"""A series that is no price, such as a load, a temperature, a yield: `python examples/level_series.py`.

The series here is the VIX as the package `arch` has it; level_series.toml says how the load of a power grid would go.
"""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from arch.data import vix

from pipelines.config import load_config
from pipelines.demo import demo
from pipelines.home import Home
from pipelines.quiet import hush
from pipelines.workspace import Workspace

RUN = Path(__file__).with_suffix(".toml")
NOW = datetime(2019, 1, 3, 12, tzinfo=UTC)
"""Soon after this file ends: a level that ended long ago is not forecast. `datetime.now(UTC)` for one that goes on."""


def write(values: pd.Series, path: Path) -> None:
    """As the source `files` wants it: a date and a number a row."""
    path.parent.mkdir(exist_ok=True)
    values.dropna().rename("value").rename_axis("date").to_csv(path)


def main() -> None:
    hush()
    write(vix.load()["vix"], Path("series/VIX.csv"))
    workspace = Workspace(Home(Path(".forecaster")), load_config(RUN), NOW)
    summary, _, _ = demo(workspace, print)

    (forecast,) = summary["forecasts"]
    levels = pd.DataFrame(forecast["price_quantiles"], forecast["sessions"], forecast["levels"])
    print(levels[[0.1, 0.5, 0.9]].round(2))
    print(f"champion: {summary['champion']['name']}, {summary['champion']['reason']}")


if __name__ == "__main__":
    main()
