"""What commands share: their options, and what is opened for them. The one place that asks the clock for a run."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.engines.base import ALONE, Crew, Engine

if TYPE_CHECKING:
    from pipelines.home import Home
    from pipelines.reading import Reading
    from pipelines.terminal import Terminal
    from pipelines.workspace import Workspace

HomeOption = Annotated[
    Path,
    typer.Option(
        "--home", envvar="FORECASTER_HOME", help="Where everything is kept.", show_default=True, readable=False
    ),
]
RunOption = Annotated[
    Path | None,
    typer.Option("--run", envvar="FORECASTER_RUN", help="Run file (TOML); the demo's if left out.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DatabaseOption = Annotated[
    str | None, typer.Option("--database", envvar="FORECASTER_DATABASE_URL", help="Database URL; SQLite if left out.")
]
TrackingOption = Annotated[
    str | None, typer.Option("--tracking", envvar="MLFLOW_TRACKING_URI", help="MLflow URI; SQLite if left out.")
]
RecordedOption = Annotated[
    bool, typer.Option("--recorded-only", help="Refuse rows of which it is only assumed when they could be known.")
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Tasks side by side; one a processor if left out.")
]
EngineOption = Annotated[
    Engine, typer.Option("--engine", envvar="FORECASTER_ENGINE", help="Who does them: processes here, or Ray.")
]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", envvar="FORECASTER_ADDRESS", help="Ray cluster to join; one here alone if left out."),
]
DEFAULT_HOME = Path(".forecaster")


def clock() -> datetime:
    """The time; the instant in the file that FORECASTER_CLOCK names, where it names one, to rehearse another day.

    Raises:
        ConfigError: The file holds no instant with its offset from UTC.
    """
    rehearsed = os.environ.get("FORECASTER_CLOCK")
    if not rehearsed:
        return datetime.now(UTC)
    from forecaster.errors import ConfigError

    try:
        now = datetime.fromisoformat(Path(rehearsed).read_text(encoding="utf-8").strip())
    except (OSError, ValueError) as error:
        problem = "holds no instant; write one such as 2018-12-03T22:00:00+00:00, or leave FORECASTER_CLOCK out"
        raise ConfigError(rehearsed, problem) from error
    if now.tzinfo is None:
        raise ConfigError(rehearsed, "an instant without its offset from UTC; leave no doubt and end it with +00:00")
    return now.astimezone(UTC)


def open_home(home: Path, database: str | None, tracking: str | None) -> "Home":
    from pipelines.home import Home

    return Home(home, database or None, tracking or None)


def open_workspace(
    home: Path,
    run: Path | None,
    database: str | None,
    tracking: str | None,
    recorded_only: bool = False,
    crew: Crew = ALONE,
) -> "Workspace":
    """The workspace of a command; the one place that asks the clock."""
    from pipelines.config import load_config
    from pipelines.reading import demo_path
    from pipelines.workspace import Workspace

    config = load_config(run or demo_path())
    return Workspace(open_home(home, database, tracking), config, clock(), recorded_only, crew)


def crew_of(workers: int | None, engine: Engine, address: str | None) -> Crew:
    """Who a command lets do its work."""
    if address is not None and engine != "ray":
        raise typer.BadParameter("--address names a Ray cluster; write --engine ray too, or leave it out")
    return Crew(workers, engine, address)


def open_reading(run: Path | None) -> "Reading":
    """What is read, without what is trained on it: some commands need no more, and start much sooner."""
    from pipelines.reading import demo_path, load_reading

    return load_reading(run or demo_path())


def open_terminal(as_json: bool) -> "Terminal":
    from pipelines.terminal import Terminal

    return Terminal(as_json)
