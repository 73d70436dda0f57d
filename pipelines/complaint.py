"""What is wrong with a file's tables, in one line: the one place where pydantic's errors become words."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from forecaster.spelling import guess

_WANTED = MappingProxyType(
    {
        "tuple_type": "must be a list in [ ]",
        "list_type": "must be a list in [ ]",
        "dict_type": "must be a table",
        "model_type": "must be a table",
        "model_attributes_type": "must be a table",
        "string_type": "must be text in quotes",
        "int_type": "must be a whole number",
        "int_parsing": "must be a whole number",
        "int_from_float": "must be a whole number",
        "float_type": "must be a number",
        "float_parsing": "must be a number",
        "bool_type": "must be true or false",
        "bool_parsing": "must be true or false",
        "date_type": "must be a date like 2015-01-31",
        "date_parsing": "must be a date like 2015-01-31",
        "date_from_datetime_parsing": "must be a date like 2015-01-31",
        "greater_than": "must be above {gt}",
        "greater_than_equal": "must be at least {ge}",
        "less_than": "must be below {lt}",
        "less_than_equal": "must be at most {le}",
        "literal_error": "must be {expected}",
        "too_short": "must have at least {min_length}",
    }
)
"""Kind of error -> what stands there in a sound file."""


def first_problem(error: ValidationError, model: type[BaseModel], *table: str) -> str:
    """What is wrong, in one line. A key that does not exist comes first: what is missing may be it, mistyped.

    Arguments:
        model: What was validated.
        table: Where it stands in the file.
    """
    found = error.errors(include_url=False)
    first = min(found, key=lambda one: one["type"] != "extra_forbidden")
    loc, kind = first["loc"], first["type"]
    where = _where(model, (*table, *loc), len(table))
    if kind == "extra_forbidden":
        allowed = _allowed(model, loc[:-1])
        lacking = [str(one["loc"][-1]) for one in found if one["type"] == "missing" and one["loc"][:-1] == loc[:-1]]
        near = guess(str(loc[-1]), lacking) or guess(str(loc[-1]), allowed) or ";"
        return f"unknown key {where!r}{near} allowed here: {', '.join(allowed)}"
    if kind == "union_tag_invalid":
        named, tags = first["ctx"]["discriminator"].strip("'"), first["ctx"]["expected_tags"]
        near = guess(first["ctx"]["tag"], tags.replace("'", "").split(", ")) or ";"
        return f"{where}: unknown {named} {first['ctx']['tag']!r}{near} allowed: {tags}"
    if kind in ("missing", "union_tag_not_found"):
        lacks = where if kind == "missing" else f"{where}.{first['ctx']['discriminator'].strip(chr(39))}"
        return f"{lacks!r} is missing; write {_lacked(model, loc)}"
    if kind in ("tuple_type", "list_type") and isinstance(first["input"], dict):
        return f"{where}: must be a list of tables; write [[{where}]] above each, not [{where}]"
    return f"{where}: {_said(kind, first)}" if where else _said(kind, first)


def _lacked(model: type[BaseModel], loc: Sequence[int | str]) -> str:
    """What is to be written for a key that must be there."""
    members = _members(model, loc)
    if len(members) != 1:
        return "a line for it" if not members or len(loc) > 1 else f"[[{loc[0]}]] with a family and a name"
    needed = [name for name, field in members[0].model_fields.items() if field.is_required()]
    return f"[{loc[0]}] with {', '.join(needed)}"


def _said(kind: str, first: Mapping[str, Any]) -> str:
    if kind not in _WANTED:
        return str(first["msg"]).removeprefix("Value error, ")
    given = first["input"]
    shown = "" if isinstance(given, dict | list) and given else f", not {given!r:.40}"
    return _WANTED[kind].format(**first.get("ctx", {})) + shown


def _where(model: type[BaseModel], loc: Sequence[int | str], above: int) -> str:
    """A place as dotted keys, without the tags that pydantic puts between them; models are counted from 1."""
    kept = [str(part) for part in loc[:above]]
    for place in range(above, len(loc)):
        part, before = loc[place], loc[above:place]
        if isinstance(part, int):
            kept.append(str(part + 1))
        elif not (_is_tag(model, before, part) and "models" not in before):
            kept.append(part)
    return ".".join(kept)


def _is_tag(model: type[BaseModel], before: Sequence[int | str], part: str) -> bool:
    """Whether it is no key of a table but says which of a union's members stands there."""
    members = _members(model, before)
    return len(members) > 1 and part in {field.default for one in members for field in one.model_fields.values()}


def _allowed(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Keys of the table at a pydantic error location such as ("models", 3, "lstm") or ("data", "bars", "files")."""
    return sorted({name for one in _members(model, location) for name in one.model_fields})


def _members(model: type[BaseModel], location: Sequence[int | str]) -> list[type[BaseModel]]:
    """The models that may stand at a location; none where a plain value stands."""
    models = [model]
    for part in location:
        fields = [one.model_fields[str(part)] for one in models if part in one.model_fields]
        if fields:
            models = _models(fields[0].annotation)
        elif isinstance(part, str):  # the tag of one member of a union
            models = [one for one in models if part in {field.default for field in one.model_fields.values()}]
    return models


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Every model that an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
