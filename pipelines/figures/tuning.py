"""The trials of a tuning, in the order in which they were tried."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipelines.figures.style import BLUE, FADED, INK, RED, legend, single

if TYPE_CHECKING:  # a picture needs no search
    from pipelines.trial import Trial


def tuning(name: str, trials: "Sequence[Trial]") -> Figure:
    """Validation skill by trial, and the best so far.

    Arguments:
        trials: In their order; those without a score are left out.
    """
    hint = (
        "Filled: the mean of all seeds; thin: single seeds; hollow: given up. Trial 1 is the model as it stands in the "
        "run. The best of many looks better than it is: its skill is what these years made of it."
    )
    title = f"Tuning of {name}: skill of each trial on the validation years"
    figure, axes = single(9, 3.9, title, "trial", "skill against the random walk, %", hint)
    for label, state, fill in (("all seeds", "done", BLUE), ("given up", "pruned", "none")):
        shown = [
            (trial.number, 100 * trial.skill) for trial in trials if trial.state == state and trial.skill is not None
        ]
        if shown:
            places, skills = np.array(shown).T
            axes.scatter(places, skills, s=26, facecolors=fill, edgecolors=BLUE, zorder=3, label=label)
    for trial in trials:
        if trial.state == "done" and len(trial.scores) > 1:
            axes.plot([trial.number] * len(trial.scores), 100 * np.array(trial.scores), color=FADED, linewidth=0.8,
                      marker=".", markersize=3)  # fmt: skip
    done = [(trial.number, 100 * trial.skill) for trial in trials if trial.state == "done" and trial.skill is not None]
    if done:
        places, skills = np.array(done).T
        axes.step(places, np.maximum.accumulate(skills), where="post", color=RED, linewidth=1.2, label="best so far")
        legend(axes)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure
