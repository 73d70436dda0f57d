"""Does history stay as it was seen? `python -m benchmarks.restatements [--data FOLDER]`

A vendor of today's shares serves the sample's bars again and again, with made-up splits, dividends and restatements
(and a last bar that still changes); after each fetch every view as of an earlier fetch is compared to the bit: facts,
panel, contexts, targets, and the quantiles of a random walk and an autoregression from every origin of the last weeks.
With --data also the downloads of `vintages`, one after the other as they were made. Exits 0 where no earlier view
changed and no split changed a return.
"""

import argparse
import hashlib
import itertools
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy import Engine

from forecaster.calendars import trading_calendar
from forecaster.contract import Floats, Target, WindowSpec
from forecaster.facts import Facts
from forecaster.families import AnyFamily
from forecaster.families.ar import ArFamily
from forecaster.families.base import Spec
from forecaster.families.naive import NaiveFamily
from forecaster.features import compute
from forecaster.panel import Panel, build_panel
from forecaster.runtime import Runtime
from forecaster.sessions import Calendar
from forecaster.store.database import connect, sqlite_url
from forecaster.store.history import read_facts
from forecaster.store.migrate import migrate
from forecaster.training.config import TrainingConfig
from forecaster.training.export import Provenance, export
from forecaster.training.fit import Task, fit
from forecaster.windows import Sample as Origins
from forecaster.windows import Windows
from pipelines.fetch import Fetched, Fetcher
from pipelines.sources.base import ACTION_COLUMNS, BAR_COLUMNS, BarSource, Listing, Publication, Reply, SeriesSource
from pipelines.sources.files import Files
from pipelines.sources.sample import Sample

PRICES = ["open", "high", "low", "close"]
WINDOW = WindowSpec(context=24, burn_in=8, channels=("log_return", "log_range", "volume_change"))
HORIZON = 2
HAPPENINGS = ("split", "bar", "dividend", "history", "withdrawn")
"""What becomes of a vendor's history between two fetches, in turn: an action comes or goes, bars are restated."""
ORIGINS = 15
"""Newest origins from which quantiles are compared: three weeks."""
SAME_RETURN = 1e-5
RELEASES = {
    "UNRATE": Publication("UNRATE", "M", 10),
    "CPIAUCSL": Publication("CPIAUCSL", "M", 15),
    "ICSA": Publication("ICSA", "W-SAT", 5),
}
BARS = {"NVDA": "XNAS", "005930.KS": "XKRX"}


@dataclass
class Vendor:
    """Serves one symbol as Yahoo does: in single precision, and in shares of the newest split."""

    symbol: str
    calendar: Calendar
    even: pd.DataFrame
    """BAR_COLUMNS in shares of the first session: without splits, what was traded."""
    splits: dict[date, float] = field(default_factory=dict)
    dividends: dict[date, float] = field(default_factory=dict)
    """Cash in shares of the first session."""
    name: str = "vendor"
    remote: bool = False

    def bars(self, symbol: str, since: date | None, now: datetime) -> Reply:
        """What has begun to trade by `now`; of a session still open, half of its volume."""
        begun = self.calendar.sessions[self.calendar.opens <= np.datetime64(now.replace(tzinfo=None))][-1]
        served = self.even[self.even["session"] <= pd.Timestamp(begun.item())].reset_index(drop=True)
        shares = np.prod([ratio for ex, ratio in self.splits.items() if ex <= begun.item()])
        served[PRICES] = (served[PRICES] / shares).astype(np.float32).astype(float)
        served["volume"] = (served["volume"] * shares).round()
        open_now = self.calendar.closes[self.calendar.sessions == begun][0] > np.datetime64(now.replace(tzinfo=None))
        if open_now and len(served) and served["session"].iloc[-1].date() == begun.item():
            served.loc[len(served) - 1, "volume"] = np.floor(served["volume"].iloc[-1] / 2)
        paid = {ex: cash / shares for ex, cash in self.dividends.items()}
        told = [(pd.Timestamp(ex), kind, value) for kind, of in (("split", self.splits), ("dividend", paid))
                for ex, value in of.items() if ex <= begun.item()]  # fmt: skip
        actions = pd.DataFrame(sorted(told), columns=list(ACTION_COLUMNS))
        first = pd.Timestamp(since or date.min)
        listing = Listing(symbol, self.calendar.venue, "USD")
        return Reply(listing, served[served["session"] >= first][list(BAR_COLUMNS)].reset_index(drop=True),
                     actions[actions["session"] >= first].reset_index(drop=True), split_adjusted=True)  # fmt: skip


def digest_of(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def panel_parts(panel: Panel) -> list[np.ndarray]:
    """All that a panel holds of its symbol."""
    columns = [panel.column(panel.symbol, name) for name in (*PRICES, "volume")]
    return [panel.sessions, panel.subjects[panel.symbol], *columns, panel.dividends(panel.symbol)]


Keyed = dict[tuple[str, date, datetime], bytes]


def keyed(facts: Facts) -> Keyed:
    """Values by subject, date and known_at."""
    keys = zip(facts.subject.tolist(), facts.date.tolist(), facts.known_at.tolist(), strict=True)
    return {key: row.tobytes() for key, row in zip(keys, facts.values, strict=True)}


def late_rows(before: Facts, after: Facts, calendar: Calendar) -> tuple[list[date], list[str]]:
    """Dates that a view has gained, and what else has become of it: that must be nothing.

    A view may gain the first row of a date, bar or action, that its source had left out: the rule dates it to the
    cut-off of its session (decision 8). It may lose no row, change none, and gain no second row of a date.
    """
    old, new = keyed(before), keyed(after)
    wrong = [
        f"{name} {day}: lost or changed" for (name, day, at), row in old.items() if new.get((name, day, at)) != row
    ]
    had = {(name, day) for name, day, _ in old}
    cutoffs = dict(zip(calendar.sessions.tolist(), calendar.cutoffs.tolist(), strict=True))
    gained = [key for key in new if key not in old]
    wrong += [f"{name} {day}: a revision dated back" for name, day, _ in gained if (name, day) in had]
    wrong += [f"{name} {day}: known at {at}, not at its cut-off" for name, day, at in gained if cutoffs.get(day) != at]
    return sorted(day for _, day, _ in gained), wrong


@dataclass
class Watch:
    """Looks at a store as of many instants, and tells which views have changed since it first looked."""

    engine: Engine
    symbol: str
    calendar: Calendar
    runtimes: dict[str, Runtime] = field(default_factory=dict)
    seen: dict[datetime, dict[str, str]] = field(default_factory=dict)

    def windows(self, facts: Facts) -> Windows:
        return Windows.of(compute(build_panel(facts, self.symbol, [], self.calendar), WINDOW), WINDOW, HORIZON)

    def train(self, as_of: datetime) -> None:
        """The two models whose quantiles are watched, fitted on what was known then."""
        windows = self.windows(read_facts(self.engine, as_of, [self.symbol]))
        target = Target(symbols=(self.symbol,), venue=self.calendar.venue, horizon=HORIZON)
        spec, config = Spec(WINDOW, HORIZON), TrainingConfig(epochs=2)
        task = Task((Origins(windows, windows.span(None, None)),))
        families: tuple[AnyFamily, ...] = (NaiveFamily(name="naive"), ArFamily(name="ar"))
        for family in families:
            fitted = fit(family, spec, config, task, seed=config.seed)
            sealed = export(fitted, spec, task, Provenance(family, config, target, "5" * 64))
            self.runtimes[family.name] = Runtime(sealed)

    def view(self, as_of: datetime) -> dict[str, str]:
        """Digests of all that can be known as of an instant."""
        facts = read_facts(self.engine, as_of, [self.symbol])
        panel, windows = build_panel(facts, self.symbol, [], self.calendar), self.windows(facts)
        origins = np.flatnonzero(windows.whole)[-ORIGINS:]
        contexts = windows.contexts(origins)
        parts = {
            "facts": facts.digest(),
            "panel": digest_of(*panel_parts(panel)),
            "windows": digest_of(windows.sessions, windows.values, windows.targets, windows.whole, contexts),
        }
        return parts | {name: digest_of(runtime.quantiles(contexts)) for name, runtime in self.runtimes.items()}

    def look(self, *instants: datetime) -> None:
        """Remember views."""
        for as_of in instants:
            self.seen.setdefault(as_of, self.view(as_of))

    def changed(self) -> list[str]:
        """Remembered views that are not what they were."""
        return [
            f"{part} as of {as_of:%Y-%m-%d %H:%M}"
            for as_of, before in self.seen.items()
            for part, now in self.view(as_of).items()
            if now != before[part]
        ]


@dataclass(frozen=True)
class Line:
    """What one fetch did."""

    subject: str
    vintage: str
    fetched: Fetched
    changed: list[str]

    @property
    def refused(self) -> bool:
        return self.fetched.status != "ok"


def stamps(folder: Path) -> dict[datetime, Path]:
    """Downloads by when they were made: 2026-07-01T0000Z (folders) or 2026-04-23 (files, at noon)."""
    found = {}
    for path in sorted(folder.iterdir()):
        text = path.name.removesuffix(".csv.gz")
        found[datetime.fromisoformat(text if "T" in text else f"{text}T12:00Z")] = path
    return found


def weeks_before(calendar: Calendar, as_of: datetime, count: int = 8) -> list[datetime]:
    """Instants spread over the last cut-offs up to one, and itself."""
    past = calendar.cutoffs[calendar.cutoffs <= np.datetime64(as_of.replace(tzinfo=None))][-count::2]
    return [*(cutoff.item().replace(tzinfo=UTC) for cutoff in past), as_of]


def fetched_in_turn(
    watch: Watch, sources: dict[datetime, BarSource], after: Callable[[datetime], None] | None = None
) -> Iterator[Line]:
    """Fetch from one source after the other, each at its instant, and look back after each."""
    for now, source in sources.items():
        (done,) = Fetcher(watch.engine, source, Sample(), lambda now=now: now).fetch([watch.symbol], [])
        if not watch.runtimes and done.status == "ok":
            watch.train(now)
        yield Line(watch.symbol, f"{now:%Y-%m-%d %H:%M}", done, watch.changed())
        if done.status == "ok":
            watch.look(*weeks_before(watch.calendar, now))
        if after is not None:
            after(now)


def store_in(folder: Path) -> Engine:
    engine = connect(sqlite_url(folder))
    migrate(engine)
    return engine


def yahoo_vintages(engine: Engine, data: Path) -> Iterator[Line]:
    """The same symbols downloaded on seven days, adjusted for dividends each time."""
    made = stamps(data / "vintages" / "yf_daily_snapshots")
    for symbol, venue in BARS.items():
        watch = Watch(engine, symbol, trading_calendar(venue, date(2025, 1, 2), date(2026, 12, 30)))
        yield from fetched_in_turn(watch, {now: Files(path, venue, BARS, {}) for now, path in made.items()})


def fred_vintages(engine: Engine, data: Path) -> Iterator[Line]:
    """Series as FRED had them on different days."""
    for series in RELEASES:
        before: dict[datetime, str] = {}
        for now, path in stamps(data / "vintages" / "fred_as_retrieved" / series).items():
            with tempfile.TemporaryDirectory() as name:
                (Path(name) / f"{series}.csv.gz").symlink_to(path.resolve())
                source: SeriesSource = Files(Path(name), "XNYS", {}, RELEASES)
                (done,) = Fetcher(engine, Sample(), source, lambda now=now: now).fetch([], [series])
            changed = [f"facts as of {as_of:%Y-%m-%d}" for as_of, digest in before.items()
                       if read_facts(engine, as_of, [series]).digest() != digest]  # fmt: skip
            yield Line(series, f"{now:%Y-%m-%d}", done, changed)
            days = [now - timedelta(days=back) for back in (0, 10)]
            before |= {as_of: read_facts(engine, as_of, [series]).digest() for as_of in days if as_of not in before}


def made_up(symbol: str, sessions: int = 500, seed: int = 20181231) -> tuple[Vendor, list[datetime]]:
    """A vendor of the sample's last sessions, and when it is asked: after every third, at times in an open one."""
    reply = Sample().bars(symbol, None, datetime(2019, 3, 1, tzinfo=UTC))
    even = reply.bars.iloc[-sessions:].reset_index(drop=True)
    venue = reply.listing.venue
    calendar = trading_calendar(venue, even["session"].iloc[0].date(), date(2019, 1, 31))
    rng = np.random.default_rng(seed)
    asked = [cutoff.item().replace(tzinfo=UTC) + timedelta(hours=int(rng.choice([0, 1, 19])))
             for cutoff in calendar.cutoffs[sessions - 60 : sessions : 3]]  # fmt: skip
    return Vendor(symbol, calendar, even), asked


def happens(vendor: Vendor, what: str, now: datetime, rng: np.random.Generator) -> None:
    """Something of HAPPENINGS between two fetches."""
    ahead = vendor.calendar.sessions[vendor.calendar.opens > np.datetime64(now.replace(tzinfo=None))]
    settled = vendor.calendar.cutoffs <= np.datetime64(now.replace(tzinfo=None))
    newest = int(settled.sum()) - 1
    close = float(vendor.even["close"].iloc[newest])
    if what == "split" and len(ahead):
        vendor.splits[ahead[0].item()] = float(rng.choice([2.0, 4.0, 10.0, 1.5, 0.1]))
    elif what == "dividend" and len(ahead):
        vendor.dividends[ahead[0].item()] = round(close * rng.uniform(0.002, 0.008), 2)
    elif what == "withdrawn" and vendor.dividends:
        vendor.dividends.popitem()
    elif what == "bar":
        vendor.even.loc[newest - int(rng.integers(0, 5)), PRICES] *= 1.0 + rng.uniform(-0.002, 0.002)
    elif what == "history":
        vendor.even.loc[: newest - 5, PRICES] *= 0.999


def true_returns(panel: Panel, first_seen: dict[date, float]) -> tuple[Floats, Floats]:
    """Log returns of the panel and those in shares of the first session, where both closes are believed."""
    closes = np.log(panel.column(panel.symbol, "close"))
    truth = np.log([first_seen.get(session, np.nan) for session in panel.sessions.tolist()])
    both = np.isfinite(np.diff(closes)) & np.isfinite(np.diff(truth))
    return np.diff(closes)[both], np.diff(truth)[both]


def sample_vintages(engine: Engine, symbol: str) -> tuple[list[Line], float]:
    """Fetches of the made-up vendor, and by how much a return is off at worst."""
    vendor, asked = made_up(symbol)
    rng, first_seen = np.random.default_rng(list(symbol.encode())), dict[date, float]()
    watch, turn, errors = Watch(engine, symbol, vendor.calendar), itertools.cycle(HAPPENINGS), [0.0]

    def after(now: datetime) -> None:
        panel = build_panel(read_facts(engine, now, [symbol]), symbol, [], vendor.calendar)
        evens = dict(zip(vendor.even["session"].dt.date, vendor.even["close"], strict=True))
        for session in panel.sessions[~panel.holes].tolist():
            first_seen.setdefault(session, evens[session])
        found, truth = true_returns(panel, first_seen)
        errors.append(float(np.abs(found - truth).max()))
        happens(vendor, next(turn), now, rng)

    return list(fetched_in_turn(watch, dict.fromkeys(asked, vendor), after)), max(errors)


def show(lines: list[Line]) -> None:
    for line in lines:
        done = line.fetched
        print(f"{line.subject:10s} {line.vintage:17s} {done.inserted:8d} {done.revised:8d} {done.quarantined:11d} "
              f"{done.status if line.refused else '-':>9s} {len(line.changed):21d}")  # fmt: skip
        for one in line.changed[:3]:
            print(f"    {one}")


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="earlier views after restatements")
    parser.add_argument("--data", type=Path, help="folder with vintages")
    data = parser.parse_args().data
    print(f"{'subject':10s} {'vintage':17s} {'inserted':>8s} {'revised':>8s} {'quarantined':>11s} {'refused':>9s} "
          f"{'earlier views changed':>21s}")  # fmt: skip
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        engine = store_in(Path(name))
        lines, worst = list[Line](), 0.0
        for symbol in ("^GSPC", "^IXIC"):
            made, error = sample_vintages(engine, symbol)
            show(made)
            lines, worst = lines + made, max(worst, error)
        if data is not None:
            for vintages in (yahoo_vintages, fred_vintages):
                real = list(vintages(engine, data))
                show(real)
                lines += real
        engine.dispose()
    changed, refused = sum(len(line.changed) for line in lines), sum(line.refused for line in lines)
    revised = sum(line.fetched.revised for line in lines)
    print(
        f"restatements: {len(lines)} fetches, {revised} rows revised, {refused} refused, {changed} earlier views "
        f"changed; largest error of a return {worst:.1e} (at most {SAME_RETURN:.0e})"
    )
    return int(changed > 0 or worst > SAME_RETURN)


if __name__ == "__main__":
    sys.exit(main())
