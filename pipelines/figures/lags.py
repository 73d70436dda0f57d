"""The learned weights of an autoregression."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from forecaster.contract import Floats, Kind
from pipelines.figures.style import INK, color, legend, single


def lag_weights(weights: Floats, name: str = "ar", kind: Kind = "return") -> Figure:
    """How far a past return of 1 %, or a change of 1, moves the expected one, by lag, a line a horizon.

    Arguments:
        weights: [S, H, p] by seed, horizon and lag, the newest first.
    """
    what, unit = ("return", " %") if kind == "return" else ("change", "")
    title = f"Weights of {name}: what a {what} of +1{unit} does to the expected {what}, by its age"
    hint = (
        "Below zero: a rise is expected to be partly taken back; above: to go on. Circles: single seeds. At the "
        "usual volatility of the training years; at twice of it, half as much."
    )
    figure, axes = single(
        9, 3.9, title, f"lag in sessions (1 is the newest {what})", f"expected {what}{unit and ','}{unit}", hint
    )
    _, horizons, lags = weights.shape
    places = np.arange(1, lags + 1)
    for horizon, of in enumerate(weights.transpose(1, 0, 2)):
        shade, ahead = color(horizon), f"{horizon + 1} session{'s' * (horizon > 0)} ahead"
        axes.plot(places, of.mean(axis=0), color=shade, marker="o", markersize=5, linewidth=1.4, label=ahead)
        for seed in of if len(of) > 1 else ():
            axes.plot(places, seed, "o", color=shade, markersize=3, fillstyle="none", alpha=0.8)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlim(0.5, lags + 0.5)
    legend(axes, columns=1 + (horizons > 10))
    return figure
