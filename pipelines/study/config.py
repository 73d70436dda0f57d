"""A study's file: a run's tables with a [study] beside them, which says what is varied.

[study.information]      ordered; each set adds its channels to those of the one before
[[models]]               the random walk, then families from the simplest to the most flexible
[study] trials           settings that are tried of a family on the validation years, for its tuned cell
[training] seeds         fits of each cell
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, field_validator

from forecaster.contract import Frozen
from forecaster.errors import ConfigError
from forecaster.families import AnyFamily
from forecaster.families.base import TrainedFamily
from pipelines.complaint import first_problem
from pipelines.config import RunConfig
from pipelines.reading import load_toml

_ENDINGS = (".csv.gz", ".csv", ".parquet")


class Design(Frozen):
    """The [study] table."""

    information: dict[str, tuple[str, ...]]
    """Name of a set to the channels it adds; the first begins with the target's own."""
    trials: int = Field(6, ge=1)
    """Settings tried of each family, its own first."""
    tuning_seeds: int = Field(1, ge=1)
    """Fits of each."""
    files: dict[str, Path] = Field(default_factory=dict)
    """Symbol or series to its file below the folder of the data, where that is not called NAME.csv or so."""

    @field_validator("information")
    @classmethod
    def _adds(cls, information: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        if len(information) < 2:
            raise ValueError("at least two sets are needed: the price alone, and something more")
        empty = [name for name, channels in information.items() if not channels]
        if empty:
            raise ValueError(f"{empty[0]!r} adds no channel")
        return information

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the information sets, the smallest first."""
        return tuple(self.information)

    def channels(self, name: str) -> tuple[str, ...]:
        """All that a set shows."""
        until = self.sets.index(name) + 1
        return tuple(channel for part in self.sets[:until] for channel in self.information[part])


@dataclass(frozen=True)
class Study:
    """What is to be found out."""

    design: Design
    run: RunConfig
    """With all the information."""

    @classmethod
    def of(cls, raw: Mapping[str, Any], beside: Path) -> Self:
        """A study from the tables of its file.

        Arguments:
            beside: Folder of the user's own feature modules.

        Raises:
            ValidationError: They do not hold.
            ValueError: There is nothing to compare.
        """
        if "study" not in raw:
            raise ValueError("has no [study]: a study's file says what is varied, as examples/study.toml does")
        design = Design.model_validate(raw["study"])
        tables: dict[str, Any] = {name: table for name, table in raw.items() if name != "study"}
        window = tables.get("window")
        if not isinstance(window, dict) or "channels" in window:
            raise ValueError("window: context and burn_in are needed, and no channels: [study.information] has them")
        tables["window"] = {**window, "channels": design.channels(design.sets[-1])}
        found = cls(design, RunConfig.model_validate(tables, context=beside))
        if len(found.families) < 2:
            raise ValueError("models: at least two besides the random walk are needed, the simplest first")
        seeded = any(isinstance(model, TrainedFamily) for model in found.families)
        if not seeded or found.run.training.seeds < 2:
            raise ValueError("training.seeds: at least 2 fits of a trained family are needed, or luck cannot be told")
        return found

    @property
    def families(self) -> tuple[AnyFamily, ...]:
        """What is compared with the random walk, the simplest first."""
        return tuple(model for model in self.run.models if model.name != self.run.baseline.name)

    def shown(self, name: str) -> RunConfig:
        """The run whose models see an information set."""
        window = self.run.window.model_copy(update={"channels": self.design.channels(name)})
        return self.run.model_copy(update={"window": window})


def study_path() -> Path:
    """The study that ships with the package and runs for everyone."""
    return Path(str(files("pipelines") / "configs" / "study.toml"))


def load_study(path: Path, data: Path | None, links: Path) -> Study:
    """Read a study's file.

    Arguments:
        data: Folder of the files, for a study whose sources are `files`.
        links: Private folder; the files that [study.files] names are linked there under their subjects' names.

    Raises:
        ConfigError: It is missing, no TOML, or does not hold; the first problem, in one line.
    """
    raw = load_toml(path)
    try:
        return Study.of(_with_folder(raw, path, data, links), path.parent)
    except ValidationError as error:
        in_study = error.title == Design.__name__
        problem = first_problem(error, Design, "study") if in_study else first_problem(error, RunConfig)
        raise ConfigError(path, problem) from error
    except ValueError as error:
        raise ConfigError(path, str(error)) from error


def _with_folder(raw: dict[str, Any], path: Path, data: Path | None, links: Path) -> dict[str, Any]:
    """The tables, with the folder of the data written into sources that lack one."""
    table = raw.get("data", {})
    lacking = [
        part for part in ("bars", "macro")
        if isinstance(source := table.get(part), dict) and source.get("source") == "files" and "folder" not in source
    ]  # fmt: skip
    if not lacking:
        return raw
    if data is None:
        raise ConfigError(path, "its data are files of your own: say where they are with --data FOLDER")
    named = raw.get("study", {}).get("files", {})
    folder = _linked(named, data, links) if named else data
    return {**raw, "data": table | {part: {**table[part], "folder": folder} for part in lacking}}


def _linked(named: Mapping[str, str], data: Path, links: Path) -> Path:
    links.mkdir(parents=True, exist_ok=True)
    for subject, below in named.items():
        file = (data / below).resolve()
        if not file.is_file():
            raise ConfigError(data, f"has no {below}, which should hold {subject}")
        ending = next((ending for ending in _ENDINGS if file.name.endswith(ending)), file.suffix)
        link = links / f"{subject}{ending}"
        link.unlink(missing_ok=True)
        link.symlink_to(file)
    return links
