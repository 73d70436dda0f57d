"""Would it have made money? Positions from forecasts against buying and holding, after costs. Evaluation, not advice.

A forecast from origin t is known half an hour after the close of t, when that close can no longer be traded at. Its
position is therefore taken `delay` sessions later, at the close of t + delay, and earns the return of the session that
follows. Cash earns nothing, a short position pays no fee, any share can be had at the close: real trading is dearer.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import ndtr, ndtri

from forecaster.contract import LEVELS, Dates, Floats
from forecaster.errors import TooShort
from forecaster.hac import bandwidth, standard_error
from forecaster.windows import Indices

NOTE = "Evaluation, not advice: what would have been, at a fixed cost and without other friction."
COST = 5.0
"""Basis points of what is bought or sold."""
FRACTION = 0.5
"""Of the Kelly position: half, as is usual where the forecast itself is uncertain."""
LEAST = 60
"""Sessions below which nothing is worth saying."""
DRAWS = 2000
"""Bootstrap resamples."""
_SKIPPED, _YEAR = 21, 252  # of 12-1 momentum, in sessions
_DAYS = 365.25


def moments(quantiles: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of the distribution that quantiles [..., Q] stand for (see `curve`), [...] each."""
    levels = np.array(LEVELS)
    middle = quantiles[..., LEVELS.index(0.5)]
    points = quantiles - middle[..., None]
    low, high, share = points[..., :-1], points[..., 1:], np.diff(levels)
    beyond = np.array([levels[0], 1 - levels[-1]])
    edge = points[..., [0, -1]]
    reach = (high - low)[..., [0, -1]] * beyond / share[[0, -1]] * [-1, 1]  # mean excess of an exponential tail
    mean = ((low + high) / 2) @ share + (edge + reach) @ beyond
    square = ((low**2 + low * high + high**2) / 3) @ share + (edge**2 + 2 * edge * reach + 2 * reach**2) @ beyond
    return middle + mean, np.asarray(square - mean**2)


def kelly(quantiles: Floats, delay: int, long_only: bool = False) -> Floats:
    """Share of wealth [N] in [-1, 1] (or [0, 1]) for the session that is earned: half of expectation over variance.

    The log return of that session has mean m and variance v, the simple return about m + v/2; the position is
    `FRACTION * (m + v/2) / v`, clipped. Where the forecast reaches that far, m is the difference of the means at
    delay + 1 and delay sessions ahead and v the variance at delay + 1, a session; else those of one session ahead.

    Arguments:
        quantiles: [N, H, Q] of the cumulative log return.
    References:
        E. Thorp, The Kelly criterion in blackjack, sports betting, and the stock market, Handbook of Asset and
        Liability Management 1 (2006), section 7: f* = (m - r) / s^2, here with r = 0.
    """
    mean, variance = moments(quantiles)
    if mean.shape[1] > delay:
        mean, variance = mean[:, delay] - mean[:, delay - 1], variance[:, delay] / (delay + 1)
    else:
        mean, variance = mean[:, 0], variance[:, 0]
    best = (mean + variance / 2) / np.maximum(variance, np.finfo(float).tiny)
    return np.asarray(np.clip(FRACTION * best, 0.0 if long_only else -1.0, 1.0))


def momentum(returns: Floats, long_only: bool = False) -> Floats:
    """Time-series momentum [T]: +1 where the year without its last month rose, -1 (or 0) where it fell.

    It holds cash where that year is not wholly known. Unlike its source it does not scale by volatility.

    Arguments:
        returns: [T] log return from each session to the next.
    References:
        N. Jegadeesh, S. Titman, Returns to buying winners and selling losers, J. Finance 48 (1993), p. 65.
        T. Moskowitz, Y. Ooi, L. Pedersen, Time series momentum, J. Financial Economics 104 (2012), p. 228.
    """
    signal = np.zeros(len(returns))
    if len(returns) > _YEAR:
        past = sliding_window_view(returns, _YEAR - _SKIPPED).sum(axis=1)  # row t - 252 ends at close t - 21
        signal[_YEAR:] = np.sign(np.nan_to_num(past[: len(returns) - _YEAR]))
    return np.maximum(signal, 0.0) if long_only else signal


@dataclass(frozen=True)
class Account:
    """One way to invest, session by session, after costs."""

    positions: Floats
    """[N] share of wealth held over each session."""
    turnover: Floats
    """[N] share of wealth bought or sold at the close before it."""
    net: Floats
    """[N] simple return after costs."""
    pace: float
    """Sessions a year."""

    @property
    def wealth(self) -> Floats:
        """[N + 1] of what was 1 at first."""
        return np.concatenate(([1.0], np.cumprod(1 + self.net)))

    @property
    def drawdown(self) -> Floats:
        """[N + 1] how far below its highest so far, 0 or negative."""
        return np.asarray(self.wealth / np.maximum.accumulate(self.wealth) - 1)

    @property
    def annual_return(self) -> float:
        """Compound."""
        return float(self.wealth[-1] ** (self.pace / len(self.net)) - 1)

    @property
    def volatility(self) -> float:
        """Annual standard deviation."""
        return float(self.net.std() * math.sqrt(self.pace))

    @property
    def sharpe(self) -> float:
        """Annual mean over volatility; 0 for one that never moved."""
        return float(self.net.mean() * self.pace / self.volatility) if self.volatility else 0.0

    @property
    def sharpe_error(self) -> float:
        """Its standard error by the delta method, HAC.

        References:
            A. Lo, The statistics of Sharpe ratios, Financial Analysts J. 58/4 (2002), pp. 36-52 (non-IID returns).
        """
        scaled = _standardised(self.net)
        influence = scaled - self.sharpe / math.sqrt(self.pace) * (scaled**2 - 1) / 2
        return standard_error(influence, bandwidth(len(scaled), 1)) * math.sqrt(self.pace)

    def record(self) -> dict[str, float]:
        """Its figures; annual ones are shares, so 0.05 is 5 %."""
        return {
            "annual_return": self.annual_return,
            "volatility": self.volatility,
            "sharpe": self.sharpe,
            "sharpe_se": self.sharpe_error,
            "max_drawdown": float(self.drawdown.min()),
            "turnover": float(self.turnover.mean() * self.pace),
            "mean_position": float(self.positions.mean()),
            "final_wealth": float(self.wealth[-1]),
        }


@dataclass(frozen=True)
class Trading:
    """What positions from forecasts would have earned beside those that need none."""

    sessions: Dates
    """[N] at whose close each position is taken; it is held to the next."""
    strategy: Account
    hold: Account
    """All in, always."""
    momentum: Account
    excess: float
    """Annual mean return above buy-and-hold scaled to the strategy's volatility."""
    p: float
    """Bootstrap p-value of "that excess is not above zero"; knows nothing of how many were tried."""
    block: int
    """Mean block length of the bootstrap, in sessions."""
    deflated: float
    """Deflated Sharpe ratio: probability that the strategy's own is above what the best of `tried` gets by luck."""
    deflated_excess: float
    """The same of its excess over buy-and-hold: a rising market lends it nothing."""
    tried: int
    cost: float
    """Basis points."""
    delay: int
    long_only: bool

    @property
    def accounts(self) -> dict[str, Account]:
        """By their names in records and figures."""
        return {"strategy": self.strategy, "buy_and_hold": self.hold, "momentum_12_1": self.momentum}

    def record(self) -> dict[str, Any]:
        """Plain values, with what they mean and do not mean."""
        return {
            "note": NOTE,
            "first": str(self.sessions[0]),
            "last": str(self.sessions[-1]),
            "sessions": len(self.sessions),
            "delay": self.delay,
            "cost_bp": self.cost,
            "long_only": self.long_only,
            "tried": self.tried,
            "excess": self.excess,
            "p": self.p,
            "block": self.block,
            "deflated_sharpe": self.deflated,
            "deflated_excess_sharpe": self.deflated_excess,
            **{name: account.record() for name, account in self.accounts.items()},
        }


def trade(
    sessions: Dates,
    returns: Floats,
    origins: Indices,
    quantiles: Floats,
    *,
    tried: int,
    seed: int,
    cost: float = COST,
    delay: int = 1,
    long_only: bool = False,
) -> Trading:
    """Trade on forecasts, from the first origin's position to the last origin's return.

    Arguments:
        sessions: [T] of the whole series, with the past that momentum needs.
        returns: [T] log return from each session to the next, free of splits; NaN where unknown. A session whose
            return is unknown is left out for all alike; one without a forecast is spent in cash.
        origins: [N] rows with a forecast, rising.
        quantiles: [N, H, Q] of the cumulative log return from each of them.
        tried: Models whose result on these sessions anyone has seen, this one too.
        seed: Of the bootstrap.
        cost: Basis points of what is bought or sold.
        delay: Sessions between origin and position; at least one.

    Raises:
        ValueError: The delay is below one, or none were tried.
        TooShort: Fewer than `LEAST` sessions.
    """
    if delay < 1 or tried < 1:
        raise ValueError(f"a delay of {delay} or {tried} models tried: both are at least 1")
    rows = np.arange(origins[0] + delay, origins[-1] + 1) if len(origins) else np.arange(0)
    rows = rows[np.isfinite(returns[rows])]
    if len(rows) < LEAST:
        raise TooShort("a trading view", len(rows), LEAST)
    wanted, trend = np.zeros((2, len(returns) + delay))
    wanted[origins + delay] = kelly(quantiles, delay, long_only)
    trend[delay:] = momentum(returns, long_only)
    days = float((sessions[rows[-1]] - sessions[rows[0]]) / np.timedelta64(1, "D"))
    market, pace = np.expm1(returns[rows]), (len(rows) - 1) / days * _DAYS
    strategy, hold, trending = (
        _account(held, market, cost, pace) for held in (wanted[rows], np.ones(len(rows)), trend[rows])
    )
    excess = _excess(strategy.net, hold.net)
    block = _block(excess)
    return Trading(
        sessions=sessions[rows],
        strategy=strategy,
        hold=hold,
        momentum=trending,
        excess=float(excess.mean() * pace),
        p=_no_better(strategy.net, hold.net, block, seed),
        block=block,
        deflated=_deflated(strategy.net, tried),
        deflated_excess=_deflated(excess, tried),
        tried=tried,
        cost=cost,
        delay=delay,
        long_only=long_only,
    )


def luck(tried: int, spread: float) -> float:
    """Sharpe ratio that the best of so many without skill is expected to show.

    Arguments:
        spread: Standard deviation of their estimated Sharpe ratios.
    References:
        D. Bailey, M. Lopez de Prado, The deflated Sharpe ratio: correcting for selection bias, backtest overfitting
        and non-normality, J. Portfolio Management 40/5 (2014), pp. 94-107, as is `deflated_sharpe`.
    """
    if tried == 1:
        return 0.0
    return float(
        spread * ((1 - np.euler_gamma) * ndtri(1 - 1 / tried) + np.euler_gamma * ndtri(1 - 1 / (tried * math.e)))
    )


def deflated_sharpe(sharpe: float, best: float, count: int, skewness: float, kurtosis: float) -> float:
    """Probability that a true Sharpe ratio is above `best`, given its estimate; ratios are of one session.

    Arguments:
        count: Sessions.
        skewness: Of the returns.
        kurtosis: Of the returns; 3 for the normal distribution.
    """
    variance = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
    return float(ndtr((sharpe - best) * math.sqrt((count - 1) / max(variance, np.finfo(float).tiny))))


def _account(held: Floats, market: Floats, cost: float, pace: float) -> Account:
    """Wealth is brought back to the wanted share at every close: what the market moved is traded too."""
    growth = 1 + held * market
    drifted = np.divide(held * (1 + market), growth, out=np.zeros(len(held)), where=growth > 0)
    turnover = np.abs(held - np.concatenate(([0.0], drifted[:-1])))
    net = np.maximum((1 - cost / 1e4 * turnover) * growth - 1, -1.0)  # no more than all can be lost
    return Account(held, turnover, net, pace)


def _standardised(net: Floats) -> Floats:
    spread = net.std()
    return np.asarray((net - net.mean()) / spread if spread else np.zeros(len(net)))


def _deflated(net: Floats, tried: int) -> float:
    """Deflated Sharpe ratio where only the number of tries is known.

    Their ratios are taken to scatter by 1 / sqrt(N - 1), as estimates around zero do. Models that resemble each other
    scatter less, so this errs on the strict side.
    """
    scaled, best = _standardised(net), luck(tried, 1 / math.sqrt(len(net) - 1))
    ratio = float(net.mean() / net.std()) if scaled.any() else 0.0
    return deflated_sharpe(ratio, best, len(net), float((scaled**3).mean()), float((scaled**4).mean()))


def _excess(net: Floats, hold: Floats) -> Floats:
    """Above buy-and-hold that is scaled to the same volatility [N]."""
    spread = hold.std()
    return net - (net.std() / spread if spread else 0.0) * hold


def _block(excess: Floats) -> int:
    """Mean block length, chosen from the data.

    References:
        D. Politis, H. White, Automatic block-length selection for the dependent bootstrap, Econometric Reviews 23
        (2004), p. 53; corrected by A. Patton, D. Politis, H. White, 28 (2009), p. 372.
    """
    from arch.bootstrap import optimal_block_length  # a second that only this needs to pay

    return max(1, math.ceil(optimal_block_length(excess)["stationary"].iloc[0])) if excess.std() else 1


def _no_better(net: Floats, hold: Floats, block: int, seed: int) -> float:
    """P-value of "the mean excess is not above zero", by a stationary bootstrap of the pairs.

    The scale is estimated anew in every resample; they are centred on what was found.

    References:
        D. Politis, J. Romano, The stationary bootstrap, JASA 89 (1994), p. 1303.
        O. Ledoit, M. Wolf, Robust performance hypothesis testing with the Sharpe ratio, J. Empirical Finance 15
        (2008), p. 850 (the same question, without studentising here).
    """
    from arch.bootstrap import StationaryBootstrap

    found = float(_excess(net, hold).mean())
    pairs = StationaryBootstrap(block, net, hold, seed=np.random.default_rng(seed))
    drawn = pairs.apply(lambda one, other: _excess(one, other).mean(), DRAWS)[:, 0]
    return float((1 + np.count_nonzero(drawn - found >= found)) / (1 + DRAWS))
