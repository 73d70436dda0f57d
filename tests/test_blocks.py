"""No block of a page goes unchecked: it is run, or held against what reads it; so is a command within a sentence."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from pipelines.config import RunConfig
from pipelines.reading import first_problem, load_toml
from pipelines.webhook import Event, sign
from scripts.pages import BLOCK, COMMAND, DOCS, PAGES
from serving import schemas
from tests import shell

README = shell.ROOT / "README.md"
EXAMPLES = shell.ROOT / "examples"
ALL = (*sorted(DOCS.rglob("*.md")), README)
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+|~~~+)(?P<info>.*)$")
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
OF_THE_SITE = re.compile(r'^ *(?:--8<-- "|===[!+]* "|[!?]{3}[ +])', re.MULTILINE)
"""What only the site's builder would make sense of."""
DEMO = README.read_text("utf-8").partition("<!-- demo -->\n")[0].count("\n") + 2
EVENT = json.loads(Event("alarm", "", date(2018, 12, 3), "", "", "", datetime(2018, 12, 3, tzinfo=UTC)).body())
HISTORY = "log.md"
"""What was typed on a day of the past may be gone."""


@dataclass(frozen=True)
class Fence:
    """A block of a page."""

    page: Path
    line: int
    info: str
    body: str

    @property
    def kind(self) -> str:
        """The language."""
        return self.info.partition(" ")[0]

    @property
    def title(self) -> str | None:
        """The file that it is."""
        found = re.search(r'title="([^"]+)"', self.info)
        return found[1] if found else None


def fences(page: Path) -> Iterator[Fence]:
    """Every block, whatever it calls itself."""
    opened: re.Match[str] | None = None
    start, body = 0, list[str]()
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        mark = FENCE.match(line)
        if opened is None and mark:
            opened, start, body = mark, number, []
        elif opened is not None and line.strip() == opened["ticks"]:
            yield Fence(
                page, start, opened["info"].strip(), "".join(f"{one[len(opened['indent']) :]}\n" for one in body)
            )
            opened = None
        elif opened is not None:
            body.append(line)
    assert opened is None, f"{page.name}:{start} is never closed"


BLOCKS = [fence for page in ALL for fence in fences(page)]
FILES = {page: frozenset(one.title for one in BLOCKS if one.page == page and one.title) for page in ALL}


def complaints(fence: Fence) -> list[str]:
    """What is wrong with a block; by kind, and none goes by."""
    if fence.title or fence.kind == "console":
        if fence.page not in PAGES:
            return ["nobody runs this page"]
        told = "\n".join(one["command"] for one in COMMAND.finditer(fence.body)) if fence.kind == "console" else ""
        return stale(fence) + shell.problems(told, FILES[fence.page])
    if fence.kind in CHECKED:
        return CHECKED[fence.kind](fence)
    return [f"{fence.kind or 'a block without a kind'} is checked by nothing"]


def stale(fence: Fence) -> list[str]:
    """A block that is called as a file of examples/ is that file."""
    if not (fence.title or "").startswith("examples/"):
        return []
    same = fence.body == (shell.ROOT / str(fence.title)).read_text("utf-8")
    return [] if same else [f"{fence.title} is otherwise; put its text into the page"]


def toml(fence: Fence) -> list[str]:
    """Tables that may stand in a run file."""
    return refused(tomllib.loads(fence.body))


def refused(tables: Mapping[str, Any]) -> list[str]:
    """Why a small run does not hold with these tables in the place of its own."""
    run = {**load_toml(EXAMPLES / "one_symbol.toml"), **tables}
    try:
        RunConfig.model_validate(run, context=EXAMPLES)
    except ValidationError as error:
        return [first_problem(error, RunConfig)]
    return []


def json_of_ours(fence: Fence) -> list[str]:
    """An event, or the body of a question or an answer."""
    told = json.loads(fence.body)
    if set(told) == set(EVENT) or any(holds(model, told) for model in bodies()):
        return []
    return [f"no body or event of ours has the keys {sorted(told)}"]


def holds(model: type[BaseModel], told: Mapping[str, Any]) -> bool:
    """Whether it is such a body, with no key beyond."""
    with suppress(ValidationError):
        model.model_validate_json(json.dumps(told))
        return set(told) <= set(model.model_fields)
    return False


def bodies() -> Iterator[type[BaseModel]]:
    """Every model of a body, sent or answered."""
    for module in iter_modules(schemas.__path__, "serving.schemas."):
        for one in vars(import_module(module.name)).values():
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield one


def python(fence: Fence) -> list[str]:
    """Code that is shown and no file: it runs."""
    try:
        names_of(fence)
    except Exception as error:
        return [f"{type(error).__name__}: {error}"]
    return []


def names_of(fence: Fence) -> dict[str, Any]:
    """What a block of Python defines."""
    names: dict[str, Any] = {}
    exec(compile(fence.body, str(fence.page), "exec"), names)  # noqa: S102  # that is what it is for
    return names


def text(fence: Fence) -> list[str]:
    """A drawing or a formula: nothing to type."""
    return [line for line in fence.body.splitlines() if shell.SPOKEN.match(line.removeprefix("$ "))]


def sh(fence: Fence) -> list[str]:
    """What is to be typed, and not run here: it needs Docker, other machines, or minutes."""
    return shell.problems(fence.body, FILES.get(fence.page, frozenset()))


CHECKED = {"toml": toml, "json": json_of_ours, "python": python, "text": text, "sh": sh}


@pytest.mark.parametrize("fence", BLOCKS, ids=lambda fence: f"{fence.page.name}:{fence.line}")
def test_a_block_is_run_or_held_against_what_reads_it(fence: Fence) -> None:
    if fence.page == README and fence.line == DEMO:
        return  # what the demo printed: `make readme`
    assert complaints(fence) == []


def test_an_example_on_a_page_is_the_file() -> None:
    titles = [one.title for one in BLOCKS if one.title and one.title.startswith("examples/")]
    assert sorted(titles) == ["examples/level_series.toml", "examples/one_symbol.toml"]
    for title in titles:
        assert stale(Fence(DOCS / "data.md", 1, f'toml title="{title}"', "x = 1\n"))


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_a_page_reads_in_a_clone_as_on_the_site(page: Path) -> None:
    assert OF_THE_SITE.findall(page.read_text("utf-8")) == []


@pytest.mark.parametrize("page", [page for page in ALL if page.name != HISTORY], ids=lambda page: page.name)
def test_a_command_in_a_sentence_exists(page: Path) -> None:
    spans = SPAN.findall(page.read_text("utf-8"))
    assert [wrong for span in spans for wrong in shell.mentioned(span)] == []


SETTING = re.compile(r"\[(\w+)\](?: (\w+)( = .+)?)?")
"""A table of a run file in a sentence, perhaps with a key of it, perhaps with a value."""


def unset(span: str) -> list[str]:
    """What is wrong with such a setting."""
    found = SETTING.fullmatch(span)
    if found is None or found[1] == "study":
        return []
    table, key, value = found.groups()
    if table not in RunConfig.model_fields:
        return [f"{span}: no such table"]
    if value:
        given = tomllib.loads(f"{key}{value}")
        return refused({table: {**load_toml(EXAMPLES / "one_symbol.toml").get(table, {}), **given}})
    model = RunConfig.model_fields[table].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return [f"{span}: no such key"] if key and key not in model.model_fields else []


@pytest.mark.parametrize("page", [page for page in ALL if page.name != HISTORY], ids=lambda page: page.name)
def test_a_setting_in_a_sentence_exists(page: Path) -> None:
    assert [wrong for span in SPAN.findall(page.read_text("utf-8")) for wrong in unset(span)] == []


@pytest.mark.parametrize("span", ["[nowhere]", "[training] nowhere", "[training] seeds = 0", "[training] nowhere = 1"])
def test_a_wrong_setting_in_a_sentence_is_noticed(span: str) -> None:
    assert unset(span)


def test_every_page_with_commands_is_run() -> None:
    assert {fence.page for fence in BLOCKS if fence.kind == "console"} == set(PAGES)
    for fence in BLOCKS:
        if fence.kind == "console":  # nothing before its first command, which the engine would not see
            assert fence.body.startswith("$ "), fence


def test_what_goes_on_writes_into_a_file() -> None:
    told = [one["command"] for page in PAGES for one in COMMAND.finditer(page.read_text("utf-8"))]
    going = [command for command in told if command.endswith(" &")]
    assert going
    assert [command for command in going if not command.endswith(" 2>&1 &")] == []  # else its page waits for its end


def test_the_engine_sees_every_block_of_its_pages() -> None:
    for page in PAGES:
        seen = len(list(BLOCK.finditer(page.read_text("utf-8"))))
        assert seen == sum(fence.page == page for fence in BLOCKS), page.name


def test_who_is_told_can_check_that_it_was_us() -> None:
    (shown,) = (fence for fence in BLOCKS if fence.page.name == "observability.md" and fence.kind == "python")
    is_ours = names_of(shown)["is_ours"]
    body = b'{"event": "alarm"}'
    header = f"sha256={sign('shared', body)}"
    assert is_ours("shared", body, header)
    assert not is_ours("shared", body + b" ", header)


WRONG = {
    "sh": (
        "forecaster nonsense",
        "forecaster demo --nope",
        "forecaster serve --port many",
        "forecaster forecast",
        "forecaster key create x --days soon",
        "curl -s http://127.0.0.1:8000/v1/nowhere",
        "make nowhere",
        "python -m benchmarks.nowhere",
        "python -m benchmarks.leaks --nowhere",
        "python scripts/nowhere.py",
        "python -c 'no python'",
        "pytest -q tests/nowhere.py",
        "pip install 'forecaster[nowhere]'",
        "docker compose up nowhere",
        "docker compose run --rm worker forecaster nowhere",
        "ray start --nowhere",
        "nowhere --at all",
        "cp a b && forecaster nonsense > c 2>&1 &",
        "for one in a b; do forecaster nonsense; done",
        "for one in a b; do",
    ),
    "toml": ("[window]\nburn = 3\n", '[[models]]\nname = "naive"\nfamily = "nowhere"\n', "[nowhere]\nx = 1\n"),
    "json": ('{"event": "alarm", "nowhere": 1}',),
    "python": ("import nowhere", "1 / 0"),
    "text": ("forecaster demo", "$ make demo"),
    "": ("anything",),
    "cobol": ("anything",),
    "console": ("$ true",),
    'python title="x.py"': ("x = 1",),
}


@pytest.mark.parametrize(("info", "body"), [(info, body) for info, bodies in WRONG.items() for body in bodies])
def test_a_wrong_block_is_noticed(info: str, body: str) -> None:
    assert complaints(Fence(DOCS / "evidence.md", 1, info, f"{body}\n"))  # a page that nobody runs


@pytest.mark.parametrize(
    "code",
    [
        "forecaster key drop ID",
        "forecaster work [--nope]",
        "forecaster work [--catch-up latest\\|some]",
        "make nowhere",
    ],
)
def test_a_wrong_command_in_a_sentence_is_noticed(code: str) -> None:
    assert shell.mentioned(code)
