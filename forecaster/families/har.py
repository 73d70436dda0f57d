"""HAR on ranges: the log variance of h sessions is linear in what day, week and month say of it; tails are Student's.

    y_h ~ mu_h + s_h t(nu_h)
    log s_h^2 = b_0 + b_1 v_t + b_5 mean_5(v) + b_22 mean_22(v) + b_- min(r_t, 0) + b_+ |r_t|

v is the log variance that a session's range tells: Parkinson's from high and low, Garman and Klass's from open and
close too. Each horizon has its own maximum likelihood fit to its own cumulative return, so nothing is iterated.
Channels of the target, in any order: parkinson asks for `log_range`, or `high_return` and `low_return`; garman_klass
for `open_return` beside them. What it cannot do: see direction, a long memory beyond a month, or more than one tail.

References:
    F. Corsi, A simple approximate long-memory model of realized volatility, J. Financial Econometrics 7 (2009), p. 174.
    M. Parkinson, The extreme value method for estimating the variance of the rate of return, J. Business 53 (1980),
    p. 61.
    M. Garman, M. Klass, On the estimation of security price volatilities from historical data, J. Business 53 (1980),
    p. 67.
    F. Corsi, R. Reno, J. Business and Economic Statistics 30 (2012), p. 368 (leverage).
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import digamma, gammaln, stdtrit
from torch import Tensor

from forecaster.components import Component
from forecaster.contract import LEVELS, TARGET_CHANNEL, Choice, Floats
from forecaster.errors import ConfigError, TooShort
from forecaster.families.base import Family, Model, Spec
from forecaster.families.volatility import LEAST, by_symbol, number_of, require_moves, row_of
from forecaster.windows import Sample

_PERCENT = 100.0
_WEEK, _MONTH = 5, 22
_LEAST_VARIANCE = 1e-3  # percent^2: a session without a range counts as one of a thirtieth of a percent
_MOST_RETURN = 20.0  # percent: a log variance that is linear in the return has no sense beyond crashes that were seen
_LEAST_TAIL, _LOG_TAIL, _MOST_LOG_TAIL = 2.05, math.log(4), 6.0  # nu from 2.05, begun at 6, to 405: a normal


class HarFamily(Family):
    """Configuration of the range-HAR."""

    family: Literal["har"] = "har"
    range: Annotated[Literal["parkinson", "garman_klass"], Choice()] = "parkinson"
    """Variance of a session: from its high and low, or from its open and close too."""
    leverage: Annotated[bool, Choice()] = True
    """Let the last return enter, a fall otherwise than a rise."""

    @property
    def reach(self) -> int:
        return _MONTH

    def build(self, spec: Spec) -> "Har":
        return Har(spec, self)


class Har(Model):
    """Estimated, not trained: `estimate` fills one row a symbol.

    Raises:
        ConfigError: The window lacks a channel that it reads.
    """

    weights: Tensor
    """[S + 1, H, R]: of the regressors on the log variance in percent^2."""
    location: Tensor
    """[S + 1, H]."""
    tail: Tensor
    """[S + 1, H]: degrees of freedom."""
    table: Tensor
    """[S + 1, H, Q]: quantiles of the t."""

    density = (Component(distribution="student_t"),)

    def __init__(self, spec: Spec, family: HarFamily) -> None:
        super().__init__()
        self.spec, self.family = spec, family
        self.spread = self._found((("log_range",), ("high_return", "low_return")))
        self.opening = self._found((("open_return",),)) if family.range == "garman_klass" else ()
        self._found(((TARGET_CHANNEL["return"],),))
        rows, horizon = spec.symbols + 1, spec.horizon
        self.register_buffer("weights", torch.zeros(rows, horizon, 6 if family.leverage else 4))
        self.register_buffer("location", torch.zeros(rows, horizon))
        self.register_buffer("tail", torch.full((rows, horizon), 8.0))
        self.register_buffer("table", torch.zeros(rows, horizon, len(LEVELS)))

    def _found(self, choices: Sequence[tuple[str, ...]]) -> tuple[int, ...]:
        """Places of the first choice of channels that the window has."""
        names = self.spec.window.channels
        for choice in choices:
            if set(choice) <= set(names):
                return tuple(names.index(name) for name in choice)
        wanted = " or ".join(" and ".join(repr(name) for name in choice) for choice in choices)
        raise ConfigError(
            f"model {self.family.name}",
            f"har with range {self.family.range!r} reads {wanted}; add to [window] channels",
        )

    def session_variance(self, context: Tensor) -> Tensor:
        """Variance that each session's range tells [B, L, C] -> [B, L], in percent^2."""
        columns = _PERCENT * context
        spread = columns[..., self.spread[0]]
        if len(self.spread) > 1:
            spread = spread - columns[..., self.spread[1]]
        if not self.opening:
            return spread.square() / (4 * math.log(2))
        body = columns[..., 0] - columns[..., self.opening[0]]  # close over open
        return 0.5 * spread.square() - (2 * math.log(2) - 1) * body.square()

    def regressors(self, context: Tensor) -> Tensor:
        """[B, L, C] -> [B, R]; a context that is shorter than a month is taken for the month."""
        logs = torch.log(self.session_variance(context).clamp(min=_LEAST_VARIANCE))
        last = logs[:, -1]
        parts = [torch.ones_like(last), last, logs[:, -_WEEK:].mean(1), logs[:, -_MONTH:].mean(1)]
        if self.family.leverage:
            newest = (_PERCENT * context[:, -1, 0]).clamp(-_MOST_RETURN, _MOST_RETURN)
            parts += [newest.clamp(max=0.0), newest.abs()]
        return torch.stack(parts, dim=-1)

    def estimate(self, samples: Sequence[Sample]) -> None:
        """Maximum likelihood for each symbol and horizon, on what is known up to the last origin's targets.

        Raises:
            TooShort: A series has, or moves on, too few sessions.
            ConfigError: The likelihood has no maximum that can be found.
        """
        numbers = [number_of(sample, self.spec) for sample in samples]
        rows = by_symbol(numbers, [self._fitted(sample) for sample in samples], self.spec)  # [S + 1, H, R + 2]
        tail = _tail(rows[..., -1])
        self.weights.copy_(torch.from_numpy(rows[..., :-2]))
        self.location.copy_(torch.from_numpy(rows[..., -2] / _PERCENT))
        self.tail.copy_(torch.from_numpy(tail))
        self.table.copy_(torch.from_numpy(stdtrit(tail[..., None], np.array(LEVELS))))

    def _fitted(self, sample: Sample) -> Floats:
        """Weights, location in percent and log tail of one series [H, R + 2]."""
        windows, last = sample.windows, int(sample.origins[-1])
        require_moves(self.family.name, windows.known(last)[:, 0])
        length = min(_MONTH, self.spec.window.context)
        views = sliding_window_view(windows.values[: last + 1], length, axis=0).transpose(0, 2, 1)  # [N, length, C]
        inputs = self.regressors(torch.from_numpy(np.ascontiguousarray(views))).numpy()  # [N, R]
        outcomes = _PERCENT * windows.targets[length - 1 : last + 1]  # [N, H]
        whole = np.isfinite(inputs).all(axis=1) & np.isfinite(outcomes).all(axis=1)
        if whole.sum() < LEAST:
            raise TooShort(self.family.name, int(whole.sum()), LEAST)
        rows, start = [], _start(inputs.shape[1])
        for outcome in outcomes[whole].T:
            start = _maximise(self.family.name, inputs[whole], outcome, start)
            rows.append(start.copy())
            start[-1] = min(start[-1], _LOG_TAIL)  # where a t is a normal, the next horizon could not leave again
        return np.stack(rows)

    def forward(self, context: Tensor) -> tuple[Tensor, Tensor]:
        row = row_of(context, self.spec)
        log_square = (self.weights[row] * self.regressors(context)[:, None]).sum(-1)  # [B, H]
        scale = torch.exp(0.5 * log_square.clamp(-60.0, 60.0)) / _PERCENT
        parameters = torch.stack((self.location[row], scale, self.tail[row]), dim=-1)
        return parameters[..., 0:1] + parameters[..., 1:2] * self.table[row], parameters


def _tail(log_tail: Floats) -> Floats:
    """Degrees of freedom from the number that is optimised."""
    return np.asarray(_LEAST_TAIL + np.exp(np.minimum(log_tail, _MOST_LOG_TAIL)))


def _start(regressors: int) -> Floats:
    """Day, week and month alike, no location, six degrees of freedom."""
    return np.r_[0.0, 0.3, 0.3, 0.3, np.zeros(regressors - 4), 0.0, _LOG_TAIL]


def _maximise(name: str, inputs: Floats, outcome: Floats, start: Floats) -> Floats:
    """The most likely [R + 2] for one horizon.

    Raises:
        ConfigError: It is not found.
    """
    from scipy.optimize import minimize  # only a fit needs it

    for begin in (start, _start(inputs.shape[1])):
        with np.errstate(over="ignore", invalid="ignore"):  # a line search may try a step that is far too long
            found = minimize(_loss, begin, args=(inputs, outcome), jac=True, method="BFGS", options={"maxiter": 500})
        if np.isfinite(found.x).all() and np.abs(found.jac).max() < 1e-4:
            return np.asarray(found.x)
    raise ConfigError(
        f"model {name}",
        f"the likelihood of har has no maximum that is found on {len(outcome)} sessions; give it more history, "
        "or leave its leverage out",
    )


def _loss(theta: Floats, inputs: Floats, outcome: Floats) -> tuple[float, Floats]:
    """Mean negative log density of a Student t with log scale^2 linear in the inputs, and its gradient."""
    log_scale, tail = 0.5 * inputs @ theta[:-2], float(_tail(theta[-1]))
    u = (outcome - theta[-2]) * np.exp(-log_scale)
    pull = (tail + 1) * u / (tail + u * u)
    constant = 0.5 * math.log(tail * math.pi) + gammaln(tail / 2) - gammaln((tail + 1) / 2)
    value = np.mean(log_scale + constant + (tail + 1) / 2 * np.log1p(u * u / tail))
    by_tail = 0.5 * (
        1 / tail + digamma(tail / 2) - digamma((tail + 1) / 2) + np.mean(np.log1p(u * u / tail) - pull * u / tail)
    )
    gradient = np.r_[
        0.5 * np.mean((1 - pull * u)[:, None] * inputs, axis=0),
        -np.mean(pull * np.exp(-log_scale)),
        by_tail * (tail - _LEAST_TAIL) * (theta[-1] < _MOST_LOG_TAIL),
    ]
    return float(value), gradient
