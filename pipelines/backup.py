"""Backup: every table of the store and the snapshots of the home, as one zip file, from any database.

The zip holds a Parquet file a table (instants in UTC, JSON as the text that it is, bytes as bytes), the snapshots as
they are, and last `manifest.json`: the revision of the schema, and of each part its rows, bytes and SHA-256. Any store
of the same revision can be made of it (`pipelines.restore`), on SQLite and PostgreSQL alike.

Not in it: passwords and keys (of the service's keys the store itself has hashes only), who works at the moment, what
DBOS knows of its jobs, MLflow's database and files, reports and checkpoints.
"""

import hashlib
import io
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Literal
from zipfile import ZIP_STORED, ZipFile

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import AwareDatetime
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Date,
    Engine,
    Float,
    Integer,
    LargeBinary,
    Table,
    Text,
    cast,
    select,
    text,
)

from forecaster.contract import Frozen
from forecaster.errors import BackupUnwritten
from forecaster.store.database import reading, require_current
from forecaster.store.schema import UtcDateTime, metadata, worker

MANIFEST = "manifest.json"
SNAPSHOT = re.compile(r"snapshots/[0-9a-f]{64}\.parquet")
"""Name of a snapshot's part."""
TABLES: tuple[Table, ...] = tuple(table for table in metadata.sorted_tables if table is not worker)
"""What is kept, each after those it points to. Who works now is not history."""

_CHUNK = 2**20  # bytes


class Part(Frozen):
    """One file of a backup."""

    name: str
    rows: int | None
    """Of a table; None for a snapshot."""
    size: int
    """Bytes."""
    sha256: str


class Manifest(Frozen):
    """What a backup says of itself."""

    format: Literal[1] = 1
    revision: str
    """Of the schema."""
    made_at: AwareDatetime
    parts: tuple[Part, ...]


def backup(engine: Engine, snapshots: Path, path: Path, now: datetime) -> Manifest:
    """Write all that the store knows at one moment to `path`; whoever writes the store meanwhile is not kept waiting.

    The file appears under its name when it is whole; one that was there before is replaced then, and not earlier.

    Raises:
        StoreOutdated: The schema is not this version's.
        BackupUnwritten: There is no room for it, or no right to write it.
    """
    require_current(engine)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            with part.open("wb") as file:
                manifest = _write(engine, snapshots, file, now)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise BackupUnwritten(path, error.strerror or str(error)) from error
    return manifest


def _write(engine: Engine, snapshots: Path, file: IO[bytes], now: datetime) -> Manifest:
    with ZipFile(file, "w", ZIP_STORED) as archive:
        with one_moment(engine) as connection:
            revision = connection.scalar(text("SELECT version_num FROM alembic_version"))
            parts = [_write_table(connection, table, archive) for table in TABLES]
        # Afterwards: a snapshot is there before the first row that names it.
        named = {f"snapshots/{one.name}": one for one in sorted(snapshots.glob("*.parquet"))}
        parts += [_write_snapshot(one, archive, name) for name, one in named.items() if SNAPSHOT.fullmatch(name)]
        manifest = Manifest(revision=revision, made_at=now, parts=tuple(parts))
        archive.writestr(MANIFEST, manifest.model_dump_json(indent=1))
    return manifest


@contextmanager
def one_moment(engine: Engine) -> Iterator[Connection]:
    """A transaction to which the store does not change; it keeps no writer waiting."""
    readers = reading(engine)
    if engine.dialect.name == "postgresql":  # SQLite's transactions are like this by themselves
        readers = readers.execution_options(isolation_level="REPEATABLE READ")
    with readers.connect() as connection:
        yield connection


def _write_table(connection: Connection, table: Table, archive: ZipFile) -> Part:
    name, rows, schema = part_of(table), 0, schema_of(table)
    found = connection.execution_options(yield_per=at_once(table)).execute(
        select(*(_plain(column) for column in table.columns)).order_by(*table.primary_key)
    )
    with _Sealed(archive, name) as sink:
        with closing(found), pq.ParquetWriter(sink, schema, compression="zstd") as writer:
            for batch in found.mappings().partitions():
                writer.write_batch(pa.RecordBatch.from_pylist([dict(row) for row in batch], schema))
                rows += len(batch)
        return sink.part(rows)


def _write_snapshot(path: Path, archive: ZipFile, name: str) -> Part:
    with path.open("rb") as source, _Sealed(archive, name) as sink:
        shutil.copyfileobj(source, sink, _CHUNK)
        return sink.part(None)


class _Sealed(io.RawIOBase):
    """A file of the zip that counts and digests what is written into it."""

    def __init__(self, archive: ZipFile, name: str) -> None:
        self._name, self._size, self._digest = name, 0, hashlib.sha256()
        self._file = archive.open(name, "w", force_zip64=True)

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        """All of `data`, bytes or alike."""
        view = memoryview(data)
        self._file.write(view)
        self._digest.update(view)
        self._size += view.nbytes
        return view.nbytes

    def tell(self) -> int:
        return self._size

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file.close()

    def part(self, rows: int | None) -> Part:
        """What the manifest says of it."""
        return Part(name=self._name, rows=rows, size=self._size, sha256=self._digest.hexdigest())


def part_of(table: Table) -> str:
    """The name of a table's file in the zip."""
    return f"tables/{table.name}.parquet"


def schema_of(table: Table) -> pa.Schema:
    """The columns of a table's file."""
    return pa.schema(
        [pa.field(column.name, _arrow(column), nullable=bool(column.nullable)) for column in table.columns]
    )


def at_once(table: Table) -> int:
    """Rows of a table that are in memory at a time: artifacts and weights are megabytes, JSON can be."""
    kinds = {type(column.type) for column in table.columns}
    return 1 if LargeBinary in kinds else 500 if JSON in kinds else 10_000


def _arrow(column: Column[Any]) -> pa.DataType:
    for kind, arrow in (
        (UtcDateTime, pa.timestamp("us", tz="UTC")),
        (Date, pa.date32()),
        (Boolean, pa.bool_()),
        (Integer, pa.int64()),
        (Float, pa.float64()),
        (LargeBinary, pa.large_binary()),
    ):
        if isinstance(column.type, kind):
            return arrow
    return pa.large_string()


def _plain(column: Column[Any]) -> ColumnElement[Any]:
    """A column as it is kept: of JSON the text."""
    return cast(column, Text).label(column.name) if isinstance(column.type, JSON) else column
