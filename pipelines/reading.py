"""What of a run file says what is read, and how: target, window and features.

Apart from the models, whose configurations wake torch, and the sources, which wake their vendors' clients: what only
reads the store, such as issuing, starts in a fraction of the time.
"""

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from forecaster.contract import Frozen, Target, WindowSpec
from forecaster.errors import ConfigError
from forecaster.spelling import guess
from pipelines.complaint import first_problem
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
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        there = [one.name for one in sorted(path.parent.glob("*.toml"))]
        near = guess(path.name, there) or (f"; there are {', '.join(there[:5])}" if there else "")
        begin = f" in {path.parent.resolve()}; begin with a copy of the project's examples/one_symbol.toml"
        raise ConfigError(path, f"there is no such run file{near or begin}") from error
    except (OSError, UnicodeDecodeError) as error:
        kind = "is a folder, not a run file" if path.is_dir() else f"cannot be read ({error.__class__.__name__})"
        raise ConfigError(path, f"{kind}; name a TOML file in UTF-8") from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, _toml_problem(str(error), text)) from error


def _toml_problem(said: str, text: str) -> str:
    """What the parser said, with the line that it stopped at."""
    place = re.search(r"at line (\d+)", said)
    line = text.splitlines()[int(place[1]) - 1].strip() if place else ""
    shown = f"; mend that line: {line[:80]}" if line else ""
    return f"is not valid TOML: {said}{shown} (text stands in quotes, a date in none, [[models]] in double brackets)"
