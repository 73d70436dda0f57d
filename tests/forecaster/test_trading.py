"""Trading: positions know nothing too early, money is counted as a plain loop counts it, luck is not called skill."""

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from forecaster import curve
from forecaster.contract import LEVELS
from forecaster.errors import TooShort
from forecaster.trading import LEAST, Account, Trading, deflated_sharpe, kelly, luck, moments, momentum, trade

NORMAL = stats.norm.ppf(LEVELS)
COUNT, FIRST = 1200, 400
ORIGINS = np.arange(FIRST, COUNT - 1)
SESSIONS = np.datetime64("2001-01-01") + np.arange(COUNT) * 7 // 5


def market(seed: int, mean: float = 0.0) -> np.ndarray:
    """Log return [T] from each session to the next; the last is not known."""
    returns = mean + 0.01 * np.random.default_rng(seed).standard_normal(COUNT)
    returns[-1] = np.nan
    return returns


def forecasts(mean: np.ndarray, scale: float = 0.01) -> np.ndarray:
    """Normal quantiles [N, 1, Q], one session ahead."""
    return (mean[:, None] + scale * NORMAL)[:, None]


def traded(
    returns: np.ndarray, mean: np.ndarray, *, cost: float = 5.0, delay: int = 1, tried: int = 1, long_only: bool = False
) -> Trading:
    return trade(
        SESSIONS, returns, ORIGINS, forecasts(mean), tried=tried, seed=0, cost=cost, delay=delay, long_only=long_only
    )


def test_moments_are_those_of_the_distribution_the_grid_stands_for():
    ranks = (np.arange(2_000_000) + 0.5) / 2_000_000
    for quantiles in (0.01 * NORMAL, 0.002 + 0.008 * stats.t.ppf(LEVELS, 4), np.log(stats.gamma.ppf(LEVELS, 3))):
        drawn = curve.inverse(quantiles, ranks)
        mean, variance = moments(quantiles)
        assert mean == pytest.approx(drawn.mean(), abs=1e-6 * drawn.std())
        assert variance == pytest.approx(drawn.var(), rel=1e-4)


def test_a_position_is_half_of_expectation_over_variance_and_clipped():
    mean, variance = moments(forecasts(np.array([0.00005, -0.00008, 0.01, -0.01])))
    found = kelly(forecasts(np.array([0.00005, -0.00008, 0.01, -0.01])), 1)
    wanted = [0.5 * (m + v / 2) / v for m, v in zip(mean[:2, 0], variance[:2, 0], strict=True)]
    np.testing.assert_allclose(found, [*wanted, 1, -1])
    np.testing.assert_allclose(wanted, [0.5, -0.15], atol=0.02)  # (0.5e-4 + 0.5e-4) / 1e-4 / 2, ...
    assert kelly(forecasts(np.array([-0.01])), 1, long_only=True).tolist() == [0]


def test_a_forecast_that_reaches_far_enough_is_used_for_the_session_that_is_earned():
    ahead = np.stack((0.02 + 0.01 * NORMAL, 0.01 + 0.01 * math.sqrt(2) * NORMAL))[None]  # up, then down by as much
    assert kelly(ahead, 1).tolist() == [-1]
    assert kelly(ahead[:, :1], 1).tolist() == [1]


def test_momentum_is_the_sign_of_the_year_without_its_last_month():
    returns = market(3)
    close = np.concatenate(([0.0], np.cumsum(returns)))[:COUNT]
    signal = momentum(returns)
    assert not signal[:252].any()
    for row in range(252, COUNT):
        assert signal[row] == np.sign(close[row - 21] - close[row - 252])
    assert momentum(returns, long_only=True).min() == 0
    returns[500] = np.nan
    assert not momentum(returns)[522:753].any()  # cash while that year is not wholly known
    assert momentum(returns)[521]
    assert momentum(returns)[753]


@pytest.mark.parametrize("delay", [1, 2])
@pytest.mark.parametrize("row", [FIRST + 5, 700, COUNT - 5])
def test_no_position_knows_what_comes_after_its_origin(row, delay):
    """Everything from `row` on changes: forecasts of its origins, and what the market did after its close."""
    rng = np.random.default_rng(row)
    returns, mean = market(1), 0.0001 * rng.standard_normal(len(ORIGINS))
    other, another = returns.copy(), mean.copy()
    other[row:-1] = 0.03 * rng.standard_normal(COUNT - 1 - row)
    another[row - FIRST :] = 0.0001 * rng.standard_normal(COUNT - 1 - row)
    one, two = traded(returns, mean, delay=delay), traded(other, another, delay=delay)
    held = row - FIRST - delay  # place of `row` among the sessions at whose close a position is taken
    for name, account in one.accounts.items():
        twin = two.accounts[name]
        np.testing.assert_array_equal(account.net[:held], twin.net[:held])
        np.testing.assert_array_equal(account.turnover[: held + 1], twin.turnover[: held + 1])
        np.testing.assert_array_equal(account.positions[: held + delay], twin.positions[: held + delay])
    assert (one.strategy.positions[held + delay :] != two.strategy.positions[held + delay :]).any()


@pytest.mark.parametrize("delay", [1, 3])
def test_a_position_earns_the_session_that_follows_its_delay(delay):
    returns, mean = market(2), np.zeros(len(ORIGINS))
    mean[100] = -0.01  # the one forecast of a fall
    found = traded(returns, mean, cost=0, delay=delay)
    (place,) = np.flatnonzero(found.strategy.positions < 0)
    row = ORIGINS[100] + delay
    assert found.sessions[place] == SESSIONS[row]
    assert found.strategy.net[place] == pytest.approx(-math.expm1(returns[row]))
    assert found.sessions[0] == SESSIONS[FIRST + delay]
    assert found.sessions[-1] == SESSIONS[ORIGINS[-1]]  # nothing after the last origin's own return


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0, 50))
def test_money_is_counted_as_a_plain_loop_counts_it(seed, cost):
    rng = np.random.default_rng(seed)
    returns, mean = market(seed), 0.0003 * rng.standard_normal(len(ORIGINS))
    found = trade(SESSIONS, returns, ORIGINS[:80], forecasts(mean[:80]), tried=1, seed=0, cost=cost)
    for account in found.accounts.values():
        cash, shares, highest, worst = 1.0, 0.0, 1.0, 0.0  # shares are counted at the price of now
        for place, share in enumerate(account.positions):
            wealth = cash + shares
            bought = share * wealth - shares
            assert account.turnover[place] == pytest.approx(abs(bought) / wealth, abs=1e-12)
            wealth -= abs(bought) * cost / 10_000
            shares, cash = share * wealth, (1 - share) * wealth
            shares *= math.exp(returns[FIRST + 1 + place])
            highest = max(highest, cash + shares)
            worst = min(worst, (cash + shares) / highest - 1)
            assert account.wealth[place + 1] == pytest.approx(cash + shares)
        assert account.record()["max_drawdown"] == pytest.approx(worst, abs=1e-12)


def test_the_market_is_bought_once_and_held():
    returns = market(4)
    hold = traded(returns, np.zeros(len(ORIGINS))).hold
    assert hold.turnover.tolist() == [1.0] + [0.0] * (len(ORIGINS) - 2)
    assert hold.wealth[-1] == pytest.approx(0.9995 * math.exp(returns[FIRST + 1 : COUNT - 1].sum()))


def test_a_ruined_account_stays_ruined():
    returns = market(5)
    returns[FIRST + 50] = math.log(3)  # a short loses twice what there is
    found = traded(returns, np.full(len(ORIGINS), -0.01)).strategy
    assert found.wealth[49] > 0
    assert not found.wealth[50:].any()
    assert found.record()["max_drawdown"] == -1


def test_annual_figures_follow_their_formulas():
    found = traded(market(6, 0.0005), 0.0001 * np.random.default_rng(6).standard_normal(len(ORIGINS)))
    years = (found.sessions[-1] - found.sessions[0]) / np.timedelta64(1, "D") / 365.25
    pace = (len(found.sessions) - 1) / years
    record, net = found.strategy.record(), found.strategy.net
    assert record["volatility"] == pytest.approx(np.std(net) * math.sqrt(pace))
    assert record["sharpe"] == pytest.approx(np.mean(net) / np.std(net) * math.sqrt(pace))
    assert record["annual_return"] == pytest.approx(np.prod(1 + net) ** (pace / len(net)) - 1)
    assert record["turnover"] == pytest.approx(found.strategy.turnover.sum() / len(net) * pace)


def test_the_error_of_a_sharpe_ratio_is_that_of_lo_on_independent_normal_returns():
    drawn = 0.001 + 0.01 * np.random.default_rng(7).standard_normal((300, 800))
    accounts = [Account(np.ones(800), np.zeros(800), net, 250.0) for net in drawn]
    ratios, errors = (np.array([(one.sharpe, one.sharpe_error) for one in accounts]) / math.sqrt(250)).T
    published = math.sqrt((1 + ratios.mean() ** 2 / 2) / 800)
    assert errors.mean() == pytest.approx(published, rel=0.03)
    assert ratios.std() == pytest.approx(published, rel=0.12)


def test_the_deflated_sharpe_ratio_is_that_of_the_papers_example():
    """Bailey and Lopez de Prado (2014): 2.5 a year, five years of days, the best of a hundred with variance 1/2."""
    best = luck(100, math.sqrt(0.5 / 250))
    assert best == pytest.approx(0.1132, abs=1e-4)
    assert deflated_sharpe(2.5 / math.sqrt(250), best, 1250, -3, 10) == pytest.approx(0.9004, abs=1e-4)


def test_luck_is_the_mean_of_the_best_of_many():
    assert luck(1, 1.0) == 0
    for tried in (5, 20, 100):
        best = np.random.default_rng(tried).standard_normal((20_000, tried)).max(axis=1)
        assert luck(tried, 0.1) == pytest.approx(0.1 * best.mean(), rel=0.03)


def test_the_more_were_tried_the_less_a_result_is_worth():
    mean = 0.0001 * np.random.default_rng(8).standard_normal(len(ORIGINS))
    found = [traded(market(8, 0.0005), mean, tried=tried) for tried in (1, 10, 100)]
    assert found[0].deflated > found[1].deflated > found[2].deflated
    assert found[0].deflated_excess > found[1].deflated_excess > found[2].deflated_excess
    assert {asdict(replace(one, deflated=0, deflated_excess=0, tried=0))["p"] for one in found} == {found[0].p}
    net = found[1].strategy.net
    skewness, kurtosis = stats.skew(net), stats.kurtosis(net, fisher=False)
    best = luck(10, 1 / math.sqrt(len(net) - 1))
    wanted = deflated_sharpe(net.mean() / net.std(), best, len(net), skewness, kurtosis)
    assert found[1].deflated == pytest.approx(wanted)


def test_who_knows_what_will_be_earned_grows_rich():
    returns = market(9)
    found = traded(returns, _next(returns))
    assert found.strategy.sharpe > 10
    assert found.p < 0.001
    assert found.deflated_excess > 0.999
    assert traded(returns, _next(returns), cost=1000).strategy.wealth[-1] < found.strategy.wealth[-1]


def _next(returns: np.ndarray) -> np.ndarray:
    """The return that a position of each origin earns."""
    return np.nan_to_num(returns[ORIGINS + 1])


def test_a_perfect_forecast_of_tomorrow_is_worthless_where_it_cannot_be_traded():
    """It is known after the close of t; what t + 1 does is over when its position can be taken."""
    returns = market(10)
    found = traded(returns, returns[ORIGINS], cost=0)
    assert abs(found.strategy.sharpe) < 2.5 * found.strategy.sharpe_error
    assert found.p > 0.05


def test_chance_loses_its_costs():
    rng = np.random.default_rng(11)
    free, dear = ([], [])
    for seed in range(6):
        returns, mean = market(seed), np.where(rng.random(len(ORIGINS)) < 0.5, 0.01, -0.01)
        free.append(traded(returns, mean, cost=0).strategy.net.mean())
        dear.append(traded(returns, mean, cost=10).strategy.net.mean())
    assert abs(np.mean(free)) < 3 * np.std(free) / math.sqrt(6)
    lost = np.mean(free) - np.mean(dear)
    assert lost == pytest.approx(10e-4, rel=0.1)  # a turn of 2, every other session


def test_holding_the_market_is_no_better_than_holding_the_market():
    found = traded(market(12, 0.001), np.full(len(ORIGINS), 0.01))
    assert found.strategy.positions.tolist() == found.hold.positions.tolist()
    assert (found.excess, found.p, found.block) == (0, 1, 1)
    assert found.deflated_excess == 0.5  # nothing is known of an excess that never was


def test_less_of_the_market_is_no_better_than_the_market():
    """Half in cash has half the return: at equal volatility nothing is left but the cost of keeping it at half."""
    returns = market(13, 0.002)
    found = traded(returns, np.zeros(len(ORIGINS)), cost=0)
    assert found.strategy.positions == pytest.approx(0.25, abs=0.01)
    assert found.strategy.annual_return < found.hold.annual_return / 2
    assert abs(found.excess) < 1e-6


def test_cash_has_figures_too():
    found = traded(market(14), np.full(len(ORIGINS), -0.01), long_only=True)
    assert found.strategy.record() == {
        **dict.fromkeys(("annual_return", "volatility", "sharpe", "sharpe_se", "max_drawdown", "turnover"), 0.0),
        "mean_position": 0.0,
        "final_wealth": 1.0,
    }
    assert found.p == 1


def test_the_bootstrap_rejects_chance_about_as_often_as_it_says():
    rng = np.random.default_rng(15)
    small = ORIGINS[:250]
    p_values = []
    for seed in range(40):
        mean = np.where(rng.random(250) < 0.5, 0.01, -0.01)
        returns = market(1000 + seed)
        p_values.append(trade(SESSIONS, returns, small, forecasts(mean), tried=1, seed=seed, cost=0).p)
    assert np.mean(np.array(p_values) < 0.1) < 0.1 + 3 * math.sqrt(0.09 / 40)
    assert 0.3 < np.mean(p_values) < 0.7


def test_the_same_seed_gives_the_same_and_another_nearly():
    mean = 0.0002 * np.random.default_rng(16).standard_normal(len(ORIGINS))
    one, again, other = (
        trade(SESSIONS, market(16), ORIGINS, forecasts(mean), tried=3, seed=seed) for seed in (1, 1, 2)
    )
    assert one.record() == again.record()
    assert one.p != other.p
    assert one.p == pytest.approx(other.p, abs=0.06)


def test_a_hole_is_left_out_for_all_and_a_missing_forecast_is_cash():
    returns = market(17)
    returns[800] = np.nan
    kept = ORIGINS[(ORIGINS < 700) | (ORIGINS > 710)]
    found = trade(SESSIONS, returns, kept, forecasts(np.full(len(kept), 0.01)), tried=1, seed=0)
    assert SESSIONS[800] not in found.sessions
    idle = np.isin(found.sessions, SESSIONS[701:712])
    np.testing.assert_array_equal(found.strategy.positions == 0, idle)
    assert (found.hold.positions == 1).all()


def test_the_record_is_plain_and_says_what_it_is():
    record = traded(market(18), np.zeros(len(ORIGINS)), tried=7).record()
    assert record["note"].startswith("Evaluation, not advice")
    assert (record["delay"], record["cost_bp"], record["tried"]) == (1, 5.0, 7)
    for value in record.values():
        for single in value.values() if isinstance(value, dict) else (value,):
            assert type(single) in (str, int, float, bool)


def test_what_cannot_be_is_refused():
    mean = np.zeros(len(ORIGINS))
    with pytest.raises(ValueError, match="delay of 0"):
        traded(market(0), mean, delay=0)
    with pytest.raises(ValueError, match="0 models tried"):
        traded(market(0), mean, tried=0)
    few = ORIGINS[:LEAST]
    with pytest.raises(TooShort):
        trade(SESSIONS, market(0), few, forecasts(mean[: len(few)]), tried=1, seed=0)
