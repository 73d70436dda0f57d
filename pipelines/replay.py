"""Replay: recompute what stands in the ledger from the stored artifact and from what the store held when it was issued.

Left out is what the world could know only later, what was written only later (a bar filled in, a history from an
archive), and every visit to a source since. What is left goes the way of `pipelines.issue`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from sqlalchemy import Engine

from forecaster.errors import ConfigError, ForecasterError, ForecastMissing
from forecaster.features import subjects
from forecaster.outlook import Outlook
from forecaster.runtime import Runtime
from forecaster.store.artifacts import load_artifact
from forecaster.store.history import read_facts
from forecaster.store.ledger import Entry, all_issued
from forecaster.store.visits import last_heard
from pipelines.plugins import FeaturesConfig
from pipelines.statement import View
from pipelines.venue import calendar_of

TOLERANCE = 1e-12
"""Largest difference of a quantile that is the same: a database may round the last digit."""


@dataclass(frozen=True)
class Replayed:
    """A forecast of the ledger beside the same forecast once more."""

    symbol: str
    origin: str
    target: str
    digest: str
    version: int
    issued_at: str
    horizons: int
    off: float | None
    """Largest difference of a quantile; None where there is nothing to compare."""
    differs: tuple[str, ...]
    """What is not as it was, in words."""

    @property
    def identical(self) -> bool:
        return not self.differs

    @property
    def verdict(self) -> str:
        return "identical" if self.identical else "differs"

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return {"verdict": self.verdict, "identical": self.identical, **asdict(self)}

    @property
    def line(self) -> str:
        """For people."""
        told = f"{self.verdict:<9} {self.symbol} from {self.origin} by {self.digest[:12]}, issued {self.issued_at}"
        return told if self.identical else f"{told}: {'; '.join(self.differs)}"


def replay(engine: Engine, features: FeaturesConfig, symbol: str, origin: date | None = None) -> list[Replayed]:
    """Recompute every forecast of a symbol in the ledger, or those from one origin; oldest first.

    Arguments:
        features: The user's own, as the run file names them.

    Raises:
        ForecastMissing: None was issued for the symbol.
        ConfigError: None was issued from that origin.
    """
    every = all_issued(engine, symbol)
    if not every:
        raise ForecastMissing(symbol)
    chosen = [entries for entries in every if origin is None or entries[0].origin == origin]
    if not chosen:
        span = f"from {every[0][0].origin} to {every[-1][0].origin}"
        raise ConfigError("--origin", f"no forecast of {symbol} from {origin}; leave it out for all, {span}")
    return [replay_one(engine, features, entries) for entries in chosen]


def replay_one(engine: Engine, features: FeaturesConfig, entries: Sequence[Entry]) -> Replayed:
    """Recompute one forecast.

    Arguments:
        entries: Its rows, by horizon: one symbol, origin, target and artifact.
    """
    off, differs = None, []
    try:
        runtime = Runtime(load_artifact(engine, entries[0].digest), single=True)
        differs += _target(runtime, entries)
        answer = _answer(engine, features, runtime, entries[0].symbol, entries[0].issued_at)
    except ForecasterError as error:
        differs.append(f"cannot be recomputed: {error}")
    else:
        off, told = _compared(entries, answer)
        differs += told
    first = entries[0]
    return Replayed(
        symbol=first.symbol,
        origin=first.origin.isoformat(),
        target=first.target,
        digest=first.digest,
        version=first.version,
        issued_at=first.issued_at.isoformat(),
        horizons=len(entries),
        off=off,
        differs=tuple(differs),
    )


def _target(runtime: Runtime, entries: Sequence[Entry]) -> list[str]:
    said, own = entries[0].target, runtime.manifest.target.key
    return [] if said == own else [f"the artifact is of target {own}, the ledger says {said}"]


def _answer(engine: Engine, features: FeaturesConfig, runtime: Runtime, symbol: str, at: datetime) -> Outlook:
    """What the artifact says of a symbol, from what the store held at that moment.

    Raises:
        ConfigError: The user's own features are not those that the artifact was trained with.
        NoHistory: Nothing was held by then.
    """
    manifest = runtime.manifest
    if manifest.features != features.digest:
        raise ConfigError("[features] modules", "not those it was issued with; name the run file that has them")
    view = View(manifest.target, manifest.window, features)
    wanted = {symbol, *subjects(manifest.window.features, features.table, manifest.target.symbols)}
    facts = read_facts(engine, at, wanted, recorded_by=at)
    calendar, seen = calendar_of(facts, view, symbol), last_heard(engine, symbol, at)
    return Outlook.of(facts, calendar, runtime, symbol, features.table, seen)


def _compared(entries: Sequence[Entry], answer: Outlook) -> tuple[float | None, list[str]]:
    """Largest difference of a quantile, and what is not as it was."""
    first = entries[0]
    if first.origin != answer.origin:
        return None, [f"origin {first.origin}, again {answer.origin}"]
    differs = []
    if first.origin_close != answer.close:
        differs.append(f"close of the origin {first.origin_close!r}, again {answer.close!r}")
    if [entry.horizon for entry in entries] != list(range(1, len(answer.ahead) + 1)):
        return None, [*differs, f"{len(entries)} step(s), again {len(answer.ahead)}"]
    sessions = [entry.session for entry in entries]
    if sessions != answer.ahead.tolist():
        differs.append(f"sessions {sessions[0]} to {sessions[-1]}, again {answer.ahead[0]} to {answer.ahead[-1]}")
    counts = sorted({len(entry.quantiles) for entry in entries})
    if counts != [answer.quantiles.shape[1]]:
        return None, [*differs, f"rows of {counts} quantiles, again {answer.quantiles.shape[1]}"]
    off = float(np.abs(np.array([entry.quantiles for entry in entries]) - answer.quantiles).max())
    if not off <= TOLERANCE:
        differs.append(f"a quantile is off by {off:.2e}")
    return off, differs
