"""Who works: a row a process, with a count that goes up while it lives.

Only whether a count moves is looked at, and everybody holds it against a clock of their own that never jumps: no two
machines have to agree on the time.
"""

from sqlalchemy import Engine, delete, insert, select, update

from forecaster.store.database import reading
from forecaster.store.schema import worker


def beat(engine: Engine, name: str) -> None:
    """Say that a worker lives."""
    with engine.begin() as connection:
        if not connection.execute(update(worker).where(worker.c.id == name).values(beats=worker.c.beats + 1)).rowcount:
            connection.execute(insert(worker).values(id=name, beats=1))


def leave(engine: Engine, name: str) -> None:
    """Say that a worker lives no more."""
    with engine.begin() as connection:
        connection.execute(delete(worker).where(worker.c.id == name))


def beats(engine: Engine) -> dict[str, int]:
    """The count of every worker."""
    with reading(engine).connect() as connection:
        return {row.id: row.beats for row in connection.execute(select(worker))}
