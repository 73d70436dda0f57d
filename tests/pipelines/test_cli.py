"""Bad input and bad surroundings at the command line: one clear line, exit code 1, nothing lost."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.conftest import SMALL, forecaster

FORECASTER = str(Path(sys.executable).parent / "forecaster")


def complaint(done: "subprocess.CompletedProcess[str]") -> str:
    """The one line a failed command leaves on stderr, after what it said about its progress."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("forecaster: ")
    return last


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("patience = 1", "patiance = 1"),
            "unknown key 'training.patiance', did you mean 'patience'? allowed here: accelerator, batch, carry,",
        ),
        (
            ("hidden = 4", "hiden = 4"),
            "unknown key 'models.3.lstm.hiden', did you mean 'hidden'? allowed here: dropout, embedding, family, head,",
        ),
        (
            ('family = "lstm"', 'family = "lstn"'),
            "unknown family 'lstn', did you mean 'lstm'? allowed: 'naive', 'ngram', 'ar', 'garch', 'har',",
        ),
        (("context = 24", "context = 6000"), "window.context"),
        (("burn_in = 12", "burn_in = 30"), "burn_in 30 must be below context 24"),
        (
            ('"log_range"', '"log_rage"'),
            "unknown channel 'log_rage', did you mean 'log_range'? features are log_return, log_range",
        ),
        (('"log_range"', '"change(BAA)"'), "BAA is used but neither in symbols nor in series"),
        (('symbols = ["^GSPC"]', 'symbols = ["../x"]'), "is not a symbol"),
        (('symbols = ["^GSPC"', 'symbols = ["AAPL/../MSFT"'), "data.symbols: 'AAPL/../MSFT' is not a symbol"),
        (
            ('series = ["CPILFESL"]', 'bars = { source = "yaho" }'),
            "data.bars: unknown source 'yaho', did you mean 'yahoo'? allowed: 'sample'",
        ),
        (
            ('series = ["CPILFESL"]', 'bars = { source = "files", folder = "x", dir = "x" }'),
            "allowed here: folder, publications, ",
        ),
        (("[window]", "[window"), "is not valid TOML"),
        (('family = "naive"', 'family = "ar"'), "the random walk that all are compared with"),
    ],
)
def test_bad_run_file_names_the_fault(tmp_path: Path, change: tuple[str, str], expected: str) -> None:
    run = tmp_path / "run.toml"
    run.write_text(SMALL.read_text().replace(*change, 1))
    from forecaster.errors import ConfigError
    from pipelines.config import load_config

    with pytest.raises(ConfigError) as caught:
        load_config(run)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_shipped_run_file_loads() -> None:
    from pipelines.config import load_config
    from pipelines.reading import demo_path

    ladder = {"naive", "ngram", "ar", "garch", "har", "mlp", "rnn", "lstm", "gru", "seq2seq", "transformer", "pool"}
    assert {model.family for model in load_config(demo_path()).models} == ladder


def test_bad_run_file_at_the_command_line(tmp_path: Path) -> None:
    run = tmp_path / "run.toml"
    run.write_text(SMALL.read_text().replace("patience", "patiance"))
    assert "unknown key 'training.patiance'" in complaint(forecaster("fetch", "--run", str(run), home=tmp_path / "h"))
    assert "there is no such run file" in complaint(
        forecaster("fetch", "--run", str(tmp_path / "no.toml"), home=tmp_path / "h")
    )


def files_run(tmp_path: Path, *symbols: str) -> Path:
    """The small run on a folder of files, one of which is there."""
    rows = [f"2018-01-{day:02},{100 + day},{102 + day},{99 + day},{101 + day},1000" for day in (2, 3, 4, 5, 8, 9, 13)]
    (tmp_path / "A.csv").write_text("\n".join(["Date,Open,High,Low,Close,Volume", *rows]))
    text = SMALL.read_text().replace('symbols = ["^GSPC", "^IXIC"]', f"symbols = {json.dumps(symbols)}")
    text = text.replace('series = ["CPILFESL"]', f'bars = {{ source = "files", folder = "{tmp_path}" }}')
    text = text.replace('symbols = ["^GSPC"]', 'symbols = ["A"]').replace(', "log_return(^IXIC)"', "")
    run = tmp_path / "run.toml"
    run.write_text(text)
    return run


def test_fetch_tells_of_each_symbol_what_became_of_it(tmp_path: Path) -> None:
    run = files_run(tmp_path, "A", "B")
    done = forecaster("fetch", "--json", "--run", str(run), home=tmp_path / "h")
    assert complaint(done) == (
        "forecaster: 1 not fetched: files: B: no file B.csv, B.csv.gz or B.parquet in "
        f"{tmp_path}; the folder has A; name the file as the symbol, in capitals; "
        f"then run `forecaster fetch --run {run}` again (what was stored is intact)"
    )
    there, missing = json.loads(done.stdout)["fetched"]
    assert there == {
        "subject": "A", "status": "ok", "inserted": 6, "revised": 0, "quarantined": 1, "missing_sessions": [],
        "stale_since": "2018-01-10", "first": "2018-01-02", "last": "2018-01-09", "problem": None,
        "doubts": {"not a session of the venue": 1},
    }  # fmt: skip
    assert (missing["subject"], missing["status"]) == ("B", "unknown")
    again = forecaster("fetch", "--run", str(run), home=tmp_path / "h")
    assert "fetched   A: ok, 0 new, 0 revised" in again.stderr
    assert "B" in complaint(again)


def test_recorded_only_refuses_what_is_assumed(small_home: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    home = copied(small_home, tmp_path)
    told = json.loads(forecaster("snapshot", "--json", "--run", str(SMALL), home=home).stdout)
    assert told["assumed"] == 1.0  # one download of old data: nothing of it was seen when it was news
    for verb in ("snapshot", "train"):
        said = complaint(forecaster(verb, "--recorded-only", "--run", str(SMALL), home=home))
        assert "^GSPC: nothing of which it was recorded when it became known; leave --recorded-only out" in said


def test_too_little_history_says_have_and_need(small_home: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    home = copied(small_home, tmp_path)
    run = tmp_path / "run.toml"
    run.write_text(SMALL.read_text().replace("test_from = 2017-01-01", "test_from = 2018-12-20"))
    said = complaint(forecaster("train", "naive", "--run", str(run), home=home))
    assert "too little history for the test span of ^GSPC: have 5 sessions, need 20" in said


def test_unknown_symbol_and_unissued_home(small_home: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    home = copied(small_home, tmp_path)
    assert "unknown symbol 'NOPE'; known here: ^GSPC" in complaint(
        forecaster("forecast", "NOPE", "--run", str(SMALL), home=home)
    )
    empty = complaint(forecaster("forecast", "^GSPC", "--run", str(SMALL), home=tmp_path / "empty"))
    assert f"^GSPC: nothing stored that was known by then; run `forecaster fetch --run {SMALL}` first" in empty


def test_corrupted_artifact_is_refused_and_the_ledger_stands(
    small_home: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    home = copied(small_home, tmp_path)
    with sqlite3.connect(home / "forecaster.db") as connection:
        issued = connection.execute("SELECT * FROM forecast").fetchall()
        digest = connection.execute("SELECT digest FROM champion").fetchone()[0]
        connection.execute("UPDATE artifact SET model = zeroblob(100) WHERE digest = ?", (digest,))
    said = complaint(forecaster("forecast", "^GSPC", "--run", str(SMALL), home=home))
    assert "refused: the model's bytes do not match the manifest" in said
    with sqlite3.connect(home / "forecaster.db") as connection:
        assert connection.execute("SELECT * FROM forecast").fetchall() == issued
    told = json.loads(forecaster("doctor", "--json", home=home).stdout)["findings"]
    assert [one["what"] for one in told if not one["ok"]] == ["champion"]


def test_full_disk_loses_nothing(small_home: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    needs_root()
    mount = tmp_path / "small"
    mount.mkdir()
    script = f"""
        mount -t tmpfs -o size=6m none {mount} && cp {small_home[0]}/forecaster.db {mount}/
        head -c 20m /dev/zero > {mount}/ballast 2>/dev/null
        export FORECASTER_HOME={mount}
        {FORECASTER} demo --run {SMALL}; code=$?
        rm {mount}/ballast
        {FORECASTER} doctor --json; exit $code
    """
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert "cannot write to the home directory" in complaint(done)
    findings = {one["what"]: one["ok"] for one in json.loads(done.stdout)["findings"]}
    assert findings | {"home": True, "disk": False, "database": True, "data": True, "champion": True} == findings


def test_foreign_and_read_only_home(tmp_path: Path) -> None:
    needs_root()
    home = tmp_path / "foreign"
    home.mkdir()
    shutil.chown(home, "nobody")
    # As root modes mean nothing; without these capabilities they do.
    drop = "--bounding-set=-dac_override,-dac_read_search"
    environment = {**os.environ, "FORECASTER_HOME": str(home)}
    done = subprocess.run(
        ["setpriv", drop, FORECASTER, "fetch"], env=environment, capture_output=True, text=True, check=False
    )
    assert f"cannot write to the home directory {home}: Permission denied" in complaint(done)
    assert not any(home.iterdir())


def test_usage_errors_exit_2(tmp_path: Path) -> None:
    assert forecaster("demo", "--no-such-option", home=tmp_path).returncode == 2
    assert forecaster("forecast", home=tmp_path).returncode == 2
    assert not (tmp_path / "forecaster.db").exists()


def test_help_is_light() -> None:
    probe = (
        "import sys, pipelines.cli; "
        "heavy = {'torch', 'pytorch_lightning', 'mlflow', 'pandas', 'fastapi', 'matplotlib'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


HEAVY = {"torch", "pytorch_lightning", "mlflow", "alembic", "yfinance", "requests", "fastapi"}


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (("forecast", "^GSPC"), HEAVY | {"pandas", "pyarrow", "exchange_calendars"}),
        (("issue",), HEAVY | {"pandas", "pyarrow", "exchange_calendars"}),
        (("score",), HEAVY),
        (("jobs",), {"torch", "pytorch_lightning", "mlflow", "yfinance", "pandas", "onnxruntime", "fastapi"}),
    ],
    ids=lambda part: part[0] if isinstance(part, tuple) else "",
)
def test_a_command_loads_what_it_needs_and_no_more(
    words: tuple[str, ...], heavy: set[str], small_home: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    run = {} if words == ("jobs",) else {"FORECASTER_RUN": str(SMALL)}
    done = forecaster(*words, home=copied(small_home, tmp_path), PYTHONPROFILEIMPORTTIME="1", **run)
    assert done.returncode == 0, done.stderr[-300:]
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert {"pipelines", "sqlalchemy"} <= loaded
    assert not loaded & heavy


def test_what_only_reads_does_not_mind_what_is_trained(small_home: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """A run file's models are for those who train: `forecast` answers where `train` is refused."""
    run = tmp_path / "run.toml"
    run.write_text(SMALL.read_text("utf-8").replace('family = "lstm"', 'family = "lstn"'), "utf-8")
    home = copied(small_home, tmp_path)
    assert forecaster("forecast", "^GSPC", "--run", str(run), home=home).returncode == 0
    assert "unknown family 'lstn'" in complaint(forecaster("train", "--run", str(run), home=home))
    run.write_text(SMALL.read_text("utf-8").replace("horizon = 2", "horizon = 2\nhorizont = 3"), "utf-8")
    assert "unknown key 'target.horizont'" in complaint(forecaster("forecast", "^GSPC", "--run", str(run), home=home))


def copied(small_home: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """A copy of the finished home, to be spoilt."""
    return Path(shutil.copytree(small_home[0], tmp_path / "home"))


def needs_root() -> None:
    """Mounting and dropping capabilities need root, which CI has."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system or to drop capabilities")


def test_a_venue_that_keeps_other_sessions_is_refused(small_home: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    home = copied(small_home, tmp_path)
    run = tmp_path / "run.toml"
    run.write_text(SMALL.read_text().replace('venue = "XNYS"', 'venue = "XLON"'))
    said = complaint(forecaster("snapshot", "--run", str(run), home=home))
    assert 'trades at XNYS, whose sessions are not those of XLON; write venue = "XNYS"' in said
    run.write_text(SMALL.read_text().replace('venue = "XNYS"', 'venue = "XNAS"'))  # the same sessions
    assert forecaster("snapshot", "--run", str(run), home=home).returncode == 0
