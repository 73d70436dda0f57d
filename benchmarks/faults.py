"""Faults planted in real bars, faults that Yahoo served, and clean files. `python -m benchmarks.faults [--data FOLDER]`

Prints fault kind | planted | caught | false alarms, and exits 0 only where none is missed and false alarms stay within
ALARMS. A planted fault is caught where none of its rows is believed (or, for a hole, where it is reported missing); a
row held back without need is a false alarm. With --data also the pairs of `bad_data_yfinance` (a row is bad where the
repaired twin differs; one that differs in `Adj Close` alone is not read, and counted apart) and the clean files of
`universe` and `core`, where every row held back is listed by its reason.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from forecaster.calendars import trading_calendar
from forecaster.sessions import Calendar
from forecaster.store.history import Rejected
from pipelines.quality import Checked, check
from pipelines.sources.base import Reply
from pipelines.sources.files import Files
from pipelines.sources.sample import Sample

SEED, PLACES = 20181231, 10
"""Each kind is planted at this many places of each index, one at a time."""

ALARMS = 1e-3
"""Largest share of good rows that may be held back."""

NOW = datetime(2026, 10, 1, tzinfo=UTC)
VENUES = {"HK": "XHKG", "T": "XTKS", "DE": "XETR", "L": "XLON", "PA": "XPAR", "AX": "XASX", "MC": "XMAD", "MI": "XMIL",
          "JO": "XJSE", "TA": "XTAE", "KS": "XKRX"}  # fmt: skip
CLEAN_VENUES = {"CL=F": "CMES", "GC=F": "CMES", "DX-Y.NYB": "IEPA", "005930.KS": "XKRX"}
REAL_FAULTS = {
    "high and low do not hold open and close",
    "high below low",
    "not a session of the venue",
    "not finite",
    "price not positive",
    "frozen: the close before, and no volume",
    "the bar before, repeated",
}
"""Reasons that are faults of a row beyond argument; in a clean file they are no false alarm."""

PRICES = ["open", "high", "low", "close"]


@dataclass(frozen=True)
class Planted:
    """A reply with one fault."""

    reply: Reply
    bad: frozenset[str]
    """Dates of which no bar may be believed."""
    hole: bool = False
    """Whether they must be reported missing."""
    action: bool = False
    """Whether it is an action of that date that may not be believed, not a bar."""
    now: datetime = NOW


@dataclass
class Line:
    """A row of the table."""

    planted: int = 0
    caught: int = 0
    alarms: int = 0
    good: int = 0
    unread: int = 0


Plant = Callable[[Reply, int], Planted]


def cells(column: str | list[str], value: float | Callable[[pd.Series], pd.Series]) -> Plant:
    """One row with something else in some columns."""

    def plant(reply: Reply, at: int) -> Planted:
        bars = reply.bars.copy()
        for name in [column] if isinstance(column, str) else column:
            bars.loc[at, name] = value(bars.loc[at, name]) if callable(value) else value
        return Planted(replace(reply, bars=bars), day(bars, at))

    return plant


def day(bars: pd.DataFrame, at: int) -> frozenset[str]:
    return frozenset({str(bars["session"].iloc[at].date())})


def split(ratio: float, listed: bool, unit: bool = False) -> Plant:
    """Every price before a session in other shares, though no split took place."""

    def plant(reply: Reply, at: int) -> Planted:
        bars, ex_date = reply.bars.copy(), reply.bars["session"].iloc[at]
        bars.loc[: at - 1, PRICES] /= ratio
        if not unit:
            bars.loc[: at - 1, "volume"] *= ratio
        actions = pd.DataFrame({"session": [ex_date], "kind": ["split"], "value": [ratio]})
        changed = replace(reply, bars=bars, split_adjusted=True)
        bad = frozenset(str(session.date()) for session in bars["session"].iloc[:at])
        return Planted(replace(changed, actions=actions) if listed else changed, bad)

    return plant


def extra(weekday: bool) -> Plant:
    """A row on a day without a session."""

    def plant(reply: Reply, at: int) -> Planted:
        days = pd.date_range(reply.bars["session"].iloc[at], reply.bars["session"].iloc[-1])
        free = [
            one for one in days.difference(pd.DatetimeIndex(reply.bars["session"])) if (one.weekday() < 5) == weekday
        ]
        row = reply.bars.iloc[[at]].assign(session=free[0])
        return Planted(replace(reply, bars=pd.concat([reply.bars, row])), frozenset({str(free[0].date())}))

    return plant


def twice(reply: Reply, at: int) -> Planted:
    """The same session with another close."""
    row = reply.bars.iloc[[at]].copy()
    row["close"] = row["open"]
    return Planted(replace(reply, bars=pd.concat([reply.bars, row])), day(reply.bars, at))


def hole(reply: Reply, at: int) -> Planted:
    """A session left out."""
    return Planted(replace(reply, bars=reply.bars.drop(index=at)), day(reply.bars, at), hole=True)


def partial(reply: Reply, at: int) -> Planted:
    """The newest bar of a session still open: noon in New York, DST or not."""
    bars = reply.bars.iloc[: at + 1]
    noon = bars["session"].iloc[at].tz_localize("America/New_York") + timedelta(hours=12)
    return Planted(replace(reply, bars=bars), day(bars, at), now=noon.tz_convert(UTC).to_pydatetime())


def frozen(reply: Reply, at: int) -> Planted:
    """The close before, and nothing traded."""
    bars = reply.bars.copy()
    bars.loc[at, PRICES], bars.loc[at, "volume"] = bars["close"].iloc[at - 1], 0.0
    return Planted(replace(reply, bars=bars), day(bars, at))


def repeated(reply: Reply, at: int) -> Planted:
    """The whole bar before once more."""
    bars = reply.bars.copy()
    bars.loc[at, [*PRICES, "volume"]] = bars.loc[at - 1, [*PRICES, "volume"]]
    return Planted(replace(reply, bars=bars), day(bars, at))


def dividend(factor: float) -> Plant:
    """Quarterly dividends of half a per cent, one of them in another unit."""

    def plant(reply: Reply, at: int) -> Planted:
        rows = reply.bars.iloc[at % 63 :: 63]
        cash = (0.005 * rows["close"]).round(2)
        wrong = len(rows) // 2 + at % 7
        cash.iloc[wrong] *= factor
        actions = pd.DataFrame({"session": rows["session"], "kind": "dividend", "value": cash})
        date = frozenset({str(rows["session"].iloc[wrong].date())})
        return Planted(replace(reply, actions=actions), date, action=True)

    return plant


KINDS: dict[str, Plant] = {
    "NaN": cells("close", np.nan),
    "zero": cells("open", 0.0),
    "negative": cells(PRICES, -37.63),
    "1e300": cells(PRICES, 1e300),
    "inf": cells("high", np.inf),
    "high below low": cells("high", lambda high: high * 0.5),
    "negative volume": cells("volume", -1.0),
    "100x, one bar": cells(PRICES, lambda price: price * 100.0),
    "0.01x, one bar": cells(PRICES, lambda price: price * 0.01),
    "1.5x, one bar": cells(PRICES, lambda price: price * 1.5),
    "100x, one close and high": cells(["high", "close"], lambda price: price * 100.0),
    "100x until a session": split(0.01, listed=False, unit=True),
    "0.01x until a session": split(100.0, listed=False, unit=True),
    **{
        f"phantom split {name}, {'listed' if listed else 'not listed'}": split(ratio, listed)
        for name, ratio in {"2:1": 2.0, "3:2": 1.5, "4:1": 4.0, "1:10": 0.1}.items()
        for listed in (True, False)
    },
    "weekend row": extra(weekday=False),
    "holiday row": extra(weekday=True),
    "session twice": twice,
    "missing session": hole,
    "partial last bar": partial,
    "frozen bar": frozen,
    "repeated bar": repeated,
    "dividend 100x": dividend(100.0),
}


def run_planted() -> dict[str, Line]:
    """Each kind at the same places of each index."""
    lines: dict[str, Line] = {kind: Line() for kind in KINDS}
    places = np.random.default_rng(SEED)
    for symbol in ("^GSPC", "^IXIC"):
        reply = Sample().bars(symbol, None, NOW)
        calendar = span(reply, reply.listing.venue)
        if check(reply, calendar, NOW, None).rejected:
            sys.exit(f"{symbol}: not clean before anything was planted")
        for at in sorted(places.choice(np.arange(300, len(reply.bars) - 300), PLACES, replace=False).tolist()):
            for kind, plant in KINDS.items():
                judge(lines[kind], plant(reply, at), calendar)
    return lines


def judge(line: Line, planted: Planted, calendar: Calendar) -> None:
    """Count one fault."""
    checked = check(planted.reply, calendar, planted.now, None)
    dates = [set(rows["session"].dt.date.astype(str)) for rows in (planted.reply.bars, checked.bars)]
    expected, believed = dates
    missing = {str(one) for one in checked.missing}
    held = {str(row.date) for row in checked.rejected if "kind" in row.row}
    line.planted += 1
    line.good += len(expected)
    if planted.action:
        line.caught += planted.bad <= held
        line.alarms += len(held - planted.bad) + len(expected - believed)
    else:
        line.caught += planted.bad <= missing if planted.hole else not planted.bad & believed
        line.alarms += len(expected - planted.bad - believed)


def span(reply: Reply, venue: str) -> Calendar:
    """The venue's calendar around a reply; exchange_calendars 4.13 fails on Tel Aviv's, hence its own days."""
    first, last = reply.bars["session"].min(), reply.bars["session"].max()
    if venue != "XTAE":
        return trading_calendar(venue, (first - timedelta(days=10)).date(), (last + timedelta(days=10)).date())
    days = np.unique(reply.bars["session"].to_numpy()).astype("datetime64[D]")
    midnight = days.astype("datetime64[us]")
    return Calendar(venue, days, midnight + np.timedelta64(7, "h"), midnight + np.timedelta64(15, "h"))


def opened(path: Path, venue: str) -> Reply:
    """What the files source says of one file, under a name that may be a symbol."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "FILE.csv.gz").symlink_to(path.resolve())
        return Files(Path(folder), venue, {}, {}).bars("FILE", None, NOW)


def run_pairs(folder: Path) -> Iterator[tuple[str, Line]]:
    """Each faulty file beside its repaired twin."""
    for path in sorted(folder.glob("*.csv.gz")):
        twin = path.with_name(path.name.replace(".csv.gz", "-fixed.csv.gz"))
        name = path.name.removesuffix(".csv.gz")
        if "-fixed" in name or not (twin.exists() or "no-bad" in name):
            continue
        venue = VENUES.get(name.split("-1d")[0].split("-1wk")[0].split("-")[-1], "XNYS")
        yield name, pair(opened(path, venue), opened(twin if twin.exists() else path, venue), path, twin, venue)


def pair(faulty: Reply, fixed: Reply, path: Path, twin: Path, venue: str) -> Line:
    """Bad rows by where the twins differ; in the repaired one and in the rest of the faulty one, alarms."""
    line = Line(unread=unread(path, twin))
    calendar = span(faulty, venue)
    seen, good = (check(reply, calendar, NOW, None) for reply in (faulty, fixed))
    bad = differing(faulty.bars, fixed.bars, []), differing(faulty.actions, fixed.actions, ["kind"])
    believed = keys(seen.bars, []), keys(seen.actions, ["kind"])
    line.planted = sum(map(len, bad))
    line.caught = sum(len(wrong - kept) for wrong, kept in zip(bad, believed, strict=True))
    for reply, checked, wrong in ((faulty, seen, bad[0] | bad[1]), (fixed, good, set())):
        held = [row for row in checked.rejected if row.reason not in REAL_FAULTS and not beyond(row, fixed)]
        line.alarms += sum((str(row.date), row.row.get("kind", "")) not in wrong for row in held)
        line.good += len(reply.bars) + len(reply.actions)
    return line


def beyond(row: Rejected, fixed: Reply) -> bool:
    """Whether a bar is off from the middle of its repaired file by more than ten: those repair the dividends only."""
    return "close" in row.row and not 0.1 < float(row.row["close"]) / fixed.bars["close"].median() < 10.0


def keys(rows: pd.DataFrame, kind: list[str]) -> set[tuple[str, str]]:
    kinds = rows["kind"] if kind else [""] * len(rows)
    return set(zip(rows["session"].dt.date.astype(str), kinds, strict=True))


def differing(faulty: pd.DataFrame, fixed: pd.DataFrame, kind: list[str]) -> set[tuple[str, str]]:
    """Keys of rows of the faulty file that the fixed one does not have so."""
    both = faulty.merge(fixed, on=["session", *kind], how="left", suffixes=("", "_fixed"))
    names = [name for name in faulty if f"{name}_fixed" in both]
    same = np.isclose(both[names], both[[f"{name}_fixed" for name in names]], rtol=1e-5, atol=0.0, equal_nan=True)
    return keys(both[~same.all(axis=1)], kind)


def unread(path: Path, twin: Path) -> int:
    """Rows whose Adj Close differs, which no reply carries."""
    if not twin.exists():
        return 0
    faulty, fixed = (pd.read_csv(one, index_col=0)["Adj Close"] for one in (path, twin))
    return int((~np.isclose(faulty, fixed.reindex(faulty.index), rtol=1e-5, equal_nan=True)).sum())


def run_clean(folder: Path) -> Iterator[tuple[str, Line, Counter[str]]]:
    """Each file of daily bars that is taken as it is."""
    for part in ("core/stitched_dev_to_2024-12-31", "universe/us126_dev_to_2024-12-31",
                 "universe/raw22_dev_to_2024-12-31", "universe/stocknet88_2012_2017"):  # fmt: skip
        line, reasons = Line(), Counter[str]()
        for path in sorted((folder / part).glob("*.csv.gz")):
            symbol = path.name.removesuffix(".csv.gz")
            venue = CLEAN_VENUES.get(symbol, "XNYS")
            reply = opened(path, venue)
            checked: Checked = check(reply, span(reply, venue), NOW, None)
            reasons.update(f"{symbol}: {row.reason}" for row in checked.rejected)
            line.alarms += sum(row.reason not in REAL_FAULTS for row in checked.rejected)
            line.good += len(reply.bars)
        yield part, line, reasons


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="faults planted, caught, false alarms")
    parser.add_argument("--data", type=Path, help="folder with bad_data_yfinance, universe and core")
    folder = parser.parse_args().data
    lines = run_planted()
    head = f"{'fault':44s} {'planted':>7s} {'caught':>6s} {'not read':>8s} {'false alarms':>12s} of rows"
    print(head)
    show(lines)
    groups = [lines]
    if folder is not None:
        pairs = dict(run_pairs(folder / "bad_data_yfinance"))
        weekly = {name: pairs.pop(name) for name in list(pairs) if "1wk" in name}
        print("\nYahoo's faults beside their repaired twins")
        show(pairs)
        print("\nweekly bars, which are no sessions: shown, not counted")
        show(weekly)
        print("\nclean files, and every row held back there")
        clean: dict[str, Line] = {}
        for part, line, reasons in run_clean(folder):
            show({part: line})
            for reason, count in sorted(reasons.items()):
                print(f"    {count:4d} {reason}")
            clean[part] = line
        groups += [pairs, clean]
    planted, caught, alarms, good, not_read = (
        sum(getattr(line, name) for group in groups for line in group.values())
        for name in ("planted", "caught", "alarms", "good", "unread")
    )
    worst = max(
        sum(line.alarms for line in group.values()) / sum(line.good for line in group.values()) for group in groups
    )
    print(
        f"faults: {planted} planted, {caught} caught, {planted - caught} missed, {not_read} not read; false alarms "
        f"{alarms} of {good} rows (worst of planted, pairs, clean: {worst:.1e}, at most {ALARMS:.0e})"
    )
    return int(caught < planted or worst > ALARMS)


def show(lines: dict[str, Line]) -> None:
    for name, line in lines.items():
        print(f"{name:44s} {line.planted:7d} {line.caught:6d} {line.unread:8d} {line.alarms:12d} {line.good}")


if __name__ == "__main__":
    sys.exit(main())
