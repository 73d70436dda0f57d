"""Spaces: where tuning looks. A field says so in its own annotation (`Range`, `Choice`); none is listed here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, get_args

from pydantic import ValidationError

from forecaster.contract import Choice, Frozen, Range
from forecaster.errors import ConfigError
from forecaster.families import AnyFamily
from forecaster.families.base import TrainedFamily
from forecaster.training.config import TrainingConfig
from pipelines.config import RunConfig

Value = str | int | float
"""Of a field that can be tuned; a bool is an int."""
Values = Mapping[str, Value]
"""By the field's place in a run: `model.hidden`, `training.learning_rate`."""

_DIGITS = 3  # of a number that was drawn: what is trained is what can be read and pasted


@dataclass(frozen=True)
class Space:
    """What is varied of one model of a run, and from where."""

    config: RunConfig
    family: AnyFamily
    """The model as it stands in the run."""
    axes: Mapping[str, Range | Choice]

    @classmethod
    def of(cls, config: RunConfig, name: str) -> Self:
        """The space around the model of that name, or the only one of that family.

        Raises:
            ConfigError: There is no such model, there are several, or it has nothing to vary.
        """
        family = _named(config, name)
        axes = _axes("model", family)
        if not axes:
            raise ConfigError("tune", f"family {family.family!r} has nothing to tune: no field of it has a range")
        if isinstance(family, TrainedFamily):
            axes |= _axes("training", config.training)
        return cls(config, family, axes)

    @property
    def trained(self) -> bool:
        """Whether a fit depends on its seed and on [training]."""
        return isinstance(self.family, TrainedFamily)

    @property
    def start(self) -> dict[str, Value]:
        """The values as they stand in the run."""
        parts: dict[str, Frozen] = {"model": self.family, "training": self.config.training}
        places = ((place, *place.split(".")) for place in self.axes)
        return {place: getattr(parts[part], field) for place, part, field in places}

    def readable(self, values: Values) -> dict[str, Value]:
        """Drawn values with few digits; those of the start as they are."""
        read: dict[str, Value] = {}
        for place, start in self.start.items():
            value = values[place]
            short = isinstance(value, float) and value != start
            read[place] = float(f"{value:.{_DIGITS}g}") if short else value
        return read

    def settle(self, values: Values) -> tuple[AnyFamily, TrainingConfig]:
        """The model and its training at a point of the space.

        Raises:
            ConfigError: These values do not go together.
        """
        changed: dict[str, dict[str, Value]] = {"model": {}, "training": {}}
        for place, value in values.items():
            part, field = place.split(".")
            changed[part][field] = value
        try:
            family = type(self.family).model_validate({**dict(self.family), **changed["model"]})
            training = TrainingConfig.model_validate({**dict(self.config.training), **changed["training"]})
            models = (self.config.baseline, family)
            RunConfig.model_validate({**dict(self.config), "training": training, "models": models})
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
            raise ConfigError(self.family.name, problem) from error
        return family, training


def _named(config: RunConfig, name: str) -> AnyFamily:
    found = [model for model in config.models if model.name == name]
    found = found or [model for model in config.models if model.family == name]
    if not found:
        known = ", ".join(model.name for model in config.models)
        raise ConfigError("tune", f"no model or family {name!r} in this run; it has {known}")
    if len(found) > 1:
        raise ConfigError("tune", f"several are of family {name!r}; name one: {', '.join(one.name for one in found)}")
    return found[0]


def _axes(part: str, config: Frozen) -> dict[str, Range | Choice]:
    """The axes of a configuration, each wide enough for the value that stands there."""
    found: dict[str, Range | Choice] = {}
    for name, field in type(config).model_fields.items():
        start = getattr(config, name)
        for said in field.metadata:
            if isinstance(said, Range):
                if said.log and start <= 0:
                    raise ConfigError(f"{part} {name}", f"{start} cannot be tuned by factors; write a positive number")
                found[f"{part}.{name}"] = Range(min(said.low, start), max(said.high, start), said.log)
            elif isinstance(said, Choice):
                values = said.values or get_args(field.annotation) or (False, True)
                found[f"{part}.{name}"] = Choice(values if start in values else (*values, start))
    return found
