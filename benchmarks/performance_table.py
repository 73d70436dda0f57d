"""What every section of docs/performance.md is made of: tables, spreads, and the day and machine of a run."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.record import RUN


@dataclass(frozen=True)
class Section:
    """A part of the page that one command measures anew."""

    title: str
    command: str
    path: Path
    """Where the command puts its figures."""
    body: Callable[[Path, Path], str]
    """Markdown, from the figures and the folder for pictures."""

    def text(self, pictures: Path) -> str:
        """The section; one line in its place where the command was not run yet."""
        head = f"## {self.title}\n\n`{self.command}`"
        if not self.path.exists():
            return f"{head}: not run yet.\n"
        return f"{head}{machine(self.path)}\n\n{self.body(self.path, pictures)}\n"


def figures(path: Path) -> dict[str, Any]:
    """What a benchmark wrote."""
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def machine(path: Path) -> str:
    """Day and machine of a run; nothing of one that did not keep them."""
    lines = path.read_text("utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
    run = json.loads(lines[-1]).get(RUN)
    return f", {run['date']}, {run['cores']} cores, {run['processor']}" if run else ""


def table(head: str, body: Sequence[Sequence[str]]) -> str:
    """Markdown of a table.

    Arguments:
        head: Names of the columns, with bars between them.
    """
    names = head.split("|")
    lines = [names, ["---"] * len(names), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median (least to most)."""
    return ranged({"median": statistics.median(values), "min": min(values), "max": max(values)}, digits)


def ranged(found: Mapping[str, Any], digits: int = 2, scale: float = 1.0) -> str:
    """Median (least to most), where they are known already."""
    middle, low, high = (f"{scale * found[name]:,.{digits}f}" for name in ("median", "min", "max"))
    return middle if low == high else f"{middle} ({low} to {high})"


def scatter(losses: Sequence[float]) -> str:
    """Mean and standard deviation over seeds."""
    deviation = statistics.stdev(losses) if len(losses) > 1 else 0.0
    return f"{statistics.mean(losses):.4f} ({deviation:.4f})"


def lost(asked: Sequence[tuple[str, bool]]) -> str:
    """Where what was asked does not hold.

    Arguments:
        asked: Each thing with its figure, and whether it holds.
    """
    short = [text for text, holds in asked if not holds]
    if not short:
        return "**Where we lose:** nowhere; all that was asked of this table holds."
    return "\n".join(["**Where we lose**, or win by less than was asked:", "", *(f"- {text}" for text in short)])
