"""GARCH: tomorrow's variance follows from today's and from today's surprise, which fades geometrically.

    r_t = mu + e_t,   e_t = sigma_t z_t,   z normal, Student t or skewed t, of variance 1

    garch    sigma^2_{t+1} = omega + alpha e_t^2 + beta sigma^2_t
    gjr      sigma^2_{t+1} = omega + (alpha + gamma [e_t < 0]) e_t^2 + beta sigma^2_t
    egarch   log sigma^2_{t+1} = omega + alpha (|z_t| - sqrt(2 / pi)) + gamma z_t + beta log sigma^2_t

Fitted by maximum likelihood with `arch`, on the returns that the windows hold up to the last training origin. In the
graph the first two are a weighted sum of the context's squares; the third is a loop. What lies before the context is
stood for by an EWMA of its first sessions, as `arch` starts. In one step the quantiles are the fitted distribution's.
Beyond, the variance path is the expected one (of log variance for egarch: under a t its variance has no expectation)
and the quantiles are empirical ones of past standardised h-step returns; the density keeps the fitted shape.
What it cannot do: see direction, ranges within the session or other channels; follow a level of volatility that shifts.

References:
    T. Bollerslev, Generalized autoregressive conditional heteroskedasticity, J. Econometrics 31 (1986), p. 307.
    L. Glosten, R. Jagannathan, D. Runkle, J. Finance 48 (1993), p. 1779 (gjr).
    D. Nelson, Conditional heteroskedasticity in asset returns: a new approach, Econometrica 59 (1991), p. 347 (egarch).
    B. Hansen, Autoregressive conditional density estimation, Int. Economic Review 35 (1994), p. 710 (skewed t).
    J. Hull, A. White, Incorporating volatility updating into the historical simulation method for value-at-risk,
    Journal of Risk 1 (1998), p. 5 (empirical quantiles of standardised returns).
"""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from torch import Tensor

from forecaster.components import PARAMETERS, Component, Name
from forecaster.contract import LEVELS, Choice, Floats
from forecaster.errors import ConfigError
from forecaster.families.base import DECAY, Family, Model, Spec
from forecaster.families.volatility import by_symbol, number_of, require_moves, row_of
from forecaster.windows import Sample

_NAMES: Mapping[str, Name] = {"normal": "gaussian", "t": "student_t", "skewt": "skew_t"}
_PERCENT = 100.0
_START = 75  # sessions whose EWMA stands for the variance before the context, as in `arch`
_LEAST_VARIANCE = 1e-20  # a context without any move still has a scale
_CHUNK = 512  # contexts held in memory at once
_SLACK = 1.0  # log likelihood that a fit may lie below a constant variance's: a t reaches the normal only nearly
_STARTS = (
    (0.05, 0.90),
    (0.10, 0.80),
    (0.03, 0.96),
    (0.02, 0.50),
)  # alpha, beta to begin from where arch's own choice fails
_NEARLY_NORMAL = 300.0  # degrees of freedom at which a t is a normal to a part in a thousand


class GarchFamily(Family):
    """Configuration of the GARCH models."""

    family: Literal["garch"] = "garch"
    variance: Annotated[Literal["garch", "gjr", "egarch"], Choice()] = "garch"
    """Equation of the variance; the last two let falls raise it more than rises."""
    distribution: Annotated[Literal["normal", "t", "skewt"], Choice()] = "t"
    """Distribution of the standardised surprise."""

    def build(self, spec: Spec) -> "Garch":
        return Garch(spec, self)


@dataclass(frozen=True)
class Coefficients:
    """What is estimated of one symbol, in the target's unit."""

    mean: float
    omega: float
    alpha: float
    gamma: float
    beta: float
    skew: float = 0.0
    tail: float = math.inf


class Garch(Model):
    """Estimated, not trained: `estimate` fills one row a symbol.

    Arguments:
        family: Which equation and which distribution.
    """

    coefficients: Tensor
    """[S + 1, 7], as in `Coefficients`."""
    path: Tensor
    """[S + 1, 2, H]: (log) variance k steps ahead = path[0] * that one step ahead + path[1]."""
    table: Tensor
    """[S + 1, H, Q]: quantiles in units of the scale."""
    steps: Tensor

    def __init__(self, spec: Spec, family: GarchFamily) -> None:
        super().__init__()
        self.spec, self.family = spec, family
        self.density = (Component(distribution=_NAMES[family.distribution]),)
        rows, horizon = spec.symbols + 1, spec.horizon
        ewma = Coefficients(mean=0.0, omega=0.0, alpha=1 - DECAY, gamma=0.0, beta=DECAY, tail=8.0)  # until estimated
        self.register_buffer("coefficients", torch.tensor(astuple(ewma)).repeat(rows, 1))
        self.register_buffer("path", torch.tensor([[1.0], [0.0]]).repeat(rows, 1, horizon))
        self.register_buffer("table", torch.zeros(rows, horizon, len(LEVELS)))
        self.register_buffer("steps", torch.arange(1, horizon + 1, dtype=torch.float32), persistent=False)

    def estimate(self, samples: Sequence[Sample]) -> None:
        """Maximum likelihood on what is known up to the last origin, then quantiles of the origins' h-step returns.

        Raises:
            TooShort: A series moves on too few sessions.
            ConfigError: The likelihood has no maximum that can be found.
        """
        numbers = [number_of(sample, self.spec) for sample in samples]
        fits = [np.array(astuple(fit(self.family, _returns(sample)))) for sample in samples]
        rows = by_symbol(numbers, fits, self.spec)
        self.coefficients.copy_(torch.from_numpy(rows))
        shapes = [_Shape(self.family.distribution, Coefficients(*row)) for row in rows.tolist()]
        self.path.copy_(torch.from_numpy(np.stack([self._path(shape) for shape in shapes])))
        if self.spec.horizon > 1:
            empirical = by_symbol(numbers, [self._empirical(sample) for sample in samples], self.spec)
            self.table.copy_(torch.from_numpy(empirical))
        self.table[:, 0] = torch.from_numpy(np.stack([shape.quantiles() for shape in shapes]))

    def _path(self, shape: "_Shape") -> Floats:
        """[2, H]: x_{k+1} = powers x_1 + constants solves x_{k+1} = persistence x_k + constant."""
        one = shape.coefficients
        if self.family.variance == "egarch":
            persistence = one.beta
            constant = one.omega + one.alpha * (shape.mean_size() - math.sqrt(2 / math.pi))
        else:
            persistence = one.alpha + one.gamma * shape.falls() + one.beta
            constant = one.omega
        powers = persistence ** np.arange(self.spec.horizon)
        return np.stack((powers, constant * (np.cumsum(powers) - powers)))

    def _empirical(self, sample: Sample) -> Floats:
        """Quantiles [H, Q] of the origins' returns in units of location and scale."""
        parts = []
        for chunk in np.split(sample.origins, range(_CHUNK, len(sample.origins), _CHUNK)):
            parameters = self.parameters_of(torch.from_numpy(sample.windows.contexts(chunk))).numpy()  # [N, H, P]
            parts.append((sample.windows.targets[chunk] - parameters[..., 0]) / parameters[..., 1])
        return np.quantile(np.concatenate(parts), LEVELS, axis=0).T

    def forward(self, context: Tensor) -> tuple[Tensor, Tensor]:
        parameters = self.parameters_of(context)
        location, scale = parameters[..., 0:1], parameters[..., 1:2]  # each [B, H, 1]
        return location + scale * self.table[row_of(context, self.spec)], parameters

    def parameters_of(self, context: Tensor) -> Tensor:
        """context [B, L, C] -> density parameters [B, H, P]."""
        row = row_of(context, self.spec)
        mean, omega, alpha, gamma, beta, skew, tail = self.coefficients[row][..., None].unbind(1)  # each [B, 1]
        surprise = context[..., 0] - mean  # [B, L]
        powers, constants = self.path[row].unbind(1)  # each [B, H]
        if self.family.variance == "egarch":
            ahead = torch.exp(powers * log_variance(surprise, omega, alpha, gamma, beta) + constants)
        else:
            ahead = powers * variance(surprise, omega, alpha, gamma, beta) + constants
        scale = torch.sqrt(torch.cumsum(ahead, dim=1) + _LEAST_VARIANCE)  # [B, H]
        if self.family.distribution == "t":
            scale = scale * torch.sqrt(1 - 2 / tail)
        held = {"location": self.steps * mean, "scale": scale, "skew": skew, "tail": tail}
        return torch.stack([held[name].expand_as(scale) for name in PARAMETERS[self.density[0].distribution]], dim=-1)


def before(surprise: Tensor) -> Tensor:
    """Variance before the context [B, L] -> [B, 1]: an EWMA of its first squares, the earliest weighing most."""
    ages = torch.arange(surprise.shape[1], device=surprise.device)
    weights = torch.where(ages < _START, torch.exp(ages.float() * math.log(DECAY)), 0.0)
    return (surprise.square() * (weights / weights.sum())).sum(1, keepdim=True) + _LEAST_VARIANCE


def variance(surprise: Tensor, omega: Tensor, alpha: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Variance of the session after the context, by garch or gjr: surprise [B, L], coefficients [B, 1] -> [B, 1].

    sigma^2_{L+1} = sum_a beta^a (omega + (alpha + gamma [e < 0]) e^2)_{L-a} + beta^L sigma^2_1
    """
    length = surprise.shape[1]
    ages = length - 1 - torch.arange(length, device=surprise.device)
    news = omega + (alpha + gamma * (surprise < 0)) * surprise.square()  # [B, L]
    faded = (news * torch.pow(beta, ages.float())).sum(1, keepdim=True)
    return faded + torch.pow(beta, ages[:1].float() + 1) * before(surprise)


def log_variance(surprise: Tensor, omega: Tensor, alpha: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """Log variance of the session after the context, by egarch: surprise [B, L], coefficients [B, 1] -> [B, 1]."""
    news = alpha * surprise.abs() + gamma * surprise  # [B, L], times 1 / sigma
    constant = omega - alpha * math.sqrt(2 / math.pi)
    return recursion(news.T, torch.log(before(surprise)).T, constant.T, beta.T).T


def _as_loop(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function scripted: the exporter that traces then writes one Loop where it would unroll every session."""
    with warnings.catch_warnings():
        # It announces its retirement, together with that of the exporter that needs it.
        warnings.filterwarnings("ignore", message=".*torch.jit.script.*", category=DeprecationWarning)
        scripted: Callable[..., Tensor] = torch.jit.script(function)
    return scripted


@_as_loop
def recursion(news: Tensor, start: Tensor, constant: Tensor, beta: Tensor) -> Tensor:
    """Log variance after news [L, B], the rest [1, B] -> [1, B]."""
    state = start
    for session in range(news.shape[0]):
        state = (constant + beta * state + news[session] * torch.exp(-0.5 * state)).clamp(-60.0, 60.0)
    return state


@dataclass(frozen=True)
class _Shape:
    """The distribution of a symbol's standardised surprise, by way of `arch`."""

    distribution: str
    coefficients: Coefficients

    def quantiles(self) -> Floats:
        """[Q] in units of the density's scale, which for a t is not the standard deviation."""
        own = math.sqrt(1 - 2 / self.coefficients.tail) if self.distribution == "t" else 1.0
        return np.asarray(_law(self.distribution).ppf(np.array(LEVELS), self._parameters)) / own

    def falls(self) -> float:
        """E[z^2; z < 0]: one half without skew."""
        return float(_law(self.distribution).partial_moment(2, 0.0, self._moderate))

    def mean_size(self) -> float:
        """E|z|."""
        return -2 * float(_law(self.distribution).partial_moment(1, 0.0, self._moderate))

    @property
    def _moderate(self) -> list[float]:
        """The parameters with a tail that `arch` has moments for: beyond, its gamma functions overflow to NaN."""
        return [min(self._parameters[0], _NEARLY_NORMAL), *self._parameters[1:]] if self._parameters else []

    @property
    def _parameters(self) -> list[float]:
        one = self.coefficients
        return {"normal": [], "t": [one.tail], "skewt": [one.tail, one.skew]}[self.distribution]


def _law(distribution: str) -> Any:
    """The distribution of that name in `arch`."""
    from arch.univariate import Normal, SkewStudent, StudentsT  # a second that only a fit needs to pay

    made: dict[str, Callable[[], Any]] = {"normal": Normal, "t": StudentsT, "skewt": SkewStudent}
    return made[distribution]()


def _returns(sample: Sample) -> Floats:
    """The target's own channel [N] as known up to the last origin, holes left out."""
    return sample.windows.known(int(sample.origins[-1]))[:, 0]


def fit(family: GarchFamily, returns: Floats) -> Coefficients:
    """Maximum likelihood of one series [N], in percent, from several starting points if need be.

    Raises:
        TooShort: It moves on too few sessions.
        ConfigError: The likelihood has no maximum that can be found.
    """
    from arch.univariate import EGARCH, GARCH, ConstantMean  # a second that only a fit needs to pay

    require_moves(family.name, returns)
    unit = _unit(returns)
    volatility = EGARCH(1, 1, 1) if family.variance == "egarch" else GARCH(1, int(family.variance == "gjr"), 1)
    model = ConstantMean(unit * returns, volatility=volatility, distribution=_law(family.distribution), rescale=False)
    for start in _starts(family, unit * returns):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # whether it converged is asked below
            found = model.fit(disp="off", show_warning=False, starting_values=start, options={"maxiter": 500})
        if found.convergence_flag == 0 and found.loglikelihood > _constant_likelihood(unit * returns) - _SLACK:
            return _in_the_targets_unit(dict(zip(found.params.index, found.params, strict=True)), family, unit)
    raise ConfigError(
        f"model {family.name}",
        f"the likelihood of {family.variance}-{family.distribution} has no maximum that `arch` finds on "
        f"{len(returns)} sessions; choose a simpler variance or distribution, or give it more history",
    )


def _constant_likelihood(returns: Floats) -> float:
    """Log likelihood of a constant variance, which every equation can say; `arch` may "converge" far below it."""
    return -0.5 * len(returns) * (math.log(2 * math.pi * float(returns.var())) + 1)


def _unit(returns: Floats) -> float:
    """Percent, unless that leaves numbers that an optimiser stumbles over; then another power of ten."""
    spread = _PERCENT * float(returns.std())
    return _PERCENT if 0.3 <= spread < 100 else _PERCENT * 10.0 ** -round(math.log10(spread))


def _starts(family: GarchFamily, returns: Floats) -> Iterator[Floats | None]:
    """Starting points: arch's own choice, then a few plain ones."""
    yield None
    spread = float(returns.var())
    shape = {"normal": [], "t": [8.0], "skewt": [8.0, 0.0]}[family.distribution]
    for alpha, beta in _STARTS:
        if family.variance == "egarch":
            news = [(1 - beta) * math.log(spread), 2 * alpha, -alpha, beta]
        else:
            news = [(1 - alpha - beta) * spread, alpha, *([0.0] if family.variance == "gjr" else []), beta]
        yield np.array([returns.mean(), *news, *shape])


def _in_the_targets_unit(found: Mapping[str, float], family: GarchFamily, unit: float) -> Coefficients:
    """From arch's parameters of `unit` times the returns."""
    beta = found["beta[1]"]
    egarch = family.variance == "egarch"
    return Coefficients(
        mean=found["mu"] / unit,
        omega=found["omega"] - (1 - beta) * 2 * math.log(unit) if egarch else found["omega"] / unit**2,
        alpha=found["alpha[1]"],
        gamma=found.get("gamma[1]", 0.0),
        beta=beta,
        skew=found.get("lambda", 0.0),
        tail=found.get("nu", found.get("eta", math.inf)),
    )
