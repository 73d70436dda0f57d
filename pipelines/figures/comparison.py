"""Models side by side: who is better than the random walk, and whose probabilities hold."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator, PercentFormatter

from forecaster.contract import LEVELS, Floats
from pipelines.figures.style import BLUE, FADED, GREEN, GRID, INK, RED, color, legend, panels, plain, single


def leaderboard(
    rows: Sequence[Mapping[str, Any]],
    origins: int,
    first: str,
    last: str,
    seeds: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """Skill against the random walk with its 95 % interval, one line a model.

    Arguments:
        rows: Of a comparison, best first.
        seeds: Model to the skills of its single seeds, where it has several.
    """
    title = f"Skill against the random walk, {origins} origins {first} to {last}"
    hint = (
        "Dot: the model, with its 95 % interval. Green is better than the random walk, red worse, grey not told apart."
    )
    if seeds:
        hint += " Circles: its seeds one by one; they scatter by luck of the first weights alone."
    height = 0.42 * len(rows) + 1.9
    figure, axes = single(9, height, title, "skill: share of the random walk's CRPS saved", "", hint)
    for place, row in enumerate(reversed(rows)):
        reach = 1.96 * row["skill_se"]
        verdict = GREEN if row["skill"] > reach else RED if row["skill"] < -reach else FADED
        axes.errorbar(row["skill"], place, xerr=reach, fmt="o", color=verdict, capsize=3, markersize=6, zorder=3)
        single_seeds = (seeds or {}).get(row["name"], ())
        below = np.full(len(single_seeds), place - 0.22)
        axes.plot(single_seeds, below, "o", color=verdict, markersize=4, fillstyle="none", markeredgewidth=0.9)
    names = [f"{row['name']}  (p = {row['dm_p']:.2g})" if row["skill_se"] else row["name"] for row in reversed(rows)]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.axvline(0, color=RED, linewidth=1, linestyle=":")
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=GRID)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    return figure


def calibration(reliability: Mapping[str, Floats], shown: Sequence[str]) -> Figure:
    """Share of outcomes below each quantile less the quantile's level: zero is perfect."""
    title = "Calibration: how often the outcome fell below each quantile, less what was promised"
    hint = (
        "Zero is right. Above on the left and below on the right: intervals too narrow; the other way round: too wide."
    )
    figure, axes = single(9, 3.9, title, "quantile level", "observed minus promised", hint)
    for place, name in enumerate(shown):
        gap = reliability[name] - np.array(LEVELS)
        axes.plot(LEVELS, gap, marker="o", markersize=3, color=color(place), label=name)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    legend(axes)
    return figure


def pit(shares: Mapping[str, Floats], band: tuple[float, float], horizon: int = 1, columns: int = 4) -> Figure:
    """Where outcomes fell within their forecasts, a small histogram a model.

    Arguments:
        shares: Model to the share of outcomes [20] in each twentieth of its forecast distribution.
        band: Lowest and highest share at which all bars together still agree with a calibrated forecast.
    """
    title = f"Where outcomes fell within their forecasts, {horizon} session{'s' * (horizon > 1)} ahead (PIT histogram)"
    hint = (
        "Flat is right: each twentieth of the forecast should catch 5 % of the outcomes. A hump: intervals too "
        "wide; a bowl: too narrow; a slope: off to one side. Grey: where 19 of 20 calibrated forecasts keep all "
        "bars; red ones are outside."
    )
    figure = plain(9, 1.7 * math.ceil(len(shares) / columns) + 1.5, title, hint)
    grid = panels(figure, list(shares), columns, "percentile of the forecast", "share of outcomes", share_x=True)
    places = (np.arange(20) + 0.5) / 20
    for axes, share in zip(grid, shares.values(), strict=True):
        axes.axhspan(*band, color=FADED, alpha=0.25, linewidth=0)
        outside = (share < band[0]) | (share > band[1])
        axes.bar(places, share, width=0.042, color=np.where(outside, RED, BLUE), alpha=0.85)
        axes.axhline(0.05, color=INK, linewidth=0.8)
        axes.yaxis.set_major_locator(MultipleLocator(0.05))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return figure
