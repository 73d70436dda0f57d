"""A run is one TOML file, read into frozen models; an unknown key or family is refused with the names that exist."""

from datetime import date
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from forecaster import features
from forecaster.contract import TARGET_CHANNEL, Frozen, require_symbol
from forecaster.errors import ConfigError
from forecaster.families import AnyFamily
from forecaster.families.naive import NaiveFamily
from forecaster.training.config import TrainingConfig
from pipelines.complaint import first_problem
from pipelines.reading import Reading, load_toml
from pipelines.sources.registry import AnyBars, AnyMacro
from pipelines.sources.sample import SampleSource


class DataConfig(Frozen):
    """What is fetched, from where."""

    symbols: tuple[str, ...]
    """Symbols whose bars are kept."""
    series: tuple[str, ...] = ()
    """Macro series whose observations are kept."""
    bars: AnyBars = SampleSource()
    """Source of the symbols."""
    macro: AnyMacro = SampleSource()
    """Source of the series."""

    @field_validator("symbols")
    @classmethod
    def _are_symbols(cls, symbols: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(require_symbol(symbol) for symbol in symbols)


class SplitConfig(Frozen):
    """Where training ends and where the years that nothing was chosen on begin."""

    validation_from: date
    """Training origins lie before, purged of targets that reach into it."""
    test_from: date
    """Validation origins (early stopping, choice of the candidate) lie before it, purged alike."""
    test_until: date | None = None
    """End of the test origins (exclusive); None for all that have matured."""
    refit_every: int | None = Field(None, ge=20)
    """Sessions from one refit to the next in the test years; None for one fit before them."""


class JobsConfig(Frozen):
    """When jobs run by themselves."""

    delay_minutes: int = Field(15, ge=0)
    """From a session's cut-off until its run; vendors are not all on time."""
    retry_minutes: int = Field(15, ge=1)
    """Until a run is tried again whose bars had not arrived."""
    refresh_every: int | None = Field(None, ge=1)
    """Sessions from one refit of the champion's recipe to the next; None for the recipe's own schedule, or 21."""
    challenge_every: int = Field(63, ge=1)
    """Sessions from one comparison of all recipes, and the gate, to the next; each spends of the year's errors."""


class RunConfig(Reading):
    """One complete run."""

    data: DataConfig
    split: SplitConfig
    training: TrainingConfig = TrainingConfig()
    jobs: JobsConfig = JobsConfig()
    models: tuple[AnyFamily, ...] = Field(min_length=1)

    @field_validator("models", mode="before")
    @classmethod
    def _name_members(cls, models: Any) -> Any:
        """Put each pool's members in the place of their names."""
        if not isinstance(models, list) or not all(isinstance(model, dict) for model in models):
            return models
        named = {model.get("name"): model for model in models}

        def resolved(model: Any, above: tuple[str, ...]) -> Any:
            if not isinstance(model, dict) or model.get("family") != "pool":
                return model
            members = []
            for member in model.get("members", ()):
                if isinstance(member, str):
                    if member not in named or member in (*above, model.get("name")):
                        raise ValueError(f"pool {model.get('name')!r} has no other model {member!r} to pool")
                    member = resolved(named[member], (*above, str(model.get("name"))))
                members.append(member)
            return {**model, "members": members}

        return [resolved(model, ()) for model in models]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.split.validation_from < self.split.test_from:
            raise ValueError("split: validation_from must lie before test_from")
        if self.split.test_until is not None and self.split.test_until <= self.split.test_from:
            raise ValueError("split: test_until must lie after test_from")
        names = [model.name for model in self.models]
        if len(set(names)) != len(names):
            raise ValueError("models: a name is used twice")
        if not any(isinstance(model, NaiveFamily) for model in self.models):
            raise ValueError('models: one of family "naive" is needed, the random walk that all are compared with')
        stored = {*self.data.symbols, *self.data.series}
        missing = {
            *self.target.symbols,
            *features.subjects(self.window.features, self.features.table, self.target.symbols),
        } - stored
        if missing:
            raise ValueError(
                f"data: {', '.join(sorted(missing))} is used but neither in symbols nor in series; add it there"
            )
        self._require_kind()
        for model in self.models:
            if model.reach > self.window.burn_in + 1:
                raise ValueError(
                    f"models: {model.name} reads {model.reach} sessions, but burn_in leaves {self.window.burn_in + 1}"
                )
        return self

    def _require_kind(self) -> None:
        """Check that prices are forecast by their returns, and series by their changes."""
        kind, wanted = self.target.kind, TARGET_CHANNEL[self.target.kind]
        if self.window.channels[0] != wanted:
            raise ValueError(f"window: the first channel must be {wanted!r}, the target's own {kind}")
        held = self.data.symbols if kind == "return" else self.data.series
        other = set(self.target.symbols) - set(held)
        if other:
            place = "symbols" if kind == "return" else "series"
            raise ValueError(f"target: kind {kind!r} is for [data] {place}, and {', '.join(sorted(other))} is none")

    @property
    def baseline(self) -> NaiveFamily:
        """The random walk of this run."""
        return next(model for model in self.models if isinstance(model, NaiveFamily))


def load_config(path: Path) -> RunConfig:
    """Read a run file.

    Raises:
        ConfigError: It is missing, no TOML, or does not hold; the first problem, in one line.
    """
    raw = load_toml(path)
    try:
        return RunConfig.model_validate(raw, context=path.parent)
    except ValidationError as error:
        raise ConfigError(path, first_problem(error, RunConfig)) from error
