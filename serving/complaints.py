"""What is wrong with a request, in words that hold nothing of it.

A place is named by the fields that our schemas declare; keys of the caller's own are counted, not named.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from forecaster.contract import SYMBOL

_MOST = 20
_PARTS = frozenset({"body", "query", "path", "header", "cookie"})


def complaints(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line each, of pydantic's errors; not more than a caller reads."""
    declared = _PARTS | _fields(BaseModel)
    unknown = sum(one["type"] == "extra_forbidden" for one in found)
    told = [f"{_place(one, declared)}: {_words(one)}" for one in found if one["type"] != "extra_forbidden"]
    if len(told) > _MOST:
        told = [*told[:_MOST], f"... and {len(told) - _MOST} more"]
    return told if not unknown else [*told, f"unknown keys: {unknown}; /docs lists those that are known"]


def _place(one: Mapping[str, Any], declared: Collection[str]) -> str:
    # A query's and a path's parameters are declared, or they would not have been looked at.
    parts = one["loc"]
    named = parts[0] != "body"
    return ".".join(str(part) if named or isinstance(part, int) or part in declared else "?" for part in parts)


def _words(one: Mapping[str, Any]) -> str:
    if one["type"] == "union_tag_invalid":  # the one message of pydantic's that repeats its input
        return "is of no kind that is known here"
    said = str(one["msg"])
    if said.endswith(f"'^{SYMBOL.pattern}$'"):
        return "is no symbol; those are of capital letters, digits and ^ . - =, like ^IXIC"
    return said.removeprefix("Value error, ")


def _fields(model: type[BaseModel]) -> set[str]:
    """Fields of the request models, and of all others of this service."""
    ours = model.__module__.startswith("serving.")
    names = set(model.model_fields) if ours else set()
    return names.union(*(_fields(child) for child in model.__subclasses__()))
