"""Where skill comes from: by horizon, symbol, year and volatility regime, each with its count and standard error."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from forecaster.contract import Dates, Floats
from forecaster.hac import bandwidth
from forecaster.significance import skill
from forecaster.windows import Indices, Windows

REGIMES = ("calm", "usual", "rough")
"""Thirds of the training span by how volatile the month before the origin was."""
MONTH = 21
"""Sessions that realised volatility is taken over."""
Part = Literal["horizon", "symbol", "year", "regime"]
_LEAST = 4
"""Sessions of a slice, in lags of its standard error: below it that error is far too small to be shown."""


@dataclass(frozen=True)
class Slice:
    """Skill on a part of what was scored."""

    kind: Part
    name: str
    n: int
    """Sessions."""
    skill: float
    """Against the reference on the same part."""
    error: float | None
    """Its HAC standard error; None where there are too few sessions to tell."""
    p: float | None
    """One-sided Diebold-Mariano; not corrected for how many slices there are."""


def slices(
    scores: Floats, reference: Floats, sessions: Dates, symbols: ArrayLike, regimes: Indices
) -> tuple[Slice, ...]:
    """Skill against a reference, part by part.

    Symbols are averaged by session first: they move together. The sessions of a regime are taken one after another:
    what lies within the lag in time does so in the slice too, so no dependence is missed.

    Arguments:
        scores: [N, H] of origins in any order, lower is better.
        reference: [N, H] of the same origins.
        sessions: [N] of the origins.
        symbols: [N] names or numbers.
        regimes: [N] places in `REGIMES`.
    Returns:
        Horizons, symbols, years and regimes, in this order; those that are not there are left out.
    """
    years = sessions.astype("datetime64[Y]")
    names, at, counts = np.unique(np.asarray(symbols), return_inverse=True, return_counts=True)
    rows_of = np.split(np.argsort(at, kind="stable"), np.cumsum(counts)[:-1])  # once, not a look at all rows a symbol
    places = [(place, name) for place, name in enumerate(REGIMES) if (regimes == place).any()]
    all_rows = np.ones(len(scores), dtype=bool)
    days = _Days(scores, reference, sessions)
    return (
        *(days.part("horizon", str(step + 1), all_rows, step) for step in range(scores.shape[1])),
        *(days.part("symbol", str(name), rows) for name, rows in zip(names, rows_of, strict=True)),
        *(days.part("year", str(year), years == year) for year in np.unique(years)),
        *(days.part("regime", name, regimes == place) for place, name in places),
    )


@dataclass(frozen=True)
class _Days:
    """Scores that are averaged by session."""

    scores: Floats
    reference: Floats
    sessions: Dates

    def part(
        self,
        kind: Part,
        name: str,
        rows: NDArray[np.bool_] | Indices,
        step: int | None = None,
    ) -> Slice:
        """Skill on some rows, at one horizon or all.

        Arguments:
            rows: [N] which, or their numbers.
        """
        columns = slice(None) if step is None else slice(step, step + 1)
        overlap = self.scores.shape[1] if step is None else step + 1
        days, at, count = np.unique(self.sessions[rows], return_inverse=True, return_counts=True)
        means = []
        for losses in (self.scores[rows, columns], self.reference[rows, columns]):
            sums = np.zeros((len(days), losses.shape[1]))
            np.add.at(sums, at, losses)
            means.append(sums / count[:, None])
        found = skill(means[0], means[1], overlap)
        enough = len(days) >= _LEAST * bandwidth(len(days), overlap)
        error, p = (found.error, found.p) if enough else (None, None)
        return Slice(kind, name, len(days), found.skill, error, p)


def regime(windows: Windows, origins: Indices, train_origins: Indices) -> Indices:
    """How volatile it was just before each origin [N]: places in `REGIMES`, by the thirds of the training origins.

    Volatility is the root mean square of the target's own return or change (channel 0) over the month up to and with
    the origin; a hole within that month is left out.
    """
    edges = np.quantile(_volatility(windows, train_origins), (1 / 3, 2 / 3))
    return np.searchsorted(edges, _volatility(windows, origins), side="right")


def _volatility(windows: Windows, origins: Indices) -> Floats:
    """Of the month up to each origin [N]."""
    padded = np.concatenate((np.full(MONTH - 1, np.nan), windows.values[:, 0]))
    months = sliding_window_view(padded, MONTH)[origins]  # row t ends at t
    return np.asarray(np.sqrt(np.nanmean(months**2, axis=1)))
