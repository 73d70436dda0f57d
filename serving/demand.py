"""Forecasts on demand, never written down: by the champions in charge, from what the store knew at a moment.

From the same facts they say what `issue` would say, to the last bit.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine

from forecaster.artifact import Manifest
from forecaster.contract import Floats
from forecaster.errors import ConfigError, Delisted, ForecasterError, NoChampion, NotOnDemand, OutputInvalid
from forecaster.facts import ACTIONS, Facts, action_subject
from forecaster.features import subjects
from forecaster.outlook import Outlook
from forecaster.sessions import Calendar
from forecaster.store.calendars import read_calendar
from forecaster.store.calibrations import state_at
from forecaster.store.history import find_instrument, read_facts
from forecaster.store.news import fallen_behind
from forecaster.store.visits import is_delisted, last_heard
from serving.engine import ChampionEngine, Loaded
from serving.forecasts import compose
from serving.issued import live_record
from serving.schemas.demand import OnDemand

Given = ParamSpec("Given")
Found = TypeVar("Found")

_IN_SAMPLE = "the model was trained or chosen on prices of after the origin: this is no test of it"
_OWN_FEATURES = "its champion reads features of the user's own, which the service does not load"


def forecasts_on_demand(
    engine: ChampionEngine, symbols: Iterable[str], target: str | None, moment: datetime, today: date
) -> dict[str, OnDemand | ForecasterError]:
    """Each symbol and its forecast, or why there is none.

    Arguments:
        target: By the champion of this one; None for the only one that covers a symbol.
        moment: From what was known by then.
        today: UTC.
    """
    asked = {symbol: _attempt(_Asked.of, engine, symbol, target) for symbol in symbols}
    known = _Known.read(engine.store, moment, [one for one in asked.values() if isinstance(one, _Asked)])
    return {
        symbol: _attempt(known.forecast, one, today) if isinstance(one, _Asked) else one
        for symbol, one in asked.items()
    }


def beside(loaded: Loaded, context: NDArray[np.float32], values: Floats) -> Floats | None:
    """Quantiles [H, Q] of the random walk from the same context; None where the promotion names none.

    Arguments:
        values: [H, Q] the champion's, which is the random walk at times.

    Raises:
        OutputInvalid: What it says is no forecast.
    """
    if loaded.walk is None:
        return None
    walk: Floats = values if loaded.walk is loaded.runtime else loaded.walk.quantiles(context)[0]
    return walk


def require_whole(quantiles: Floats, manifest: Manifest, digest: str) -> None:
    """Check that there is one of each step and level [H, Q]; the golden forecast was only one of many.

    Raises:
        OutputInvalid: There are too many or too few.
    """
    expected = (manifest.target.horizon, len(manifest.levels))
    if quantiles.shape != expected:
        raise OutputInvalid(digest, f"quantiles {quantiles.shape}, not {expected}")


@dataclass(frozen=True)
class _Asked:
    """A symbol that is asked for, and what its champion reads."""

    symbol: str
    loaded: Loaded
    reads: frozenset[str]

    @classmethod
    def of(cls, engine: ChampionEngine, symbol: str, target: str | None) -> "_Asked":
        try:
            loaded = engine.in_charge(symbol, target)
        except NoChampion:
            find_instrument(engine.store, symbol)  # that it is not known at all says more
            raise
        manifest = loaded.runtime.manifest
        if manifest.features:
            raise NotOnDemand(symbol, _OWN_FEATURES)
        try:
            others = subjects(manifest.window.features, universe=manifest.target.symbols)
        except ConfigError as error:  # it is from another version of this program
            raise NotOnDemand(symbol, str(error)) from error
        return cls(symbol, loaded, frozenset({symbol, *others}))

    def of_these(self, facts: Facts) -> Facts:
        """Only the facts that `issue` would read: how far those of a series reach is read off all of them."""
        kinds = (action_subject(subject, kind) for subject in self.reads for kind in ACTIONS)
        mine = np.isin(facts.subject, [*self.reads, *kinds])
        return Facts(facts.subject[mine], facts.date[mine], facts.known_at[mine], facts.values[mine])


@dataclass(frozen=True)
class _Known:
    """What the store knew at a moment, read once for all that is asked for."""

    store: Engine
    moment: datetime
    facts: Facts
    calendars: Mapping[str, Calendar | ForecasterError]
    behind: Collection[str]

    @classmethod
    def read(cls, store: Engine, moment: datetime, asked: Collection[_Asked]) -> "_Known":
        venues = {one.loaded.runtime.manifest.target.venue for one in asked}
        return cls(
            store,
            moment,
            read_facts(store, moment, {subject for one in asked for subject in one.reads}),
            {venue: _attempt(read_calendar, store, venue) for venue in venues},
            fallen_behind(store, {one.symbol for one in asked}),
        )

    def forecast(self, asked: _Asked, today: date) -> OnDemand:
        """The forecast of a symbol.

        Raises:
            DataError: It had not begun, has a hole, or had been delisted.
            NotOnDemand: The store's sessions do not reach as far as its prices.
            OutputInvalid: What the model says is no forecast.
        """
        symbol, loaded = asked.symbol, asked.loaded
        champion, manifest = loaded.champion, loaded.runtime.manifest
        outlook = self._outlook(asked)
        require_whole(outlook.quantiles, manifest, champion.digest)
        state = state_at(self.store, manifest.target, symbol, champion, outlook.sessions, self.moment)
        made = compose(
            symbol=symbol,
            target=champion.target,
            manifest=manifest,
            version=champion.version,
            digest=champion.digest,
            origin=outlook.origin,
            origin_close=outlook.close,
            sessions=outlook.ahead.tolist(),
            quantiles=state.apply(outlook.quantiles),
            walk=beside(loaded, outlook.context, outlook.quantiles),
            calibrated=True,
            calibration=state.digest,
            issued_at=None,
            decision=champion.decision,
            trailing=live_record(self.store, champion.target, symbol, manifest.target.horizon),
            today=today,
            missed=symbol in self.behind,
        )
        seen = made.origin < made.data_until
        remark = "; ".join(line for line in (_IN_SAMPLE if seen else None, made.remark) if line) or None
        return OnDemand(**{**dict(made), "in_sample": seen, "remark": remark})

    def _outlook(self, asked: _Asked) -> Outlook:
        symbol, runtime = asked.symbol, asked.loaded.runtime
        gone = is_delisted(self.store, symbol)
        if gone is not None and gone.asked_at <= self.moment:
            raise Delisted(symbol, str(gone.stale_since))
        calendar, facts = self.calendars[runtime.manifest.target.venue], asked.of_these(self.facts)
        if isinstance(calendar, ForecasterError):
            raise calendar
        if (facts.about(symbol).date < calendar.sessions[0]).any():
            raise NotOnDemand(symbol, f"the store has sessions of {calendar.venue} only from {calendar.sessions[0]}")
        try:
            return Outlook.of(facts, calendar, runtime, symbol, seen=last_heard(self.store, symbol, self.moment))
        except ConfigError as error:  # the sessions end too early
            raise NotOnDemand(symbol, str(error)) from error


def _attempt(work: Callable[Given, Found], *args: Given.args, **kwargs: Given.kwargs) -> Found | ForecasterError:
    try:
        return work(*args, **kwargs)
    except ForecasterError as error:
        return error
