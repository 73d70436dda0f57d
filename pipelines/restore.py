"""Restore: a store out of a backup, on SQLite or PostgreSQL, whichever the backup came from. All of it, or nothing."""

import hashlib
import os
import shutil
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError
from sqlalchemy import JSON, Connection, Engine, Table, Text, bindparam, cast, func, insert, select, text
from sqlalchemy.exc import DataError, IntegrityError

from forecaster.errors import BackupRefused, HomeUnwritable
from forecaster.store.database import require_current
from pipelines.backup import MANIFEST, SNAPSHOT, TABLES, Manifest, Part, at_once, part_of, schema_of

_CHUNK = 2**20  # bytes
_ANOTHER = "choose another backup"
_DAMAGED = (
    BadZipFile, EOFError, KeyError, NotImplementedError, OSError, OverflowError, RuntimeError, ValueError,
    struct.error, zlib.error,
)  # fmt: skip
"""What reading a zip raises where it is not whole; all of it is read before anything is written."""


def restore(engine: Engine, snapshots: Path, path: Path) -> Manifest:
    """Fill an empty store, and the folder of its snapshots, with what a backup holds.

    Every part is held against its checksum before anything is written; then all rows come in one transaction.

    Raises:
        StoreOutdated: The schema is not this version's.
        BackupRefused: The backup is not whole, of another revision, or the store is not empty.
        HomeUnwritable: A snapshot cannot be written.
    """
    require_current(engine)
    try:
        archive = ZipFile(path)
    except FileNotFoundError:
        raise BackupRefused(path, f"there is no such file; {_ANOTHER}") from None
    except _DAMAGED as error:
        raise BackupRefused(path, f"it is no zip file, or not all of it; {_ANOTHER}") from error
    with archive:
        try:
            manifest = _verified(archive, path, engine)
        except _DAMAGED as error:
            raise BackupRefused(path, f"it is damaged ({type(error).__name__}); {_ANOTHER}") from error
        try:
            _fill(engine, archive, manifest, path, snapshots)
        except (pa.ArrowException, DataError, IntegrityError) as error:
            raise BackupRefused(path, f"its rows do not fit ({type(error).__name__}); {_ANOTHER}") from error
    return manifest


def _verified(archive: ZipFile, path: Path, engine: Engine) -> Manifest:
    """What the backup says of itself, once it is true."""
    try:
        manifest = Manifest.model_validate_json(archive.read(MANIFEST))
    except (KeyError, ValidationError):
        raise BackupRefused(path, f"it has no manifest that this version can read; {_ANOTHER}") from None
    with engine.connect() as connection:
        here = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if manifest.revision != here:
        remedy = "restore it with the version that made it, then run `forecaster migrate` with this one"
        raise BackupRefused(path, f"it is of revision {manifest.revision} and the store of {here}; {remedy}")
    names = sorted(part.name for part in manifest.parts)
    if sorted(archive.namelist()) != sorted([MANIFEST, *names]):
        raise BackupRefused(path, f"its files are not those of its manifest; {_ANOTHER}")
    if [name for name in names if not SNAPSHOT.fullmatch(name)] != sorted(map(part_of, TABLES)):
        raise BackupRefused(path, f"its tables are not those of this version; {_ANOTHER}")
    for part in manifest.parts:
        with archive.open(part.name) as file:
            if _measure(file) != (part.size, part.sha256):
                raise BackupRefused(path, f"{part.name} does not match its checksum; {_ANOTHER}")
    return manifest


def _measure(file: IO[bytes]) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    while chunk := file.read(_CHUNK):
        size += len(chunk)
        digest.update(chunk)
    return size, digest.hexdigest()


def _fill(engine: Engine, archive: ZipFile, manifest: Manifest, path: Path, snapshots: Path) -> None:
    parts = {part.name: part for part in manifest.parts}
    added: list[Path] = []
    try:
        with engine.begin() as connection:
            _require_empty(connection, path)
            for table in TABLES:
                _fill_table(connection, table, archive, parts[part_of(table)], path)
            for name in sorted(parts):
                if name.startswith("snapshots/"):
                    added += _copy(archive, name, snapshots)
    except BaseException:
        for one in added:
            one.unlink(missing_ok=True)
        raise


def _require_empty(connection: Connection, path: Path) -> None:
    if connection.dialect.name == "postgresql":  # nobody writes in between; on SQLite nobody can anyway
        names = ", ".join(table.name for table in TABLES)
        connection.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))
    for table in TABLES:
        if connection.execute(select(1).select_from(table).limit(1)).first():
            remedy = "choose an empty home or database, and run `forecaster migrate` there first"
            raise BackupRefused(path, f"the store is not empty, there are rows in {table.name}; {remedy}")


def _fill_table(connection: Connection, table: Table, archive: ZipFile, part: Part, path: Path) -> None:
    statement, rows = _insertion(table, connection.dialect.name), 0
    with archive.open(part.name) as file:
        stored = pq.ParquetFile(pa.PythonFile(file, mode="r"))
        if not stored.schema_arrow.equals(schema_of(table)):
            raise BackupRefused(path, f"the columns of {part.name} are not those of this version; {_ANOTHER}")
        for number in range(stored.num_row_groups):
            for batch in stored.read_row_group(number).to_batches(at_once(table)):
                connection.execute(statement, [_named(row) for row in batch.to_pylist()])
                rows += batch.num_rows
    if rows != part.rows:
        raise BackupRefused(path, f"{part.name} has {rows} rows and not {part.rows}; {_ANOTHER}")
    _continue_ids(connection, table)


def _insertion(table: Table, dialect: str) -> Any:
    """INSERT of rows as they are kept: JSON is text already."""
    values: dict[str, Any] = {}
    for column in table.columns:
        if isinstance(column.type, JSON):
            given = bindparam(_bound(column.name), type_=Text)
            values[column.name] = cast(given, JSON) if dialect == "postgresql" else given
        else:
            values[column.name] = bindparam(_bound(column.name), type_=column.type)
    return insert(table).values(values)


def _bound(name: str) -> str:
    return f"kept_{name}"  # a column's own name is reserved for the statement


def _named(row: Mapping[str, Any]) -> dict[str, Any]:
    return {_bound(name): value for name, value in row.items()}


def _continue_ids(connection: Connection, table: Table) -> None:
    """Let PostgreSQL count on from the highest id; SQLite does by itself."""
    column = table.autoincrement_column
    if connection.dialect.name != "postgresql" or column is None:
        return
    sequence = connection.scalar(select(func.pg_get_serial_sequence(table.name, column.name)))
    highest = connection.scalar(select(func.max(column)))
    if sequence and highest:
        connection.execute(select(func.setval(sequence, highest)))


def _copy(archive: ZipFile, name: str, snapshots: Path) -> list[Path]:
    """The snapshot that was written, if it was not there; whole under its name, or not at all."""
    path = snapshots / Path(name).name
    if path.exists():
        return []
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        snapshots.mkdir(parents=True, exist_ok=True)
        with archive.open(name) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
        part.replace(path)
    except OSError as error:
        raise HomeUnwritable(snapshots, error.strerror or str(error)) from error
    finally:
        part.unlink(missing_ok=True)
    return [path]
