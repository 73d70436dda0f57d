"""Public protocols: the data, where it is split, which origins are scored, and by what.

Long horizons ("LTSF"): every series of a table on its own, in units of its standard deviation over the training rows;
all windows whose H targets lie in a part; mean squared and mean absolute error over windows, steps and series.

    rows   0 ........ train | validation | test | (not used)
    origin o              knows rows <= o, is scored on o+1 ... o+H; the first origin of a part is the row before it

Short horizons (GluonTS, exchange_rate only): five times 30 days, quantiles .1 to .9, as traded.

References:
    A. Zeng et al., Are transformers effective for time series forecasting?, AAAI (2023), table 2.
    awslabs/gluonts, evaluations/ in its history (`exchange_rate_nips`), removed by 815ee1437.
"""

import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from forecaster.contract import LEVELS, TARGET_CHANNEL, Floats, WindowSpec
from forecaster.errors import ConfigError
from forecaster.features import Channels
from forecaster.windows import Indices, Windows

Name = Literal["exchange_rate", "etth1"]

HORIZONS = (96, 192, 336, 720)
"""H of the published long-horizon tables."""
LOADER_BATCH = 32
"""Windows in a batch of the published test loader, which drops the last one unless it is full."""
DAYS, ROUNDS, SEASON = 30, 5, 5
"""GluonTS on exchange_rate: H, forecasts a series, and the season of its seasonal naive."""
FIRST_UNSEEN = 6071
"""GluonTS on exchange_rate: the first row that is forecast."""
DECILES = tuple(LEVELS.index(round(0.1 * k, 1)) for k in range(1, 10))
"""Where .1 to .9 stand on the grid of levels."""


@dataclass(frozen=True)
class Source:
    """Where a benchmark's file comes from and what is in it."""

    files: tuple[str, ...]
    address: str
    header: int
    """Lines before the numbers."""
    first: int
    """First column of numbers."""
    series: int


SOURCES: dict[Name, Source] = {
    "exchange_rate": Source(
        ("exchange_rate.txt.gz", "exchange_rate.txt"),
        "https://github.com/laiguokun/multivariate-time-series-data (exchange_rate/exchange_rate.txt.gz)",
        header=0,
        first=0,
        series=8,
    ),
    "etth1": Source(
        ("ETTh1.csv", "ETTh1.csv.gz"),
        "https://github.com/zhouhaoyi/ETDataset (ETT-small/ETTh1.csv)",
        header=1,
        first=1,
        series=7,
    ),
}


def read(name: Name, folder: Path | None) -> Floats:
    """The numbers of a benchmark [T, S], a series a column.

    Raises:
        ConfigError: No folder was named, the file is not in it, or is not what it should be; with the remedy.
    """
    source = SOURCES[name]
    wanted = " or ".join(source.files)
    if folder is None:
        raise ConfigError("--data", f"name the folder that holds {wanted}, to be downloaded from {source.address}")
    found = [folder / file for file in source.files if (folder / file).is_file()]
    if not found:
        raise ConfigError(folder, f"holds no {wanted}; download it from {source.address}")
    columns = range(source.first, source.first + source.series)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy only warns of a file without a row
            values = np.loadtxt(found[0], delimiter=",", skiprows=source.header, usecols=columns, ndmin=2)
    except (OSError, EOFError, ValueError, UserWarning, zlib.error) as problem:
        raise ConfigError(
            found[0], f"cannot be read as {name} ({problem}); download it from {source.address}"
        ) from None
    if not np.isfinite(values).all():
        raise ConfigError(found[0], f"holds values that are no numbers; download it from {source.address}")
    return values


@dataclass(frozen=True)
class Split:
    """Rows of the three parts, each end exclusive."""

    train: int
    validation: int
    test: int

    @classmethod
    def of(cls, name: Name, rows: int) -> Self:
        """The published split: 70/10/20 % of exchange_rate, 12/4/4 months of 30 days of ETTh1.

        Raises:
            ConfigError: Too few rows for it.
        """
        if name == "etth1":
            month = 30 * 24
            split = cls(12 * month, 16 * month, 20 * month)
        else:
            split = cls(int(0.7 * rows), rows - int(0.2 * rows), rows)
        need = max(split.test, FIRST_UNSEEN + ROUNDS * DAYS if name == "exchange_rate" else 0)
        if rows < need:
            raise ConfigError(name, f"the file has {rows} rows and the protocol needs {need}; download it again")
        return split


@dataclass(frozen=True)
class Panel:
    """A benchmark's series in units of the training rows, and its split."""

    values: Floats
    """[T, S] z-scores."""
    scale: Floats
    """[S] what one of a series' z-scores is in its own unit."""
    split: Split

    @classmethod
    def of(cls, values: Floats, split: Split) -> Self:
        """Scaled by mean and standard deviation of the training rows [T, S]; rows after the test part are dropped."""
        seen = values[: split.train]
        scale = np.asarray(seen.std(axis=0))
        return cls((values[: split.test] - seen.mean(axis=0)) / scale, scale, split)

    @property
    def series(self) -> int:
        return len(self.scale)

    def windows(self, spec: WindowSpec, horizon: int) -> list[Windows]:
        """Windows of every series, for a level target; the index of an origin is its row."""
        return [level_windows(self.values[:, number], spec, horizon) for number in range(self.series)]

    def learning(self, context: int, horizon: int) -> Indices:
        """Origins whose whole context and targets lie in the training rows."""
        return np.arange(context, self.split.train - horizon)

    def validation(self, horizon: int) -> Indices:
        """Origins of the validation part."""
        return origins(self.split.train, self.split.validation, horizon)

    def test(self, horizon: int, drop_last: bool = False) -> Indices:
        """Origins of the test part; `drop_last` as the published loader does."""
        every = origins(self.split.validation, self.split.test, horizon)
        return every[: len(every) // LOADER_BATCH * LOADER_BATCH] if drop_last else every

    def outcomes(self, number: int, at: Indices, horizon: int) -> Floats:
        """Changes of a series from the origins to the next H rows [N, H]."""
        series = self.values[:, number]
        return np.asarray(sliding_window_view(series, horizon)[at + 1] - series[at][:, None])


def origins(first: int, end: int, horizon: int) -> Indices:
    """Origins whose H targets lie in the rows from `first` to before `end`."""
    return np.arange(first - 1, end - horizon)


def level_windows(series: Floats, spec: WindowSpec, horizon: int) -> Windows:
    """Windows of a series that is no price: its differences are the context, its changes the targets.

    Arguments:
        series: [T]; rows carry no date, so that their numbers stand for sessions.
    """
    if spec.channels != (TARGET_CHANNEL["level"],):
        raise ValueError(f"a benchmark's only channel is {TARGET_CHANNEL['level']!r}")
    change = np.diff(series, prepend=np.nan)[:, None]  # the first has none: no window holds it
    sessions = np.arange(len(series)).astype("datetime64[D]")
    return Windows.of(Channels(sessions, change, series, series), spec, horizon, "level")


@dataclass(frozen=True)
class Errors:
    """Errors of point forecasts of all series, in z-scores."""

    mse: float
    mae: float
    by_origin: Floats
    """[N] squared error, mean over steps and series."""


def errors(forecasts: list[Floats], outcomes: list[Floats]) -> Errors:
    """Mean squared and absolute error over origins, steps and series.

    Arguments:
        forecasts: [N, H] of each series.
        outcomes: [N, H] of each series.
    """
    misses = [forecast - outcome for forecast, outcome in zip(forecasts, outcomes, strict=True)]
    by_origin = np.mean([np.square(miss).mean(axis=1) for miss in misses], axis=0)
    return Errors(float(by_origin.mean()), float(np.mean([np.abs(miss).mean() for miss in misses])), by_origin)


def repeat(panel: Panel, at: Indices, horizon: int) -> Errors:
    """Errors of "the last value stays"."""
    outcomes = [panel.outcomes(number, at, horizon) for number in range(panel.series)]
    return errors([np.zeros_like(outcome) for outcome in outcomes], outcomes)


def weighted_quantile_loss(quantiles: Floats, outcomes: Floats) -> float:
    """mean_wQL: twice the pinball loss summed over all outcomes, over the sum of their sizes, mean over .1 to .9.

    Arguments:
        quantiles: [..., 9].
        outcomes: [...].
    References:
        D. Salinas et al., DeepAR, Int. J. Forecasting 36 (2020), p. 1188 (the rho-risk); `mean_wQuantileLoss` of
        gluonts.evaluation.
    """
    levels = np.array(LEVELS)[list(DECILES)]
    miss = outcomes[..., None] - quantiles
    loss = 2 * np.maximum(levels * miss, (levels - 1) * miss)
    return float(loss.mean(axis=-1).sum() / np.abs(outcomes).sum())


def seasonal_naive(values: Floats, at: Indices, horizon: int, season: int) -> Floats:
    """The last season, over and over.

    Arguments:
        values: [T, S].
        at: Origins [N].
    Returns:
        [N, S, H].
    """
    ages = season - 1 - np.arange(horizon) % season
    return np.asarray(values[at[:, None] - ages].transpose(0, 2, 1))
