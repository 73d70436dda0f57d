"""One session ahead, better than the econometricians? `python -m benchmarks.accuracy [--data FOLDER --symbols A B ...]`

PLACEHOLDER
"""

import argparse
import json
import sys
import tempfile
from datetime import UTC, date, datetime
from functools import reduce
from pathlib import Path

import numpy as np
import torch

from benchmarks import accuracy_looks, accuracy_report
from benchmarks.accuracy_models import ECONOMETRIC, POOLED, Forecasts, Market, bars, network, protocol, single
from benchmarks.accuracy_report import MODELS, OURS, POOL, RIVAL
from benchmarks.accuracy_scores import Scored, pooled
from forecaster.errors import ForecasterError
from pipelines import figures
from pipelines.quiet import hush

SAMPLE = ("^GSPC", "^IXIC")


def forecasts(market: Market) -> dict[str, dict[str, Forecasts]]:
    """Every model's forecasts by symbol, all at the sessions that all of them answer."""
    ours = network(market)
    found = {
        symbol: {family.name: single(market, family, symbol) for family in ECONOMETRIC} | {OURS: ours[symbol]}
        for symbol in market.symbols
    }
    answered = [one.sessions for models in found.values() for one in models.values()]
    common = reduce(np.intersect1d, answered)
    return {symbol: {name: one.at(common) for name, one in models.items()} for symbol, models in found.items()}


def scored(models: dict[str, Forecasts]) -> dict[str, Scored]:
    """Scores of one symbol's models and of the two pools."""
    rivals = [models[name] for name in POOLED]
    whole = models | {RIVAL: pooled(rivals), POOL: pooled([*rivals, models[OURS]])}
    return {name: Scored.of(whole[name]) for name in MODELS}


def draw(table: accuracy_report.Table, path: Path) -> None:
    """PIT histograms of the network and of the pool."""
    found = {f"{name} {symbol}": models[name].histogram for symbol, models in table.items() for name in (OURS, POOL)}
    first = next(iter(found.values()))
    shares = {label: histogram.shares for label, histogram in found.items()}
    figures.pit(shares, (first.low, first.high)).savefig(path)


def arguments() -> argparse.Namespace:
    """What was asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="sample", help="folder of SYMBOL.csv[.gz] files, or sample")
    parser.add_argument("--symbols", nargs="+", default=list(SAMPLE))
    parser.add_argument("--venue", default="XNYS")
    parser.add_argument("--test-from", type=date.fromisoformat, default=date(2015, 1, 1))
    parser.add_argument("--until", type=date.fromisoformat, help="first date that is not scored; else the data's end")
    parser.add_argument("--figure", type=Path, help="where to draw the PIT histograms")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> int:
    """Fit, forecast, count the look, and only then show."""
    asked = arguments()
    torch.set_num_threads(1)
    hush()
    now = datetime.now(UTC)
    try:
        with tempfile.TemporaryDirectory() as home:
            span = asked.test_from, asked.until
            market = Market.of(Path(home), bars(asked.data, asked.symbols), asked.venue, span, now)
            answers = forecasts(market)
    except ForecasterError as error:
        print(error, file=sys.stderr)
        return 1
    table = {symbol: scored(models) for symbol, models in answers.items()}
    ours = {symbol: models[OURS] for symbol, models in answers.items()}
    look = accuracy_looks.look(ours, accuracy_report.printed(table), protocol(), now.date())
    count = accuracy_looks.count(look)
    found = list(accuracy_report.claims(table))
    if asked.figure:
        draw(table, asked.figure)
    if asked.json:
        print(json.dumps(accuracy_report.as_json(table, found, count)))
    else:
        show(table, found, count)
    return int(not all(claim.holds for claim in found))


def show(table: accuracy_report.Table, found: list[accuracy_report.Claim], count: accuracy_looks.Count) -> None:
    """For people."""
    parts = [(symbol,) for symbol in table] + ([tuple(table)] if len(table) > 1 else [])
    for part in parts:
        print("\n".join(accuracy_report.rows(table, part, count)))
    print("\n".join(accuracy_report.calibration(table, count)))
    print("\n".join(str(claim) for claim in found))
    print(accuracy_report.figure(table, found, count))


if __name__ == "__main__":
    sys.exit(main())
