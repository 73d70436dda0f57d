"""The trading figure: it draws the accounts it was given, says no more than they allow, and nothing overlaps."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from forecaster.contract import LEVELS
from forecaster.trading import Account, Trading, trade
from pipelines.figures import trading
from tests.pipelines.legible import require_legible

SESSIONS = np.datetime64("2001-01-01") + np.arange(900) * 7 // 5
ORIGINS = np.arange(300, 899)


def found(returns: np.ndarray, mean: np.ndarray, long_only: bool = False) -> Trading:
    quantiles = (mean[:, None] + 0.01 * stats.norm.ppf(LEVELS))[:, None]
    return trade(SESSIONS, returns, ORIGINS, quantiles, tried=12, seed=0, long_only=long_only)


RETURNS = 0.01 * np.random.default_rng(0).standard_normal(900)
NOISE = found(RETURNS, 0.0002 * np.random.default_rng(1).standard_normal(len(ORIGINS)))
RICH = found(RETURNS, RETURNS[np.minimum(ORIGINS + 1, 899)], long_only=True)
POOR = found(RETURNS, -RETURNS[np.minimum(ORIGINS + 1, 899)])
CRASH = np.where(np.arange(900) == 500, math.log(3), RETURNS)
RUINED = found(CRASH, np.full(len(ORIGINS), -0.01))


@pytest.mark.parametrize("seen", [NOISE, RICH, POOR, RUINED], ids=["noise", "rich", "poor", "ruined"])
def test_nothing_is_cut_off_and_no_text_lies_on_another(seen):
    figure = trading(seen, "^GSPC", "transformer-large")
    require_legible(figure)
    assert 3 <= len(figure.axes[0].get_yticks()) <= 14


def test_wealth_and_falls_are_those_of_the_accounts():
    above, below = trading(NOISE, "^GSPC", "gru").axes
    assert above.get_yscale() == "log"
    for line, fall, account in zip(above.get_lines(), below.get_lines(), NOISE.accounts.values(), strict=False):
        np.testing.assert_array_equal(line.get_ydata(), account.wealth)
        np.testing.assert_array_equal(fall.get_ydata(), account.drawdown)


def test_the_figures_beside_the_lines_are_the_records():
    labels = [text.get_text() for text in trading(NOISE, "^GSPC", "gru").axes[0].get_legend().get_texts()]
    for label, account in zip(labels, NOISE.accounts.values(), strict=True):
        assert f"{account.annual_return:+.1%} a year" in label
        assert f"Sharpe {account.sharpe:.2f} ± {account.sharpe_error:.2f}" in label


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (NOISE, "cannot be told apart"),
        (POOR, "earned less than"),
        (RICH, "the best of 12 gets by luck: more than 99%"),
        (replace(RICH, deflated_excess=0.4), "the best of 12 gets by luck: 40%"),
    ],
)
def test_the_verdict_says_what_the_test_says(seen, said):
    figure = trading(seen, "^GSPC", "gru")
    assert said in figure.axes[0].get_title(loc="left")
    assert any("Evaluation, not advice" in text.get_text() for text in figure.texts)


def test_one_try_needs_no_luck():
    assert "luck" not in trading(replace(RICH, tried=1), "^GSPC", "gru").axes[0].get_title(loc="left")


def test_great_wealth_has_few_ticks():
    net = np.full(len(NOISE.sessions), 0.02)
    huge = Account(np.ones(len(net)), np.zeros(len(net)), net, 252.0)
    ticks = trading(replace(NOISE, strategy=huge), "^GSPC", "gru").axes[0].get_yticks()
    assert 3 <= len(ticks) <= 16
