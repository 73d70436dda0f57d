"""What `benchmarks.scale` works on: markets of any size, frozen as a snapshot, and a run on them.

A simulated symbol is a random walk whose volatility clusters, with a range and a volume; a real one is its history,
repeated end to start where more sessions are asked than it has, and stands for others under other names.
"""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import PRICES, histories
from benchmarks.scale_growth import Size
from forecaster.calendars import trading_calendar
from forecaster.contract import Floats
from forecaster.facts import BAR_FIELDS, FIELDS, Facts
from forecaster.sessions import Calendar
from forecaster.snapshot import write_snapshot
from pipelines.config import RunConfig

VENUE, LAST = "XNYS", date(2018, 12, 31)
SEED = 0
BASE = ("log_return", "log_range", "close_location", "volume_change", "open_return", "high_return")
"""Of the target; more channels are the same of other symbols."""
VALIDATION, TEST = 0.7, 0.8
"""Shares of the sessions at which these years begin."""


def names(size: Size) -> list[str]:
    """Of the symbols that are forecast, then of those that are only read."""
    return [f"S{number}" for number in range(max(size.symbols, -(-size.channels // len(BASE))))]


def run_of(size: Size, days: Calendar) -> RunConfig:
    """The run on them.

    Arguments:
        days: Sessions there are; the newest are worked on.
    """
    symbols, sessions = names(size), days.sessions[-size.sessions :]
    channels = [feature if name == "S0" else f"{feature}({name})" for name in symbols for feature in BASE]
    channels = channels[: size.channels]
    networks = [{"name": f"lstm-{number}", "family": "lstm"} for number in range(size.families)]
    told = ["symbol"] if size.symbols > 1 else []
    raw: dict[str, Any] = {
        "data": {"symbols": symbols},
        "target": {"symbols": symbols[: size.symbols], "venue": VENUE, "horizon": 2},
        "window": {"context": 64, "burn_in": 32, "channels": [*channels, *told]},
        "split": {
            "validation_from": sessions[int(VALIDATION * len(sessions))].item(),
            "test_from": sessions[int(TEST * len(sessions))].item(),
        },
        "training": {"epochs": 2, "patience": 2, "seeds": size.seeds},
        "models": [{"name": "naive", "family": "naive"}, *networks],
    }
    return RunConfig.model_validate(raw)


def simulated(count: int, rng: np.random.Generator) -> Floats:
    """Bars [T, 5] of a symbol."""
    volatility = 0.004 + 0.01 * np.abs(np.sin(np.cumsum(0.05 * rng.standard_normal(count))))
    returns = volatility * rng.standard_t(5, count)
    close = 100 * np.exp(np.cumsum(returns) - np.linspace(0, returns.sum(), count))
    opened = np.concatenate(([100.0], close[:-1])) * np.exp(0.2 * volatility * rng.standard_normal(count))
    reach = np.exp(volatility * np.abs(rng.standard_normal((2, count))))
    high, low = np.maximum(opened, close) * reach[0], np.minimum(opened, close) / reach[1]
    return np.column_stack((opened, high, low, close, 1e6 * np.exp(0.3 * rng.standard_normal(count))))


def repeated(real: Floats, count: int) -> Floats:
    """A real history [T, 5], repeated end to start so that no seam is a jump, the newest `count` sessions of it."""
    times = -(-count // len(real))
    steps = (real[-1, 3] / real[0, 3]) ** np.arange(times)
    laid = np.tile(real, (times, 1))
    laid[:, :4] *= np.repeat(steps, len(real))[:, None]
    return laid[-count:]


def calendar(count: int) -> Calendar:
    """So many sessions, and some before them."""
    return trading_calendar(VENUE, LAST - timedelta(days=int(1.5 * count) + 30), LAST)


def frozen(size: Size, data: str | None, days: Calendar, folder: Path) -> str:
    """Digest of a snapshot of that size.

    Arguments:
        data: Folder of real daily bars; None for simulated ones.
    """
    days = days.between(days.sessions[-size.sessions], days.sessions[-1])
    rng = np.random.default_rng(SEED)
    real = [] if data is None else [one.bars[[*PRICES, "volume"]].to_numpy(np.float64) for one in histories(data)]
    parts = []
    for number, name in enumerate(names(size)):
        bars = repeated(real[number % len(real)], size.sessions) if real else simulated(size.sessions, rng)
        values = np.full((size.sessions, len(FIELDS)), np.nan)
        values[:, : len(BAR_FIELDS)] = bars
        parts.append((name, days.sessions, days.cutoffs, values))
    return write_snapshot(Facts.joined(parts), folder)
