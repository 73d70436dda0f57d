"""A small store in which something was traded: bars up to the origin, sessions, and models that read them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import numpy as np
from small_store import NOW, ORIGIN, SmallStore, small_artifact

from forecaster.artifact import Artifact
from forecaster.calendars import trading_calendar
from forecaster.contract import WindowSpec
from forecaster.sessions import Calendar
from forecaster.store.calendars import keep_calendar
from forecaster.store.history import Row, add_rows, bars_of

WINDOW = WindowSpec(context=8, burn_in=2, channels=("log_return", "volume_change"))
NYSE = trading_calendar("XNYS", date(2018, 9, 3), date(2019, 12, 31))
BEGUN = np.datetime64("2018-10-01")


def model(symbol: str = "^IXIC", seed: int = 0, graph: bytes | None = None, **facts: object) -> Artifact:
    """A champion that can be asked on demand: its channels are features that ship; `facts` replace the manifest's."""
    made = small_artifact(symbol, seed=seed, model=graph)
    return Artifact.seal(made.manifest.model_copy(update={"window": WINDOW} | facts), made.model)


def bars(seed: int = 0, until: date = ORIGIN) -> list[Row]:
    """A bar a session from the first of October 2018, each known from its cut-off."""
    rng = np.random.default_rng(seed)
    span = NYSE.between(BEGUN, np.datetime64(until))
    close = 6000 * np.exp(np.cumsum(0.01 * rng.standard_normal(len(span.sessions))))
    volume = 1e6 * np.exp(0.3 * rng.standard_normal(len(close)))
    moments = [moment.replace(tzinfo=UTC) for moment in span.cutoffs.tolist()]
    return [
        Row(day, known, (price, price * 1.01, price * 0.99, price, traded))
        for day, known, price, traded in zip(
            span.sessions.tolist(), moments, close.tolist(), volume.tolist(), strict=True
        )
    ]


def trade(store: SmallStore, symbol: str = "^IXIC", rows: Sequence[Row] | None = None, now: datetime = NOW) -> None:
    """Bars of a symbol into the store."""
    with store.engine.begin() as connection:
        add_rows(connection, bars_of(symbol), bars() if rows is None else rows, now)


def keep(store: SmallStore, calendar: Calendar = NYSE) -> None:
    """Sessions into the store, as `issue` does it."""
    keep_calendar(store.engine, calendar)
