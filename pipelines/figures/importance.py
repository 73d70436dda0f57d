"""What models use of their context: groups of channels, and the order of the sessions."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from forecaster.contract import Floats
from pipelines.figures.style import GRID, INK, color, legend, single


def importance(increases: Mapping[str, Mapping[str, Floats]], errors: Mapping[str, Mapping[str, float]]) -> Figure:
    """How much worse each model gets when a part of its context is another time's.

    Arguments:
        increases: Model to part (a group of channels, "order") to relative increases of the loss [S, R], by seed and
            repeat.
        errors: Model to part to the standard error of the mean increase over origins.
    """
    title = "What models use: how much worse they get when a part of the context is taken from another time"
    hint = (
        "Dot: mean, with its 95 % interval over the years looked at; 0: not used, or of no use. Circles: single "
        "seeds. The channels of a group are swapped between origins in blocks of time; order: all sessions but "
        "the newest are shuffled."
    )
    parts = list(dict.fromkeys(part for of in increases.values() for part in of))
    step = 0.8 / len(increases)
    height = max(0.17 * len(increases), 0.4) * len(parts) + 1.8
    figure, axes = single(9, height, title, "increase of the loss (CRPS)", "", hint)
    for place, (model, by_part) in enumerate(increases.items()):
        for part, values in by_part.items():
            y = parts.index(part) + (place - (len(increases) - 1) / 2) * step
            reach = 1.96 * errors[model][part]
            label = model if part == next(iter(by_part)) else "_"
            axes.errorbar(
                values.mean(), y, xerr=reach, fmt="o", color=color(place), markersize=4.5, linewidth=1, label=label
            )
            seeds = values.mean(axis=1) if len(values) > 1 else np.empty(0)
            axes.plot(seeds, np.full(len(seeds), y), "o", color=color(place), markersize=4, fillstyle="none")
    for edge in range(1, len(parts)):
        axes.axhline(edge - 0.5, color=GRID, linewidth=0.8)
    axes.set_yticks(range(len(parts)), parts)
    axes.set_ylim(len(parts) - 0.5, -0.5)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=GRID)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    legend(axes)
    return figure
