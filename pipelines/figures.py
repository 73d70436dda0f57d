"""Figures that people look at; each function draws one, none shows or saves it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from forecaster.contract import LEVELS, MEDIAN, Dates, Floats

INK, FADED, GRID = "#1f2933", "#7b8794", "#e4e7eb"
BLUE, RED, GREEN = "#2563eb", "#b91c1c", "#15803d"
PALETTE = ("#2563eb", "#d97706", "#15803d", "#9333ea", "#b91c1c", "#0891b2", "#64748b", "#be185d")
_BANDS = ((0.025, 0.975, 0.16, "95%"), (0.1, 0.9, 0.26, "80%"), (0.25, 0.75, 0.42, "50%"))


def _axes(width: float, height: float, title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=140, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold")
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(FADED)
    axes.tick_params(colors=INK, labelsize=9)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def fan_chart(
    symbol: str,
    name: str,
    past: tuple[Dates, Floats],
    sessions: Sequence[str],
    prices: Floats,
    baseline: Floats,
) -> Figure:
    """The forecast as a fan behind the last closes, the random walk's 80 % interval dotted beside it.

    Arguments:
        past: Sessions and closes up to the origin [N], [N].
        sessions: The H sessions ahead.
        prices: Quantiles in price [H, Q].
        baseline: The random walk's [H, Q].
    """
    origin, close = str(past[0][-1]), float(past[1][-1])
    title = f"{symbol}: the next {len(sessions)} sessions as seen from {origin} ({name})"
    figure, axes = _axes(9, 4.6, title, "session", "price")
    history = np.arange(1 - len(past[1]), 1)
    ahead = np.arange(len(sessions) + 1)
    axes.plot(history, past[1], color=INK, linewidth=1.4, label="close")
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
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    return figure


def leaderboard(rows: Sequence[Mapping[str, Any]], origins: int, first: str, last: str) -> Figure:
    """Skill against the random walk with its 95 % interval, one line a model."""
    title = f"Skill against the random walk, {origins} origins {first} to {last}"
    figure, axes = _axes(9, 0.42 * len(rows) + 1.6, title, "skill: share of the random walk's CRPS saved", "")
    for place, row in enumerate(reversed(rows)):
        reach = 1.96 * row["skill_se"]
        color = GREEN if row["skill"] > reach else RED if row["skill"] < -reach else FADED
        axes.errorbar(row["skill"], place, xerr=reach, fmt="o", color=color, capsize=3, markersize=6)
    names = [f"{row['name']}  (p = {row['dm_p']:.2g})" if row["skill_se"] else row["name"] for row in reversed(rows)]
    axes.set_yticks(range(len(rows)), names)
    axes.axvline(0, color=RED, linewidth=1, linestyle=":")
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=GRID)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    return figure


def calibration(reliability: Mapping[str, Floats], shown: Sequence[str]) -> Figure:
    """Share of outcomes below each quantile less the quantile's level: zero is perfect."""
    title = "Calibration: how often the outcome fell below each quantile, less what was promised"
    figure, axes = _axes(9, 3.8, title, "quantile level", "observed minus promised")
    for color, name in zip(PALETTE, shown, strict=False):
        axes.plot(LEVELS, reliability[name] - np.array(LEVELS), marker="o", markersize=3, color=color, label=name)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
    axes.legend(frameon=False, fontsize=8)
    return figure


def training_curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Loss by epoch: training thin, validation thick, the kept epoch marked."""
    figure, axes = _axes(9, 3.8, "Training: negative log likelihood by epoch", "epoch", "nats a session")
    for color, (name, history) in zip(PALETTE, histories.items(), strict=False):
        epochs = np.arange(1, len(history) + 1)
        train = [row["train_loss"] for row in history]
        axes.plot(epochs, train, color=color, linewidth=0.8, alpha=0.6, label=f"{name}, training")
        if history and "validation_loss" in history[0]:
            held_out = np.array([row["validation_loss"] for row in history])
            axes.plot(epochs, held_out, color=color, linewidth=1.8, label=f"{name}, validation")
            best = int(np.argmin(held_out))
            axes.plot(epochs[best], held_out[best], marker="o", color=color)
    axes.legend(frameon=False, fontsize=8, ncols=max(1, len(histories) // 2))
    return figure


def gradient_through_time(by_age: Mapping[str, Floats]) -> Figure:
    """How strongly the loss at the origin depends on each past session."""
    title = "Gradient through time: how much the loss at the origin feels a session that is so old"
    figure, axes = _axes(9, 3.8, title, "age of the session (0 is the origin)", "gradient norm, relative to age 0")
    for color, (name, norms) in zip(PALETTE, by_age.items(), strict=False):
        axes.plot(np.maximum(np.asarray(norms) / max(norms[0], 1e-12), 1e-6), color=color, linewidth=1.5, label=name)
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=8, ncols=2)
    return figure
