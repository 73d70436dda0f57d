"""The accuracy benchmark: its scores are right, it fits on nothing that it scores, and it counts its looks."""

import json
import math
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks import accuracy_report
from benchmarks.accuracy_looks import PATH, Count, Look, count, look
from benchmarks.accuracy_models import (
    ECONOMETRIC,
    NETWORK,
    STEPS,
    TRAINING,
    Forecasts,
    Market,
    bars,
    dated,
    epochs,
    network,
    protocol,
    single,
)
from benchmarks.accuracy_report import MODELS, OURS, POOL, Claim
from benchmarks.accuracy_scores import Scored, pooled, t_statistic
from forecaster.calendars import trading_calendar
from forecaster.components import Component
from forecaster.contract import LEVELS, Floats, Target, WindowSpec
from forecaster.families import AnyFamily
from forecaster.windows import Sample

SYMBOLS = ("AAA", "BBB")
FROM = date(2012, 3, 1)
QUICK = {"steps": 3, "seeds": 2}


def write_bars(folder: Path, until: date, seed: int = 0, wild_from: date | None = None) -> Path:
    """Two made-up markets from 2010 on; from `wild_from` on another history."""
    folder.mkdir()
    sessions = trading_calendar("XNYS", date(2010, 1, 4), until).sessions
    for number, symbol in enumerate(SYMBOLS):
        rng = np.random.default_rng((seed, number))
        size = 0.01 * np.exp(0.3 * np.sin(np.arange(len(sessions)) / 40))
        returns = size * rng.standard_t(6, len(sessions))
        if wild_from is not None:
            returns[sessions >= np.datetime64(wild_from)] *= -1.7
        close = 100 * np.exp(np.cumsum(returns))
        opened = close * np.exp(-returns * rng.uniform(0.8, 1.0, len(sessions)))
        high, low = np.maximum(opened, close) * np.exp(size / 2), np.minimum(opened, close) * np.exp(-size / 2)
        table = pd.DataFrame(
            {
                "Date": sessions,
                "Open": opened,
                "High": high,
                "Low": low,
                "Close": close,
                "Volume": 1e6 + 1e5 * rng.random(len(sessions)),
            }
        )
        table.to_csv(folder / f"{symbol}.csv", index=False)
    return folder


def market_of(home: Path, folder: Path, until: date | None = None) -> Market:
    now = pd.Timestamp("2020-01-02", tz="UTC").to_pydatetime()
    return Market.of(home, bars(str(folder), SYMBOLS), "XNYS", (FROM, until), now)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    home = tmp_path_factory.mktemp("accuracy")
    return market_of(home / "home", write_bars(home / "bars", date(2013, 2, 28)))


def normals(means: Floats, scales: Floats, outcomes: Floats) -> Forecasts:
    sessions = np.datetime64("2010-01-04") + np.arange(len(outcomes))
    quantiles = means[:, None] + scales[:, None] * stats.norm.ppf(LEVELS)
    density = (Component(distribution="gaussian"),)
    return Forecasts(sessions, outcomes, density, np.column_stack((means, scales)), quantiles)


def drawn(count_of: int = 400) -> Floats:
    return np.asarray(0.01 * np.random.default_rng(1).standard_normal(count_of))


def test_crps_and_log_score_of_a_pool_of_normals_are_the_closed_forms() -> None:
    outcomes = drawn()
    means, scales = np.array([0.001, -0.004]), np.array([0.008, 0.02])
    members = [normals(np.full(400, m), np.full(400, s), outcomes) for m, s in zip(means, scales, strict=True)]

    def spread(gap: Floats, scale: Floats) -> Floats:  # E|N(gap, scale^2)|
        z = gap / scale
        return np.asarray(gap * (2 * stats.norm.cdf(z) - 1) + 2 * scale * stats.norm.pdf(z))

    apart = spread(means[:, None] - means, np.hypot(scales[:, None], scales)).mean()
    expected = spread(outcomes[:, None] - means, scales).mean(axis=1) - apart / 2
    found = Scored.of(pooled(members))
    assert found.crps == pytest.approx(100 * expected, abs=3e-5)
    density = stats.norm.pdf(outcomes[:, None], means, scales).mean(axis=1)
    assert found.log_score == pytest.approx(math.log(100) - np.log(density), abs=1e-9)
    ranks = stats.norm.cdf(outcomes[:, None], means, scales).mean(axis=1)
    assert found.ranks == pytest.approx(ranks, abs=1e-6)
    reached = stats.norm.cdf((found.quantiles[0][:, None] - means) / scales).mean(axis=1)
    assert reached == pytest.approx(np.array(LEVELS), abs=1e-4)


def test_an_outcome_far_outside_costs_its_distance() -> None:
    outcomes = np.array([3.0, -3.0])
    found = Scored.of(normals(np.zeros(2), np.full(2, 0.01), outcomes))
    assert found.crps == pytest.approx(100 * (3.0 - 0.01 / math.sqrt(math.pi)), rel=1e-4)


def test_t_is_that_of_newey_and_west_and_negative_where_the_candidate_is_better() -> None:
    better, worse = drawn(300) ** 2, drawn(300) ** 2 + 0.01 * np.abs(np.sin(np.arange(300.0)))
    gap = better - worse
    centred = gap - gap.mean()
    weights = {lag: 1 - lag / 6 for lag in range(6)}
    variance = sum(
        (1 if lag == 0 else 2) * w * centred[lag:] @ centred[: 300 - lag] / 300 for lag, w in weights.items()
    )
    assert t_statistic(better, worse) == pytest.approx(gap.mean() / math.sqrt(variance / 300))
    assert t_statistic(better, worse) < 0 < t_statistic(worse, better)
    assert t_statistic(better, better) == 0.0


def test_years_turn_at_new_year_and_end_with_the_data(market: Market) -> None:
    assert list(market.years()) == [(FROM, date(2013, 1, 1)), (date(2013, 1, 1), date(2013, 3, 1))]
    assert list(replace(market, until=date(2012, 6, 1)).years()) == [(FROM, date(2012, 6, 1))]


def test_all_models_answer_the_same_sessions_from_the_first_to_the_last(market: Market) -> None:
    garch, ours = single(market, ECONOMETRIC[0], "AAA"), network(market, **QUICK)
    sessions = trading_calendar("XNYS", FROM, date(2013, 2, 28)).sessions
    assert (garch.sessions == sessions).all()
    assert set(ours) == set(SYMBOLS)
    assert (ours["AAA"].sessions == sessions).all()
    assert (ours["AAA"].outcomes == garch.outcomes).all()
    assert len(ours["AAA"].density) == 2
    assert ours["AAA"].parameters.shape == (len(sessions), 8)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """The same market until it is scored, and another one from then on."""
    home = tmp_path_factory.mktemp("other")
    return market_of(home / "home", write_bars(home / "bars", date(2013, 2, 28), wild_from=FROM))


@pytest.mark.parametrize("family", ECONOMETRIC, ids=lambda family: family.name)
def test_what_is_scored_moves_nothing_that_was_fitted_before(market: Market, other: Market, family: AnyFamily) -> None:
    one, two = (single(world, family, "AAA") for world in (market, other))
    assert one.outcomes[0] != two.outcomes[0]
    assert (one.parameters[0] == two.parameters[0]).all()
    tails = [found.parameters[:, -1] for found in (one, two)]
    later = one.sessions >= np.datetime64("2013-01-01")
    for tail in tails:  # one fit a year, on all that is over by then
        assert len(set(tail[~later])) == len(set(tail[later])) == 1
        assert tail[0] != tail[-1]
    assert tails[0][-1] != tails[1][-1]


def test_what_is_scored_moves_nothing_of_the_network(market: Market, other: Market) -> None:
    one, two = (network(world, **QUICK)["BBB"] for world in (market, other))
    assert (one.parameters[0] == two.parameters[0]).all()
    assert (one.parameters[1:5] != two.parameters[1:5]).any()


def test_a_fit_makes_about_the_frozen_number_of_steps_whatever_the_data(market: Market) -> None:
    window = WindowSpec(context=128, burn_in=32, channels=("log_return",))
    target = Target(symbols=("AAA",), venue="XNYS", horizon=1)
    windows = market.windows(target, window, "AAA")
    origins = dated(windows, None, FROM)
    sixteen_years = Sample(windows, np.arange(3897))
    assert epochs((sixteen_years, sixteen_years), window) == 40  # the sample before 2015
    assert epochs((Sample(windows, origins),), window) == STEPS
    assert epochs((sixteen_years,) * 60, window) == round(STEPS / math.ceil(60 * (3897 + 95) / 96 / 16))


def table_of(gain: float) -> accuracy_report.Table:
    """All models but the network and the pool are normals that are too wide; these two by `gain` less."""
    outcomes = drawn(1000)
    wide = dict.fromkeys(MODELS, 1.6) | {OURS: 1.6 - gain, POOL: 1.6 - gain}
    models = {name: Scored.of(normals(np.zeros(1000), np.full(1000, 0.01 * w), outcomes)) for name, w in wide.items()}
    return {"AAA": models, "BBB": models}


def test_claims_hold_where_the_network_is_right_and_fall_where_it_is_like_the_others() -> None:
    good, poor = (list(accuracy_report.claims(table_of(gain))) for gain in (0.6, 0.0))
    assert len(good) == 2 * (2 * 3 + 4) + 2
    assert all(claim.holds for claim in good)
    assert not any(claim.holds for claim in poor)
    worse = list(accuracy_report.claims(table_of(-0.6)))
    assert not any(claim.holds for claim in worse)


def test_what_is_printed_fits_and_has_the_count_beside_every_table() -> None:
    table, looks = table_of(0.3), Count(same=2, other=3)
    found = list(accuracy_report.claims(table))
    parts = [(symbol,) for symbol in table] + [tuple(table)]
    lines = [line for part in parts for line in accuracy_report.rows(table, part, looks)]
    lines += accuracy_report.calibration(table, looks)
    said = str(looks)
    assert said == "scoring 2 of these years and 3 earlier by another protocol"
    assert sum(said in line for line in lines) == len(parts) + 2
    assert said in accuracy_report.figure(table, found, looks)
    assert max(map(len, [*lines, *map(str, found)])) <= 100
    assert str(Claim("it", True)).startswith("holds ")
    assert json.loads(json.dumps(accuracy_report.as_json(table, found, looks)))["scorings"]["same"] == 2


def a_look(figure: float = 1.0, rules: str = "mine", shift: int = 0) -> Look:
    ours = normals(np.zeros(20), np.full(20, 0.01), drawn(20))
    ours = replace(ours, sessions=ours.sessions + np.timedelta64(shift, "D"))
    return look({"AAA": ours}, [figure], rules, date(2020, 1, 1) + timedelta(days=shift))


def test_the_same_figures_are_one_look_and_others_are_more(tmp_path: Path) -> None:
    path = tmp_path / "scorings.json"
    assert count(a_look(1.00001), path) == Count(1)
    assert count(a_look(1.00002), path) == Count(1)
    assert count(a_look(1.2), path) == Count(2)
    assert count(a_look(1.2, "another"), path) == Count(3)
    assert count(a_look(), path) == Count(3)
    assert count(a_look(shift=5), path) == Count(1, spans=2, other=1)
    assert count(a_look(shift=100), path) == Count(1)
    assert len(json.loads(path.read_text("utf-8"))) == 5


def test_a_look_that_cannot_be_written_down_says_so(tmp_path: Path) -> None:
    nowhere = tmp_path / "absent" / "scorings.json"
    assert str(count(a_look(), nowhere)) == "scoring 1 of these years (NOT WRITTEN DOWN)"


def test_the_file_that_ships_counts_the_demos_three_looks(tmp_path: Path) -> None:
    path = tmp_path / "scorings.json"
    path.write_bytes(PATH.read_bytes())
    fresh = a_look().model_copy(update={"symbols": ("^GSPC",), "span": (date(2015, 1, 2), date(2018, 12, 31))})
    assert count(fresh, path).other >= 3


def test_the_protocol_has_a_digest_and_the_recipe_is_the_frozen_one() -> None:
    assert protocol() == protocol()
    assert (NETWORK.hidden, NETWORK.dropout, NETWORK.head) == (16, 0.3, "johnson_su")
    assert (TRAINING.learning_rate, TRAINING.weight_decay, TRAINING.clip) == (3e-3, 1e-4, 1.0)
    assert (TRAINING.batch, TRAINING.seeds, STEPS) == (16, 5, 240)
