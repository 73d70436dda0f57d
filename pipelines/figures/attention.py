"""Where a decoder with attention looks: on average, and from one origin."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from forecaster.contract import Dates, Floats
from pipelines.figures.style import FADED, INK, color, dress, legend, plain, single


def attention_by_age(shares: Floats, name: str) -> Figure:
    """The mean share of attention by age of the session, a line a head, or a step ahead where there is one head.

    Arguments:
        shares: [H, heads, L] mean over origins, index = age.
    """
    title = f"Where {name} looks: mean attention by age of the session"
    hint = (
        "Dotted: all sessions alike. A line above it on the left looks at the newest sessions, a flat one at none "
        "in particular."
    )
    figure, axes = single(9, 3.9, title, "age of the session (0 is the origin)", "share of attention", hint)
    seen = int(np.flatnonzero(shares.sum(axis=(0, 1)) > 0)[-1]) + 1
    for place, (label, row) in enumerate(_lines(shares).items()):
        axes.plot(row[:seen], color=color(place), linewidth=1.4, label=label)
    axes.plot([0, seen - 1], [1 / seen, 1 / seen], color=INK, linestyle=":", linewidth=1, label="all alike")
    axes.set_ylim(bottom=0)
    axes.set_xlim(-0.5, seen - 0.5)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    legend(axes)
    return figure


def attention_map(shares: Floats, sessions: Dates, returns: Floats, name: str) -> Figure:
    """One origin's attention over its context, the returns of the same sessions above it.

    Arguments:
        shares: [H, heads, L], index = age.
        sessions: [L] ascending, the origin last.
        returns: [L] log return of each session.
    """
    title = f"Where {name} looks from {sessions[-1]}"
    hint = "Above: what happened. Below: the darker, the more of the attention a session gets. Each row sums to 100 %."
    heads = shares.shape[1]
    rows = {
        f"{step + 1} ahead" + (f", head {head + 1}" if heads > 1 else ""): shares[step, head, ::-1]
        for step, head in np.ndindex(shares.shape[:2])
    }
    figure = plain(9, 2.9 + 0.26 * len(rows), title, hint)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.2, 0.26 * len(rows) + 0.6))
    places = np.arange(len(sessions))
    dress(above, "", "return").bar(places, returns, color=FADED, width=0.9)
    above.yaxis.set_major_formatter(PercentFormatter(1.0))
    dress(below, "session", "").grid(visible=False)
    image = below.imshow(np.stack(list(rows.values())), aspect="auto", cmap="Blues", vmin=0, interpolation="nearest")
    below.set_yticks(range(len(rows)), list(rows), fontsize=8)
    ticks = places[:: -max(1, len(places) // 8)][::-1]
    below.set_xticks(ticks, [str(sessions[tick]) for tick in ticks], rotation=30, ha="right", fontsize=8)
    bar = figure.colorbar(image, ax=below, pad=0.01)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    bar.ax.tick_params(labelsize=8, colors=INK)
    return figure


def _lines(shares: Floats) -> dict[str, Floats]:
    """[H, heads, L] -> [L] by head, or by step ahead where there is one head."""
    if shares.shape[1] > 1:
        return {f"head {head + 1}": of for head, of in enumerate(shares.mean(axis=0))}
    return {f"{step + 1} ahead": of for step, of in enumerate(shares[:, 0])}
