"""What the docs say exists, exists, and the other way round; the example of a feature runs."""

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import BaseModel
from typer.core import TyperGroup
from typer.main import get_command

from forecaster.calendars import trading_calendar
from forecaster.contract import WindowSpec
from forecaster.errors import ForecasterError
from forecaster.families import AnyFamily
from forecaster.features import FEATURES
from forecaster.store.visits import Status
from pipelines.cli import app
from pipelines.config import RunConfig, load_config
from pipelines.fetch import Fetched
from pipelines.metrics import WorkerMetrics
from pipelines.plugins import load_features
from pipelines.sources.registry import AnyBars, AnyMacro
from pipelines.study.config import Design
from scripts import reference
from serving.app import create_app
from serving.problems import KINDS
from serving.settings import Settings
from tests.serving.page_server import chromium

ROOT = Path(__file__).resolve().parents[1]
CHANNELS = (ROOT / "docs" / "channels.md").read_text("utf-8")
COMMAND = "forecaster demo --run examples/one_symbol.toml"
DATA = (ROOT / "docs" / "data.md").read_text("utf-8")


def test_every_feature_has_its_row_with_unit_and_warm_up():
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| (\d+) \|", CHANNELS, re.MULTILINE)
    assert rows == [(name, one.unit, str(one.warm_up)) for name, one in FEATURES.items()]


def test_every_source_and_its_keys_have_their_row():
    sources = {member for union in (AnyBars, AnyMacro) for member in get_args(get_args(union)[0])}
    for source in sources:
        (row,) = re.findall(rf"^\| `{source.model_fields['source'].default}` \|.*$", DATA, re.MULTILINE)
        keys = set(re.findall(r"`(\w+)`", row.split("|")[4]))
        assert keys == set(source.model_fields) - {"source"}


@pytest.mark.parametrize("status", get_args(Status))
def test_every_status_of_a_fetch_is_explained(status):
    assert f"`{status}`" in DATA


def test_every_field_of_a_fetch_is_explained():
    assert [name for name in Fetched.__dataclass_fields__ if f"`{name}`" not in DATA] == ["subject"]


def test_the_example_of_a_feature_is_one(tmp_path):
    (code,) = re.findall(r"```python title=\"my_features.py\"\n(.*?)```", CHANNELS, re.DOTALL)
    (tmp_path / "my_features.py").write_text(code)
    added = load_features(["my_features"], tmp_path)
    assert set(added) - set(FEATURES) == {"below_high"}
    from forecaster.facts import Facts
    from forecaster.panel import build_panel

    calendar = trading_calendar("XNYS", *(np.datetime64(day).astype(object) for day in ("2020-01-02", "2020-06-30")))
    close = 100 + np.arange(len(calendar.sessions)) % 7.0
    values = np.column_stack([close] * 5 + [np.full_like(close, np.nan)])
    facts = Facts.of(np.full(len(close), "T"), calendar.sessions, calendar.cutoffs, values)
    column = added["below_high"](build_panel(facts, "T", [], calendar), "T")
    assert np.isnan(column[:20]).all()
    np.testing.assert_allclose(column[20:], np.log(close[20:] / 106.0))


def test_every_shipped_run_file_loads():
    paths = sorted((ROOT / "pipelines" / "configs").glob("*.toml"))
    runs = [path for path in paths if not path.name.startswith("study")]  # a study file has a table more
    assert [path.name for path in runs] == ["classic.toml", "demo.toml"]
    assert len(paths) == 4
    for path in runs:
        assert WindowSpec.model_validate(load_config(path).window.model_dump())


def commands(group: TyperGroup, name: str) -> Iterator[str]:
    for word, below in group.commands.items():
        yield from commands(below, f"{name} {word}") if isinstance(below, TyperGroup) else (f"{name} {word}",)


def keys(model: type[BaseModel]) -> Iterator[str]:
    """Every key of a table and of the tables in it."""
    for name, field in model.model_fields.items():
        yield name
        for inner in models(field.annotation):
            yield from keys(inner) if inner is not model else ()


def models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [one for part in get_args(annotation) for one in models(part)]


def errors(above: type[ForecasterError]) -> Iterator[str]:
    for error in above.__subclasses__():
        if error.__module__.startswith("forecaster."):
            yield error.__name__
            yield from errors(error)


def test_the_reference_is_what_the_code_says():
    assert reference.PAGE.read_text("utf-8") == reference.page(), "run `make reference`"


def names() -> dict[str, set[str]]:
    """All that can be typed, asked or met, by kind."""
    tables = [RunConfig, Design, *get_args(get_args(AnyFamily)[0])]
    tables = [table for table in tables if table.__name__ != "PoolFamily"]  # its members are all of them
    service = create_app(Settings())
    service.state.looked_at = service.state.clock()  # one metric is the time since then
    registries = (service.state.metrics.registry, WorkerMetrics().registry)
    return {
        "commands": set(commands(get_command(app), "forecaster")),
        "keys": {key for table in tables for key in keys(table)},
        "families": {str(member.model_fields["family"].default) for member in get_args(get_args(AnyFamily)[0])},
        "routes": set(service.openapi()["paths"]),
        "metrics": {one.name for registry in registries for one in registry.collect() if "process" not in one.name},
        "errors": set(errors(ForecasterError)),
        "problems": {kind.slug for kind in KINDS.values()},
    }


NAMES = names()
REFERENCE = (ROOT / "docs" / "reference.md").read_text("utf-8")
MADE = ("reference.md", "performance.md", "log.md", "evidence.md")
"""Made from the code, or kept as a record."""
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
WRITTEN = "\n".join(path.read_text("utf-8") for path in PAGES if path.name not in MADE)
"""What somebody wrote to be read."""
INWARD = {kind.slug for kind in KINDS.values() if kind.status in (500, 502)}
"""No operation answers them on purpose: they are of commands, and in the reference."""


def said(kind: str, name: str) -> re.Pattern[str]:
    """A mention of a name: of it, and not of a longer one that holds it."""
    patterns = {
        "keys": rf"`\[*{name}\]*[ `]|\b{name} = \"",
        "families": rf"`{name}`|family = \"{name}\"",
        "metrics": rf"\b{name}(?:_total)?\b",
        "problems": rf"`(?:urn:forecaster:)?{name}`",
    }
    return re.compile(patterns.get(kind, rf"(?<![\w/]){re.escape(name)}(?![\w/{{-])"))


def unsaid(kind: str, text: str) -> set[str]:
    """Names that a text does not mention."""
    return {name for name in NAMES[kind] if not said(kind, name).search(text)}


@pytest.mark.parametrize("kind", NAMES)
def test_all_that_can_be_typed_asked_or_met_is_in_the_reference(kind):
    assert len(NAMES[kind]) >= 10
    assert unsaid(kind, REFERENCE) == set()


@pytest.mark.parametrize("kind", ["commands", "families", "routes", "metrics", "problems"])
def test_what_a_user_meets_is_on_a_page_that_somebody_wrote(kind):
    assert unsaid(kind, WRITTEN) - INWARD == set()


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("place", [REFERENCE, WRITTEN], ids=["reference", "written"])
def test_a_name_that_is_taken_out_is_missed(kind, place):
    name = max(NAMES[kind] - unsaid(kind, place), key=len)
    assert name in unsaid(kind, said(kind, name).sub("", place))


@pytest.mark.parametrize("kind", NAMES)
def test_no_name_is_said_by_another_that_holds_it(kind):
    for name in NAMES[kind]:
        others = " ".join(f"`{other}`" for other in NAMES[kind] - {name})
        assert not said(kind, name).search(others), name


def test_every_row_of_the_reference_says_something():
    silent = set()
    for table in re.findall(r"(?:^\|.*\n)+", REFERENCE, re.MULTILINE):
        head, _, *rows = table.splitlines()
        if head.endswith("|  |"):  # its last column explains
            silent |= {row.split("|")[1].strip(" `") for row in rows if not row.split("|")[-2].strip()}
    assert silent == set()


def test_every_command_family_and_table_says_what_it_is():
    sections = re.findall(r"^### `(.+)`\n\n(.*)\n", REFERENCE, re.MULTILINE)
    assert len(sections) > len(NAMES["commands"]) + len(NAMES["families"])
    assert [title for title, first in sections if not re.match(r"[A-Z`].*[.:]$", first)] == []
    drawn = re.findall(r"[├└]─ (\w+)[^ ]*(?: \w+\))? *(.*)", REFERENCE)
    assert len(drawn) > 30
    assert [name for name, words in drawn if not words] == []


def built(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(site)]  # --quiet would swallow warnings
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = built(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(site):
    assert (site / "first-forecast.html").is_file()
    assert (site / "decisions" / "0001-onnx-is-the-border.html").is_file()
    told = re.sub(r"<[^>]*>", "", (site / "deploy.html").read_text("utf-8"))
    assert "curl -sSf --retry" in told  # README's block
    loaded = re.compile(r"<(?:script|img|link)[^>]+(?:src|href)=\"?(?:https?:)?//")
    assert [path.name for path in site.rglob("*.html") if loaded.search(path.read_text("utf-8"))] == []


def test_what_is_copied_from_a_terminal_is_what_was_typed(site):
    handler = partial(SimpleHTTPRequestHandler, directory=str(site))  # a page that was only opened has no clipboard
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, chromium() as browser:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_context(permissions=["clipboard-read", "clipboard-write"]).new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/first-forecast.html")
        block = page.locator(".highlight", has_text=f"$ {COMMAND}")
        block.locator(".md-code__button").click(force=True)
        page.wait_for_function("navigator.clipboard.readText().then((text) => text.length > 0)")
        assert page.evaluate("navigator.clipboard.readText()").strip() == COMMAND
        assert f"$ {COMMAND}\nfetched" in block.inner_text()
        server.shutdown()


@pytest.mark.parametrize("link", ["[x](nowhere.md)", "[x](data.md#nowhere)", "[x](../nowhere.py)"])
def test_a_dead_link_fails_the_build(tmp_path, link):
    root = tmp_path / "clone"
    for name in ("docs", "scripts", "examples"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("mkdocs.yml", "README.md"):
        shutil.copy(ROOT / name, root)
    page = root / "docs" / "jobs.md"
    page.write_text(page.read_text("utf-8") + f"\n{link}\n")
    done = built(root, tmp_path / "site")
    assert done.returncode != 0
    assert "nowhere" in done.stderr
