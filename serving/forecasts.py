"""Issued forecasts, read from the ledger and checked once more before anybody sees them."""

from datetime import date
from typing import Any

import numpy as np
from sqlalchemy import Engine, select

from forecaster.artifact import Manifest
from forecaster.contract import Floats
from forecaster.errors import ForecastMissing, OutputInvalid
from forecaster.store import ledger
from forecaster.store.database import reading
from forecaster.store.history import find_instrument
from forecaster.store.ledger import Entry
from forecaster.store.schema import artifact, promotion
from forecaster.store.visits import last_visit
from serving.schemas import Forecast, Model, Step

_FRESH_DAYS = 5  # a weekend with a holiday on either side


def latest_forecast(store: Engine, symbol: str, today: date) -> Forecast:
    """The newest forecast of a symbol.

    Raises:
        UnknownSymbol: The store has never heard of it.
        ForecastMissing: It has, but nothing was issued.
        OutputInvalid: What was issued is no forecast.
    """
    entries = ledger.latest(store, symbol)
    if not entries:
        find_instrument(store, symbol)
        raise ForecastMissing(symbol)
    issued = entries[0]
    decision, manifest = _promotion(store, issued)
    age = (today - issued.origin).days
    return Forecast(
        symbol=symbol,
        target=issued.target,
        origin=issued.origin,
        origin_close=issued.origin_close,
        issued_at=issued.issued_at,
        model=Model(family=manifest.family, version=issued.version, digest=issued.digest),
        levels=list(manifest.levels),
        steps=[_step(entry, manifest) for entry in entries],
        age_days=age,
        stale=age > _FRESH_DAYS or _was_missed(store, symbol),
        no_skill=not decision["passed"],
        reason=decision["reason"],
    )


def _was_missed(store: Engine, symbol: str) -> bool:
    """Whether the source did not deliver when it was last asked, and sessions have passed since."""
    last = last_visit(store, symbol)
    return last is not None and last.status != "ok" and last.stale_since is not None


def _step(entry: Entry, manifest: Manifest) -> Step:
    returns: Floats = np.asarray(entry.stated, dtype=np.float64)
    if returns.shape != (len(manifest.levels),):
        raise OutputInvalid(entry.digest, f"{len(returns)} quantiles, not {len(manifest.levels)}")
    with np.errstate(over="ignore", invalid="ignore"):
        prices = manifest.target.outcome(entry.origin_close, returns)
    if not (np.isfinite(returns).all() and np.isfinite(prices).all()):
        raise OutputInvalid(entry.digest, "a quantile is not finite")
    if (np.diff(returns) < 0).any():
        raise OutputInvalid(entry.digest, "quantiles cross")
    if manifest.target.kind == "return" and (prices <= 0).any():
        raise OutputInvalid(entry.digest, "a price is not positive")
    return Step(
        horizon=entry.horizon,
        session=entry.session,
        price_quantiles=prices.tolist(),
        return_quantiles=returns.tolist(),
    )


def _promotion(store: Engine, issued: Entry) -> tuple[dict[str, Any], Manifest]:
    """Why the issuing model was in charge, and what it is."""
    query = (
        select(promotion.c.decision, artifact.c.manifest)
        .join(artifact, artifact.c.digest == promotion.c.digest)
        .where(promotion.c.target == issued.target, promotion.c.version == issued.version)
        .where(promotion.c.digest == issued.digest)
    )
    with reading(store).connect() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise OutputInvalid(issued.digest, "the ledger names a promotion that is not on record")
    return row.decision, Manifest.model_validate_json(row.manifest)
