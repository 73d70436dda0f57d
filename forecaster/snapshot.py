"""A snapshot: the immutable training input, one Parquet file named by the digest of its columns.

The only room that imports pyarrow; serving never comes here.
"""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from forecaster.errors import SnapshotCorrupt, SnapshotMissing
from forecaster.facts import FIELDS, Facts


def path_of(folder: Path, digest: str) -> Path:
    """Where the snapshot of that digest lies."""
    return folder / f"{digest}.parquet"


def write_snapshot(facts: Facts, folder: Path) -> str:
    """Write facts once and return their digest; a file that is there already is left as it is."""
    digest = facts.digest()
    path = path_of(folder, digest)
    if not path.exists():
        columns = {
            "subject": pa.array(facts.subject.tolist(), pa.string()),
            "date": pa.array(facts.date),
            "known_at": pa.array(facts.known_at, pa.timestamp("us", tz="UTC")),
            **{field: pa.array(facts.column(field), from_pandas=True) for field in FIELDS},  # NaN becomes null
        }
        folder.mkdir(parents=True, exist_ok=True)
        # Beside it and then renamed: a reader, or a crash, never sees half a file.
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            pq.write_table(pa.table(columns), part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    return digest


def read_snapshot(folder: Path, digest: str) -> Facts:
    """The facts of a snapshot, checked against its name.

    Raises:
        SnapshotMissing: There is no such file.
        SnapshotCorrupt: The file is not what its name says.
    """
    path = path_of(folder, digest)
    if not path.is_file():
        raise SnapshotMissing(path)
    try:
        table = pq.read_table(path)
        facts = Facts.of(
            _texts(table["subject"]),
            table["date"].to_numpy(),
            table["known_at"].cast(pa.timestamp("us")).to_numpy(),
            np.column_stack([table[field].to_numpy() for field in FIELDS]),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError, KeyError, OSError) as error:
        raise SnapshotCorrupt(path) from error
    if facts.digest() != digest:
        raise SnapshotCorrupt(path)
    return facts


def _texts(column: pa.ChunkedArray) -> NDArray[np.str_]:
    """Text as NumPy has it; each subject is converted once, not once a row."""
    encoded = column.combine_chunks().dictionary_encode()
    names = np.array(encoded.dictionary.to_pylist(), dtype=np.str_)
    texts: NDArray[np.str_] = names[encoded.indices.to_numpy()]
    return texts
