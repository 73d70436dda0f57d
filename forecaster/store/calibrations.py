"""The state of calibration that the ledger stands for, for one symbol of a target and one recipe."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime

import numpy as np
from sqlalchemy import Engine

from forecaster.calibration import State, calibrate
from forecaster.contract import Dates, Target
from forecaster.store.champions import Champion, promotions
from forecaster.store.scores import Matured, track


def state_at(
    engine: Engine,
    target: Target,
    symbol: str,
    champion: Champion,
    sessions: Dates,
    until: datetime | None = None,
) -> State:
    """What the scored forecasts of the champion's recipe teach a forecast from the last of `sessions`.

    A refresh goes on from what its recipe had learned; another recipe starts anew. Only live forecasts teach, each
    origin once, by the artifact that issued first.

    Arguments:
        sessions: [T] up to the origin.
        until: Only what had been scored by then; None for all there is.
    """
    matured = [_as_of(one, until) for one in track(engine, target.key, symbol)]
    past = _first_by_origin(matured, _versions(engine, champion))
    rows = {session: row for row, session in enumerate(sessions.tolist())}
    known = [steps for origin, steps in sorted(past.items()) if origin in rows and len(steps) == target.horizon]
    start = State.start(target.horizon)
    if not known:
        return start
    at = len(sessions) - 1
    places = np.array([rows[steps[0].entry.origin] for steps in known])
    raw = np.array([[one.entry.quantiles for one in steps] for steps in known])
    nothing = float("nan")
    outcomes = np.array([[nothing if one.score is None else one.score.outcome for one in steps] for steps in known])
    before = places < at
    if not before.any():
        return start
    return calibrate(places[before], raw[before], outcomes[before], start, at=at)[1]


def _as_of(one: Matured, until: datetime | None) -> Matured:
    known = until is None or one.score is None or one.score.scored_at <= until
    return one if known else replace(one, score=None)


def _versions(engine: Engine, champion: Champion) -> set[int]:
    """Versions of the target's champions that were made by the same recipe."""
    recipe = champion.decision.get("recipe")
    same = {one.version for one in promotions(engine, champion.target) if one.decision.get("recipe") == recipe}
    return same if recipe is not None else {champion.version}


def _first_by_origin(matured: Collection[Matured], versions: set[int]) -> dict[object, list[Matured]]:
    found: dict[object, list[Matured]] = {}
    for one in matured:  # in the order of issue
        entry = one.entry
        if entry.version not in versions or entry.kind != "live":
            continue
        steps = found.setdefault(entry.origin, [])
        if not steps or steps[0].entry.digest == entry.digest:
            steps.append(one)
    return found
