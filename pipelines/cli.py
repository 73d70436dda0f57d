"""The command line. Each command imports its verb when it is called, so `--help` and `serve` stay light.

Exit codes: 0 done, 1 failed with one clear line on stderr, 2 wrong usage.
"""

import errno
import os
import sys
import tempfile
import traceback
from dataclasses import asdict
from datetime import UTC, datetime
from logging import INFO, basicConfig
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from forecaster.errors import FetchIncomplete, ForecasterError, HomeUnwritable
from pipelines.quiet import hush

if TYPE_CHECKING:
    from pipelines.home import Home
    from pipelines.terminal import Terminal
    from pipelines.workspace import Workspace

app = typer.Typer(
    help="Forecasts of markets that cannot fool you: dated quantiles, always beside the random walk.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="FORECASTER_HOME", help="Where everything is kept.", show_default=True)
]
RunOption = Annotated[
    Path | None, typer.Option("--run", help="Run file (TOML); the demo's if left out.", show_default=False)
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
    int | None, typer.Option("--workers", min=1, help="Trainings side by side; one a processor if left out.")
]
DEFAULT_HOME = Path(".forecaster")


def _home(home: Path, database: str | None, tracking: str | None) -> "Home":
    from pipelines.home import Home

    return Home(home, database or None, tracking or None)


def _open(
    home: Path,
    run: Path | None,
    database: str | None,
    tracking: str | None,
    recorded_only: bool = False,
    workers: int | None = None,
) -> "Workspace":
    """The workspace of a command; the one place that asks the clock."""
    from pipelines.config import demo_path, load_config
    from pipelines.workspace import Workspace

    config = load_config(run or demo_path())
    side_by_side = workers or os.cpu_count() or 1
    return Workspace(_home(home, database, tracking), config, datetime.now(UTC), recorded_only, side_by_side)


def _terminal(as_json: bool) -> "Terminal":
    from pipelines.terminal import Terminal

    return Terminal(as_json)


@app.command()
def demo(
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """Fetch, train, compare, promote, forecast and report, offline, on real prices."""
    from pipelines import terminal as show
    from pipelines.demo import demo as run_demo

    terminal = _terminal(as_json)
    workspace = _open(home, run, database, tracking, workers=workers)
    summary, story, page = run_demo(workspace, terminal.say, terminal.interactive)
    verdict = f"\nchampion: {story.promoted.trained.name}. {story.promoted.reason}\n"
    more = f"\nreport: {page}\nnext: forecaster serve, then http://127.0.0.1:8000/docs"
    terminal.result(
        summary,
        "",
        show.leaderboard(story.comparison, story.snapshot.assumed),
        show.sizes(story.comparison),
        verdict,
        *(show.forecast(issued) for issued in story.issued),
        more,
    )


@app.command()
def fetch(
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    full: Annotated[bool, typer.Option("--full", help="Ask from the start, even about what is up to date.")] = False,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Bring the store up to what the run's sources know; `--full` asks about everything again."""
    from pipelines import terminal as show

    terminal = _terminal(as_json)
    workspace = _open(home, run, database, None)
    data = workspace.config.data
    fetcher = workspace.fetcher(os.environ, lambda: datetime.now(UTC), full)
    subjects = len(data.symbols) + len(data.series)
    found = terminal.track(
        "fetching",
        fetcher.fetch(data.symbols, data.series),
        subjects,
        lambda one: f"fetched   {one.subject}: {one.status}, {one.inserted} new, {one.revised} revised",
    )
    terminal.result({"fetched": [asdict(one) for one in found]}, show.fetched(found))
    failed = {one.subject: one.problem for one in found if one.status not in ("ok", "overtaken")}
    for problem in failed.values():
        terminal.say(f"{problem}")
    if failed:
        raise FetchIncomplete({one.subject: one.status for one in found if one.subject in failed})


@app.command()
def snapshot(
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    recorded_only: RecordedOption = False,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Freeze what the store knows into the file that training reads."""
    terminal = _terminal(as_json)
    written = _open(home, run, database, None, recorded_only).snapshot
    known = f"{written.assumed:.0%} of them assumed to have been known when due, the rest recorded"
    terminal.result(
        asdict(written), f"{written.digest}  {written.rows} rows to {written.last}\n{known}\n{written.path}"
    )


@app.command()
def train(
    names: Annotated[list[str] | None, typer.Argument(help="Models or families of the run; all if left out.")] = None,
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    workers: WorkersOption = None,
    recorded_only: RecordedOption = False,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """Train models of the run; what was trained on the same inputs before is found again."""
    from pipelines.train import select, train_all

    terminal = _terminal(as_json)
    workspace = _open(home, run, database, tracking, recorded_only, workers)
    jobs = select(workspace.bench, workspace.spans, names or [])
    done = train_all(workspace.bench, jobs, terminal.say, terminal.interactive)
    records = [
        {"name": one.name, "family": one.family, "digest": one.artifact.digest, "run_id": one.run.tracking_id,
         "train_seconds": one.run.train_seconds, "fresh": one.fresh}
        for one in done
    ]  # fmt: skip
    terminal.result({"snapshot": workspace.snapshot.digest, "trained": records})


@app.command()
def compare(
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    recorded_only: RecordedOption = False,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """Score every trained model on years it never saw, beside the random walk; recorded in MLflow."""
    from pipelines import terminal as show
    from pipelines.compare import compare as run_compare
    from pipelines.record import record

    terminal = _terminal(as_json)
    workspace = _open(home, run, database, tracking, recorded_only)
    config, trained = workspace.config, workspace.trained()
    found = run_compare(trained, config.baseline.name, workspace.spans, config.target.kind)
    record(workspace.notebook, found, trained, workspace.snapshot, workspace.now)
    value = {
        "snapshot": workspace.snapshot.digest,
        "assumed": workspace.snapshot.assumed,
        "leaderboard": found.table(),
        "candidate": found.candidate,
    }
    terminal.result(value, show.leaderboard(found, workspace.snapshot.assumed), show.sizes(found))


@app.command()
def explain(
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    recorded_only: RecordedOption = False,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """Show what trained models look at, how far back, and whether order matters, as figures in MLflow."""
    from pipelines import terminal as show
    from pipelines.compare import compare as run_compare
    from pipelines.explain import explain as run_explain
    from pipelines.record import record, record_explained

    terminal = _terminal(as_json)
    workspace = _open(home, run, database, tracking, recorded_only, workers)
    config, trained = workspace.config, workspace.trained()
    found = run_compare(trained, config.baseline.name, workspace.spans, config.target.kind)
    recorded = record(workspace.notebook, found, trained, workspace.snapshot, workspace.now)
    explained = run_explain(workspace.bench, trained, workspace.spans.validation, terminal.say)
    drawn = record_explained(workspace.notebook, recorded, found, explained)
    value = {
        "run_id": recorded.run_id,
        "figures": sorted(drawn),
        "models": {one.name: one.merits() for one in explained},
    }
    terminal.result(value, show.importance(explained), f"\nfigures: MLflow run {recorded.run_id}, folder figures")


@app.command()
def promote(
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    workers: WorkersOption = None,
    recorded_only: RecordedOption = False,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """Put the candidate to the gate; crown its refit, or the random walk."""
    from pipelines import terminal as show
    from pipelines.compare import compare as run_compare
    from pipelines.demo import champion
    from pipelines.promote import promote as run_promote

    terminal = _terminal(as_json)
    workspace = _open(home, run, database, tracking, recorded_only, workers)
    config, trained = workspace.config, workspace.trained()
    found = run_compare(trained, config.baseline.name, workspace.spans, config.target.kind)
    promoted = run_promote(workspace.bench, trained, found, terminal.interactive)
    value = champion(promoted)
    terminal.result(
        {"champion": value},
        show.rows("The gate asked", value["checks"]),
        f"\nchampion: {value['name']}. {value['reason']}",
    )


@app.command()
def forecast(
    symbol: Annotated[str, typer.Argument(help="Symbol of the run's target.")],
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Issue the champion's forecast from the last settled session into the ledger, once, and show it."""
    from pipelines import terminal as show
    from pipelines.issue import issue

    terminal = _terminal(as_json)
    workspace = _open(home, run, database, None)
    issued = issue(workspace.engine, workspace.config, symbol, workspace.now)
    terminal.result(issued.record(), show.forecast(issued))


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

    terminal = _terminal(as_json)
    found = leaks.check_leaks(_open(home, run, database, None, recorded_only), origins)
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

    terminal = _terminal(as_json)
    found = run_bench(name, data, terminal.say)
    terminal.result(found.record(), *found.views())


@app.command()
def serve(
    home: HomeOption = DEFAULT_HOME,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
    database: DatabaseOption = None,
) -> None:
    """Answer over HTTP; follows the champion without a restart."""
    import uvicorn

    from serving.app import create_app
    from serving.settings import Settings

    basicConfig(level=INFO, format="%(levelname)s %(name)s %(message)s")
    service = create_app(Settings(home=home, database_url=database or None))
    uvicorn.run(service, host=host, port=port, loop="uvloop", http="httptools", timeout_graceful_shutdown=10)


@app.command()
def doctor(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False, database: DatabaseOption = None) -> None:
    """Look at everything a run needs and say what to do where something is missing."""
    from pipelines.doctor import doctor as run_doctor

    terminal = _terminal(as_json)
    found = run_doctor(_home(home, database, None), datetime.now(UTC))
    lines = [f"{'ok  ' if one.ok else 'FAIL'} {one.what:<9} {one.says}" for one in found]
    terminal.result({"findings": [asdict(one) for one in found]}, *lines)
    if not all(one.ok for one in found):
        raise typer.Exit(1)


@app.command()
def tune(
    family: Annotated[str, typer.Argument(help="Model or family of the run.")],
    trials: Annotated[int, typer.Option(min=1, help="Configurations to try, the run's own first.")] = 20,
    seeds: Annotated[int, typer.Option(min=1, help="Fits of each, unless it is given up.")] = 2,
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    workers: WorkersOption = None,
    recorded_only: RecordedOption = False,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """Search a model's configuration on the validation years; goes on where it was killed."""
    from pipelines import terminal as show
    from pipelines.tune import tune as run_tune

    terminal = _terminal(as_json)
    workspace = _open(home, run, database, tracking, recorded_only, workers)
    folder = workspace.home.root / "tunings"
    found = run_tune(workspace.bench, workspace.spans, family, folder, terminal.say, trials, seeds)
    terminal.result(
        {"snapshot": workspace.snapshot.digest, **found.record(), "toml": found.toml},
        show.rows(f"Best trials of {found.space.family.name}, skill on the validation years", found.rows()),
        f"\n{found.verdict}\n\n{found.toml}",
    )


def main() -> None:
    """Entry point: every failure becomes one line and an exit code."""
    hush()
    try:
        app()
    except ForecasterError as error:
        _fail(str(error))
    except Exception as error:  # the last resort: never a stack trace to a user
        reason = _disk_trouble(error)
        if reason is not None:
            _fail(str(HomeUnwritable(_asked_home(), reason)))
        _fail(f"internal error: {type(error).__name__}: {str(error).splitlines()[0][:200]} ({_keep_trace()})")


def _disk_trouble(error: BaseException | None) -> str | None:
    """What a full or read-only disk looks like, however many libraries have wrapped it; None for anything else."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT):
            return error.strerror or str(error)
        text = str(error)
        for sign in ("database or disk is full", "attempt to write a readonly database", "disk I/O error",
                     "unable to open database file"):  # fmt: skip
            if sign in text:
                return sign
        error = error.__cause__ or error.__context__
    return None


def _asked_home() -> Path:
    """The home that this command line names, for a message."""
    words = sys.argv
    named = [words[place + 1] for place, word in enumerate(words[:-1]) if word == "--home"]
    named += [word.removeprefix("--home=") for word in words if word.startswith("--home=")]
    return Path(named[-1] if named else os.environ.get("FORECASTER_HOME", str(DEFAULT_HOME)))


def _keep_trace() -> str:
    path = Path(tempfile.gettempdir()) / "forecaster-error.log"
    try:
        path.write_text(traceback.format_exc(), encoding="utf-8")
    except OSError:
        return "the details could not be kept"
    return f"details in {path}"


def _fail(line: str) -> NoReturn:
    sys.stderr.write(f"forecaster: {line}\n")
    raise SystemExit(1)
