"""Run a benchmark: what must be reproduced, what is tried and chosen before the test rows are read, what then holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from forecaster.contract import MEDIAN, Floats
from forecaster.significance import diebold_mariano
from forecaster.windows import Indices
from pipelines.bench import published
from pipelines.bench.protocols import (
    DAYS,
    DECILES,
    FIRST_UNSEEN,
    HORIZONS,
    ROUNDS,
    SEASON,
    Errors,
    Name,
    Panel,
    Split,
    errors,
    read,
    repeat,
    seasonal_naive,
    weighted_quantile_loss,
)
from pipelines.bench.report import Claim, Long, Report, Short, Tried
from pipelines.bench.variants import ETTH1, EXCHANGE, LOOKS, SHORT, Forecaster, Variant, fitted

Say = Callable[[str], None]
Part = Callable[[int], Indices]
"""The origins of a part of the data, by horizon."""

REHEARSALS = 20
"""Rounds of 30 days before the first row that is forecast, on which the short variants are judged."""
ETTH1_GOAL, SHORT_GOAL = 0.40, 0.0077
"""Largest MSE at 96 steps, and largest mean_wQL, that are asked for."""


def bench(name: Name, folder: Path | None, say: Say) -> Report:
    """Run one benchmark.

    Arguments:
        folder: Holds its file.
        say: Told of each step.

    Raises:
        ConfigError: The file is not there or not what it should be.
    """
    torch.set_num_threads(1)  # two threads in one process are slower as soon as anything else runs
    values = read(name, folder)
    split = Split.of(name, len(values))
    return (_etth1 if name == "etth1" else _exchange_rate)(values, split, say)


@dataclass(frozen=True)
class Trial:
    """A fitted variant and its score on rows before the test; lower is better."""

    variant: Variant
    forecaster: Forecaster
    score: float


def _etth1(values: Floats, split: Split, say: Say) -> Report:
    panel, horizon = Panel.of(values, split), HORIZONS[0]
    trials = attempts(ETTH1, panel, horizon, lambda one: mistakes(one, panel, panel.validation, [horizon])[0].mse, say)
    best = chosen(trials)
    (ours,) = mistakes(best.forecaster, panel, panel.test, [horizon])
    line = Long(best.variant.name, "ours", (ours.mse,), (ours.mae,))
    goal = Claim(
        f"{line.model}, chosen on the validation part: MSE {ours.mse:.4f} at {horizon} steps, asked {ETTH1_GOAL:.2f}",
        ours.mse <= ETTH1_GOAL,
    )
    walks = repeats(panel)
    return Report(
        "etth1",
        long=(*_paper("etth1"), *walks, line),
        tried=_tried("validation MSE at 96", trials),
        claims=(*reproduced("etth1", walks), goal),
        looks=LOOKS["etth1"],
    )


def _exchange_rate(values: Floats, split: Split, say: Say) -> Report:
    panel = Panel.of(values, split)
    trials = attempts(EXCHANGE, panel, HORIZONS[-1], lambda one: _against_repeat(one, panel), say)
    best = chosen(trials)
    line, verdict = beside_repeat(best, panel)
    walks = repeats(panel)
    short, tried, claims = _short(values, say)
    return Report(
        "exchange_rate",
        long=(*_paper("exchange_rate"), *walks, line),
        short=short,
        tried=(*_tried("validation MSE / repeat's, mean of horizons", trials), *tried),
        claims=(*reproduced("exchange_rate", walks), verdict, *claims),
        looks=LOOKS["exchange_rate"],
    )


def _short(values: Floats, say: Say) -> tuple[tuple[Short, ...], tuple[Tried, ...], tuple[Claim, ...]]:
    """The GluonTS protocol: chosen on 20 rounds before the first unseen row, fitted once more on all before it."""
    panel, at = rounds(values, FIRST_UNSEEN, ROUNDS)
    before, rehearsed = rounds(values, FIRST_UNSEEN - REHEARSALS * DAYS, REHEARSALS)
    trials = attempts(SHORT, before, DAYS, lambda one: mean_wql(one, before, values, rehearsed), say)
    best = chosen(trials)
    ours = mean_wql(fitted(best.variant, panel, DAYS), panel, values, at)
    points = {
        "repeat last": np.broadcast_to(values[at][..., None], (ROUNDS, values.shape[1], DAYS)),
        f"SeasonalNaive({SEASON})": seasonal_naive(values, at, DAYS, SEASON),
    }
    losses = {model: _point_wql(point, values, at) for model, point in points.items()}
    seasonal = losses[f"SeasonalNaive({SEASON})"]
    lines = (
        *(Short(model, "published", loss) for model, loss in published.GLUONTS.items()),
        *(Short(model, "ours", loss) for model, loss in losses.items()),
        Short(best.variant.name, "ours", ours),
    )
    claims = (
        Claim(
            f"GluonTS's seasonal naive {published.SEASONAL_NAIVE:.5f} reproduced: {seasonal:.5f}",
            round(seasonal, 5) == published.SEASONAL_NAIVE,
        ),
        Claim(
            f"{best.variant.name}, chosen on {REHEARSALS} rounds before row {FIRST_UNSEEN}: mean_wQL {ours:.5f}, "
            f"asked {SHORT_GOAL:.4f}",
            ours <= SHORT_GOAL,
        ),
    )
    return lines, _tried(f"mean_wQL of {REHEARSALS} rounds before row {FIRST_UNSEEN}", trials), claims


def rounds(values: Floats, first: int, count: int) -> tuple[Panel, Indices]:
    """Series whose training rows end before `first`, and the origins of so many rounds of 30 days from there on."""
    end = first + count * DAYS
    return Panel.of(values[:end], Split(first, first, end)), first - 1 + DAYS * np.arange(count)


def mean_wql(forecaster: Forecaster, panel: Panel, values: Floats, at: Indices) -> float:
    """mean_wQL of a forecaster's deciles in the series' own units."""
    changes = np.stack(forecaster.quantiles(at, DECILES), axis=1)  # [N, S, H, 9]
    levels = values[at][..., None, None] + panel.scale[:, None, None] * changes
    return weighted_quantile_loss(levels, _ahead(values, at))


def _point_wql(point: Floats, values: Floats, at: Indices) -> float:
    return weighted_quantile_loss(np.repeat(point[..., None], len(DECILES), axis=-1), _ahead(values, at))


def _ahead(values: Floats, at: Indices) -> Floats:
    """The next 30 rows [N, S, H]."""
    return np.asarray(values[at[:, None] + 1 + np.arange(DAYS)].transpose(0, 2, 1))


def attempts(
    variants: Sequence[Variant], panel: Panel, horizon: int, judge: Callable[[Forecaster], float], say: Say
) -> list[Trial]:
    """Fit each variant and judge it on rows before the test."""
    trials = []
    for variant in variants:
        made = fitted(variant, panel, horizon)
        trials.append(Trial(variant, made, judge(made)))
        say(f"tried     {variant.name}: {trials[-1].score:.5f}")
    return trials


def chosen(trials: Sequence[Trial]) -> Trial:
    """The one with the lowest score."""
    return min(trials, key=lambda trial: trial.score)


def _tried(judged_by: str, trials: Sequence[Trial]) -> tuple[Tried, ...]:
    best = chosen(trials)
    return tuple(Tried(trial.variant.name, judged_by, trial.score, trial is best) for trial in trials)


def mistakes(forecaster: Forecaster, panel: Panel, part: Part, horizons: Sequence[int]) -> list[Errors]:
    """Errors of the medians at each horizon, ascending: the first one's origins are those of the others and more."""
    medians = forecaster.at_level(part(horizons[0]), MEDIAN)
    found = []
    for horizon in horizons:
        at = part(horizon)
        outcomes = [panel.outcomes(number, at, horizon) for number in range(panel.series)]
        found.append(errors([median[: len(at), :horizon] for median in medians], outcomes))
    return found


def _against_repeat(forecaster: Forecaster, panel: Panel) -> float:
    """MSE on the validation part over that of "repeat last", mean over the horizons."""
    found = mistakes(forecaster, panel, panel.validation, HORIZONS)
    walks = [repeat(panel, panel.validation(horizon), horizon) for horizon in HORIZONS]
    return float(np.mean([one.mse / walk.mse for one, walk in zip(found, walks, strict=True)]))


def beside_repeat(best: Trial, panel: Panel) -> tuple[Long, Claim]:
    """The test errors of the chosen one, and whether it is nowhere worse than "repeat last"."""
    ours = mistakes(best.forecaster, panel, panel.test, HORIZONS)
    words, worse = [], False
    for horizon, found in zip(HORIZONS, ours, strict=True):
        walk = repeat(panel, panel.test(horizon), horizon)
        p = diebold_mariano(walk.by_origin - found.by_origin, horizon)
        words.append(f"{found.mse:.4f} against {walk.mse:.4f} at {horizon} (p = {p:.2f})")
        worse = worse or found.mse > walk.mse
    verdict = "none is, repeat last stays the one to use; " if worse else ""
    says = f"a trained family, chosen on the validation part, never worse than repeat at any horizon: {verdict}"
    line = Long(best.variant.name, "ours", tuple(one.mse for one in ours), tuple(one.mae for one in ours))
    return line, Claim(f"{says}{best.variant.name} has MSE {', '.join(words)}", not worse)


def repeats(panel: Panel) -> tuple[Long, Long]:
    """The last value for ever, on the paper's windows and on all."""
    found = []
    for name, drop_last in (("repeat last, drop_last", True), ("repeat last, all windows", False)):
        lines = [repeat(panel, panel.test(horizon, drop_last), horizon) for horizon in HORIZONS]
        found.append(Long(name, "ours", tuple(one.mse for one in lines), tuple(one.mae for one in lines)))
    return found[0], found[1]


def _paper(name: Name) -> tuple[Long, ...]:
    return tuple(Long(row.model, "published", row.mse, row.mae) for row in published.PAPER[name])


def reproduced(name: Name, walks: tuple[Long, Long]) -> tuple[Claim, ...]:
    """Whether "repeat last" is what the paper printed and what others recomputed."""
    paper = published.PAPER[name][0]
    dropped, every = walks
    agrees = _same(dropped.mse, paper.mse, 3) and _same(dropped.mae, paper.mae, 3)
    return (
        Claim("repeat last with drop_last equals the paper's row in all its 3 digits, MSE and MAE", agrees),
        _exact("repeat last with drop_last", dropped, published.REPEAT_DROP_LAST[name]),
        _exact("repeat last on all windows", every, published.REPEAT_ALL[name]),
    )


def _exact(what: str, line: Long, reference: Sequence[float]) -> Claim:
    return Claim(f"{what} equals the recomputed MSE in 4 digits", _same(line.mse, reference, 4))


def _same(found: Sequence[float], reference: Sequence[float], digits: int) -> bool:
    return all(round(one, digits) == other for one, other in zip(found, reference, strict=True))
