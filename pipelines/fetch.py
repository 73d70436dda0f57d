"""Fetch: source -> checked rows -> store. Idempotent: a second fetch of the same data adds nothing."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from sqlalchemy import Engine

from forecaster.calendars import Calendar
from forecaster.contract import SYMBOL
from forecaster.errors import UnknownSymbol
from forecaster.facts import BAR_FIELDS
from forecaster.store import history
from forecaster.store.history import Instrument, Rejected, Row
from pipelines.sources.base import Source

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fetched:
    """What a fetch did to one symbol or series."""

    subject: str
    inserted: int
    revised: int
    quarantined: int
    missing_sessions: int
    first: str
    last: str


def fetch(
    engine: Engine,
    source: Source,
    symbols: Iterable[str],
    series: Iterable[str],
    now: datetime,
    progress: Callable[[str], None],
) -> list[Fetched]:
    """Bring the store up to what the source knows; each subject is one transaction.

    Raises:
        UnknownSymbol: The source has no such symbol or series; what was fetched before stays.
    """
    reports = []
    for symbol in symbols:
        if not SYMBOL.fullmatch(symbol):
            raise UnknownSymbol(symbol, ())
        reports.append(_fetch_bars(engine, source, symbol, now))
        progress(symbol)
    for name in series:
        reports.append(_fetch_observations(engine, source, name, now))
        progress(name)
    return reports


def _fetch_bars(engine: Engine, source: Source, symbol: str, now: datetime) -> Fetched:
    listing, frame = source.listing(symbol), source.bars(symbol)
    first, last = frame["session"].min().date(), frame["session"].max().date()
    calendar = Calendar.of(listing.venue, first - timedelta(days=7), last + timedelta(days=7))
    known_at = dict(zip(calendar.sessions.tolist(), calendar.cutoffs.tolist(), strict=True))
    rows, rejected = [], []
    for session, *prices in frame[["session", *BAR_FIELDS]].itertuples(index=False):
        day, values = session.date(), tuple(float(price) for price in prices)
        reason = _distrust(values, day in known_at)
        if reason:
            rejected.append(Rejected(day, reason, {f: repr(v) for f, v in zip(BAR_FIELDS, values, strict=True)}))
        elif pd.Timestamp(known_at[day], tz="UTC") <= pd.Timestamp(now):  # an open session's bar is not settled
            rows.append(Row(day, pd.Timestamp(known_at[day], tz="UTC").to_pydatetime(), values))
    expected = calendar.between(np.datetime64(first), np.datetime64(last)).sessions
    missing = len(set(expected.tolist()) - {row.date for row in rows})
    with engine.begin() as connection:
        entry = Instrument(symbol, listing.venue, listing.currency, source.name)
        history.add_instrument(connection, entry)
        inserted, revised = history.add_bars(connection, symbol, rows, now)
        quarantined = history.add_rejected(connection, symbol, rejected, now)
    return _report(symbol, inserted, revised, quarantined, missing, rows)


def _distrust(values: tuple[float, ...], is_session: bool) -> str | None:
    """Why a bar is not believed, or None."""
    open_, high, low, close, volume = values
    if not np.isfinite(values).all():
        return "not finite"
    if min(open_, high, low, close) <= 0:
        return "price not positive"
    if high < max(open_, close, low) or low > min(open_, close):
        return "high and low do not hold open and close"
    if volume < 0:
        return "volume negative"
    return None if is_session else "not a session of the venue"


def _fetch_observations(engine: Engine, source: Source, series: str, now: datetime) -> Fetched:
    publication, frame = source.publication(series), source.observations(series)
    known_at = publication.known_at(frame["period"])
    known = known_at <= pd.Timestamp(now)
    triples = zip(frame["period"][known], known_at[known], frame["value"][known], strict=True)
    rows = [Row(period.date(), known.to_pydatetime(), (float(value),)) for period, known, value in triples]
    with engine.begin() as connection:
        inserted, revised = history.add_observations(connection, series, rows, now)
    return _report(series, inserted, revised, 0, 0, rows)


def _report(subject: str, inserted: int, revised: int, quarantined: int, missing: int, rows: list[Row]) -> Fetched:
    dates = [str(row.date) for row in rows] or ["never"]
    log.info(
        "fetched", extra={"subject": subject, "inserted": inserted, "revised": revised, "quarantined": quarantined}
    )
    return Fetched(subject, inserted, revised, quarantined, missing, dates[0], dates[-1])
