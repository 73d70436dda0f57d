"""How far back models look: by the gradient, and by what they lose without their past."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, PercentFormatter

from forecaster.contract import Floats
from forecaster.diagnostics.memory import decay, gradient_length
from pipelines.figures.style import FADED, INK, color, dress, legend, plain, single

_NOTHING = 1e-6  # of the norm at age 0: where the axis ends
_TALL = 10  # tolerances: what is worse than that is far too short, however much
_APART = 1.1  # ratio of two ticks that have room side by side


def gradient_through_time(by_age: Mapping[str, Floats], body: Mapping[str, Floats] | None = None) -> Figure:
    """How strongly the loss at the origin depends on each past session.

    Arguments:
        by_age: Model to the gradient's norm [L] by age, through the whole forecast.
        body: The same through the network's body alone.
    """
    title = "Gradient through time: how much the loss at the origin feels each past session"
    hint = (
        "A line that falls forgets (vanishing gradient), one that rises explodes. In brackets: the sessions that "
        "hold 95 % of the norm, and the factor it changes by with each session of age. "
    )
    if body is None:
        hint += "All models also feel the past through the EWMA scale: .94 a session."
        figure, axes = single(9, 4.1, title, _AGE, _NORM, hint)
        _gradients(axes, by_age)
        return figure
    hint += "Left, all feel the past through the EWMA scale too: .94 a session."
    figure = plain(11, 4.3, title, hint)
    left, right = figure.subplots(1, 2, sharey=True)
    _gradients(dress(left, _AGE, _NORM), by_age)
    _gradients(dress(right, _AGE, ""), body)
    left.set_title("through the whole forecast", loc="left", fontsize=9, color=INK)
    right.set_title("through the network's body alone", loc="left", fontsize=9, color=INK)
    return figure


_AGE, _NORM = "age of the session (0 is the origin)", "gradient norm, relative to age 0"


def _gradients(axes: Axes, by_age: Mapping[str, Floats]) -> None:
    for place, (name, norms) in enumerate(by_age.items()):
        values = np.asarray(norms)
        shown = np.where(values > 0, values / max(values[0], 1e-12), np.nan)
        window = bool((values == 0).any())  # a fixed one: it ends, it does not decay
        told = f"{gradient_length(values)}" if window else f"{gradient_length(values)}, x{decay(values):.2f}"
        axes.plot(shown, color=color(place), linewidth=1.5, label=f"{name} ({told})", marker="." if window else "")
    axes.set_yscale("log")
    axes.set_ylim(bottom=max(_NOTHING, axes.get_ylim()[0]))
    legend(axes)


def memory(by_kept: Mapping[str, tuple[Floats, Floats]], tolerance: float, lengths: Mapping[str, int | None]) -> Figure:
    """How much worse each model gets with a shorter past, and the shortest one that is still enough.

    Arguments:
        by_kept: Model to sessions kept [M], ascending, and relative increase of the loss [M].
        tolerance: Increase up to which a past counts as long enough.
        lengths: Model to its effective memory in sessions; None where it needs more than was tried.
    """
    title = "Effective memory: how much worse the forecast gets when only the newest sessions are kept"
    hint = (
        f"Dot and bracket: the fewest sessions that keep the loss within {100 * tolerance:g} % (dotted) of what the "
        "whole context gives. A line begins at the fewest sessions that the model can be asked with."
    )
    figure, axes = single(9, 4.2, title, "sessions kept", "increase of the loss (CRPS)", hint)
    for place, (name, (kept, increase)) in enumerate(by_kept.items()):
        length = lengths[name]
        label = f"{name} ({'more' if length is None else length})"
        axes.plot(kept, increase, color=color(place), linewidth=1.5, label=label)
        at = np.flatnonzero(kept == length)
        axes.plot(kept[at], increase[at], marker="o", markersize=5, color=color(place))
    axes.axhline(tolerance, color=INK, linestyle=":", linewidth=1)
    axes.axhline(0, color=FADED, linewidth=0.8)
    axes.set_xscale("log")
    axes.set_ylim(top=min(axes.get_ylim()[1], _TALL * tolerance))
    ticks = sorted({int(one) for kept, _ in by_kept.values() for one in kept})
    ticks = [tick for tick, after in pairwise((*ticks, 2 * ticks[-1])) if after > _APART * tick]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    legend(axes)
    return figure
