"""Markets small enough to be taken apart, one configuration of every family, and what a training needs."""

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any, get_args

import numpy as np
import torch

from forecaster.artifact import Artifact
from forecaster.calendars import trading_calendar
from forecaster.contract import Floats, Target, WindowSpec
from forecaster.facts import FIELDS, Facts
from forecaster.families import AnyFamily
from forecaster.families.base import Model, Network, Spec
from forecaster.families.distributions import Head
from forecaster.families.garch import GarchFamily
from forecaster.families.gru import GruFamily
from forecaster.families.har import HarFamily
from forecaster.families.lstm import LstmFamily
from forecaster.families.naive import NaiveFamily
from forecaster.families.pool import Pool
from forecaster.features import Channels, compute
from forecaster.panel import Panel, build_panel
from forecaster.sessions import Calendar
from forecaster.training.config import TrainingConfig
from forecaster.training.export import Provenance, export
from forecaster.training.fit import Fitted, Task, fit
from forecaster.windows import Indices, Sample, Windows

_VARIANTS: dict[str, tuple[dict[str, Any], ...]] = {
    "naive": ({}, {"scale": "empirical", "drift": True}),
    "ar": ({"order": 3},),
    "garch": (
        *({"variance": variance, "distribution": "t"} for variance in ("garch", "gjr", "egarch")),
        *({"variance": "gjr", "distribution": distribution} for distribution in ("normal", "skewt")),
    ),
    "rnn": ({"nonlinearity": "tanh"}, {"nonlinearity": "relu"}),
    "lstm": tuple({"head": head} for head in get_args(Head)),
    "pool": (
        {"members": (HarFamily(name="har"), GruFamily(name="gru"), LstmFamily(name="lstm", head="student_t"))},
        {"members": (NaiveFamily(name="naive"), GarchFamily(name="garch", distribution="skewt"))},
    ),
}


def _name(options: dict[str, Any]) -> list[str]:
    """What tells a variant from others."""
    plain = [str(value) for value in options.values() if not isinstance(value, tuple)]
    return plain or [member.family for members in options.values() for member in members]


FAMILIES: tuple[AnyFamily, ...] = tuple(
    member(name="-".join((member.model_fields["family"].default, *_name(options))), **options)
    for member in get_args(get_args(AnyFamily)[0])
    for options in _VARIANTS.get(member.model_fields["family"].default, ({},))
)
"""Every member of the union, so a new family is asked the same questions without a change here."""

ONE_OF_EACH = tuple({family.family: family for family in reversed(FAMILIES)}.values())
"""One configuration of each family, for questions that cost a training."""

SHORT = TrainingConfig(epochs=2)


@dataclass(frozen=True)
class Market:
    """Facts and how a run reads them."""

    facts: Facts
    calendar: Calendar
    target: Target
    window: WindowSpec

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        """In a few words where hypothesis tells what failed: 88 kB of facts would hide it."""
        printer.text(f"Market({len(self.facts)} facts about {', '.join(self.subjects)})")

    @property
    def symbol(self) -> str:
        return self.target.symbols[0]

    @property
    def subjects(self) -> list[str]:
        return sorted(set(self.facts.subject.tolist()))

    @property
    def spec(self) -> Spec:
        return Spec(self.window, self.target.horizon)

    @cached_property
    def windows(self) -> Windows:
        return self.windows_of(self.facts)

    def panel_of(self, facts: Facts) -> Panel:
        return build_panel(facts, self.symbol, set(facts.subject.tolist()), self.calendar)

    def windows_of(self, facts: Facts) -> Windows:
        return Windows.of(compute(self.panel_of(facts), self.window), self.window, self.target.horizon)

    def cutoff(self, session: np.datetime64) -> np.datetime64:
        """Until when a row had to be known to count at that origin."""
        return self.calendar.cutoffs[np.searchsorted(self.calendar.sessions, session)]


def seal(family: AnyFamily, fitted: Fitted, market: Market, windows: Windows, train: Indices) -> Artifact:
    return export(fitted, market.spec, task(windows, train), Provenance(family, SHORT, market.target, "5" * 64))


def trained(family: AnyFamily, market: Market, windows: Windows, train: Indices) -> Artifact:
    """Two epochs and out of the door."""
    return seal(family, fit(family, market.spec, SHORT, task(windows, train), seed=0), market, windows, train)


def task(windows: Windows, train: Indices, validation: Indices | None = None) -> Task:
    """A training of one symbol."""
    return Task((Sample(windows, train),), () if validation is None else (Sample(windows, validation),))


def windows_from(returns: Floats, others: Floats, window: WindowSpec, horizon: int) -> Windows:
    """Windows over given returns [T] and further channels [T, C - 1]."""
    sessions = np.datetime64("2001-01-01") + np.arange(len(returns))
    close = 100 * np.exp(np.cumsum(returns))
    return Windows.of(Channels(sessions, np.column_stack((returns, others)), close, close), window, horizon)


def stirred(family: AnyFamily, spec: Spec, windows: Windows, seed: int = 0) -> Model:
    """A model with no weight at zero, so that nothing is right only because it is silent."""
    torch.manual_seed(seed)
    model = family.build(spec)
    for part in model.pooled if isinstance(model, Pool) else [model]:
        part.estimate([Sample(windows, windows.span(None, None))])
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return model.eval()


def is_trained(family: AnyFamily, spec: Spec) -> bool:
    """Whether it has weights that follow a gradient."""
    return isinstance(family.build(spec), Network)


def made_up(sessions: int = 170, seed: int = 7) -> Market:
    """A target, a peer with holes, a daily and a monthly series with publication lags, and revisions of all of them."""
    rng = np.random.default_rng(seed)
    calendar = trading_calendar("XNYS", date(2014, 12, 1), date(2016, 12, 30))
    span = calendar.between(np.datetime64("2015-02-02"), np.datetime64("2016-12-30"))
    days, cutoffs = span.sessions[:sessions], span.cutoffs[:sessions]
    held = np.r_[True, rng.random(sessions - 1) > 0.05]  # sessions on which the peer traded
    daily = np.arange("2014-12-15", days[-1], dtype="datetime64[D]")
    months = np.arange("2014-10", days[-1].astype("datetime64[M]"), dtype="datetime64[M]")
    day, instant = np.timedelta64(1, "D"), "datetime64[us]"
    parts = [
        ("TGT", days, cutoffs, _bars(rng, sessions)),
        ("PEER", days[held], cutoffs[held], _bars(rng, sessions)[held]),
        ("DAILY", daily, (daily + 3 * day).astype(instant), _values(rng, len(daily))),
        ("MONTHLY", months.astype("datetime64[D]"), ((months + 1).astype("datetime64[D]") + 21 * day).astype(instant),
         _values(rng, len(months))),
    ]  # fmt: skip
    subject = np.concatenate([np.full(len(dates), name, dtype="<U8") for name, dates, _, _ in parts])
    dates = np.concatenate([dates for _, dates, _, _ in parts])
    known = np.concatenate([known for _, _, known, _ in parts])
    values = np.concatenate([values for _, _, _, values in parts])
    again = rng.choice(len(dates), len(dates) // 10, replace=False)
    later = known[again] + rng.integers(3600, 40 * 86400, len(again)).astype("timedelta64[s]")
    facts = Facts.of(
        np.concatenate((subject, subject[again])),
        np.concatenate((dates, dates[again])),
        np.concatenate((known, later)),
        np.concatenate((values, values[again] * 1.03)),
    )
    channels = (
        *("log_return", "log_range", "close_location", "volume_change"),
        *("log_return(PEER)", "change(DAILY)", "change(MONTHLY)"),
    )
    return Market(
        facts,
        calendar,
        Target(symbols=("TGT",), venue="XNYS", horizon=3),
        WindowSpec(context=28, burn_in=23, channels=channels),
    )


def _bars(rng: np.random.Generator, count: int) -> Floats:
    close = 50 * np.exp(np.cumsum(0.01 * rng.standard_normal(count)))
    open_ = close * np.exp(0.004 * rng.standard_normal(count))
    high = np.maximum(open_, close) * np.exp(0.003 * rng.random(count))
    low = np.minimum(open_, close) * np.exp(-0.003 * rng.random(count))
    volume = 1e6 * np.exp(0.2 * rng.standard_normal(count))
    return np.column_stack((open_, high, low, close, volume, np.full(count, np.nan)))


def _values(rng: np.random.Generator, count: int) -> Floats:
    values = np.full((count, len(FIELDS)), np.nan)
    values[:, -1] = 3 + np.cumsum(0.1 * rng.standard_normal(count))
    return values
