"""Bad first steps, each really taken: `python -m tests.first_steps` puts what they say into docs/when-it-goes-wrong.md.

A step leaves its folder as a newcomer would and returns the line that stands last. Most run the command line in this
process; what needs a machine of its own (no rights, a taken port, no network, another Python) runs it in another one.
"""

import contextlib
import io
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from arch.data import sp500
from typer.testing import CliRunner

from pipelines.cli import app, main
from tests.deployment.intercepted import Intercepted
from tests.pipelines.conftest import forecaster
from tests.pipelines.stand_in_yahoo import StandInYahoo, chart

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "when-it-goes-wrong.md"
ROW = re.compile(r"^\| <a id=\"(?P<name>[\w-]+)\"></a>`` (?P<line>.*?) `` \|", re.MULTILINE)
RUN = ("--run", "mine.toml")
BARS = sp500.load()[["Open", "High", "Low", "Close", "Volume"]].rename_axis("Date")
OFFLINE = {"HTTPS_PROXY": "http://127.0.0.1:9"}
"""Nobody listens on the port of `discard`."""

Step = Callable[[], str]
STEPS: dict[str, Step] = {}


def step(name: str) -> Callable[[Step], Step]:
    """Enter a step under the name that its row of the page has."""
    return lambda taken: STEPS.setdefault(name, taken)


def last_line(*words: str) -> str:
    """What the command line says last, in this process."""
    told, before = io.StringIO(), sys.argv
    sys.argv = ["forecaster", *words]
    try:
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
            main()
    except SystemExit:
        pass
    finally:
        sys.argv = before
    return told.getvalue().strip().splitlines()[-1]


def elsewhere(*words: str, environment: Mapping[str, str] | None = None) -> str:
    """The same in a process of its own."""
    done = forecaster(*words, home=Path.cwd() / ".forecaster", **dict(environment or {}))
    assert "Traceback" not in done.stdout + done.stderr
    return (done.stdout + done.stderr).strip().splitlines()[-1]


def usage(*words: str) -> str:
    """What wrong usage is answered."""
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 2
    return done.output.strip().splitlines()[-1]


def run_file(*changes: tuple[str, str]) -> None:
    """The run file of docs/own-data.md, changed."""
    page = (ROOT / "docs" / "own-data.md").read_text("utf-8")
    text = page.partition('```toml title="mine.toml"\n')[2].partition("```")[0]
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    Path("mine.toml").write_text(text, "utf-8")


def file_says(bars: pd.DataFrame, name: str = "ACME.csv", **how: Any) -> str:
    """What a fetch of a file says."""
    run_file()
    Path("prices").mkdir()
    bars.to_csv(Path("prices") / name, **how)
    return last_line("fetch", *RUN)


def run_says(old: str, new: str) -> str:
    """What a fetch by a changed run file says."""
    run_file((old, new))
    Path("prices").mkdir()
    return last_line("fetch", *RUN)


def fetched() -> None:
    """A store with ACME in it."""
    assert "ACME" in file_says(BARS)


FILES: dict[str, Step] = {
    "no-column": lambda: file_says(BARS.rename(columns={"Close": "Adj Close"})),
    "no-date": lambda: file_says(BARS.rename_axis("timestamp")),
    "day-first": lambda: file_says(BARS, date_format="%d/%m/%Y"),
    "thousands": lambda: file_says(BARS.map(lambda value: f"{value:,.2f}")),
    "semicolons": lambda: file_says(BARS, sep=";", decimal=","),
    "encoding": lambda: file_says(BARS.assign(Währung="€"), encoding="cp1252"),
    "no-row": lambda: file_says(BARS.iloc[:0]),
    "other-name": lambda: file_says(BARS, name="acme.csv"),
    "unsorted": lambda: file_says(BARS[::-1]),
    "given-twice": lambda: file_says(pd.concat([BARS, BARS.tail(3).assign(Close=2500.0)])),
    "zero": lambda: file_says(BARS.assign(Close=BARS["Close"].where(BARS.index != "2018-12-28", 0.0))),
    "weekends": lambda: file_says(
        BARS.set_axis(pd.date_range("2005-01-01", periods=len(BARS)), axis=0).rename_axis("Date")
    ),
    "all-wrong": lambda: file_says(BARS.assign(Close=0.0)),
}
RUNS: dict[str, tuple[str, str]] = {
    "mistyped-key": ("horizon = 2", "horizn = 2"),
    "mistyped-table": ("[window]", "[windw]"),
    "missing-key": ("horizon = 2\n", ""),
    "no-toml": ('venue = "XNYS"', "venue = XNYS"),
    "no-number": ("horizon = 2", 'horizon = "two"'),
    "mistyped-family": ('family = "mlp"', 'family = "lsmt"'),
    "mistyped-channel": ('"log_range"', '"log_rnge"'),
    "mistyped-source": ('source = "files"', 'source = "file"'),
    "mistyped-symbol": ('[target]\nsymbols = ["ACME"]', '[target]\nsymbols = ["ACMW"]'),
    "small-letters": ('"ACME"', '"acme"'),
    "dates-swapped": ("validation_from = 2013-01-01", "validation_from = 2016-01-01"),
    "no-walk": ('family = "naive"', 'family = "har"'),
}
USAGE: dict[str, tuple[str, ...]] = {
    "mistyped-command": ("trian",),
    "mistyped-option": ("fetch", "--hom", "here"),
    "no-argument": ("forecast",),
}
STEPS |= FILES
STEPS |= {name: partial(run_says, *change) for name, change in RUNS.items()}
STEPS |= {name: partial(usage, *words) for name, words in USAGE.items()}


@step("no-folder")
def no_folder() -> str:
    run_file()
    return last_line("fetch", *RUN)


@step("no-venue")
def no_venue() -> str:
    run_file(('venue = "XNYS"', 'venue = "XNYZ"'))
    Path("prices").mkdir()
    BARS.to_csv("prices/ACME.csv")
    return last_line("fetch", *RUN)


@step("no-run-file")
def no_run_file() -> str:
    run_file()
    return last_line("fetch", "--run", "mien.toml")


@step("short-window")
def short_window() -> str:
    file_says(BARS.tail(30))
    return last_line("check-leaks", *RUN)


@step("short-training")
def short_training() -> str:
    file_says(BARS.tail(600))
    return last_line("train", *RUN)


@step("nothing-fetched")
def nothing_fetched() -> str:
    run_file()
    Path("prices").mkdir()
    return last_line("train", *RUN)


@step("failed-before")
def failed_before() -> str:
    file_says(BARS.drop(columns="Volume"))
    return last_line("train", *RUN)


@step("not-trained")
def not_trained() -> str:
    fetched()
    return last_line("compare", *RUN)


@step("no-champion")
def no_champion() -> str:
    fetched()
    return last_line("forecast", "ACME", *RUN)


@step("other-symbol")
def other_symbol() -> str:
    fetched()
    return last_line("forecast", "ACMEE", *RUN)


@step("nothing-to-score")
def nothing_to_score() -> str:
    fetched()
    return last_line("score", *RUN)


@step("no-run-yet")
def no_run_yet() -> str:
    return last_line("jobs")


@step("empty-service")
def empty_service() -> str:
    from fastapi.testclient import TestClient

    from serving.app import create_app
    from serving.settings import Settings

    last_line("migrate")
    with TestClient(create_app(Settings(home=Path(".forecaster")))) as client:
        return str(client.get("/v1/forecasts/ACME").json()["detail"])


@step("no-ticker")
def no_ticker() -> str:
    run_file(('source = "files", folder = "prices"', 'source = "yahoo"'), ('"ACME"', '"ACMEX"'))
    days = [(date(2018, 12, day), 1.0, 1.0, 1.0, 1.0, 1.0) for day in (27, 28, 31)]
    with StandInYahoo() as yahoo:
        yahoo.serve(chart("ACME", days))
        with Intercepted(int(yahoo.url.rpartition(":")[2]), Path.cwd()) as proxy:
            trust = proxy.environment | {"CURL_CA_BUNDLE": proxy.environment["REQUESTS_CA_BUNDLE"]}
            return elsewhere("fetch", *RUN, environment=trust)


@step("no-network")
def no_network() -> str:
    run_file(('source = "files", folder = "prices"', 'source = "yahoo"'))
    return elsewhere("fetch", *RUN, environment=OFFLINE)


@step("no-network-series")
def no_network_series() -> str:
    run_file(
        ('symbols = ["ACME"]\nbars = { source = "files", folder = "prices" }',
         'symbols = ["^GSPC"]\nseries = ["DGS10"]\nmacro = { source = "fred" }'),
        ('"ACME"', '"^GSPC"'),
    )  # fmt: skip
    return elsewhere("fetch", *RUN, environment=OFFLINE)


@step("no-key")
def no_key() -> str:
    run_file(
        ('symbols = ["ACME"]\nbars = { source = "files", folder = "prices" }',
         'symbols = ["^GSPC"]\nseries = ["USREC"]\nmacro = { source = "fred" }'),
        ('"ACME"', '"^GSPC"'),
    )  # fmt: skip
    return last_line("fetch", *RUN)


@step("port-taken")
def port_taken() -> str:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        return elsewhere("serve", "--port", str(other.getsockname()[1]))


@step("home-without-rights")
def home_without_rights() -> str:
    """As root modes mean nothing; without these capabilities they do."""
    home = Path.cwd() / "theirs"
    home.mkdir(mode=0o500)
    root = os.geteuid() == 0
    if root:
        os.chown(home, 65534, 65534)
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if root else []
    command = [*drop, str(Path(sys.executable).parent / "forecaster"), "fetch", "--home", str(home)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr[-500:]
    return done.stderr.strip().splitlines()[-1]


@step("home-is-a-file")
def home_is_a_file() -> str:
    Path("taken").write_text("")
    return last_line("fetch", "--home", "taken")


@step("no-database")
def no_database() -> str:
    return last_line("fetch", "--database", "mysql://me:secret@host/prices")


@step("database-away")
def database_away() -> str:
    return last_line("fetch", "--database", "postgresql+psycopg://me:secret@127.0.0.1:9/prices")


@step("old-python")
def old_python() -> str:
    """`make venv` with a Python that says that it is 3.9."""
    stub = Path("python3.9")
    code = "import sys; sys.version_info = (3, 9, 18); exec(sys.argv[2])"
    stub.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{code}' \"$@\"\n")
    stub.chmod(0o700)
    for name in ("pyproject.toml", "constraints.txt", "Makefile"):
        Path(name).write_text((ROOT / name).read_text("utf-8"))
    done = subprocess.run(["make", "venv", "PYTHON=./python3.9"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    return done.stderr.strip().splitlines()[0]


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder to be in, with nothing said by the environment."""
    said = {name: value for name, value in os.environ.items() if name.startswith(("FORECASTER_", "MLFLOW_", "FRED_"))}
    before, warned = Path.cwd(), sys.warnoptions
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        for name in said:
            del os.environ[name]
        try:
            yield Path(place).resolve()
        finally:
            os.chdir(before)
            os.environ.update(said)
            sys.warnoptions = warned


def taken(name: str) -> str:
    """What a step says, without what is of this machine alone."""
    with folder() as here:
        return STEPS[name]().replace(str(here), "~/forecaster").removeprefix("Error: ")


def fill(names: Collection[str]) -> None:
    """Put what steps say into the page, all of them where none is named."""
    text = PAGE.read_text("utf-8")
    for row in list(ROW.finditer(text))[::-1]:
        if names and row["name"] not in names:
            continue
        said = taken(row["name"])
        sys.stdout.write(f"{row['name']}: {said}\n")
        sys.stdout.flush()
        text = text[: row.start("line")] + said + text[row.end("line") :]
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    fill(sys.argv[1:])
