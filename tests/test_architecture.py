"""What the house promises about itself. The import law is `.importlinter`, run by `make check`."""

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

from forecaster.families import AnyFamily

ROOT = Path(__file__).parent.parent
SOURCES = [path for folder in ("forecaster", "pipelines", "serving") for path in (ROOT / folder).rglob("*.py")]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.body[-1].end_lineno is not None
            documented = isinstance(node.body[0], ast.Expr) and len(node.body) > 1
            first = node.body[1 if documented else 0].lineno
            allowed = 80 if "migrations" in path.parts else 45
            assert node.body[-1].end_lineno - first <= allowed, node.name


def test_every_family_is_documented_and_in_a_run_file_that_ships() -> None:
    table = (ROOT / "docs" / "families.md").read_text("utf-8")
    paths = (path for folder in ("pipelines/configs", "examples") for path in (ROOT / folder).glob("*.toml"))
    runs = "\n".join(path.read_text("utf-8") for path in paths)
    for member in get_args(get_args(AnyFamily)[0]):
        family = member.model_fields["family"].default
        assert f"`{family}`" in table
        assert f'family = "{family}"' in runs


def test_every_command_is_in_the_reference_and_every_route_in_the_docs() -> None:
    from serving.app import create_app
    from serving.settings import Settings

    reference = (ROOT / "docs" / "reference.md").read_text("utf-8")
    rooms = [
        (ROOT / "pipelines" / f"{name}.py").read_text("utf-8") for name in ("cli", "proving", "working", "keeping")
    ]
    commands = re.findall(r"@app\.command\(\)\ndef (\w+)\(", "".join(rooms))
    assert len(commands) == 26
    assert [command for command in commands if f"`forecaster {command.replace('_', '-')}`" not in reference] == []
    pages = (ROOT / "docs" / "serving.md").read_text("utf-8")
    for route in create_app(Settings()).openapi()["paths"]:
        assert route.split("{")[0] in pages, route


def test_every_claim_has_a_command_that_exists() -> None:
    page = (ROOT / "docs" / "evidence.md").read_text("utf-8")
    for section in ("main job", "data", "ladder", "comparison", "serving", "jobs", "speed"):
        assert f"## {section}" in page
    rows = re.findall(r"^\| [^|]+ \| `([^`]+)` \|", page, re.MULTILINE)
    assert rows
    for command in rows:
        for path in re.findall(r"(?:tests|scripts|benchmarks)/[\w/]+\.py", command):
            assert (ROOT / path).is_file(), command
        for module in re.findall(r"-m (benchmarks\.\w+)", command):
            assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), command
