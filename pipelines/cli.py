"""The command line. Each command imports its verb when it is called, so `--help` and `serve` stay light.

Exit codes: 0 done, 1 failed with one clear line on stderr, 2 wrong usage.
"""

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from typer.main import get_command

from forecaster.spelling import counted
from pipelines import admitting, keeping, proving, working
from pipelines.failure import end
from pipelines.front import PITCH, Front, flags_of
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
    clock,
    crew_of,
    open_home,
    open_reading,
    open_terminal,
    open_workspace,
)
from pipelines.quiet import hush

if TYPE_CHECKING:
    from pipelines.terminal import Terminal
    from pipelines.workspace import Workspace

app = typer.Typer(cls=Front, help=PITCH, pretty_exceptions_enable=False, rich_markup_mode=None)
app.add_typer(proving.app)
app.add_typer(working.app)
app.add_typer(keeping.app)
app.add_typer(admitting.app, name="key")


@app.command()
def demo(
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    workers: WorkersOption = None,
    engine: EngineOption = "pool",
    address: AddressOption = None,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """Fetch, train, compare, promote, forecast and report, offline, on real prices."""
    from pipelines import terminal as show
    from pipelines.demo import demo as run_demo

    terminal = open_terminal(as_json)
    workspace = open_workspace(home, run, database, tracking, crew=crew_of(workers, engine, address))
    summary, story, page = run_demo(workspace, terminal.say, terminal.interactive)
    verdict = f"\nchampion: {story.promoted.name}. {story.promoted.reason}\n"
    more = f"\nreport: {page}\nnext: forecaster serve, then http://127.0.0.1:8000"
    terminal.result(
        summary,
        "",
        show.leaderboard(story.comparison, story.snapshot.assumed),
        show.sizes(story.comparison),
        show.parts(story.comparison),
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
    from pipelines.fetch import require_fetched

    terminal = open_terminal(as_json)
    workspace = open_workspace(home, run, database, None)
    data = workspace.config.data
    fetcher = workspace.fetcher(os.environ, clock, full)
    subjects = len(data.symbols) + len(data.series)
    found = terminal.track(
        "fetching",
        fetcher.fetch(data.symbols, data.series),
        subjects,
        lambda one: f"fetched   {one.subject}: {one.status}, {one.inserted} new, {one.revised} revised",
    )
    terminal.result({"fetched": [asdict(one) for one in found]}, show.fetched(found))
    told = [one.says for one in found if one.says]
    for line in told if len(told) > 1 or not found[0].failed else ():  # a single failure ends the command with its line
        terminal.say(line)
    require_fetched(found)


@app.command()
def snapshot(
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    recorded_only: RecordedOption = False,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Freeze what the store knows into the file that training reads."""
    terminal = open_terminal(as_json)
    written = open_workspace(home, run, database, None, recorded_only).snapshot
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
    engine: EngineOption = "pool",
    address: AddressOption = None,
    recorded_only: RecordedOption = False,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """Train models of the run; what was trained on the same inputs before is found again."""
    from pipelines.train import select, train_all

    terminal = open_terminal(as_json)
    workspace = open_workspace(home, run, database, tracking, recorded_only, crew_of(workers, engine, address))
    jobs = [job for spans in workspace.folds for job in select(workspace.bench, spans, names or [])]
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
    workers: WorkersOption = None,
    engine: EngineOption = "pool",
    address: AddressOption = None,
    recorded_only: RecordedOption = False,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """Score every trained model on years it never saw, beside the random walk; recorded in MLflow."""
    from pipelines import terminal as show
    from pipelines.compare import see
    from pipelines.record import record

    terminal = open_terminal(as_json)
    workspace = open_workspace(home, run, database, tracking, recorded_only, crew_of(workers, engine, address))
    walked = workspace.walked()
    found = see(workspace, walked)
    record(workspace.notebook, found, walked, workspace.snapshot, workspace.now)
    value = {
        "snapshot": workspace.snapshot.digest,
        "assumed": workspace.snapshot.assumed,
        "leaderboard": found.table(),
        **found.record(),
    }
    terminal.result(value, show.leaderboard(found, workspace.snapshot.assumed), show.sizes(found), show.parts(found))


@app.command()
def explain(
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    recorded_only: RecordedOption = False,
    workers: WorkersOption = None,
    engine: EngineOption = "pool",
    address: AddressOption = None,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """Show what trained models look at, how far back, and whether order matters, as figures in MLflow."""
    from pipelines import terminal as show
    from pipelines.compare import see
    from pipelines.explain import explain as run_explain
    from pipelines.record import record, record_explained

    terminal = open_terminal(as_json)
    workspace = open_workspace(home, run, database, tracking, recorded_only, crew_of(workers, engine, address))
    walked = workspace.walked()
    found = see(workspace, walked)
    recorded = record(workspace.notebook, found, walked, workspace.snapshot, workspace.now)
    explained = run_explain(workspace.bench, [one.folds[0] for one in walked], workspace.spans.validation, terminal.say)
    drawn = record_explained(workspace.notebook, recorded, found, explained)
    value = {
        "run_id": recorded.run_id,
        "figures": sorted(drawn),
        "models": {one.name: one.merits() for one in explained},
    }
    terminal.result(value, show.importance(explained), f"\nfigures: MLflow run {recorded.run_id}, folder figures")


@app.command()
def promote(
    name: Annotated[
        str | None, typer.Argument(help="Model to challenge with; validation's choice if left out.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Only tell what the gate said to earlier ones.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Refit the champion's own recipe on newer data.")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Put the champion before this one back.")] = False,
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    workers: WorkersOption = None,
    engine: EngineOption = "pool",
    address: AddressOption = None,
    recorded_only: RecordedOption = False,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """Put a recipe to the gate; crown its refit where it passes. Being refused is a normal result."""
    if sum((explain, refresh, rollback, name is not None)) > 1:
        raise typer.BadParameter("a model's name, --explain, --refresh and --rollback are four different things")
    terminal = open_terminal(as_json)
    workspace = open_workspace(home, run, database, tracking, recorded_only, crew_of(workers, engine, address))
    if explain:
        _tell_challenges(terminal, workspace)
    elif refresh or rollback:
        _move(terminal, workspace, back=rollback)
    else:
        _challenge(terminal, workspace, name)


def _challenge(terminal: "Terminal", workspace: "Workspace", name: str | None) -> None:
    from pipelines import terminal as show
    from pipelines.compare import see
    from pipelines.demo import champion
    from pipelines.promote import promote as run_promote

    walked = workspace.walked()
    promoted = run_promote(workspace, walked, see(workspace, walked), name, terminal.interactive)
    value = champion(promoted)
    views = [show.checks(value["checks"])] if value["checks"] else []
    terminal.result({"champion": value}, *views, f"\n{promoted.reason}", f"champion: {value['name']}")


def _move(terminal: "Terminal", workspace: "Workspace", back: bool) -> None:
    from pipelines.refresh import refresh as run_refresh
    from pipelines.rollback import rollback as run_rollback

    champion = run_rollback(workspace) if back else run_refresh(workspace, terminal.interactive)
    value = {"version": champion.version, "digest": champion.digest, "reason": champion.decision["reason"]}
    terminal.result({"champion": value}, f"version {champion.version}: {value['reason']}")


def _tell_challenges(terminal: "Terminal", workspace: "Workspace") -> None:
    from forecaster import gate
    from forecaster.store.challenges import challenges, spending
    from pipelines import terminal as show

    past = challenges(workspace.engine, workspace.config.target.key)
    left = gate.allowance(spending(workspace.engine, workspace.config.target.key), workspace.now)
    said = f"\nthe next challenge may spend {left:.2g} of the {gate.YEARLY:.0%} false promotions of a year"
    latest = [show.checks(past[0].decision["checks"])] if past else ["no challenge yet"]
    terminal.result(
        {"challenges": [asdict(one) for one in past], "alpha": left},
        *(show.challenges(past), "", *latest, f"\n{past[0].decision['reason']}") if past else latest,
        said,
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

    terminal, reading = open_terminal(as_json), open_reading(run)
    issued = issue(open_home(home, database, None).open_store(), reading, symbol, clock())
    terminal.result(issued.record(), show.forecast(issued))


@app.command()
def issue(
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Issue the champion's forecast of every symbol of the target into the ledger, once."""
    from pipelines import terminal as show
    from pipelines.issue import issue as run_issue

    terminal, reading, now = open_terminal(as_json), open_reading(run), clock()
    engine = open_home(home, database, None).open_store()
    issued = [run_issue(engine, reading, symbol, now) for symbol in reading.target.symbols]
    terminal.result({"issued": [one.record() for one in issued]}, *(show.forecast(one) for one in issued))


@app.command()
def score(
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Hold issued forecasts against the prices that have arrived; the track record is made of it."""
    from pipelines.score import score as run_score

    terminal, reading = open_terminal(as_json), open_reading(run)
    found = run_score(open_home(home, database, None).open_store(), reading, clock())
    told = [f"{one.symbol}: {counted(one.scored, 'step')} scored, {one.waiting} without a price yet" for one in found]
    if not any(one.scored or one.waiting for one in found):
        told.append("no issued forecast is due: `forecaster issue` issues, `forecaster fetch` brings prices")
    terminal.result({"scored": [one.record() for one in found]}, *told)


@app.command()
def serve(
    home: HomeOption = DEFAULT_HOME,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = 8000,
    anyone: Annotated[bool, typer.Option("--open", help="Let other machines in though no key is required.")] = False,
    database: DatabaseOption = None,
) -> None:
    """Answer over HTTP; follows the champion without a restart."""
    from forecaster import logs
    from serving.server import serve as run_server
    from serving.settings import Settings

    logs.start(os.environ, sys.stderr)
    run_server(Settings.read(home=home, database_url=database or None), host, port, anyone)


@app.command()
def tune(
    family: Annotated[str, typer.Argument(help="Model or family of the run.")],
    trials: Annotated[int, typer.Option(min=1, help="Configurations to try, the run's own first.")] = 20,
    seeds: Annotated[int, typer.Option(min=1, help="Fits of each, unless it is given up.")] = 2,
    home: HomeOption = DEFAULT_HOME,
    run: RunOption = None,
    workers: WorkersOption = None,
    engine: EngineOption = "pool",
    address: AddressOption = None,
    recorded_only: RecordedOption = False,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
    tracking: TrackingOption = None,
) -> None:
    """Search a model's configuration on the validation years; goes on where it was killed."""
    from pipelines import terminal as show
    from pipelines.tune import tune as run_tune

    terminal = open_terminal(as_json)
    workspace = open_workspace(home, run, database, tracking, recorded_only, crew_of(workers, engine, address))
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
    except Exception as error:  # the last resort: never a stack trace to a user
        end(error, flags_of(get_command(app)))
