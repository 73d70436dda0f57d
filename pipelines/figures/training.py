"""How networks learned, epoch by epoch."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from forecaster.contract import Floats
from pipelines.figures.style import FADED, color, legend, panels, plain, single

_AROUND = 5  # epochs at either side over which the training loss is averaged to find its level
_MOST = 0.95  # share of the epochs of a fit that are in the picture: the first ones are far off

History = Sequence[Mapping[str, float]]
"""Metrics by epoch: `train_loss` and, where something was held out, `validation_loss`."""


def training_curves(histories: Mapping[str, History]) -> Figure:
    """Loss by epoch of single fits: training thin, validation thick, the kept epoch marked."""
    title = "Training: loss by epoch"
    hint = (
        "Thin: on the training years. Thick: on the validation years, where lower is better; the dot is the epoch kept."
    )
    figure, axes = single(9, 3.9, title, "epoch", "loss a session", hint)
    for place, (name, history) in enumerate(histories.items()):
        epochs = np.arange(1, len(history) + 1)
        axes.plot(epochs, _column(history, "train_loss"), color=color(place), linewidth=0.8, alpha=0.6)
        if history and "validation_loss" in history[0]:
            _validation(axes, history, color(place), 1.8, name)
        else:
            axes.plot([], [], color=color(place), linewidth=0.8, label=name)
    legend(axes)
    return figure


def learning_curves(histories: Mapping[str, Sequence[History]], columns: int = 4) -> Figure:
    """Loss by epoch of every seed, a small panel a model on one scale.

    Arguments:
        histories: Model to the histories of its seeds.
    """
    hint = (
        "Coloured: on the validation years, a line a seed; the dot is the epoch kept. Grey: on the training "
        "years, moved to the same level, for other years have other losses. The spread of the dots is luck of "
        "the first weights."
    )
    title = "Learning curves: loss by epoch, every seed"
    figure = plain(9, 1.9 * math.ceil(len(histories) / columns) + 1.3, title, hint)
    grid = panels(figure, list(histories), columns, "epoch", "loss a session", share_x=False)
    heights = []
    for place, (axes, seeds) in enumerate(zip(grid, histories.values(), strict=True)):
        for history in seeds:
            train, level = _column(history, "train_loss"), 0.0
            if history and "validation_loss" in history[0]:
                held_out = _column(history, "validation_loss")
                best = int(np.argmin(held_out))
                level = held_out[best] - train[max(0, best - _AROUND) : best + _AROUND + 1].mean()
                _validation(axes, history, color(place), 1.1, "_")
                heights.append((held_out.min(), np.quantile(held_out, _MOST)))
            axes.plot(np.arange(1, len(train) + 1), train + level, color=FADED, linewidth=0.7, alpha=0.6, zorder=1)
    if heights:
        low, high = min(low for low, _ in heights), max(high for _, high in heights)
        grid[0].set_ylim(low - 0.2 * (high - low), high + 0.2 * (high - low))
    return figure


def _validation(axes: Axes, history: History, shade: str, width: float, label: str) -> None:
    held_out = _column(history, "validation_loss")
    axes.plot(np.arange(1, len(held_out) + 1), held_out, color=shade, linewidth=width, label=label)
    best = int(np.argmin(held_out))
    axes.plot(best + 1, held_out[best], marker="o", markersize=4, color=shade)


def _column(history: History, name: str) -> Floats:
    return np.array([row[name] for row in history])
