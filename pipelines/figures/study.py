"""Was it the information, the tuning or the model? The parts of the difference, and every cell they come from."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pipelines.figures.style import BLUE, FADED, GREEN, GRID, INK, RED, dress, plain

Parts = Mapping[str, tuple[float, float, float]]
"""Part to the difference in skill that its choice makes, and the ends of its interval."""

LUCK = "luck of the seed"
SURE = 0.05
"""Largest p-value, corrected for all cells, of one that is better than the random walk."""
_MEANING = {
    "information": "what the model is shown",
    "tuning": "settings searched for or not",
    "model": "which family it is",
    LUCK: "the same model, trained again",
}
_WALK = 'no better than\n"same as yesterday"'
_UNREAD = "not read by it"
_REACH = 1.96  # standard errors of a 95 % interval
_COLUMNS = 4


def study(rows: Sequence[Mapping[str, Any]], parts: Parts, subject: str) -> Figure:
    """How much of the difference in skill each choice makes, above every cell of the factorial.

    Arguments:
        rows: A cell each, with `information`, `family`, `tuned` (bool), `skill` (mean over seeds), `skill_se` and
            `p_holm`; information sets and families are drawn in the order of their first appearance.
        parts: `information`, `tuning`, `model` and the luck of the seed, in skill (0.01 is a point).
        subject: What was forecast, and when: "AAPL, 1 session ahead, 2015 to 2018".
    """
    families, sets = _in_order(rows, "family"), _in_order(rows, "information")
    columns = math.ceil(len(families) / math.ceil(len(families) / _COLUMNS))  # lines of like length
    lines = math.ceil(len(families) / columns)
    tall = 0.36 * len(sets) + 0.75
    hint = (
        'A point of skill is 1 % less error than the forecast "same as yesterday" (the random walk). Lines say how far '
        "off a bar or a dot may be: through the bars, all hold at once in 95 of 100 studies. A grey bar may be nothing "
        "but luck. Below, each dot is one way to forecast. Green, right of the red line: better, also when all that "
        "was tried is counted; red, left of it: worse; grey: nobody can tell."
    )
    figure = plain(11, 4.3 + tall * lines, f"Was it the information, the tuning or the model? {subject}", hint)
    rooms = figure.add_gridspec(3, 1, height_ratios=(2.4, 0.01, tall * lines))
    _bars(figure.add_subplot(rooms[0]), parts)
    heading = figure.add_subplot(rooms[1])
    heading.set_axis_off()
    heading.set_title(_heading(rows), loc="left", fontsize=11, color=INK)
    grid = rooms[2].subgridspec(lines, columns).subplots(sharex=True, sharey=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        axes.set_visible(place < len(families))
    for axes, family in zip(grid.flat, families, strict=False):
        _cells(axes, [row for row in rows if row["family"] == family], sets)
        axes.set_title(family, loc="left", fontsize=9.5, color=INK, fontweight="bold")
    for place, axes in enumerate(grid.flat[: len(families)]):
        lowest = place + columns >= len(families)
        axes.tick_params(labelbottom=lowest)
        axes.set_xlabel("points of skill" if lowest else "", color=INK)
    for axes in grid[:, 0]:
        _name_the_walk(axes)
    return figure


def answer(parts: Parts) -> str:
    """What the parts come to, in words that claim no more than their intervals and the luck of the seed allow."""
    choices = sorted((name for name in parts if name != LUCK), key=lambda name: -parts[name][0])
    made = [name for name in choices if _verdict(name, parts) == BLUE]
    harmed = [name for name in choices if _verdict(name, parts) == RED]
    worse = f"The {_listed(harmed)} made it worse." if harmed else ""
    if not made:
        return (
            f"Nothing clearly made it better. {worse}"
            if harmed
            else "None made a difference that can be told from luck."
        )
    first, *others = made
    rivals = [name for name in others if parts[name][2] >= parts[first][1]]
    if rivals:
        said = f"It was the {_listed([first, *rivals])}; which made more cannot be told."
    else:
        said = f"It was the {first}{' above all' if others else ''}: {_points(parts[first][0], digits_of(parts))}."
    return f"{said} {worse}".strip()


def _verdict(name: str, parts: Parts) -> str:
    """Blue for a choice that is worth more than luck, red for one that does harm, grey for what may be nothing."""
    _, low, high = parts[name]
    luck = parts[LUCK][0] if LUCK in parts else 0.0
    if name == LUCK:
        return FADED
    return BLUE if low > max(luck, 0.0) else RED if high < 0 else FADED


def _listed(names: Sequence[str]) -> str:
    *some, last = names
    return f"{', the '.join(some)} and the {last}" if some else last


def _in_order(rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(str(row[key]) for row in rows))


def _points(skill: float, digits: int) -> str:
    found = f"{100 * skill:z.{digits}f}"
    return f"{found} point{'s' * (found != '1.0')}"


def digits_of(parts: Parts) -> int:
    """How many digits after the point figures have: one, or two where all parts are below one point."""
    return 1 if max(abs(size) for size, _, _ in parts.values()) >= 0.01 else 2


def _bars(axes: Axes, parts: Parts) -> None:
    """A bar a part, the largest first and the luck of the seed last, with its interval and its figure."""
    names, digits = sorted(parts, key=lambda name: (name == LUCK, -parts[name][0])), digits_of(parts)
    dress(axes, "points of skill that the choice is worth", "")
    for place, name in enumerate(names):
        size, low, high = (100 * value for value in parts[name])
        axes.barh(place, size, height=0.62, color=_verdict(name, parts), alpha=0.85)
        axes.plot([low, high], [place, place], color=INK, linewidth=1.6, solid_capstyle="butt")
        text = f"{_points(size / 100, digits)}  ({low:z.{digits}f} to {high:z.{digits}f})"
        end = max(high, size, 0.0)
        axes.annotate(text, (end, place), (6, 0), textcoords="offset points", va="center", fontsize=9.5, color=INK)
    ends = [100 * value for part in parts.values() for value in part] + [0.0]
    low, high = min(ends), max(ends)
    axes.set_xlim(low - 0.02 * (high - low), high + 0.35 * (high - low))  # room for the figures
    axes.set_yticks(range(len(names)), [f"{name}\n{_MEANING.get(name, '')}".strip() for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=GRID)
    axes.set_title(answer(parts), loc="left", fontsize=13, color=INK, fontweight="bold")
    axes.tick_params(axis="y", labelsize=10)


def _heading(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many cells beat the random walk, when all that were tried are counted."""
    better = sum(_better(row) for row in rows)
    verb = "is" if better == 1 else "are"
    return (
        f'{better} of the {len(rows)} ways to forecast {verb} surely better than "same as yesterday"\n'
        "\u25cf tuned   \u25cb as it came"
    )


def _better(row: Mapping[str, Any]) -> bool:
    return bool(row["skill"] > 0 and row["p_holm"] < SURE)


def _cells(axes: Axes, rows: Sequence[Mapping[str, Any]], sets: Sequence[str]) -> None:
    """The cells of one family: an information set a line, tuned ones full and a little higher."""
    dress(axes, "", "")
    for row in rows:
        skill, reach = 100 * row["skill"], 100 * _REACH * row["skill_se"]
        colour = GREEN if _better(row) else RED if skill < -reach else FADED
        place = sets.index(row["information"]) + (-0.16 if row["tuned"] else 0.16)
        axes.errorbar(
            skill, place, xerr=reach, fmt="o", color=colour, markersize=5, elinewidth=1.1, zorder=3,
            markerfacecolor=colour if row["tuned"] else "white",
        )  # fmt: skip
    for place in range(len(sets)):
        if not any(row["information"] == sets[place] for row in rows):
            axes.annotate(_UNREAD, (0, place), (6, 0), textcoords="offset points", va="center", fontsize=8, color=FADED)
    axes.axvline(0, color=RED, linewidth=1.2)
    axes.set_yticks(range(len(sets)), sets)
    axes.set_ylim(len(sets) - 0.5, -1.4)  # room for the line's name
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=GRID)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}" if value else "0"))


def _name_the_walk(axes: Axes) -> None:
    """Write beside its line what the random walk is; after all cells are drawn, on the side with more room."""
    low, high = axes.get_xlim()
    right = high >= -low
    axes.annotate(
        _WALK, (0, -1.35), (4 if right else -4, 0), textcoords="offset points", ha="left" if right else "right",
        va="top", fontsize=8, color=RED,
    )  # fmt: skip
