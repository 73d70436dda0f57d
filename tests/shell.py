"""Lines of a shell, as pages tell to type them, held against what there is; nothing is run but `bash -n`."""

import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from typer.main import get_command

from pipelines.cli import app
from pipelines.engines.cluster import OWN, SETTINGS
from serving.app import create_app
from serving.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
TOOLS = {"bash", "cat", "chmod", "cp", "curl", "cut", "export", "git", "grep", "head", "mkdir", "node", "openssl"}
TOOLS |= {"patch", "pg_dump", "printf", "rm", "sed", "tail"}
"""Programs of others whose words nobody checks here; of curl the address is checked, wherever it stands."""
WORDS = frozenset(("do", "done", "for", "echo", ".", "!"))
"""Of the shell itself."""
STEPS = re.compile(r"&&|\|\||[|;&()]+")
TARGETS = frozenset(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
INNER = re.compile(r"\$\(((?:\"[^\"]*\"|[^()\"])*)\)")
PLACE = re.compile(r"[A-Z_]+")
SERVICE = re.compile(r"(?:http://)?(?:localhost|127\.0\.0\.1):8000(/[^?#]*)?")


class Wrong(Exception):
    """What a page tells to type is not there."""


def problems(text: str, made: frozenset[str] = frozenset()) -> list[str]:
    """What is wrong with lines of a shell; `made` are files that the page writes before."""
    checked = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    found = [checked.stderr] if checked.returncode else []
    for line in re.sub(r"\\\n", " ", text).splitlines():
        for words in steps(line):
            try:
                program(words, made)
            except Wrong as error:
                found.append(f"{line}: {error}")
    return found


def steps(line: str) -> Iterator[list[str]]:
    """The words of each command of a line, without what it is given by `NAME=...` and where its output goes."""
    while inner := INNER.search(line):  # $(...): what stands in it, and then a word
        yield from steps(inner[1])
        line = line[: inner.start()] + "PRINTED" + line[inner.end() :]
    line = re.sub(r"\s\d(?=[<>])", " ", line)  # the number of a stream
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    tokens = iter(lexer)
    for token in tokens:
        if STEPS.fullmatch(token):
            yield from (words,) if words else ()
            words = []
        elif set(token) <= set("<>&"):  # a file follows, or the number of another stream
            next(tokens)
        elif words or not re.match(r"\w+=", token):
            words.append(token)
    yield from (words,) if words else ()


def program(words: list[str], made: frozenset[str]) -> None:
    """A command with its words."""
    while words and words[0] in ("do", "!", "nice"):
        words = words[1:]
    name = words[0].removeprefix(".venv/bin/") if words else "done"
    if name in READERS:
        READERS[name](words[1:], made)
    elif name not in TOOLS | WORDS:
        raise Wrong(f"{name} is no program that is known here")
    for word in words:
        if place := SERVICE.match(word):
            require_route(place[1] or "/")


def forecaster(words: list[str], _made: frozenset[str] = frozenset(), *, whole: bool = True) -> None:
    """A command, options and values that the command line takes; all that it needs, unless it is only spoken of."""
    command = get_command(app)
    if words[-1:] == ["--help"]:
        words, whole = words[:-1], False
    while hasattr(command, "commands"):
        if not words:  # it says what there is
            return
        if words[0] in [option for parameter in command.params for option in parameter.opts]:
            return
        if words[0] not in command.commands:
            raise Wrong(f"no command {words[0]}")
        command, words = command.commands[words[0]], words[1:]
    context = type(command).context_class(command)
    try:
        given, left, _ = command.make_parser(context).parse_args(list(words))
    except Exception as error:
        raise Wrong(str(error)) from error
    if left:
        raise Wrong(f"{command.name} does not take {left}")
    for parameter in command.params:
        value = given.get(parameter.name)
        if parameter.required and not value and whole:
            raise Wrong(f"{command.name} needs {parameter.name}")
        for choice in value.split("|") if isinstance(value, str) else [value] if value else []:
            require_value(parameter, choice, context)


def require_value(parameter: Any, value: Any, context: Any) -> None:
    """A value that an option takes, unless it is a word in capitals: that stands for the reader's own."""
    own = [value] if isinstance(value, str) else value if isinstance(value, list | tuple) else []
    try:
        if not any(PLACE.fullmatch(one) or one.startswith("$") for one in own):
            parameter.process_value(context, value)
    except Exception as error:
        raise Wrong(f"{parameter.name}: {error}") from error


@cache
def routes() -> list[re.Pattern[str]]:
    """Paths that the service answers, a parameter being any segment."""
    known = [*create_app(Settings()).openapi()["paths"], "/", "/docs", "/openapi.json"]
    return [re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for path in known]


def require_route(path: str) -> None:
    """The service has such a path."""
    if not any(route.fullmatch(path) for route in routes()):
        raise Wrong(f"no route {path}")


def make(words: list[str], _made: frozenset[str]) -> None:
    """Targets of the Makefile."""
    for word in words:
        if word not in TARGETS and not word.startswith("-") and "=" not in word:
            raise Wrong(f"no target {word}")


def python(words: list[str], made: frozenset[str]) -> None:
    """A module, a file, or code."""
    match words:
        case ["-c", code]:
            try:
                compile(code, "-c", "exec")
            except SyntaxError as error:
                raise Wrong(str(error)) from error
        case ["-m", "pytest", *rest]:
            pytest(rest, made)
        case ["-m", module, *rest]:
            at = ROOT / Path(*module.split("."))
            files = [path for path in (at.with_suffix(".py"), at / "__main__.py") if path.is_file()]
            if not files and module not in ("json.tool", "venv"):
                raise Wrong(f"no module {module}")
            require_options(rest, files)
        case [script, *rest]:
            if script not in made and not (ROOT / script).is_file():
                raise Wrong(f"no file {script}")
            require_options(rest, [ROOT / script] if script not in made else [])


def require_options(words: list[str], files: list[Path]) -> None:
    """The program names each option, itself or in the benchmarks that it is made of."""
    said = "".join(path.read_text("utf-8") for path in files)
    if "benchmarks" in said:
        said += "".join(path.read_text("utf-8") for path in (ROOT / "benchmarks").glob("*.py"))
    for word in words:
        if files and word.startswith("--") and f'"{word.partition("=")[0]}"' not in said:
            raise Wrong(f"{files[0].relative_to(ROOT)} has no option {word}")


def pytest(words: list[str], _made: frozenset[str]) -> None:
    """Tests that there are."""
    for word in words:
        if word.startswith("tests/") and not (ROOT / word.partition("::")[0]).exists():
            raise Wrong(f"no {word}")


def pip(words: list[str], _made: frozenset[str]) -> None:
    """Extras and constraints that there are."""
    for word in words:
        for extra in re.findall(r"^(?:forecaster|\.)\[([\w,]+)\]", word):
            if set(extra.split(",")) - set(EXTRAS):
                raise Wrong(f"no extra {extra}")
        if word.endswith(".txt") and not (ROOT / word).is_file():
            raise Wrong(f"no file {word}")


def docker(words: list[str], made: frozenset[str]) -> None:
    """Services of the compose file, and what is run in them."""
    if words[:1] != ["compose"]:
        raise Wrong("only docker compose is spoken of")
    left = [word for word in words[1:] if not word.startswith("-")]
    profiles = {profile for one in COMPOSE.values() for profile in one.get("profiles", ())}
    left = left[1:] if "--profile" in words and left[0] in profiles else left
    verb, *rest = left
    services = {word.partition("=")[0] for word in (rest[:1] if verb in ("run", "exec") else rest)}
    if services - set(COMPOSE):
        raise Wrong(f"no service {', '.join(sorted(services - set(COMPOSE)))}")
    if verb in ("run", "exec"):
        program(words[words.index(rest[0]) + 1 :], made)
    elif verb not in ("up", "build", "stop", "logs", "down"):
        raise Wrong(f"docker compose {verb} is not known here")


def ray_command(words: list[str], _made: frozenset[str]) -> None:
    """A command of the Ray that is installed."""
    # Here and no earlier: ray reads its settings when it is imported.
    for name, value in (SETTINGS | OWN).items():
        os.environ.setdefault(name, value)
    from ray.scripts.scripts import cli as ray

    try:
        ray.commands[words[0]].make_context(words[0], list(words[1:]))
    except Exception as error:
        raise Wrong(f"ray {words[0]}: {error}") from error


READERS: dict[str, Callable[[list[str], frozenset[str]], None]] = {
    "forecaster": forecaster,
    "make": make,
    "python": python,
    "python3": python,
    "pytest": pytest,
    "pip": pip,
    "docker": docker,
    "ray": ray_command,
    **dict.fromkeys(("lint-imports", "mypy", "ruff"), lambda _words, _made: None),
}
SPOKEN = re.compile(rf"(?:\.venv/bin/)?(?:{'|'.join(READERS)}|curl)(?: |$)")


def mentioned(code: str) -> list[str]:
    """What is wrong with a command in the midst of a sentence, whose words may be left out or in brackets."""
    if not SPOKEN.match(code):
        return []
    code = code.replace("\\|", "|")
    words = shlex.split(code)
    try:
        if Path(words[0]).name == "forecaster":
            told = re.sub(r"[\[\]]", "", code.partition(", ")[0])  # `forecaster serve, ready` is a row of a table
            forecaster(shlex.split(told)[1:], whole=False)
        else:
            program(words, frozenset())
    except Wrong as error:
        return [f"{code}: {error}"]
    return []
