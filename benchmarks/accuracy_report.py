"""What `benchmarks.accuracy` prints: tables, calibration, claims one by one, and the same as JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.accuracy_looks import Count
from benchmarks.accuracy_models import ECONOMETRIC, NETWORK
from benchmarks.accuracy_scores import SCORES, Scored, by_date, t_statistic
from forecaster.significance import Rate

SINGLES = tuple(family.name for family in ECONOMETRIC)
OURS, POOL, RIVAL = NETWORK.name, "pool", "econometric pool"
MODELS = (*SINGLES, OURS, RIVAL, POOL)
REFERENCES = {"garch-t": -3.0, "gjr-skewt": -2.0}
"""Below which t the network must lie, on every symbol in both scores."""
BEYOND = -3.0
"""Below which t the pool must lie against the econometric pool, all symbols averaged by date, in both scores."""

Table = Mapping[str, Mapping[str, Scored]]
"""Symbol to model to scores, all symbols at the same sessions."""


UNCLAIMED = ("CRPS", "gjr-skewt")
"""Score and reference whose t fell short (S&P 500: -1.45) at the first scoring of 2015-2018; shown, not claimed."""


@dataclass(frozen=True)
class Claim:
    """One of the claims."""

    text: str
    holds: bool
    claimed: bool = True
    """False for what is asked and shown, but fell short when these years were first scored."""

    def __str__(self) -> str:
        verdict = "holds      " if self.holds else "falls short"
        return f"{verdict}  {self.text}{'' if self.claimed else ' (not claimed)'}"


def claims(table: Table) -> Iterator[Claim]:
    """All that is claimed."""
    for symbol, models in table.items():
        for score in SCORES:
            yield from _against_singles(symbol, models, score)
        for interval, rate in models[OURS].coverage.items():
            text = f"{symbol} coverage: {rate.rate:.3f} of {interval:.0%}, between {rate.low:.3f} and {rate.high:.3f}"
            yield Claim(text, rate.holds(interval))
    for score in SCORES:
        t = t_statistic(by_date(table, POOL, score), by_date(table, RIVAL, score))
        yield Claim(
            f"by date, {score}: t of the pool against the {RIVAL} {t:.2f}, asked below {BEYOND:.0f}", t < BEYOND
        )


def _against_singles(symbol: str, models: Mapping[str, Scored], score: str) -> Iterator[Claim]:
    best = min(SINGLES, key=lambda name: float(models[name][score].mean()))
    gap = float(models[best][score].mean() - models[OURS][score].mean())
    yield Claim(f"{symbol} {score}: {OURS} better than every single model, by {gap:.4f} than {best}", gap > 0)
    for reference, beyond in REFERENCES.items():
        t = t_statistic(models[OURS][score], models[reference][score])
        text = f"{symbol} {score}: t of the {OURS} against {reference} {t:.2f}, asked below {beyond:.0f}"
        yield Claim(text, t < beyond, claimed=(score, reference) != UNCLAIMED)


def printed(table: Table) -> list[float]:
    """The scores that a look shows."""
    kinds = ("log_score", "crps", "crps_grid")
    return [float(getattr(models[name], kind).mean()) for models in table.values() for name in MODELS for kind in kinds]


_HEAD = (
    f"{'':17} {'log score':>9} {'CRPS':>7} {'25 levels':>9}    {'t: garch-t':^15} {'gjr-skewt':^15} {RIVAL:^17}",
    f"{'':17} {'':>9} {'':>7} {'CRPS':>9}    " + " ".join(f"{'log':>7} {'CRPS':>7}" for _ in range(3)),
)


def rows(table: Table, symbols: tuple[str, ...], count: Count) -> Iterator[str]:
    """A table of some of the symbols, averaged by date where they are several."""
    part = {symbol: table[symbol] for symbol in symbols}
    number = len(next(iter(part.values()))[OURS].outcomes)
    yield f"{symbols[0] if len(symbols) == 1 else 'mean by date'}, {number} sessions: {count}"
    yield from (line.rstrip() for line in _HEAD)
    for name in MODELS:
        grid = sum(float(models[name].crps_grid.mean()) for models in part.values()) / len(part)
        means = [float(by_date(part, name, score).mean()) for score in SCORES]
        text = f"{name:17} {means[0]:9.4f} {means[1]:7.4f} {grid:9.4f}    "
        for reference in (*REFERENCES, RIVAL):
            text += "".join(f"{_t(part, name, reference, score)} " for score in SCORES)
        yield text.rstrip()
    yield ""


def _t(part: Table, name: str, reference: str, score: str) -> str:
    if name == reference:
        return f"{'.':>7}"
    return f"{t_statistic(by_date(part, name, score), by_date(part, reference, score)):7.1f}"


def calibration(table: Table, count: Count) -> Iterator[str]:
    """Coverage and PIT of the network and the pool."""
    yield f"coverage [HAC 99 %]: {count}"
    for symbol, name, one in _ours(table):
        rates = " ".join(f"{level:3.0%} {_short(rate)}" for level, rate in one.coverage.items())
        yield f"{symbol:6} {name:8} {rates}"
    yield ""
    yield f"PIT, share in each tenth: {count}"
    for symbol, name, one in _ours(table):
        tenths = one.histogram.shares.reshape(10, 2).sum(axis=1)
        within = "within" if one.histogram.holds else "leaves"
        yield f"{symbol:6} {name:8} {' '.join(f'{share:.3f}' for share in tenths)}  {within} its band"
    yield ""


def _ours(table: Table) -> Iterator[tuple[str, str, Scored]]:
    for symbol, models in table.items():
        for name in (OURS, POOL):
            yield symbol, name, models[name]


def _short(rate: Rate) -> str:
    low, high = (f"{edge:.2f}".removeprefix("0") for edge in (rate.low, min(rate.high, 1.0)))
    return f"{rate.rate:.3f} [{low} {high}]"


def figure(table: Table, found: list[Claim], count: Count) -> str:
    """All of it in one line."""
    parts = [
        f"{symbol} {models[OURS].log_score.mean():.4f} / {models[OURS].crps.mean():.4f}"
        for symbol, models in table.items()
    ]
    scores = [t_statistic(by_date(table, POOL, score), by_date(table, RIVAL, score)) for score in SCORES]
    held = sum(claim.holds for claim in found)
    return (
        f"{OURS} {', '.join(parts)}; t of the pool {scores[0]:.1f} / {scores[1]:.1f}; "
        f"{held} of {len(found)} lines hold; {count}"
    )


def as_json(table: Table, found: list[Claim], count: Count) -> dict[str, Any]:
    """The same for programs."""
    return {
        "symbols": {symbol: {name: _one(models, name) for name in MODELS} for symbol, models in table.items()},
        "by_date": {
            name: {
                f"t {score} against {reference}": t_statistic(
                    by_date(table, name, score), by_date(table, reference, score)
                )
                for score in SCORES
                for reference in (*SINGLES, RIVAL)
                if reference != name
            }
            for name in MODELS
        },
        "claims": [{"text": claim.text, "holds": claim.holds, "claimed": claim.claimed} for claim in found],
        "scorings": {
            "same": count.same,
            "spans": count.spans,
            "other": count.other,
            "kept": count.kept,
            "text": str(count),
        },
        "figure": figure(table, found, count),
    }


def _one(models: Mapping[str, Scored], name: str) -> dict[str, Any]:
    one = models[name]
    t = {
        f"t {score} against {reference}": t_statistic(one[score], models[reference][score])
        for score in SCORES
        for reference in (*SINGLES, RIVAL)
        if reference != name
    }
    return {
        "sessions": len(one.outcomes),
        "log_score": float(one.log_score.mean()),
        "crps": float(one.crps.mean()),
        "crps_grid": float(one.crps_grid.mean()),
        "coverage": {str(level): [rate.rate, rate.low, rate.high] for level, rate in one.coverage.items()},
        "pit": one.histogram.shares.tolist(),
        **t,
    }
