"""The doctor: each look where all is well and where it is not, and an end to what hangs."""

import json
import shutil
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, text

from forecaster.store.champions import crown
from forecaster.store.database import connect, sqlite_url
from forecaster.store.migrate import migrate
from forecaster.store.schema import artifact
from forecaster.store.visits import FAILURES, Status, Visit, add_visit
from pipelines.config import load_config
from pipelines.doctor import LOOKS, Patient, Unwell, doctor
from pipelines.doctor.clocks import clock
from pipelines.doctor.notebook import notebook
from pipelines.doctor.places import disk
from pipelines.doctor.sources import sources
from pipelines.doctor.stored import database
from pipelines.home import Home
from tests.pipelines.conftest import SMALL, forecaster
from tests.pipelines.stand_in_mlflow import StandInMlflow

NOW = datetime(2019, 3, 1, 12, tzinfo=UTC)
DIGEST, OTHER = "d" * 64, "0" * 64
TARGET = "^GSPC-return-2"
WHOLE = ["home", "disk", "database", "data", "sources", "champion", "mlflow", "clock", "jobs"]
PASSWORD = "pass-word-of-the-run"  # noqa: S105  # made up


MADE: list[Patient] = []


def patient(
    store: Engine | str,
    root: Path,
    now: datetime = NOW,
    tracking: str | None = None,
    run: str = "",
    ask: bool = False,
    **env: str,
) -> Patient:
    """A run on a store; `run` is put in front of the small run's tables."""
    url = store if isinstance(store, str) else store.url.render_as_string(hide_password=False)
    file = root / "run.toml"
    root.mkdir(exist_ok=True)
    file.write_text(SMALL.read_text().replace("[data]\n", f"[data]\n{run}\n"))
    MADE.append(Patient(Home(root, url, tracking), load_config(file), now, env, ask))
    return MADE[-1]


@pytest.fixture(autouse=True)
def _closed(request):
    """Whatever a look has opened, before the database is dropped."""
    if "store" in request.fixturenames:
        request.getfixturevalue("store")
    yield
    while MADE:
        MADE.pop().engine.dispose()


def crowned(store: Engine, digest: str = DIGEST) -> None:
    with store.begin() as connection:
        row = {"digest": digest, "manifest": "{}", "model": b"", "created_at": NOW}
        connection.execute(insert(artifact).values(row))
    crown(store, TARGET, digest, None, {"reason": "first"}, NOW)


def visited(store: Engine, subject: str, status: Status, ago: timedelta, source: str = "yahoo") -> None:
    problem = None if status == "ok" else f"{source}: {subject}: answered 500"
    with store.begin() as connection:
        add_visit(connection, Visit(subject, source, NOW - ago, True, status, problem))


@pytest.fixture
def mlflow():
    with StandInMlflow() as server:
        yield server


@pytest.fixture
def silent():
    """An address that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


# database


def test_a_database_is_current_and_its_clock_agrees(store, tmp_path):
    kind = store.dialect.name
    told = {
        "sqlite": "sqlite, schema up to date",
        "postgresql": "postgresql, schema up to date, its clock agrees with ours",
    }
    assert database(patient(store, tmp_path / "h", datetime.now(UTC))) == told[kind]


def test_a_database_server_whose_clock_is_off_is_told(store, tmp_path):
    late = patient(store, tmp_path / "h", datetime.now(UTC) - timedelta(seconds=90))
    if store.dialect.name == "sqlite":  # has no clock of its own
        assert database(late) == "sqlite, schema up to date"
    else:
        with pytest.raises(Unwell, match=r"its server's clock is (89|90|91) s from ours; set both by NTP"):
            database(late)


def test_a_database_without_our_tables_is_told_by_every_look_that_needs_it(empty, tmp_path):
    found = {one.what: one for one in doctor(patient(empty, tmp_path / "h", datetime.now(UTC)))}
    assert list(found) == WHOLE
    assert [what for what, one in found.items() if not one.ok] == ["database", "data", "sources", "champion", "jobs"]
    assert "needs 0008; run `forecaster migrate`" in found["database"].says
    assert "`forecaster fetch`" in found["data"].says


def test_a_database_that_is_away_is_told_without_its_password(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"postgresql+psycopg://me:{PASSWORD}@127.0.0.1:{port}/x"
    found = {one.what: one for one in doctor(patient(url, tmp_path / "h", datetime.now(UTC)))}
    assert [what for what, one in found.items() if not one.ok] == ["database", "data", "sources", "champion", "jobs"]
    assert "see that it runs and that FORECASTER_DATABASE_URL is right" in found["database"].says
    assert PASSWORD not in json.dumps([one.says for one in found.values()])


def test_what_hangs_is_given_up_and_the_others_are_told(silent, tmp_path):
    url, tracking = f"postgresql+psycopg://me@127.0.0.1:{silent}/x", f"http://127.0.0.1:{silent}"
    found = {one.what: one for one in doctor(patient(url, tmp_path / "h", tracking=tracking))}
    assert list(found) == WHOLE
    assert [what for what, one in found.items() if one.ok] == ["home", "disk"]
    assert "no answer in time" in found["database"].says
    assert "no answer (ReadTimeout)" in found["mlflow"].says


# sources


YAHOO = 'bars = { source = "yahoo" }\nmacro = { source = "fred" }'


def test_sources_that_were_never_asked(store, tmp_path):
    said = sources(patient(store, tmp_path / "h", run=YAHOO))
    assert said == "; ".join(
        f"{name}, which this run names, was not asked yet; `forecaster fetch` does" for name in ("yahoo", "fred")
    )


def test_sources_that_answered(store, tmp_path):
    visited(store, "^GSPC", "temporary", timedelta(hours=6))
    visited(store, "^GSPC", "ok", timedelta(hours=5))
    visited(store, "^IXIC", "behind", timedelta(hours=3))
    visited(store, "CPILFESL", "ok", timedelta(minutes=5), "fred")
    visited(store, "CPILFESL", "temporary", timedelta(minutes=1), "other")  # is none of this run's
    assert sources(patient(store, tmp_path / "h", run=YAHOO)) == (
        "yahoo was asked 3 hours ago and answered about 2 of 2 subjects; "
        "fred was asked 5 minutes ago and answered about 1 of 1 subject"
    )


def test_a_source_that_failed_and_why(store, tmp_path):
    visited(store, "^GSPC", "ok", timedelta(hours=3))
    visited(store, "^IXIC", "refused", timedelta(hours=3))
    with pytest.raises(
        Unwell, match=r"1 of 2 subjects was not answered \(refused: yahoo: .*500\); run `forecaster"
    ) as told:
        sources(patient(store, tmp_path / "h", run=YAHOO))
    assert "fred, which this run names, was not asked yet" in str(told.value)


def test_a_source_that_is_left_alone(store, tmp_path):
    for minutes in range(FAILURES):
        visited(store, "^GSPC", "temporary", timedelta(minutes=minutes + 1))
    with pytest.raises(Unwell, match=r"yahoo is left alone after 3 failures in a row, the last 1 minutes ago") as told:
        sources(patient(store, tmp_path / "h", run=YAHOO))
    assert "every 15 minutes" in str(told.value)
    assert "`forecaster fetch`" in str(told.value)


def test_a_source_that_cannot_be_opened(store, tmp_path):
    missing = f'bars = {{ source = "files", folder = "{tmp_path}/none" }}'
    with pytest.raises(Unwell, match="none"):
        sources(patient(store, tmp_path / "h", run=missing))
    keyless = patient(store, tmp_path / "h", run=YAHOO, FRED_API_KEY_FILE=str(tmp_path / "no-key"))
    with pytest.raises(Unwell, match=r"FRED_API_KEY_FILE: cannot be read \(FileNotFoundError\)"):
        sources(keyless)


def test_sources_are_really_asked_and_nothing_is_written(store, tmp_path):
    asking = patient(store, tmp_path / "h", ask=True)
    assert sources(asking).startswith("sample answers: 5031 bars of ^GSPC; sample answers: ")
    with store.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM visit")) == 0
    folder = tmp_path / "bars"
    folder.mkdir()
    bad = patient(store, tmp_path / "h", ask=True, run=f'bars = {{ source = "files", folder = "{folder}" }}')
    with pytest.raises(Unwell, match=r"files: \^GSPC: "):
        sources(bad)


# MLflow


def test_the_alias_is_the_champion(store, tmp_path, mlflow):
    crowned(store)
    mlflow.aliases[TARGET] = DIGEST
    said = notebook(patient(store, tmp_path / "h", tracking=mlflow.url))
    assert said == f"version 3.17.2; alias champion of {TARGET} is the store's, version 1"


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        (DIGEST, OTHER, f"is {OTHER[:12]}, the store's champion {DIGEST[:12]}; the store decides"),
        (DIGEST, None, f"is none, the store's champion {DIGEST[:12]}; the store decides"),
        (None, OTHER, f"is {OTHER[:12]}, the store's champion none; the store decides"),
    ],
)
def test_an_alias_that_is_not_the_champion(store, tmp_path, mlflow, ours, theirs, told):
    if ours:
        crowned(store, ours)
    mlflow.aliases |= {TARGET: theirs} if theirs else {}
    with pytest.raises(Unwell, match=told):
        notebook(patient(store, tmp_path / "h", tracking=mlflow.url))


def test_neither_has_a_champion(store, tmp_path, mlflow):
    assert (
        notebook(patient(store, tmp_path / "h", tracking=mlflow.url)) == f"version 3.17.2; no champion of {TARGET} yet"
    )


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (403, r"it refuses us \(403\); set MLFLOW_SERVER_ALLOWED_HOSTS"),
        (500, "it answered 500; see that it runs and that MLFLOW_TRACKING_URI is right"),
        (302, "it answered 302"),
        ("hang", r"no answer \(ReadTimeout\); see that it runs"),
        ("nonsense", "its answer about the alias is none that MLflow gives"),
    ],
)
def test_mlflow_that_does_not_answer_as_it_should(tmp_path, mlflow, fault, told):
    store = connect(sqlite_url(tmp_path))
    migrate(store)
    crowned(store)
    mlflow.aliases[TARGET], mlflow.fault = DIGEST, fault
    with pytest.raises(Unwell, match=told):
        notebook(patient(store, tmp_path / "h", tracking=mlflow.url))
    store.dispose()


def test_mlflow_that_drips_is_given_up(tmp_path, mlflow):
    mlflow.fault = "drip"
    found = {one.what: one for one in doctor(patient(sqlite_url(tmp_path), tmp_path / "h", tracking=mlflow.url))}
    assert not found["mlflow"].ok


def test_nobody_at_the_address_of_mlflow(store, tmp_path):
    with StandInMlflow() as gone:
        pass
    with pytest.raises(Unwell, match=r"no answer \(ConnectionError\)"):
        notebook(patient(store, tmp_path / "h", tracking=gone.url))


def test_mlflow_is_asked_as_who_we_are(store, tmp_path, mlflow):
    notebook(patient(store, tmp_path / "h", tracking=mlflow.url, MLFLOW_TRACKING_TOKEN=PASSWORD))
    named = {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    notebook(patient(store, tmp_path / "h", tracking=mlflow.url, **named))
    assert {(one or "").partition(" ")[0] for one in mlflow.credentials} == {"Bearer", "Basic"}


def test_mlflow_without_a_server(small_home, tmp_path):
    """The real tables that its client has made in a demo."""
    home = tmp_path / "copy"
    shutil.copytree(small_home[0], home)
    found = forecaster("doctor", "--json", "--run", str(SMALL), home=home)
    told = {one["what"]: one for one in json.loads(found.stdout)["findings"]}
    assert [what for what, one in told.items() if not one["ok"]] == []
    assert told["mlflow"]["says"] == f"sqlite, no server; alias champion of {TARGET} is the store's, version 1"
    tables = connect(f"sqlite:///{home / 'mlflow.db'}")
    with tables.begin() as connection:
        connection.execute(text("UPDATE model_version_tags SET value = :no WHERE key = 'digest'"), {"no": OTHER})
    one = patient(sqlite_url(home), home, datetime.now(UTC), f"sqlite:///{home}/mlflow.db")
    with pytest.raises(Unwell, match=OTHER[:12]):
        notebook(one)
    with tables.begin() as connection:
        connection.execute(text("DELETE FROM registered_model_aliases"))
    with pytest.raises(Unwell, match="is none, the store's champion"):
        notebook(one)
    (home / "mlflow.db").write_bytes(b"no database" * 1000)
    with pytest.raises(Unwell, match="its database cannot be read"):
        notebook(one)
    tables.dispose()


# clock


def test_a_clock_that_agrees_with_all(store, tmp_path, mlflow):
    now = datetime.now(UTC)
    others = "the database and MLflow" if store.dialect.name == "postgresql" else "MLflow"
    said = clock(patient(store, tmp_path / "h", now, mlflow.url))
    assert said == f"{now:%Y-%m-%d %H:%M:%S} UTC, as {others} say"


@pytest.mark.parametrize("ahead", [-300, 300])
def test_a_clock_that_is_off_from_that_of_mlflow(store, tmp_path, mlflow, ahead):
    mlflow.ahead = ahead
    with pytest.raises(Unwell, match=r"ours is (299|300|301) s from that of MLflow; set the clock \(NTP\)"):
        clock(patient(store, tmp_path / "h", datetime.now(UTC), mlflow.url))


def test_a_clock_that_is_off_from_that_of_the_database(store, tmp_path):
    late = patient(store, tmp_path / "h", datetime.now(UTC) + timedelta(minutes=3))
    if store.dialect.name == "sqlite":
        assert clock(late).endswith("UTC")
    else:
        with pytest.raises(Unwell, match="from that of the database; set the clock"):
            clock(late)


def test_a_clock_behind_what_was_written_down(tmp_path):
    store = connect(sqlite_url(tmp_path))
    migrate(store)
    visited(store, "^GSPC", "ok", timedelta(hours=1))
    assert clock(patient(store, tmp_path / "h")) == "2019-03-01 12:00:00 UTC"
    visited(store, "^GSPC", "ok", -timedelta(hours=1))
    with pytest.raises(Unwell, match=r"2019-03-01 12:00 UTC, before the newest row of the store \(2019-03-01 13:00\)"):
        clock(patient(store, tmp_path / "h"))
    store.dispose()


# the whole


def test_disk_tells_of_the_folder_of_a_database_elsewhere(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert "GB free in" in disk(patient(f"sqlite:///{elsewhere}/x.db", tmp_path / "h"))
    assert "GB free in" not in disk(patient(sqlite_url(tmp_path / "h"), tmp_path / "h"))


def test_a_look_that_breaks_hides_no_other_and_more_can_be_given(store, tmp_path):
    def broken(_: Patient) -> str:
        raise RuntimeError(f"at postgresql://u:{PASSWORD}@h")

    looks = [("jobs", broken), ("threads", lambda _: threading.current_thread().name), *LOOKS[:2]]
    found = doctor(patient(store, tmp_path / "h"), looks)
    assert [(one.what, one.ok) for one in found] == [("jobs", False), ("threads", True), ("home", True), ("disk", True)]
    assert found[0].says.startswith("could not be looked at (RuntimeError: at postgresql://u:***@h)")
    assert found[1].says == "doctor-threads"


def test_the_command_exits_with_1_where_anything_is_wrong_and_says_all(tmp_path):
    done = forecaster("doctor", home=tmp_path / "h")
    assert done.returncode == 1
    assert [line.split()[1] for line in done.stdout.splitlines() if line[:4] in ("ok  ", "FAIL")] == WHOLE
