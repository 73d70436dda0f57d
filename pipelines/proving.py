"""Commands that change nothing that answers: leaks, studies, benchmarks, runs and forecasts again, twins of models.

They stand in `forecaster` beside the commands of the main job (`pipelines.cli`).
"""

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines.options import (
    DEFAULT_HOME,
    AddressOption,
    DatabaseOption,
    EngineOption,
    HomeOption,
    JsonOption,
    RecordedOption,
    RunOption,
    TrackingOption,
    WorkersOption,
    crew_of,
    open_home,
    open_terminal,
    open_workspace,
)

app = typer.Typer()


@app.command("check-leaks")
def check_leaks(
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    origins: Annotated[int, typer.Option(help="Sessions after which the facts are changed.", min=4)] = 400,
    recorded_only: RecordedOption = False,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Change what came after an origin, at many origins: nothing the run computes may move."""
    from pipelines import leaks

    terminal = open_terminal(as_json)
    found = leaks.check_leaks(open_workspace(home, run, database, None, recorded_only), origins)
    terminal.result(found.record(), *leaks.lines(found))
    if found.search.leaks:
        raise typer.Exit(1)


@app.command()
def bench(
    name: Annotated[Literal["exchange_rate", "etth1"], typer.Argument(help="Which benchmark.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder that holds its file; none ships with this.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Public data under the protocols of published tables: our figures beside theirs."""
    from pipelines.bench.run import bench as run_bench

    terminal = open_terminal(as_json)
    found = run_bench(name, data, terminal.say)
    terminal.result(found.record(), *found.views())


@app.command()
def study(
    home: HomeOption = DEFAULT_HOME,
    run: Annotated[Path | None, typer.Option("--run", help="Study file (TOML); the sample's if left out.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the study's files.")] = None,
    workers: WorkersOption = None,
    engine: EngineOption = "pool",
    address: AddressOption = None,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """Was it the information, the tuning or the model? Every combination, scored on the same years, taken apart."""
    from pipelines import terminal as show
    from pipelines.study.config import load_study, study_path
    from pipelines.study.findings import write
    from pipelines.study.run import study as run_study

    terminal, place = open_terminal(as_json), open_home(home, database, tracking)
    plan = load_study(run or study_path(), data, place.sources / "study")
    found = run_study(plan, place, datetime.now(UTC), crew_of(workers, engine, address), terminal.say)
    page = write(found, place.reports)
    terminal.result(
        found.record() | {"report": str(page)},
        show.rows(found.subject, found.table()),
        show.rows("Every way", found.cells()),
        f"\n{found.words}\nreport: {page}",
    )


@app.command()
def reproduce(
    name: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's key, MLflow id or artifact digest, or its start.")
    ],
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Train a run again in a fresh process, from its snapshot and statement: identical, or what differs."""
    from pipelines.reproduce import reproduce as run_reproduce

    terminal = open_terminal(as_json)
    workspace = open_workspace(home, run, database, None)
    folder = run.parent if run else Path()
    found = run_reproduce(workspace.engine, workspace.home.snapshots, name, folder, terminal.say)
    terminal.result(found.record(), *found.lines)
    if not found.identical:
        raise typer.Exit(1)


@app.command()
def carry(
    name: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's key, MLflow id or artifact digest, or its start.")
    ],
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Put a recurrent model's twin into the store: one that goes on from a state instead of reading windows."""
    from pipelines.carry import carry as run_carry

    terminal = open_terminal(as_json)
    workspace = open_workspace(home, run, database, None)
    twin = run_carry(workspace.engine, name, workspace.now)
    (windowed,) = twin.manifest.made_from
    terminal.result(
        {"name": twin.manifest.name, "digest": twin.digest, "made_from": windowed, "mode": twin.manifest.mode},
        f"{twin.digest}  {twin.manifest.name}, carried, of {windowed[:12]}; forecaster.stream.Stream runs it",
    )


@app.command()
def replay(
    symbol: Annotated[str, typer.Argument(help="Symbol whose forecasts are recomputed.")],
    origin: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Only the forecast from there.", show_default=False)
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Recompute forecasts of the ledger from the artifact and what the store knew: identical, or what differs."""
    from pipelines.replay import replay as run_replay

    terminal = open_terminal(as_json)
    workspace = open_workspace(home, run, database, None)
    day = origin.date() if origin else None
    found = run_replay(workspace.engine, workspace.config.features, symbol, day)
    terminal.result({"replayed": [one.record() for one in found]}, *(one.line for one in found))
    if not all(one.identical for one in found):
        raise typer.Exit(1)


@app.command()
def doctor(
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    ask: Annotated[bool, typer.Option("--ask", help="Really ask each source about one subject.")] = False,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """Look at everything a run needs and say what to do where something is missing."""
    from pipelines.config import load_config
    from pipelines.doctor import Patient
    from pipelines.doctor import doctor as run_doctor
    from pipelines.reading import demo_path

    terminal = open_terminal(as_json)
    config = load_config(run or demo_path())
    found = run_doctor(Patient(open_home(home, database, tracking), config, datetime.now(UTC), os.environ, ask))
    lines = [f"{'ok  ' if one.ok else 'FAIL'} {one.what:<9} {one.says}" for one in found]
    terminal.result({"findings": [asdict(one) for one in found]}, *lines)
    if not all(one.ok for one in found):
        raise typer.Exit(1)


@app.command()
def monitor(
    session: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Session to look at; the last settled one.", show_default=False),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Watch inputs, scores, coverage and age of the data; each alarm is written down once."""
    from forecaster.store.alarms import alarms
    from pipelines import monitor as watching
    from pipelines import terminal as show

    terminal = open_terminal(as_json)
    workspace = open_workspace(home, run, database, None)
    day = session.date() if session else watching.last_settled(workspace)
    raised = watching.monitor(workspace, day)
    watched = watching.watch(workspace, day)
    past = alarms(workspace.engine, workspace.config.target.key)
    told = [f"{one.session}  {one.says}" for one in past] or ["no alarm so far"]
    terminal.result(
        {"session": day, "watched": [asdict(one) for one in watched], "raised": [asdict(one) for one in raised],
         "alarms": [asdict(one) for one in past]},
        show.rows(f"Watched at {day}", [one.row() for one in watched]) if watched else "nothing to watch yet",
        *told,
    )  # fmt: skip
