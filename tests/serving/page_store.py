"""A store with a past, for the page: real prices, forecasts issued session by session, scores, and the gate's words."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from math import log, nan
from pathlib import Path
from typing import Any

import numpy as np
from small_store import SmallStore, small_artifact, table

from forecaster.artifact import Artifact
from forecaster.calendars import trading_calendar
from forecaster.scores import crps
from forecaster.store.challenges import Challenge, add_challenge, challenges
from forecaster.store.champions import Champion
from forecaster.store.history import Instrument, Row, add_instrument, add_rows, bars_of
from forecaster.store.ledger import Entry, IssueKind, add_entries
from forecaster.store.scores import Score, add_scores, track
from pipelines.sources.sample import Sample

SYMBOL, OTHER, BARE = "^GSPC", "^IXIC", "MSFT"
HORIZON, PAST, BACKFILLED = 5, 60, 40
NOW = datetime(2019, 1, 1, 14, 30, tzinfo=UTC)
WIDER = 1.2
"""The champion's scale in the random walk's: autumn 2018 was rough, and twenty sessions were slow to tell."""
CALENDAR = trading_calendar("XNYS", date(2018, 12, 3), date(2019, 1, 31))


CHECKS = (
    ("nothing from the future", "no channel moved"),
    ("artifact verifies", "digest and golden forecast"),
    ("better than the random walk", "skill +0.10% (s.e. 0.12%), p = 0.2 against 0.0025 = 0.005 / 2 recipes seen"),
    ("80% interval covers", "79.7%, 99% interval 76.4% to 83.0%"),
)
MODELS = {
    "lstm": (0.0131, 0.0031),
    "pool": (0.0127, 0.0022),
    "garch": (0.0089, 0.0019),
    "har": (0.0010, 0.0012),
    "naive": (0.0, nan),
    "ngram": (-0.0042, 0.0025),
}
"""Skill and its standard error."""


def decision(candidate: str, passed: bool) -> dict[str, Any]:
    """What the gate stores of a challenge, with the comparison that it looked at."""
    failed = CHECKS[2]
    return {
        "candidate": candidate,
        "passed": passed,
        "reason": f"{candidate} beats the random walk" if passed else f"{candidate} was refused on {': '.join(failed)}",
        "checks": [{"question": one[0], "passed": passed or one != failed, "figures": one[1]} for one in CHECKS],
        "kind": "challenge" if passed else "fallback",
        "recipes": 2,
        "comparison": "8" * 64,
        "first": "2015-01-02",
        "last": "2018-12-20",
        "origins": 998,
        "leaderboard": [
            {"name": name, "family": name, "skill": skill, "skill_se": error, "dm_p": 0.01, "dm_p_holm": 0.04}
            | {"crps": 0.5 * (1 - skill), "coverage_80": 0.797}
            for name, (skill, error) in MODELS.items()
        ],
    }


@dataclass(frozen=True)
class Market:
    """Real bars of a symbol, and what may be said of them without looking ahead."""

    rows: list[Row]

    @classmethod
    def of(cls, symbol: str, count: int) -> "Market":
        """The newest bars of the sample."""
        frame = Sample().bars(symbol, None, NOW).bars.tail(count)
        rows = [
            Row(day.date(), _settled(day.date()), (float(o), float(h), float(low), float(c), float(v)))
            for day, o, h, low, c, v in frame.itertuples(index=False)
        ]
        return cls(rows)

    @property
    def closes(self) -> list[float]:
        return [row.values[3] for row in self.rows]

    def session(self, place: int) -> date:
        """A session of the sample, or one after it."""
        dates = [row.date for row in self.rows]
        return [*dates, *CALENDAR.after(np.datetime64(dates[-1]), HORIZON).tolist()][place]

    def quantiles(self, place: int, scale: float) -> np.ndarray:
        """[H, Q] normal, with the size of the twenty returns before."""
        size = np.std(np.diff(np.log(self.closes[place - 20 : place + 1])))
        return scale * size * table(HORIZON)


def _settled(session: date) -> datetime:
    return datetime(session.year, session.month, session.day, 21, 30, tzinfo=UTC)


def page_store(home: Path) -> SmallStore:
    """^GSPC with a live and a backfilled record, ^IXIC with one forecast by the random walk, MSFT with nothing."""
    store = SmallStore(home)
    with store.engine.begin() as connection:
        add_instrument(connection, Instrument(SYMBOL, "XNYS", "USD", "sample"))
    told, other = Market.of(SYMBOL, 250), Market.of(OTHER, 250)
    for symbol, market in ((SYMBOL, told), (OTHER, other)):
        with store.engine.begin() as connection:
            add_rows(connection, bars_of(symbol), market.rows, NOW)
    _challenge(store, SYMBOL, "har", seed=0, passed=False)
    champion = _challenge(store, SYMBOL, "lstm", seed=1, passed=True)
    issue(store, champion, told, range(-PAST - BACKFILLED, -PAST), "backfill")
    issue(store, champion, told, range(-PAST, 0))
    _score(store, champion, told)
    issue(store, _challenge(store, OTHER, "<i>ar</i>", seed=0, passed=False), other, range(-1, 0))
    return store


def _challenge(store: SmallStore, symbol: str, name: str, seed: int, passed: bool) -> Champion:
    """Put a model to the gate, and crown whom it said."""
    small, said = small_artifact(symbol, HORIZON, seed), decision(name, passed)
    crowned = name if passed else "naive"
    made = Artifact.seal(small.manifest.model_copy(update={"name": crowned, "family": crowned}), small.model)
    target = made.manifest.target.key
    number = len(challenges(store.engine, target)) + 1
    entry = Challenge(
        target, number, f"{target} {number}", "f" * 64, 0.005, passed, said, NOW - timedelta(days=9 - number)
    )
    with store.engine.begin() as connection:
        add_challenge(connection, entry)
    return store.promote(made, said)


def issue(store: SmallStore, champion: Champion, market: Market, places: range, kind: IssueKind = "live") -> None:
    """Forecasts from so many sessions, beside the random walk."""
    symbol = champion.target.split("-")[0]
    for place in (len(market.rows) + place for place in places):
        row = market.rows[place]
        add_entries(store.engine, [
            Entry(
                target=champion.target,
                symbol=symbol,
                origin=row.date,
                horizon=step + 1,
                session=market.session(place + step + 1),
                digest=champion.digest,
                version=champion.version,
                origin_close=row.values[3],
                quantiles=market.quantiles(place, WIDER)[step].tolist(),
                issued_at=_settled(row.date) + timedelta(minutes=5) if kind == "live" else NOW,
                walk=market.quantiles(place, 1.0)[step].tolist(),
                kind=kind,
            )
            for step in range(HORIZON)
        ])  # fmt: skip


def _score(store: SmallStore, champion: Champion, market: Market) -> None:
    closes = {row.date: row.values[3] for row in market.rows}
    scores = []
    for one in track(store.engine, champion.target):
        if one.entry.session not in closes:
            continue
        came = log(closes[one.entry.session] / one.entry.origin_close)
        ours, walk = (
            float(crps(np.array([[said]]), np.array([[came]]))[0, 0]) for said in (one.entry.stated, one.entry.walk)
        )
        below = [bool(came <= quantile) for quantile in one.entry.stated]
        scores.append(Score(one.id, came, ours, ours, walk, below, NOW))
    add_scores(store.engine, scores)
