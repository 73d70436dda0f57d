import numpy as np
import pyarrow.parquet as pq
import pytest
from small_market import Market

from forecaster.errors import SnapshotCorrupt, SnapshotMissing
from forecaster.facts import Facts
from forecaster.snapshot import path_of, read_snapshot, write_snapshot


def same(one: Facts, other: Facts) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("subject", "date", "known_at")]
    return all((a == b).all() for a, b in pairs) and np.array_equal(one.values, other.values, equal_nan=True)


def test_what_was_written_is_read(synthetic, tmp_path):
    folder = tmp_path / "new" / "folder"
    digest = write_snapshot(synthetic.facts, folder)
    assert digest == synthetic.facts.digest()
    found = read_snapshot(folder, digest)
    assert same(found, synthetic.facts)
    assert found.date.dtype == "datetime64[D]"
    assert found.known_at.dtype == "datetime64[us]"
    assert [path.name for path in folder.iterdir()] == [f"{digest}.parquet"]


def test_the_real_data_survive_and_give_the_same_windows(sample, tmp_path):
    found = read_snapshot(tmp_path, write_snapshot(sample.facts, tmp_path))
    assert same(found, sample.facts)
    assert sample.windows_of(found).values.tobytes() == sample.windows.values.tobytes()


def test_shuffled_rows_are_the_same_snapshot(synthetic, tmp_path):
    facts = synthetic.facts
    order = np.random.default_rng(0).permutation(len(facts))
    shuffled = Facts.of(facts.subject[order], facts.date[order], facts.known_at[order], facts.values[order])
    digest = write_snapshot(facts, tmp_path)
    written = path_of(tmp_path, digest).stat().st_mtime_ns
    assert write_snapshot(shuffled, tmp_path) == digest
    assert path_of(tmp_path, digest).stat().st_mtime_ns == written
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("column", ["subject", "date", "known_at", "close", "value"])
def test_a_snapshot_with_one_other_value_is_refused(synthetic, tmp_path, column):
    digest = write_snapshot(synthetic.facts, tmp_path)
    path = path_of(tmp_path, digest)
    frame = pq.read_table(path).to_pandas()
    row = int(frame[column].first_valid_index())
    frame.loc[row, column] = frame[column].dropna().iloc[-1] if column in {"subject", "date", "known_at"} else 1.25
    frame.to_parquet(path)
    with pytest.raises(SnapshotCorrupt, match=digest):
        read_snapshot(tmp_path, digest)


def test_a_missing_row_or_column_is_refused(synthetic, tmp_path):
    digest = write_snapshot(synthetic.facts, tmp_path)
    path = path_of(tmp_path, digest)
    table = pq.read_table(path)
    for harmed in (table.slice(1), table.drop_columns("volume"), table.slice(0, 0)):
        pq.write_table(harmed, path)
        with pytest.raises(SnapshotCorrupt):
            read_snapshot(tmp_path, digest)


@pytest.mark.parametrize("kept", [0, 1, 4, 100, 0.5, 0.99, -1])
def test_a_truncated_file_is_refused(synthetic, tmp_path, kept):
    digest = write_snapshot(synthetic.facts, tmp_path)
    path = path_of(tmp_path, digest)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(SnapshotCorrupt):
        read_snapshot(tmp_path, digest)


def test_a_flipped_byte_is_refused_or_changes_nothing(synthetic: Market, tmp_path):
    facts = synthetic.facts.known(np.datetime64("2015-03-15"))
    digest = write_snapshot(facts, tmp_path)
    path = path_of(tmp_path, digest)
    whole = path.read_bytes()
    refused = 0
    for place in np.random.default_rng(0).integers(0, len(whole), 300).tolist():
        spoilt = bytearray(whole)
        spoilt[place] ^= 0x10
        path.write_bytes(bytes(spoilt))
        try:
            assert same(read_snapshot(tmp_path, digest), facts)
        except SnapshotCorrupt:
            refused += 1
    assert refused > 100


def test_a_missing_snapshot_says_how_to_write_one(tmp_path):
    with pytest.raises(SnapshotMissing, match=r"no snapshot at .*dddd\.parquet; write one with `forecaster snapshot`"):
        read_snapshot(tmp_path, "d" * 64)


def test_a_failed_write_leaves_nothing_behind(synthetic, tmp_path):
    path_of(tmp_path, synthetic.facts.digest()).with_suffix("").mkdir()  # unrelated neighbours stay
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    with pytest.raises(OSError, match="file"):
        write_snapshot(synthetic.facts, blocked)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ""]
