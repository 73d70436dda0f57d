"""Explain: what trained models look at, how far back, and whether order matters; on validation years, never later.

Every model is asked through its artifact, all of its seeds; a network is also opened, the one of its first seed.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from forecaster.contract import Kind
from forecaster.diagnostics.groups import channel_groups
from forecaster.store.artifacts import load_weights
from forecaster.windows import Sample
from pipelines import figures
from pipelines.look import TOLERANCE, Asked, Explained, look
from pipelines.train import Bench, Say, Trained


def explain(bench: Bench, trained: Sequence[Trained], validation: Sequence[Sample], say: Say) -> list[Explained]:
    """Look at each model, side by side; the target's first symbol is the one that is looked at.

    Arguments:
        validation: Origins, a sample a symbol.
    """
    config = bench.config
    groups = channel_groups(config.window.features, config.data.series, config.features.table)
    asked = [
        Asked(
            one.name,
            tuple(seed.artifact for seed in one.seeds or (one,)),
            tuple((leaf.job, load_weights(bench.engine, leaf.run.key)) for leaf in one.seeds or (one,))
            if not one.members or one.seeds
            else (),
            one.job.family.reach,
            bench.spec,
            validation[0],
            groups,
        )
        for one in trained
    ]
    found = {}
    for question, answer in bench.workers.each(look, asked):
        found[question.name] = answer
        far = "more sessions than were tried" if answer.memory is None else f"{answer.memory} sessions"
        say(f"explained {len(found)}/{len(asked)} {question.name}: memory {far}")
    return [found[one.name] for one in trained]


def draw(explained: Sequence[Explained], kind: Kind) -> dict[str, Figure]:
    """What was found, as figures by name."""
    gradients = {one.name: one.gradient for one in explained if one.gradient is not None}
    bodies = {one.name: one.body for one in explained if one.body is not None}
    drawn = {
        "importance": figures.importance(
            {one.name: {part: of.increases for part, of in one.importance.items()} for one in explained},
            {one.name: {part: of.error for part, of in one.importance.items()} for one in explained},
        ),
        "memory": figures.memory(
            {one.name: (np.array(list(one.kept)), np.array(list(one.kept.values()))) for one in explained},
            TOLERANCE,
            {one.name: one.memory for one in explained},
        ),
    }
    if gradients:
        drawn["gradient"] = figures.gradient_through_time(gradients, bodies)
    for one in explained:
        if one.lags is not None:
            drawn[f"lags-{one.name}"] = figures.lag_weights(one.lags, one.name, kind)
        if one.gates:
            means = {name: gate.mean for name, gate in one.gates.items()}
            shares = {name: gate.shares for name, gate in one.gates.items()}
            drawn[f"gates-{one.name}"] = figures.gates(means, shares, one.name)
        if one.attention is not None:
            drawn[f"attention-{one.name}"] = figures.attention_by_age(one.attention, one.name)
        if one.attended is not None:
            drawn[f"attention-map-{one.name}"] = figures.attention_map(*one.attended, one.name)
    return drawn
