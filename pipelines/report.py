"""Report: one self-contained HTML page a person would look at, and its pictures beside it."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from forecaster.windows import Windows
from pipelines import figures
from pipelines.compare import Comparison
from pipelines.config import RunConfig
from pipelines.issue import Issued
from pipelines.promote import Promoted
from pipelines.snapshot import Snapshot

_PAST = 31  # closes or values shown before the fan


@dataclass(frozen=True)
class Story:
    """All that a report tells."""

    config: RunConfig
    snapshot: Snapshot
    universe: tuple[Windows, ...]
    comparison: Comparison
    promoted: Promoted
    issued: list[Issued]
    """A forecast a symbol; the first is drawn."""

    @property
    def walks(self) -> bool:
        """Whether the random walk is in charge."""
        return self.promoted.name == self.comparison.baseline

    @property
    def counted(self) -> bool:
        """Whether any model says which contexts it has never seen."""
        return any(row.remarks for row in self.comparison.rows)


def write(story: Story, drawn: Mapping[str, Figure], folder: Path) -> Path:
    """Write page and pictures under a folder named after the comparison; the page's path.

    Arguments:
        drawn: The comparison's figures, to which the fan chart is added.
    """
    home = folder / story.comparison.key[:12]
    home.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for name, figure in {**drawn, "fan": _fan(story)}.items():
        buffer = BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
        (home / f"{name}.png").write_bytes(buffer.getvalue())
        pictures[name] = base64.b64encode(buffer.getvalue()).decode()
    template = Environment(loader=PackageLoader("pipelines"), autoescape=True, undefined=StrictUndefined).get_template(
        "report.html"
    )
    page = home / "index.html"
    page.write_text(template.render(story=story, pictures=pictures), "utf-8")
    return page


def _fan(story: Story) -> Figure:
    windows, issued = story.universe[0], story.issued[0]
    seen = int(np.searchsorted(windows.sessions, np.datetime64(issued.origin), side="right"))
    shown = slice(max(0, seen - _PAST), seen)
    return figures.fan_chart(
        issued.symbol,
        f"champion: {story.promoted.name}",
        (windows.sessions[shown], windows.close[shown]),
        issued.sessions,
        np.array(issued.price_quantiles),
        story.config.target.outcome(issued.origin_close, np.array(issued.walk_quantiles)),
        story.config.target.kind,
    )
