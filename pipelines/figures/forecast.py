"""The forecast as people know it: a fan behind the last closes or values."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from forecaster.contract import LEVELS, MEDIAN, Dates, Floats, Kind
from pipelines.figures.style import BLUE, FADED, INK, RED, legend, single

_BANDS = ((0.025, 0.975, 0.16, "95%"), (0.1, 0.9, 0.26, "80%"), (0.25, 0.75, 0.42, "50%"))


def fan_chart(
    symbol: str,
    name: str,
    past: tuple[Dates, Floats],
    sessions: Sequence[str],
    prices: Floats,
    baseline: Floats,
    kind: Kind = "return",
) -> Figure:
    """The forecast as a fan behind the last closes or values, the random walk's 80 % interval dotted beside it.

    Arguments:
        past: Sessions and closes (or values) up to the origin [N], [N].
        sessions: The H sessions ahead.
        prices: Quantiles in price, or the series' unit [H, Q].
        baseline: The random walk's [H, Q].
    """
    origin, close = str(past[0][-1]), float(past[1][-1])
    title = f"{symbol}: the next {len(sessions)} sessions as seen from {origin} ({name})"
    figure, axes = single(
        9, 4.6, title, f"session, {past[0][0]} to {sessions[-1]}", "price" if kind == "return" else "value"
    )
    history = np.arange(1 - len(past[1]), 1)
    ahead = np.arange(len(sessions) + 1)
    axes.plot(history, past[1], color=INK, linewidth=1.4, label="close" if kind == "return" else "value")
    fan = np.vstack((np.full((1, len(LEVELS)), close), prices))
    walk = np.vstack((np.full((1, len(LEVELS)), close), baseline))
    for low, high, alpha, label in _BANDS:
        edges = fan[:, LEVELS.index(low)], fan[:, LEVELS.index(high)]
        axes.fill_between(ahead, *edges, color=BLUE, alpha=alpha, linewidth=0, label=f"{label} interval")
    axes.plot(ahead, fan[:, MEDIAN], color=BLUE, linewidth=1.6, label="median")
    for level in (0.1, 0.9):
        label = "random walk, 80%" if level == 0.1 else "_"
        axes.plot(ahead, walk[:, LEVELS.index(level)], color=RED, linestyle=":", linewidth=1.4, label=label)
    axes.axvline(0, color=FADED, linewidth=0.8)
    ticks = [*history[::-5][::-1], *ahead[1:]]
    names = [str(session)[5:] for session in past[0][::-5][::-1]] + [session[5:] for session in sessions]
    axes.set_xticks(ticks, names, rotation=45, ha="right", fontsize=8)
    legend(axes)
    return figure
