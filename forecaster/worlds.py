"""Other worlds: facts that are the same up to a moment and different after it, and facts with an eventful past.

What was known at the moment stays bit for bit, so whatever is computed for it must stay too.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forecaster.contract import Dates, Floats
from forecaster.facts import FIELDS, Facts, action_subject

_OPEN, _HIGH, _LOW, _CLOSE, _VOLUME, _VALUE = range(len(FIELDS))
_DAY = np.timedelta64(1, "D")

Part = tuple[NDArray[np.str_], Dates, Dates, Floats]
"""subject [n], date [n], known_at [n], values [n, 6]."""


@dataclass(frozen=True)
class Change:
    """What a later world does to the rows that were not known yet."""

    seed: int
    changed: float = 0.7
    """Share whose values are shaken."""
    removed: float = 0.3
    """Share that never comes, and the chance that one subject ends altogether."""
    added: int = 60
    """Rows that come besides: revisions of old dates, new dates, and splits and dividends of every symbol."""
    push: float = 0.0
    """Log of the factor on every price and volume; observations move 100 times as far."""


def another_world(facts: Facts, cutoff: np.datetime64, change: Change) -> Facts:
    """The same facts up to the cut-off, others after it."""
    rng = np.random.default_rng(change.seed)
    late = facts.known_at > cutoff
    names, number = _runs(facts)
    gone = late & (rng.random(len(facts)) < change.removed)
    begun = np.unique(number[~late])
    ended = rng.choice(begun) if begun.size and rng.random() < change.removed else -1
    gone |= late & (number == ended)
    altered = late & (rng.random(len(facts)) < change.changed)
    actions = np.array(["#" in name for name in names])[number]
    values = facts.values.copy()
    values[altered] = _shaken(rng, values[altered], actions[altered], change.push)
    date = facts.date + np.where(altered & actions, rng.integers(-10, 11, len(facts)), 0)
    kept: Part = (facts.subject[~gone], date[~gone], facts.known_at[~gone], values[~gone])
    if not change.added:
        return _joined(kept)
    extra = [_added(facts, cutoff, actions, number == ended, change, rng), *_new_actions(facts, cutoff, rng)]
    return _joined(kept, *extra)


def odd_past(facts: Facts, near: Dates, seed: int) -> Facts:
    """Facts in which half the rows dated on `near` sessions are odd: missing, still, repeated, wild or without volume;
    and every symbol has splits and dividends there."""
    rng = np.random.default_rng(seed)
    count = len(facts)
    first = np.r_[True, facts.subject[1:] != facts.subject[:-1]][:count]
    odd = np.isin(facts.date, near) & (rng.random(count) < 0.5) & ~first
    kind = np.where(odd, rng.integers(0, 5, count), -1)
    values = facts.values.copy()
    still, repeated, wild = (np.flatnonzero(kind == number) for number in (1, 2, 3))
    values[still, :_CLOSE] = values[still, _CLOSE : _CLOSE + 1]
    values[repeated] = facts.values[repeated - 1]
    values[wild] = _shaken(rng, values[wild], np.zeros(len(wild), dtype=bool), 0.0)
    values[(kind == 4) | (kind == 1), _VOLUME] *= 0.0
    keep = kind != 0
    moments = near[rng.integers(0, len(near), 12)]
    return _joined(
        (facts.subject[keep], facts.date[keep], facts.known_at[keep], values[keep]),
        *_actions(facts, moments, moments.astype("datetime64[us]"), rng),
    )


def _shaken(rng: np.random.Generator, values: Floats, actions: NDArray[np.bool_], push: float) -> Floats:
    """Other bars (positive, high and low still holding open and close), observations and (positive) action values."""
    count = len(values)
    factor = np.exp(push + rng.normal(0, 0.5, count))
    other = values * factor[:, None]
    other[:, _HIGH] *= np.exp(np.abs(rng.normal(0, 0.1, count)))
    other[:, _LOW] *= np.exp(-np.abs(rng.normal(0, 0.1, count)))
    other[:, _VOLUME] = values[:, _VOLUME] * np.exp(push + rng.normal(0, 2, count))
    moved = rng.normal(values[:, _VALUE] + 100 * push, 5)
    other[:, _VALUE] = np.where(actions, values[:, _VALUE] * np.exp(rng.normal(0, 0.5, count)), moved)
    return other


def _added(
    facts: Facts,
    cutoff: np.datetime64,
    actions: NDArray[np.bool_],
    ended: NDArray[np.bool_],
    change: Change,
    rng: np.random.Generator,
) -> Part:
    """Rows that take after others, half of them after recent ones: a revision of the same date, or a later date."""
    recent = np.flatnonzero(facts.date > cutoff - 40 * _DAY)
    models = rng.integers(0, len(facts), change.added)
    if recent.size:
        models[::2] = rng.choice(recent, len(models[::2]))
    models = models[~ended[models]]
    count = len(models)
    moved = (rng.integers(0, 60, count) * rng.integers(0, 2, count)).astype("timedelta64[D]")
    wait = rng.integers(1, 10**13, count).astype("timedelta64[us]")
    values = _shaken(rng, facts.values[models], actions[models], change.push)
    known_at = np.maximum(facts.known_at[models] + moved, cutoff) + wait
    return facts.subject[models], facts.date[models] + moved, known_at, values


def _new_actions(facts: Facts, cutoff: np.datetime64, rng: np.random.Generator) -> Iterator[Part]:
    """Splits and dividends that were not known yet, some with an ex-date that was past."""
    days = cutoff.astype("datetime64[D]") + rng.integers(-30, 60, 8) * _DAY
    known_at = np.maximum(days.astype("datetime64[us]"), cutoff) + rng.integers(1, 10**11, 8).astype("timedelta64[us]")
    return _actions(facts, days, known_at, rng)


def _actions(facts: Facts, days: Dates, known_at: Dates, rng: np.random.Generator) -> Iterator[Part]:
    """A split on every second of the days [n] and a dividend on the others, of every symbol."""
    names, number = _runs(facts)
    for place, name in enumerate(names):
        close = facts.values[number == place, _CLOSE]
        if np.isnan(close).all():
            continue
        values = np.full((len(days), len(FIELDS)), np.nan)
        values[0::2, _VALUE] = rng.choice([0.5, 1.5, 2.0, 4.0], len(days[0::2]))
        values[1::2, _VALUE] = np.nanmedian(close) * rng.uniform(0.001, 0.05, len(days[1::2]))
        for start, kind in enumerate(("split", "dividend")):
            part = slice(start, None, 2)
            yield np.full(len(days[part]), action_subject(name, kind)), days[part], known_at[part], values[part]


def _runs(facts: Facts) -> tuple[list[str], NDArray[np.intp]]:
    """The subjects, and which of them each row [N] is about."""
    starts = np.r_[True, facts.subject[1:] != facts.subject[:-1]][: len(facts)]
    names: list[str] = facts.subject[starts].tolist()
    return names, np.cumsum(starts) - 1


def _joined(*parts: Part) -> Facts:
    subject, date, known_at, values = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return Facts.of(subject, date, known_at, values)
