"""What of a run file says what is read, and how: target, window and features.

Apart from the models, whose configurations wake torch, and the sources, which wake their vendors' clients: what only
reads the store, such as issuing, starts in a fraction of the time.
"""

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from forecaster.contract import Frozen, Target, WindowSpec
from forecaster.errors import ConfigError
from pipelines.plugins import FeaturesConfig


class Reading(Frozen):
    """The part of a run that a command needs which neither fetches nor trains."""

    target: Target
    window: WindowSpec
    features: FeaturesConfig = FeaturesConfig()


def demo_path() -> Path:
    """The run file that ships with the package."""
    return Path(str(files("pipelines") / "configs" / "demo.toml"))


def load_reading(path: Path) -> Reading:
    """Read that part of a run file; its other tables are for those who train.

    Raises:
        ConfigError: It is missing, no TOML, or does not hold; the first problem, in one line.
    """
    raw = load_toml(path)
    try:
        return Reading.model_validate(
            {name: raw[name] for name in Reading.model_fields if name in raw}, context=path.parent
        )
    except ValidationError as error:
        raise ConfigError(path, first_problem(error, Reading)) from error


def load_toml(path: Path) -> dict[str, Any]:
    """The tables of a file.

    Raises:
        ConfigError: It is missing, or no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(path, f"cannot be read ({error.__class__.__name__})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, f"is not valid TOML: {error}") from error


def first_problem(error: ValidationError, model: type[BaseModel], *table: str) -> str:
    """What is wrong with a file's tables, in one line.

    Arguments:
        model: What was validated.
        table: Where it stands in the file.
    """
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in (*table, *first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"unknown key {where!r}; allowed here: {', '.join(_allowed(model, first['loc'][:-1]))}"
    if first["type"] == "union_tag_invalid":
        kind = first["ctx"]["discriminator"].strip("'")
        return f"{where}: unknown {kind} {first['ctx']['tag']!r}; allowed: {first['ctx']['expected_tags']}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _allowed(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Keys of the model at a pydantic error location such as ("models", 3, "lstm") or ("data", "bars", "files")."""
    models = [model]
    for part in location:
        fields = [model.model_fields[str(part)] for model in models if part in model.model_fields]
        if fields:
            models = _models(fields[0].annotation)
        elif isinstance(part, str):  # the tag of one member of a union
            models = [model for model in models if part in {field.default for field in model.model_fields.values()}]
    return sorted({name for model in models for name in model.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Every model that an annotation speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]
