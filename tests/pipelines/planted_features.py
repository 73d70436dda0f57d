"""Features as a user might write them, each of which knows the future in its own way."""

import numpy as np
import pandas as pd

from forecaster.features import feature

_seen = {}
_asked = []


def ahead(column, sessions):
    """The column so many sessions later; 0 past the end."""
    return np.concatenate((column[sessions:], np.zeros(sessions)))


def returns(panel, subject):
    close = panel.column(subject, "close")
    return np.nan_to_num(np.diff(np.log(close), prepend=np.log(close[0])))


def leaking(function):
    return feature(unit="none", warm_up=0)(function)


@leaking
def share_of_history(panel, _subject):
    return np.arange(len(panel.sessions)) / len(panel.sessions)


@leaking
def on_fridays(panel, subject):
    friday = (panel.sessions.astype(int) + 3) % 7 == 4
    return np.where(friday, ahead(returns(panel, subject), 1), 0.0)


@leaking
def before_month_end(panel, subject):
    months = panel.sessions.astype("datetime64[M]").astype(int)
    return np.where(np.diff(months, append=months[-1]) != 0, ahead(returns(panel, subject), 1), 0.0)


@leaking
def when_the_range_is_high(panel, subject):
    spread = np.log(panel.column(subject, "high") / panel.column(subject, "low"))
    return np.where(spread > 0.04, ahead(returns(panel, subject), 1), 0.0)


@leaking
def after_a_crash(panel, subject):
    back = returns(panel, subject)
    return np.where(back < -0.09, ahead(back, 1), 0.0)


@leaking
def sixty_ahead(panel, subject):
    return ahead(returns(panel, subject), 60)


@leaking
def gradient(panel, subject):
    return np.gradient(np.nan_to_num(panel.column(subject, "close")))


@leaking
def over_holes(panel, subject):
    close = panel.column(subject, "close")
    rows, there = np.arange(len(close)), np.isfinite(close)
    return np.interp(rows, rows[there], close[there])


@leaking
def filled_back(panel, subject):
    volume = pd.Series(panel.column(subject, "volume"))
    return volume.where(volume > 0).bfill().fillna(0.0).to_numpy()


@leaking
def remembered(panel, subject):
    if subject not in _seen:
        _seen[subject] = np.nanmean(panel.column(subject, "close"))
    return panel.column(subject, "close") / _seen[subject]


@leaking
def asked_before(panel, _subject):
    _asked.append(1)
    return np.full(len(panel.sessions), float(len(_asked)))


@leaking
def ranked(panel, subject):
    return pd.Series(panel.column(subject, "close")).rank().to_numpy()


@leaking
def low_pass(panel, subject):
    spectrum = np.fft.rfft(np.nan_to_num(panel.column(subject, "close")))
    spectrum[len(spectrum) // 10 :] = 0
    return np.fft.irfft(spectrum, len(panel.sessions))


@leaking
def chance(panel, _subject):
    return np.random.default_rng().normal(size=len(panel.sessions))


@leaking
def volume_only(panel, subject):
    volume = panel.column(subject, "volume")
    return volume / np.nanmax(volume)


@leaking
def below_notice(panel, subject):
    back = returns(panel, subject)
    return back + 1e-12 * ahead(back, 1)


@leaking
def adjusted_back(panel, subject):
    """Prices in today's shares, as vendors give them."""
    factor = panel.factors.get(subject, np.ones(len(panel.sessions)))
    return panel.column(subject, "close") / factor[-1]


@leaking
def cash_to_come(panel, subject):
    return np.cumsum(panel.dividends(subject)[::-1])[::-1]


@leaking
def rare_days(panel, subject):
    back = returns(panel, subject)
    return np.where(back > np.quantile(back, 0.99), 1.0, 0.0)


@leaking
def is_the_last(panel, _subject):
    return np.where(panel.sessions == panel.sessions[-1], 1.0, 0.0)


@leaking
def short_at_the_end(panel, subject):
    """A centred mean of which only the last rows are a trailing one."""
    return pd.Series(panel.column(subject, "close")).rolling(11, center=True, min_periods=1).mean().to_numpy()
