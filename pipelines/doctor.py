"""Doctor: look at everything a run needs and say what to do where something is missing; changes nothing."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from forecaster.errors import ForecasterError, HomeUnwritable, NoChampion, NoHistory
from forecaster.runtime import Runtime
from forecaster.store.artifacts import load_artifact
from forecaster.store.champions import all_champions
from forecaster.store.database import connect, reading, require_current
from forecaster.store.schema import bar
from pipelines.home import Home

_ENOUGH = 200 * 2**20  # bytes; a demo leaves about 20 MB behind


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    ok: bool
    says: str


def doctor(home: Home, now: datetime) -> list[Finding]:
    """Home, disk, database, data and champions, in the order in which a run needs them."""
    looks: tuple[tuple[str, Callable[[Home, datetime], str]], ...] = (
        ("home", _home),
        ("disk", _disk),
        ("database", _database),
        ("data", _data),
        ("champion", _champion),
    )
    return [_look(what, look, home, now) for what, look in looks]


def _look(what: str, look: Callable[[Home, datetime], str], home: Home, now: datetime) -> Finding:
    try:
        return Finding(what, True, look(home, now))
    except ForecasterError as error:
        return Finding(what, False, str(error))
    except SQLAlchemyError as error:
        return Finding(what, False, f"the database cannot be read ({type(error).__name__}); run `forecaster fetch`")


def _home(home: Home, _now: datetime) -> str:
    home.prepare()
    return str(home.root.absolute())


def _disk(home: Home, _now: datetime) -> str:
    free = shutil.disk_usage(home.root if home.root.exists() else ".").free
    if free < _ENOUGH:
        raise HomeUnwritable(home.root, f"only {free / 2**20:.0f} MB free")
    return f"{free / 2**30:.1f} GB free"


def _database(home: Home, _now: datetime) -> str:
    engine = connect(home.database_url)
    require_current(engine)
    return f"{engine.dialect.name}, schema up to date"


def _data(home: Home, now: datetime) -> str:
    with reading(connect(home.database_url)).connect() as connection:
        newest, count = connection.execute(select(func.max(bar.c.session), func.count())).one()
    if newest is None:
        raise NoHistory("the store")
    return f"{count} bars, the newest {newest}, {(now.date() - newest).days} days old"


def _champion(home: Home, _now: datetime) -> str:
    engine = connect(home.database_url)
    champions = all_champions(engine)
    if not champions:
        raise NoChampion("any target")
    for champion in champions:
        Runtime(load_artifact(engine, champion.digest))
    return ", ".join(f"{champion.target} version {champion.version}" for champion in champions)
