"""Several symbols, one model, a forecast of each: `python examples/universe.py`."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from pipelines.config import load_config
from pipelines.demo import demo
from pipelines.home import Home
from pipelines.quiet import hush
from pipelines.workspace import Workspace

RUN = Path(__file__).with_suffix(".toml")
QUARTILES = [0.25, 0.5, 0.75]


def main() -> None:
    hush()
    workspace = Workspace(Home(Path(".forecaster")), load_config(RUN), datetime.now(UTC))
    summary, _, _ = demo(workspace, print)
    for forecast in summary["forecasts"]:
        prices = pd.DataFrame(forecast["price_quantiles"], forecast["sessions"], forecast["levels"])
        print(f"{forecast['symbol']}\n{prices[QUARTILES].round(2)}")


if __name__ == "__main__":
    main()
