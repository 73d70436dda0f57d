"""What all figures share: colours, axes, a title that says what is seen and a line that says how to read it."""

import math
import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

INK, FADED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, RED, GREEN = "#2563eb", "#b91c1c", "#15803d"
PALETTE = (
    "#2563eb", "#d97706", "#15803d", "#9333ea", "#b91c1c", "#0891b2", "#64748b", "#be185d",
    "#84cc16", "#78350f", "#1e3a8a", "#f472b6",
)  # fmt: skip
_LETTERS, _LINE = 15.5, 0.17  # of a hint: letters an inch, inches a line


def color(place: int) -> str:
    """The colour of one of many; they start again where there are more than twelve."""
    return PALETTE[place % len(PALETTE)]


def plain(width: float, height: float, title: str, hint: str = "") -> Figure:
    """An empty figure with its title; `hint` says at its foot, in smaller letters, how to read it."""
    lines = textwrap.wrap(hint, round(_LETTERS * width))
    foot = (_LINE * len(lines) + 0.08) / height if lines else 0.0
    layout = ConstrainedLayoutEngine(rect=(0, foot, 1, 1 - foot))
    figure = Figure(figsize=(width, height), dpi=140, layout=layout)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=INK, fontweight="bold")
    if lines:
        figure.text(0.01, 0.06 / height, "\n".join(lines), ha="left", va="bottom", fontsize=8.5, color=FADED)
    return figure


def dress(axes: Axes, x: str, y: str) -> Axes:
    """Axes in the common style."""
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FADED)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def single(width: float, height: float, title: str, x: str, y: str, hint: str = "") -> tuple[Figure, Axes]:
    """A figure of one pair of axes."""
    figure = plain(width, height, title, hint)
    return figure, dress(figure.subplots(), x, y)


def panels(figure: Figure, names: Sequence[str], columns: int, x: str, y: str, share_x: bool) -> list[Axes]:
    """Small axes, one a name, on one scale of y; x is written under the lowest of each column, y beside the first."""
    columns = math.ceil(len(names) / math.ceil(len(names) / columns))  # lines of like length
    grid = figure.subplots(math.ceil(len(names) / columns), columns, sharex=share_x, sharey=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        axes.set_visible(place < len(names))
        lowest = place + columns >= len(names)
        dress(axes, x if lowest else "", y if place % columns == 0 else "")
        axes.tick_params(labelbottom=lowest or not share_x)
    for axes, name in zip(grid.flat, names, strict=False):
        axes.set_title(name, loc="left", fontsize=9, color=INK)
    return list(grid.flat[: len(names)])


def legend(axes: Axes, columns: int = 1) -> None:
    """What is what, beside the axes: it covers nothing."""
    axes.legend(frameon=False, fontsize=8, ncols=columns, loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0)
