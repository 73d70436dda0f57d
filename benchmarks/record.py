"""What a benchmark measured, kept beside the day and the machine of the run: one JSON file a command.

docs/performance.md is written from these files and from nothing else.
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
RUN = "run"
"""The key under which day and machine are kept."""


def machine() -> dict[str, Any]:
    """Day, processor and its cores."""
    return {"date": datetime.now(UTC).date().isoformat(), "processor": processor(), "cores": os.cpu_count()}


def processor() -> str:
    """The model that the kernel names, with the family and model number that a cloud's bare name leaves open."""
    lines = (line.partition(":") for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines())
    said = {name.strip(): value.strip() for name, _, value in lines}
    number = f"family {said['cpu family']}, model {said['model']}" if "cpu family" in said else ""
    return f"{said.get('model name', 'unknown')} ({number})" if number else said.get("model name", "unknown")


def write(path: Path, figures: Mapping[str, Any]) -> None:
    """Put figures into a file, with day and machine."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({RUN: machine(), **figures}, indent=1) + "\n", "utf-8")
