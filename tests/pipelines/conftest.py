"""A demo on the small run, made once for the tests that only look at it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SMALL = Path(__file__).parent / "small.toml"


def forecaster(*words: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, as a user runs it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FORECASTER_", "MLFLOW_"))}
    return subprocess.run(
        [Path(sys.executable).parent / "forecaster", *words],
        env={**clean, "FORECASTER_HOME": str(home), "COLUMNS": "120", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def demo(home: Path) -> dict[str, Any]:
    """`forecaster demo --json` on the small run."""
    done = forecaster("demo", "--json", "--run", str(SMALL), home=home)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="session")
def small_home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A home after one demo, and what the demo printed. Tests must not change it."""
    home = tmp_path_factory.mktemp("home")
    return home, demo(home)
