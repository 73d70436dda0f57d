"""Score: hold issued forecasts against the prices that have arrived, once each."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Engine

from forecaster.contract import Floats, Target
from forecaster.panel import Panel, build_panel
from forecaster.scores import crps
from forecaster.store.history import read_facts
from forecaster.store.scores import Matured, Score, add_scores, unscored
from forecaster.store.visits import last_heard
from pipelines.venue import Reads, calendar_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scoring:
    """What a round of scoring did for one symbol."""

    symbol: str
    scored: int
    """Steps that have matured since."""
    waiting: int
    """Steps about sessions that are over, but whose price has not arrived."""

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def score(engine: Engine, config: Reads, now: datetime) -> list[Scoring]:
    """Score every matured step of the run's target, symbol by symbol.

    An outcome is what was known of the session at its own cut-off, free of splits; a later restatement changes nothing.
    """
    target, waiting = config.target, unscored(engine, config.target.key, now.date())
    found = []
    for symbol in target.symbols:
        mine = [one for one in waiting if one.entry.symbol == symbol]
        if not mine:
            found.append(Scoring(symbol, 0, 0))
            continue
        panel = _panel(engine, config, symbol, now)
        scores = [_score(one, outcome, now) for one, outcome in zip(mine, outcomes(panel, target, mine), strict=True)]
        done = [one for one in scores if one is not None]
        found.append(Scoring(symbol, add_scores(engine, done), len(mine) - len(done)))
        log.info("scored", extra=found[-1].record())
    return found


def _panel(engine: Engine, config: Reads, symbol: str, now: datetime) -> Panel:
    facts = read_facts(engine, now, {symbol})
    return build_panel(facts, symbol, (), calendar_of(facts, config, symbol), last_heard(engine, symbol, now))


def outcomes(panel: Panel, target: Target, matured: Sequence[Matured]) -> Floats:
    """What came of each step [N]: NaN where a price of origin or session is not there."""
    level = panel.column(panel.symbol, panel.measure)
    level = np.log(level) if target.kind == "return" else level
    rows = {session: row for row, session in enumerate(panel.sessions.tolist())}

    def at(day: object) -> float:
        return float(level[rows[day]]) if day in rows else np.nan

    return np.array([at(one.entry.session) - at(one.entry.origin) for one in matured])


def _score(matured: Matured, outcome: float, now: datetime) -> Score | None:
    if not np.isfinite(outcome):
        return None
    entry = matured.entry
    return Score(
        forecast=matured.id,
        outcome=outcome,
        crps=_crps(entry.stated, outcome),
        crps_raw=_crps(entry.quantiles, outcome),
        crps_walk=None if entry.walk is None else _crps(entry.walk, outcome),
        below=[bool(outcome <= quantile) for quantile in entry.stated],
        scored_at=now,
    )


def _crps(quantiles: list[float], outcome: float) -> float:
    return float(crps(np.array(quantiles)[None, None], np.array([[outcome]]))[0, 0])
