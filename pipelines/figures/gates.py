"""What the gates of a recurrent network do."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from forecaster.contract import Floats
from pipelines.figures.style import FADED, INK, color, dress, legend, plain

_EDGE = 2  # bins of .05 at either end: shut below .1, open above .9


def gates(means: Mapping[str, Floats], shares: Mapping[str, Floats], name: str) -> Figure:
    """How far each gate is open, by age of the session, and how its activations are distributed.

    Arguments:
        means: Gate to its mean activation [L] by age.
        shares: Gate to the share of its activations [20] in each twentieth from 0 to 1.
    """
    hint = (
        "0 is shut, 1 open. A forget or update gate near 1 keeps what it holds; a gate that is always shut or "
        "always open (grey edges) decides nothing. The oldest sessions of a context start from an empty state."
    )
    figure = plain(10, 3.9, f"Gates of {name}", hint)
    by_age, spread = figure.subplots(1, 2)
    dress(by_age, "age of the session (0 is the origin)", "mean activation")
    dress(spread, "activation", "share of activations")
    places = (np.arange(20) + 0.5) / 20
    for place, gate in enumerate(means):
        shut, wide = shares[gate][:_EDGE].sum(), shares[gate][-_EDGE:].sum()
        by_age.plot(means[gate], color=color(place), linewidth=1.5)
        label = f"{gate}: {100 * shut:.0f} % shut, {100 * wide:.0f} % open"
        spread.plot(places, shares[gate], color=color(place), linewidth=1.5, marker=".", label=label)
    by_age.set_ylim(0, 1)
    for edge in (0.0, 0.9):
        spread.axvspan(edge, edge + 0.1, color=FADED, alpha=0.15, linewidth=0)
    spread.set_xlim(0, 1)
    spread.set_ylim(bottom=0)
    spread.yaxis.set_major_formatter(PercentFormatter(1.0))
    by_age.axhline(0.5, color=INK, linewidth=0.6, linestyle=":")
    legend(spread)
    return figure
