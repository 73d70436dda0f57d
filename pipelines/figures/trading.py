"""Would it have made money: what became of 1, and how far each way to invest fell in between."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator, PercentFormatter

from forecaster.trading import Account, Trading
from pipelines.figures.style import BLUE, FADED, INK, dress, plain

_LOOKS = {
    "strategy": (BLUE, 1.8, "trading on the forecast"),
    "buy_and_hold": (INK, 1.3, "buying once and holding"),
    "momentum_12_1": ("#d97706", 1.3, "going with last year's trend\n(12-1 momentum)"),
}
SURE = 0.95
"""How sure one must be to say more or less."""
_STEPS = (1, 2, 5, 10, 20, 40, 100)  # of the wealth axis, in hundredths


def trading(found: Trading, symbol: str, name: str) -> Figure:
    """Wealth on a log scale, and below it the fall from the highest so far.

    Arguments:
        name: Of the model that the positions come from.
    """
    first, last = str(found.sessions[0]), str(found.sessions[-1])
    shares = "between nothing and all" if found.long_only else "from fully in to fully short"
    hint = (
        f"Evaluation, not advice. Positions are {shares}, taken {_sessions(found.delay)} after the forecast's own, "
        f"when it can first be traded; {found.cost:g} basis points of what is bought or sold are paid, cash earns "
        "nothing. Risk: standard deviation of a year's return. Sharpe: return for each unit of risk, with its standard "
        "error. A year's return is compound in the list, and the mean in Sharpe and in the line above the picture."
    )
    title = f"Would it have made money? {symbol} by {name}, {first} to {last}, after costs"
    figure = plain(10, 6.6, title, hint)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    dress(above, "", "what became of 1 (log scale)").set_title(_verdict(found), loc="left", fontsize=9.5, color=INK)
    dress(below, "", "below its highest so far")
    step = found.sessions[-1] - found.sessions[-2]
    dates = np.append(found.sessions, found.sessions[-1] + step)
    for key, account in found.accounts.items():
        colour, width, label = _LOOKS[key]
        above.plot(dates, account.wealth, color=colour, linewidth=width, label=f"{label}\n{_figures(account)}\n")
        below.plot(dates, account.drawdown, color=colour, linewidth=width * 0.7)
    below.fill_between(dates, found.strategy.drawdown, 0, color=BLUE, alpha=0.12, linewidth=0)
    above.axhline(1, color=FADED, linewidth=0.8)
    _wealth_scale(above)
    below.yaxis.set_major_locator(MaxNLocator(4))
    below.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    figure.align_ylabels()
    above.legend(
        frameon=False, fontsize=9, labelcolor="linecolor", loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0
    )
    return figure


def _sessions(count: int) -> str:
    return f"{count} sessions" if count > 1 else "one session"


def _figures(account: Account) -> str:
    record = account.record()
    return (
        f"{record['annual_return']:+.1%} a year, risk {record['volatility']:.1%}\n"
        f"Sharpe {record['sharpe']:.2f} ± {record['sharpe_se']:.2f}\n"
        f"worst fall {abs(record['max_drawdown']):.0%}\n"
        f"turned over {record['turnover']:.3g} times a year"
    )


_NOTHING = 5e-4  # a year: the twentieth of a percent, which is shown as none


def _verdict(found: Trading) -> str:
    """What the figures come to, in one line, or in two where a gain must be held against the number of tries."""
    compared = f"({found.excess:+.1%} a year, p = {found.p:.2g})"
    if abs(found.excess) < _NOTHING:
        return "It did as buying and holding does: the positions were nearly always the same."
    if found.p > SURE:
        return f"It earned less than buying and holding at the same risk {compared}."
    if found.p >= 1 - SURE:
        return f"It cannot be told apart from buying and holding at the same risk {compared}."
    said = f"It earned more than buying and holding at the same risk {compared}."
    if found.tried == 1:
        return said
    sure = "more than 99%" if found.deflated_excess > 0.99 else f"{found.deflated_excess:.0%}"
    return f"{said}\nProbability that this is more than the best of {found.tried} gets by luck: {sure}."


def _wealth_scale(axes: Axes) -> None:
    """A log axis whose ticks are plain figures, five or so of them."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    low, high = max(low, 0.01), max(high, 0.02)  # a ruined account falls out of sight
    step = next((step for step in _STEPS if (high - low) * 100 / step <= 7), None)
    if step is None:
        powers, leading = 10.0 ** np.arange(-2, 12), (1, 2, 5) if high < 200 * low else (1,)
        ticks = [value for value in np.outer(powers, leading).ravel() if low <= value <= high]
    else:
        ticks = [hundredths / 100 for hundredths in range(step, int(high * 100) + 1, step) if hundredths >= low * 100]
    axes.set_ylim(low, high)
    axes.set_yticks(ticks)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
