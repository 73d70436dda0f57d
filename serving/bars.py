"""Settled bars as they are known now."""

from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import Engine

from forecaster.contract import Floats
from forecaster.errors import UnknownSymbol
from forecaster.facts import ACTIONS, BAR_FIELDS, Facts, action_subject
from forecaster.store.history import NO_CURRENCY, all_instruments, read_facts
from serving.schemas.bars import Bar, Bars

_SPLIT = ACTIONS[1]


def newest_bars(store: Engine, symbol: str, limit: int, now: datetime) -> Bars:
    """The newest bars of a symbol in their newest revision, or the newest values of a series.

    Prices and volumes are in shares of the newest bar: what was traded before a split is divided by its ratio (volumes
    are multiplied), so that candles on either side of it line up, and with what is traded now. It is what a panel says,
    divided by its last factor, but with every split as it is known now, not as on its own day. A forecast from before a
    split is about shares of its own origin.

    Raises:
        UnknownSymbol: The store has never heard of it.
    """
    instruments = all_instruments(store)
    facts = read_facts(store, now, [symbol])
    rows = _newest(facts.about(symbol))
    if symbol not in instruments and not len(rows):
        raise UnknownSymbol(symbol, instruments)
    currency = instruments[symbol].currency if symbol in instruments else NO_CURRENCY
    shares = _shares(rows, _newest(facts.about(action_subject(symbol, _SPLIT))))
    bars = [_bar(rows, place, shares[place]) for place in range(max(0, len(rows) - limit), len(rows))]
    return Bars(symbol=symbol, currency=None if currency == NO_CURRENCY else currency, bars=bars)


def _newest(rows: Facts) -> Facts:
    """Of each date the newest revision."""
    last = np.append(rows.date[1:] != rows.date[:-1], [True])[: len(rows)]
    return Facts(rows.subject[last], rows.date[last], rows.known_at[last], rows.values[last])


def _shares(rows: Facts, splits: Facts) -> Floats:
    """[N] shares of the newest bar that one of each bar has become."""
    became = np.ones(len(rows))
    for day, ratio in zip(splits.date, splits.column("value"), strict=True):
        if len(rows) and day <= rows.date[-1]:
            became[rows.date < day] *= ratio
    return became


def _bar(rows: Facts, place: int, shares: float) -> Bar:
    said: dict[str, Any] = {"session": rows.date[place].item()}
    for field in (*BAR_FIELDS, "value"):
        value = float(rows.column(field)[place])
        if np.isfinite(value):
            said[field] = value * shares if field == "volume" else value / shares if field in BAR_FIELDS else value
    return Bar(**said)
