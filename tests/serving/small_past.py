"""Forecasts of the past in a small store, and what came of them."""

from datetime import datetime, timedelta
from typing import Any

from small_store import CLOSE, NOW, ORIGIN, SmallStore, table

from forecaster.contract import LEVELS
from forecaster.store.champions import Champion
from forecaster.store.ledger import Entry, add_entries
from forecaster.store.scores import Score, add_scores, track


def steps(champion: Champion, day: int = 0, symbol: str = "^IXIC", scale: float = 0.01, **said: Any) -> list[Entry]:
    """A forecast of two sessions, from so many days after ORIGIN."""
    origin = ORIGIN + timedelta(days=day)
    return [
        Entry(
            target=champion.target,
            symbol=symbol,
            origin=origin,
            horizon=horizon,
            session=origin + timedelta(days=2 + horizon),
            digest=champion.digest,
            version=champion.version,
            origin_close=CLOSE,
            **{"quantiles": (scale * table(2)[horizon - 1]).tolist(), "issued_at": NOW, **said},
        )
        for horizon in (1, 2)
    ]


def issue_past(store: SmallStore, champion: Champion, count: int, first: int = -1000, **said: Any) -> None:
    """A forecast a day, the oldest first."""
    for day in range(first, first + count):
        add_entries(store.engine, steps(champion, day, **said))


def score_all(
    store: SmallStore, champion: Champion, outcome: float = 0.01, crps: float = 0.9, now: datetime = NOW
) -> None:
    """Score all that waits: the outcome lies in the upper half of each forecast."""
    waiting = [one for one in track(store.engine, champion.target) if one.score is None]
    below = [level > 0.6 for level in LEVELS]
    add_scores(store.engine, [Score(one.id, outcome, crps, 1.0, 1.2, below, now) for one in waiting])
