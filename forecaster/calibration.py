"""Adaptive conformal calibration: quantiles shifted so that each is passed as often as it says, by what came true.

For each horizon and level p one number: by how much of its own half width (of the 80 % interval) a forecast is moved,

    calibrated = sort(raw + shift * width),    width = (raw.90 - raw.10) / 2

so that a change of volatility rescales the shift with the forecast. Each outcome moves the shift towards where it fell:

    shift += step * (p - [outcome <= raw + shift * width]) / (2 sqrt(p (1 - p))),    step = max(.005, 1 / (100 + n))

after n outcomes: online gradient descent on the pinball loss, each level's gradient in units of its own spread. A
shift comes to rest only where the share of outcomes below the level is p, whatever the data; if shifts stay bounded,
the share over n outcomes is off by no more than their range over step * n. Until 100 outcomes or so have counted as
much as the trust in the raw forecast, the steps are larger: a model that is off is put right in a year, not in five.

An outcome h sessions ahead of row i is known at row i + h, and counts from then on, for forecasts of its own horizon
only. The update asks each level for itself, unsorted: of sorted levels two that have crossed would feed each other's
errors and run apart.

The constants were chosen on 2010-2014 only, on both indices of the sample, four models fitted before 2005 and the
shifts warmed on 2005-2009 (`python -m benchmarks.calibration --warm 2005 --from 2010 --until 2015`). Of 48 variants
(constant and falling steps of .0025 to .04, three scalings of the levels, steps that shrink with the horizon, levels
smoothed over their neighbours) this has the smallest step with which all 64 coverage intervals held at horizons 1 and
5 and no year was beyond 3 standard errors at horizon 1. Half of it left 2 outside; double held as many and gave back
a third to a half of the gain in interval score.

What it cannot do: follow a change faster than about 200 outcomes; sharpen a forecast; know the far tails, where one
outcome in 200 speaks.

References:
    I. Gibbs, E. Candes, Adaptive conformal inference under distribution shift, NeurIPS 34 (2021).
    A. Angelopoulos, E. Candes, R. Tibshirani, Conformal PID control for time series prediction, NeurIPS 36 (2023)
    (the quantile tracker, and its bound).
    A. Angelopoulos, R. Barber, S. Bates, Online conformal prediction with decaying step sizes, ICML 41 (2024).
    V. Chernozhukov, I. Fernandez-Val, A. Galichon, Quantile and probability curves without crossing,
    Econometrica 78 (2010), p. 1093 (sorting never makes quantiles worse).
"""

import hashlib
import json
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from forecaster.contract import LEVELS, Floats, Frozen

STEP = 0.005
"""Least step, in half widths: the memory is about one over it, in outcomes."""
PRIOR = 100
"""How many outcomes the trust in the raw forecast counts for."""

_LEVELS = np.array(LEVELS)
_PACE = 0.5 / np.sqrt(_LEVELS * (1 - _LEVELS))  # [Q] 1 at the median, 7 at the outermost level
_LOW, _HIGH = LEVELS.index(0.1), LEVELS.index(0.9)


class State(Frozen):
    """What past outcomes of one symbol taught, by horizon."""

    shift: tuple[tuple[float, ...], ...]
    """[H][Q] in half widths of the raw 80 % interval."""
    matured: tuple[int, ...]
    """[H] outcomes that have counted."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if any(len(row) != len(LEVELS) for row in self.shift) or len(self.shift) != len(self.matured):
            raise ValueError(f"shift must be [H][{len(LEVELS)}] and matured [H]")
        return self

    @classmethod
    def start(cls, horizon: int) -> Self:
        """Nothing learnt yet: quantiles are left as they are, to the bit."""
        return cls(shift=((0.0,) * len(LEVELS),) * horizon, matured=(0,) * horizon)

    @property
    def digest(self) -> str:
        """sha256 of its canonical JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def apply(self, quantiles: Floats) -> Floats:
        """Calibrated quantiles, non-decreasing along Q.

        Arguments:
            quantiles: [..., H, Q] raw, in the target's unit.
        Raises:
            ValueError: They have another horizon or other levels.
        """
        _require(quantiles.shape[-2:], (len(self.matured), len(LEVELS)))
        return _shifted(quantiles, np.array(self.shift))

    def update(self, step: int, quantiles: Floats, outcome: float) -> Self:
        """The state after one more outcome; itself where the outcome is not finite.

        Arguments:
            step: Index along H: 0 is one session ahead.
            quantiles: [Q] raw, of the forecast that came due.
            outcome: What happened, in the same unit.
        """
        shift, matured = _learnt(
            np.array(self.shift[step]), np.array(self.matured[step]), quantiles, np.array(outcome, dtype=np.float64)
        )
        rows, counts = list(self.shift), list(self.matured)
        rows[step], counts[step] = tuple(shift.tolist()), int(matured)
        return type(self)(shift=tuple(rows), matured=tuple(counts))


def calibrate(
    rows: NDArray[np.integer], quantiles: Floats, outcomes: Floats, state: State, at: int | None = None
) -> tuple[Floats, State]:
    """Each forecast calibrated by what was known at its origin, and the state that is known at row `at`.

    The same to the bit as a loop over the origins that first updates with all outcomes come due and then applies; a
    later outcome moves nothing.

    Arguments:
        rows: [N] session row of each origin, ascending; the outcome h sessions ahead of row i is known at row i + h.
        quantiles: [N, H, Q] raw.
        outcomes: [N, H]; NaN where unknown, which counts for nothing.
        state: What was known before the first origin.
        at: Row whose knowledge the returned state has; that of the last origin if not given.
    Returns:
        [N, H, Q], and the state.
    Raises:
        ValueError: Shapes do not fit, or rows do not ascend.
    """
    count, horizon = len(rows), len(state.matured)
    _require(quantiles.shape, (count, horizon, len(LEVELS)))
    _require(outcomes.shape, (count, horizon))
    if (np.diff(rows) <= 0).any():
        raise ValueError("rows must ascend")
    shifts, matured = _course(np.array(state.shift), np.array(state.matured), quantiles, outcomes)
    ahead = np.arange(horizon)
    calibrated = _shifted(quantiles, shifts[_due(rows, horizon), ahead])
    if count == 0 and at is None:
        return calibrated, state
    now = rows[-1] if at is None else at
    last = [int(np.searchsorted(rows + step + 1, now, side="right")) for step in ahead]
    known = State(
        shift=tuple(tuple(row) for row in shifts[last, ahead].tolist()), matured=tuple(matured[last, ahead].tolist())
    )
    return calibrated, known


def calibrate_together(rows: NDArray[np.integer], quantiles: Floats, outcomes: Floats) -> Floats:
    """`calibrate` of several symbols that have their origins on the same rows, from nothing learnt: the same bits.

    Each learns from its own outcomes alone. What a step of the recursion costs is nearly all the calls of it.

    Arguments:
        quantiles: [N, H, S, Q] raw.
        outcomes: [N, H, S].
    Returns:
        [N, H, S, Q].
    """
    none = np.zeros(quantiles.shape[1:])
    shifts, _ = _course(none, none[..., 0].astype(np.int64), quantiles, outcomes)
    horizon = quantiles.shape[1]
    return _shifted(quantiles, shifts[_due(rows, horizon), np.arange(horizon)])


def _course(
    shift: Floats, matured: NDArray[np.int64], quantiles: Floats, outcomes: Floats
) -> tuple[Floats, NDArray[np.int64]]:
    """Shifts [N + 1, H, ..., Q] and counts [N + 1, H, ...]: the n-th after the outcomes of the first n origins."""
    count = len(quantiles)
    shifts = np.empty((count + 1, *shift.shape))
    counts = np.empty((count + 1, *matured.shape), dtype=np.int64)
    shifts[0], counts[0] = shift, matured
    for n in range(count):
        shifts[n + 1], counts[n + 1] = _learnt(shifts[n], counts[n], quantiles[n], outcomes[n])
    return shifts, counts


def _due(rows: NDArray[np.integer], horizon: int) -> NDArray[np.intp]:
    """[N, H] how many outcomes of its horizon are known at each origin."""
    return np.column_stack([np.searchsorted(rows + step + 1, rows, side="right") for step in range(horizon)])


def _shifted(quantiles: Floats, shift: Floats) -> Floats:
    """Raw quantiles [..., Q] moved by shifts [..., Q] and put in order."""
    return np.sort(quantiles + shift * _width(quantiles), axis=-1)


def _learnt(
    shift: Floats, matured: NDArray[np.int64], quantiles: Floats, outcome: Floats
) -> tuple[Floats, NDArray[np.int64]]:
    """Shifts [..., Q] and counts [...] after one outcome [...] of quantiles [..., Q].

    A forecast without width has no unit to learn in, and teaches nothing.
    """
    width = _width(quantiles)
    speaks = np.isfinite(outcome) & (width[..., 0] > 0)
    below = outcome[..., None] <= quantiles + shift * width
    step = np.maximum(STEP, 1 / (PRIOR + matured))
    moved = shift + step[..., None] * _PACE * (_LEVELS - below)
    return np.where(speaks[..., None], moved, shift), matured + speaks


def _width(quantiles: Floats) -> Floats:
    """Half of the 80 % interval [..., 1]."""
    return (quantiles[..., _HIGH : _HIGH + 1] - quantiles[..., _LOW : _LOW + 1]) / 2


def _require(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if shape != expected:
        raise ValueError(f"expected {list(expected)}, got {list(shape)}")
