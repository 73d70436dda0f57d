"""Write docs/reference.md out of the code: commands, run files, HTTP, settings, metrics, errors: `make reference`."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from forecaster import errors
from forecaster.families import AnyFamily
from forecaster.families.base import TrainedFamily
from pipelines.cli import app as commands
from pipelines.config import RunConfig
from pipelines.metrics import WorkerMetrics
from pipelines.sources.files import Release
from pipelines.sources.registry import AnyBars, AnyMacro
from pipelines.study.config import Design
from serving import problems
from serving.app import create_app
from serving.settings import Settings

PAGE = Path(__file__).parent.parent / "docs" / "reference.md"
HEAD = """# Reference

Made from the code by `make reference`; a test holds it against the code.
"""
COMMON = ("home", "run", "as_json", "database", "tracking", "workers", "engine", "address", "recorded_only")
ALWAYS = "The same in every command that has them, left out below:"


def page() -> str:
    """The whole page."""
    parts = (commands_part, run_part, http_part, settings_part, metrics_part, errors_part)
    return "\n".join([HEAD, *("\n".join(part()) + "\n" for part in parts)])


def commands_part() -> Iterator[str]:
    """Every command with its arguments and options."""
    found = dict(_commands(get_command(commands), "forecaster"))
    shared = {option.name: option for one in found.values() for option in one.params if option.name in COMMON}
    yield from ("## Commands", "", ALWAYS, "")
    yield from _table(("option", "variable", "default", ""), (_option(shared[name]) for name in COMMON))
    yield from ("", "Exit codes: 0 done, 1 failed with one line on stderr, 2 wrong usage.")
    for name, command in found.items():
        yield from ("", f"### `{name}`", "", (command.help or "").strip())
        own = [one for one in command.params if one.name not in COMMON and one.name != "help"]
        if own:
            yield ""
            yield from _table(("", "variable", "default", ""), map(_option, own))


def _commands(command: TyperCommand | TyperGroup, name: str) -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, TyperGroup):
        for word, below in command.commands.items():
            yield from _commands(below, f"{name} {word}")
    else:
        yield name, command


def _option(one: TyperArgument | TyperOption) -> tuple[str, ...]:
    variable = f"`{one.envvar}`" if isinstance(one.envvar, str) else ""
    default = one.default if isinstance(one.default, str | int | float | Path) and one.default is not False else None
    if isinstance(one, TyperArgument):
        word = f"`{one.name.upper()}`" + ("..." if one.nargs == -1 else "")
    else:
        word = ", ".join(f"`{flag}`" for flag in one.opts)
    shown = "needed" if one.required else "" if default is None else f"`{default}`"
    return word, variable, shown, str(getattr(one, "help", None) or "")


def run_part() -> Iterator[str]:
    """Every table of a run file and of a study, every source, every family."""
    yield from ("## Run files", "", "One TOML file; a key that is not here is refused, and told which there are.")
    for name, field in RunConfig.model_fields.items():
        if name != "models":
            yield from _keys(f"[{name}]", _model(field.annotation))
    bars, macro = _members(AnyBars), _members(AnyMacro)
    for source in dict.fromkeys((*bars, *macro)):
        tables = " and ".join(f"[data.{name}]" for name, union in (("bars", bars), ("macro", macro)) if source in union)
        yield from _keys(f'{tables} source = "{source.model_fields["source"].default}"', source, skip={"source"})
    yield from _keys("[data.macro.publications] SERIES", Release)
    yield from _keys("[[models]] of a trained family", TrainedFamily)
    shared = set(TrainedFamily.model_fields) | {"family"}
    for member in _members(AnyFamily):
        trained = issubclass(member, TrainedFamily)
        skip = shared if trained else {"family"}
        yield from _keys(f'[[models]] family = "{member.model_fields["family"].default}"', member, skip)
    yield from _keys("[study]", Design)


def _keys(title: str, model: type[BaseModel], skip: Iterable[str] = ()) -> Iterator[str]:
    told = _documented(model)
    first = (inspect.getdoc(model) or "").split("\n")[0]
    yield from ("", f"### `{title}`", "", first, "")
    keys = [(name, field) for name, field in model.model_fields.items() if name not in set(skip)]
    rows = ((f"`{name}`", _kind(field.annotation), _default(field), told.get(name, "")) for name, field in keys)
    yield from _table(("key", "kind", "default", ""), rows) if keys else ("No keys of its own.",)


@cache
def _documented(model: type[BaseModel]) -> Mapping[str, str]:
    """What stands below each field of a class and of those it comes from."""
    told: dict[str, str] = {}
    ours = [one for one in model.__mro__ if one.__module__.split(".")[0] in ("forecaster", "pipelines", "serving")]
    for ancestor in reversed(ours):
        written = ast.parse(textwrap.dedent(inspect.getsource(ancestor))).body[0]
        body = written.body if isinstance(written, ast.ClassDef) else []
        for field, below in pairwise(body):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                    told[name] = " ".join(words.split())
    return told


def _kind(annotation: Any) -> str:
    """A type as somebody says it who writes TOML."""
    if get_origin(annotation) is Annotated:
        return _kind(get_args(annotation)[0])
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) is Literal:
        return " or ".join(f'"{part}"' for part in parts)
    if get_origin(annotation) is tuple:
        return f"list of {_kind(parts[0])}"
    if get_origin(annotation) is dict:
        return "table"
    if parts:
        return " or ".join(dict.fromkeys(map(_kind, parts)))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", date: "date", Path: "path"}
    return names.get(annotation, "name of a model")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}):
        return ""
    if isinstance(value, BaseModel):
        source = getattr(value, "source", None)
        return f'`{{ source = "{source}" }}`' if source else ""
    shown = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
    return f"`{shown or (chr(34) + value + chr(34) if isinstance(value, str) else value)}`"


def _members(union: Any) -> tuple[type[BaseModel], ...]:
    return get_args(get_args(union)[0])


def _model(annotation: Any) -> type[BaseModel]:
    return next(part for part in (annotation, *get_args(annotation)) if isinstance(part, type))


def http_part() -> Iterator[str]:
    """Routes, and the problems that they answer."""
    yield from ("## HTTP", "", "### Routes", "", "With all fields: `/docs` of a running service.", "")
    paths = create_app(Settings()).openapi()["paths"]
    rows = (
        (f"`{method.upper()} {path}`", one.get("summary", ""), ", ".join(sorted(one["responses"])))
        for path, methods in paths.items()
        for method, one in methods.items()
    )
    yield from _table(("route", "question", "statuses"), rows)
    yield from (
        "",
        "### Problems",
        "",
        "Bodies of `application/problem+json`; `type` is `urn:forecaster:` and the slug.",
        "",
    )
    kinds = {*problems.KINDS.values(), *(one for one in vars(problems).values() if isinstance(one, problems.Kind))}
    causes: dict[problems.Kind, list[str]] = {}
    for error, kind in problems.KINDS.items():
        causes.setdefault(kind, []).append(f"`{error.__name__}`")
    ordered = sorted(kinds, key=lambda kind: (kind.status, kind.slug))
    yield from _table(
        ("status", "slug", "title", "error"),
        ((str(kind.status), f"`{kind.slug}`", kind.title, ", ".join(causes.get(kind, ()))) for kind in ordered),
    )


def settings_part() -> Iterator[str]:
    """Environment variables of the service."""
    yield from ("## Settings of the service", "")
    told = _documented(Settings)
    rows = (
        (f"`FORECASTER_{name}`".upper(), "processors" if name == "concurrency" else _default(field), told[name])
        for name, field in Settings.model_fields.items()
    )
    yield from _table(("variable", "default", ""), rows)


def metrics_part() -> Iterator[str]:
    """What Prometheus reads."""
    app = create_app(Settings())
    app.state.looked_at = app.state.clock()  # one metric is the time since then
    registries = {"service": app.state.metrics.registry, "worker": WorkerMetrics().registry}
    for who, registry in registries.items():
        yield from (f"## Metrics of the {who}", "")
        yield from _table(("metric", "kind", ""), _metrics(registry))
        yield from ("",) if who == "service" else ()


def _metrics(registry: CollectorRegistry) -> Iterator[tuple[str, str, str]]:
    for family in registry.collect():
        if not family.name.startswith("process_"):
            name = family.name + ("_total" if family.type == "counter" else "")
            yield f"`{name}`", family.type, family.documentation


def errors_part() -> Iterator[str]:
    """The tree of errors, as its module draws it."""
    (drawn,) = re.findall(r"^    ForecasterError$.*?^$", inspect.getdoc(errors) or "", re.DOTALL | re.MULTILINE)
    yield from ("## Errors", "", "Each is one line on stderr, or one of the problems above.", "")
    yield from ("```text", textwrap.dedent(drawn).rstrip(), "```")


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """A table, without columns that say nothing in any row."""
    told = list(rows)
    full = [place for place in range(len(heads)) if any(row[place] for row in told)]
    yield "| " + " | ".join(heads[place] for place in full) + " |"
    yield "|" + "---|" * len(full)
    for row in told:
        yield "| " + " | ".join(row[place].replace("|", "\\|") for place in full) + " |"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
