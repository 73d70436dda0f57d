"""Tables whose rows are never changed: the database itself says so, to every code path, ours or another's."""

from collections.abc import Sequence

from alembic import op


def append_only(table: str, *keys: Sequence[str]) -> None:
    """Let `table` refuse UPDATE, DELETE and TRUNCATE.

    On PostgreSQL by the function `refuse_change` of migration 0001.

    Arguments:
        keys: Unique keys that SQLite's INSERT OR REPLACE could meet; it deletes without firing a delete trigger.
    """
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )
    if keys:
        same = " OR ".join("(" + " AND ".join(f'"{part}" = NEW."{part}"' for part in key) + ")" for key in keys)
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only: UNIQUE constraint failed'); END"
        )
