"""Commands about who may ask the service: `forecaster key ...`."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from pipelines.options import DEFAULT_HOME, DatabaseOption, HomeOption, JsonOption, open_home, open_terminal

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from forecaster.store.keys import Key

app = typer.Typer(help="API keys of the service: make, list, replace, revoke.", no_args_is_help=True)

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `forecaster key list` shows it.")]

_ONCE = "shown this once and never again; who asks sends it as `Authorization: Bearer <key>`"


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is.")],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="What it opens: read, predict or metrics; may be given again. read if left out."),
    ] = None,
    days: Annotated[float | None, typer.Option(help="Days until it ends; never if left out.", min=0)] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Make a key and print it, once."""
    from forecaster.store.keys import Scope
    from pipelines import keys

    wanted = tuple(one for one in get_args(Scope) if one in (scope or ["read"]))
    if len(wanted) < len(set(scope or ["read"])):
        raise typer.BadParameter(f"a scope is one of {', '.join(get_args(Scope))}")
    if not name.isprintable() or not 1 <= len(name) <= 64:
        raise typer.BadParameter("a name has 1 to 64 printable characters")
    engine = keys.open_store(open_home(home, database, None))
    lifetime = None if days is None else timedelta(days=days)
    _hand_over(*keys.create(engine, name, wanted, datetime.now(UTC), lifetime), as_json)


@app.command("list")
def show(home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False, database: DatabaseOption = None) -> None:
    """Show every key there ever was, without what opens."""
    from forecaster.store.keys import all_keys
    from pipelines import keys
    from pipelines.terminal import rows

    now = datetime.now(UTC)
    records = [_record(key, now) for key in all_keys(keys.open_store(open_home(home, database, None)))]
    shown = [{name: _cell(value) for name, value in record.items()} for record in records]
    view = rows("Keys", shown) if shown else "no key yet; make one with `forecaster key create NAME`"
    open_terminal(as_json).result({"keys": records}, view)


@app.command()
def rotate(
    key_id: IdArgument,
    overlap_hours: Annotated[float, typer.Option(help="Hours for which the old key still opens.", min=0)] = 24,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Make a new key in the place of one; the old one still opens for a while."""
    from pipelines import keys

    engine, now = keys.open_store(open_home(home, database, None)), datetime.now(UTC)
    old = _find(engine, key_id)
    if not old.valid(now):
        raise typer.BadParameter(f"key {old.id} opens nothing any more; make a new one with `forecaster key create`")
    _hand_over(*keys.rotate(engine, old, now, timedelta(hours=overlap_hours)), as_json)


@app.command()
def revoke(
    key_id: IdArgument,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
    database: DatabaseOption = None,
) -> None:
    """Shut a key out for good; a running service knows within seconds."""
    from forecaster.store.keys import revoke_key
    from pipelines import keys

    engine, now = keys.open_store(open_home(home, database, None)), datetime.now(UTC)
    revoke_key(engine, _find(engine, key_id), now)
    revoked = _record(_find(engine, key_id), now)
    open_terminal(as_json).result({"key": revoked}, f"{revoked['id']} ({revoked['name']}) is revoked")


def _find(engine: "Engine", key_id: str) -> "Key":
    from forecaster.store.keys import find_key

    found = find_key(engine, key_id)
    if found is None:
        raise typer.BadParameter("there is no key of that id; `forecaster key list` shows them")
    return found


def _hand_over(key: str, kept: "Key", as_json: bool) -> None:
    terminal = open_terminal(as_json)
    terminal.say(_ONCE)
    terminal.result({"key": key, **_record(kept, kept.created_at)}, key)


def _cell(value: object) -> object:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return "-" if value is None else value


def _record(key: "Key", now: datetime) -> dict[str, Any]:
    record = asdict(key) | {"scopes": " ".join(key.scopes), "opens": key.valid(now)}
    del record["hash"]
    return record
