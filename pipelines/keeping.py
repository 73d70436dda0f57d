"""Commands that keep the store: its schema up to date, a copy of it, a store out of a copy."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pipelines.options import DEFAULT_HOME, DatabaseOption, HomeOption, JsonOption, open_home, open_terminal

app = typer.Typer()


@app.command()
def migrate(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False, database: DatabaseOption = None) -> None:
    """Bring the schema of the store up to date; makes the store where there is none."""
    from forecaster.store.database import connect
    from forecaster.store.migrate import migrate as run_migrate

    place = open_home(home, database, None)
    place.prepare()
    before, after = run_migrate(connect(place.database_url))
    told = f"the store is at revision {after}" if before == after else f"migrated from {before or 'nothing'} to {after}"
    open_terminal(as_json).result({"before": before, "after": after}, told)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Zip file to write; one that is there is replaced when this is whole.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Write the whole store and its snapshots to one file; others may go on writing the store."""
    from forecaster.store.database import connect
    from pipelines.backup import backup as run_backup

    place = open_home(home, database, None)
    place.prepare()
    made = run_backup(connect(place.database_url), place.snapshots, file, datetime.now(UTC))
    rows = sum(part.rows or 0 for part in made.parts)
    told = f"{file}: {rows} rows, {file.stat().st_size / 2**20:.1f} MB, revision {made.revision}"
    open_terminal(as_json).result(made.model_dump(mode="json") | {"file": str(file)}, told)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="Zip file that `forecaster backup` wrote.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Fill an empty store, which `forecaster migrate` made, with a backup: all of it, or nothing."""
    from forecaster.store.database import connect
    from pipelines.restore import restore as run_restore

    place = open_home(home, database, None)
    place.prepare()
    found = run_restore(connect(place.database_url), place.snapshots, file)
    rows = sum(part.rows or 0 for part in found.parts)
    told = f"{file}: {rows} rows of {found.made_at:%Y-%m-%d %H:%M} UTC restored, revision {found.revision}"
    open_terminal(as_json).result(found.model_dump(mode="json") | {"file": str(file)}, told)
