"""GARCH against `arch` itself on the real sample (its years before 2015), and what it promises of itself."""

import functools
import subprocess
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from arch.data import sp500
from arch.univariate import EGARCH, GARCH, ConstantMean, Normal, SkewStudent, StudentsT

from forecaster.contract import LEVELS, WindowSpec
from forecaster.densities import log_density
from forecaster.errors import ConfigError, TooShort
from forecaster.families.base import Spec
from forecaster.families.garch import Garch, GarchFamily, fit
from forecaster.features import Channels
from forecaster.training.export import to_onnx
from forecaster.windows import Sample, Windows

HORIZON = 4
WINDOW = WindowSpec(context=256, burn_in=30, channels=("log_return",))
SHORT = WindowSpec(context=24, burn_in=12, channels=("log_return",))
NAMED = WindowSpec(context=24, burn_in=12, channels=("log_return", "symbol"))
LAWS = {"normal": Normal, "t": StudentsT, "skewt": SkewStudent}
KINDS = [(variance, distribution) for variance in ("garch", "gjr", "egarch") for distribution in LAWS]

every_kind = pytest.mark.parametrize(("variance", "distribution"), KINDS, ids=["-".join(kind) for kind in KINDS])


def family(variance="garch", distribution="t") -> GarchFamily:
    return GarchFamily(name="g", variance=variance, distribution=distribution)


def windows_of(returns, window=SHORT, horizon=HORIZON, symbol=0) -> Windows:
    sessions = np.datetime64("2001-01-01") + np.arange(len(returns))
    close = 100 * np.exp(np.cumsum(np.nan_to_num(returns)))
    close[np.isnan(returns)] = np.nan
    return Windows.of(Channels(sessions, returns[:, None], close, close), window, horizon, symbol=symbol)


def clustered(count=700, seed=0, size=0.01) -> np.ndarray:
    """Returns whose volatility comes and goes."""
    rng = np.random.default_rng(seed)
    return size * rng.standard_t(6, count) * np.exp(0.5 * np.sin(np.arange(count) / 40))


@functools.cache
def real() -> np.ndarray:
    """Log returns of the S&P 500 from 1999 to 2014."""
    close = sp500.load()["Adj Close"]
    return np.diff(np.log(close[close.index < "2015"].to_numpy(dtype=float)))


def estimated(one: GarchFamily, windows: Windows, origins, symbols=1) -> Garch:
    model = one.build(Spec(windows.spec, windows.targets.shape[1], symbols=symbols))
    model.estimate([Sample(windows, origins)])
    return model


def answer(model: Garch, windows: Windows, origins):
    with torch.inference_mode():
        return [one.double().numpy() for one in model(torch.from_numpy(windows.contexts(origins)))]


@functools.cache
def fitted(variance: str, distribution: str):
    """Our model and arch's fit on the same 3000 sessions, the windows, and a thousand origins after them."""
    windows = windows_of(real(), WINDOW)
    train = np.arange(WINDOW.context - 1, 3000)
    model = estimated(family(variance, distribution), windows, train)
    volatility = EGARCH(1, 1, 1) if variance == "egarch" else GARCH(1, int(variance == "gjr"), 1)
    reference = ConstantMean(100 * real(), volatility=volatility, distribution=LAWS[distribution](), rescale=False)
    return model, reference.fit(last_obs=3000, disp="off"), windows, np.arange(3000, len(real()) - HORIZON)


@every_kind
def test_quantiles_and_log_density_agree_with_arch(variance, distribution):
    model, found, windows, origins = fitted(variance, distribution)
    quantiles, parameters = answer(model, windows, origins)
    expected = found.forecast(horizon=1, start=origins[0], reindex=False).variance.to_numpy()[: len(origins), 0]
    shape = [found.params[name] for name in ("nu", "eta", "lambda") if name in found.params]
    law, mean, tolerance = LAWS[distribution](), found.params["mu"], 5e-5 if variance == "egarch" else 2e-6
    levels = mean + np.sqrt(expected)[:, None] * law.ppf(np.array(LEVELS), shape)
    np.testing.assert_allclose(100 * quantiles[:, 0], levels, rtol=tolerance, atol=tolerance)
    outcome = windows.targets[origins]
    likelihood = law.loglikelihood(shape, 100 * outcome[:, 0] - mean, expected, individual=True)
    density = log_density(model.density, parameters, outcome)[:, 0] - np.log(100)
    np.testing.assert_allclose(density, likelihood, rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize(("variance", "distribution"), [("garch", "normal"), ("garch", "t"), ("gjr", "t")])
def test_the_variance_path_is_that_of_arch(variance, distribution):
    model, found, windows, origins = fitted(variance, distribution)
    parameters = answer(model, windows, origins)[1]
    path = found.forecast(horizon=HORIZON, start=origins[0], reindex=False).variance.to_numpy()[: len(origins)]
    own = np.sqrt(1 - 2 / parameters[..., 2]) if distribution == "t" else 1.0
    np.testing.assert_allclose(100 * parameters[..., 1] / own, np.sqrt(path.cumsum(axis=1)), rtol=1e-5)
    np.testing.assert_allclose(100 * parameters[..., 0], found.params["mu"] * np.arange(1, 5) * np.ones_like(path))


@pytest.mark.parametrize(("variance", "distribution"), [("gjr", "skewt"), ("egarch", "t"), ("egarch", "skewt")])
def test_the_variance_path_is_the_mean_of_simulated_ones(variance, distribution):
    """Of log variances for egarch; under a t the variance itself has no mean."""
    model, found, windows, _ = fitted(variance, distribution)
    origin = len(real()) - 1
    parameters = answer(model, windows, np.array([origin]))[1][0]
    own = np.sqrt(1 - 2 / parameters[..., -1]) if distribution == "t" else 1.0
    path = np.diff((100 * parameters[:, 1] / own) ** 2, prepend=0)
    forecast = found.forecast(
        horizon=HORIZON,
        start=origin,
        method="simulation",
        simulations=20_000,
        reindex=False,
        random_state=np.random.RandomState(0),
    )
    simulated = forecast.simulations.residual_variances[0]  # [N, H]
    if variance == "egarch":
        simulated, path = np.log(simulated), np.log(path)
    error = simulated.std(axis=0) / np.sqrt(len(simulated))
    assert (np.abs(simulated.mean(axis=0) - path) <= 4 * error + 2e-4 * np.abs(path)).all()


@every_kind
def test_beyond_one_step_the_quantiles_are_those_of_past_standardised_returns(variance, distribution):
    model, _, windows, _ = fitted(variance, distribution)
    train = np.arange(WINDOW.context - 1, 3000)
    quantiles = answer(model, windows, train)[0]
    below = (windows.targets[train][..., None] <= quantiles).mean(axis=0)  # [H, Q]
    np.testing.assert_allclose(below[1:], np.broadcast_to(LEVELS, below[1:].shape), rtol=0, atol=2e-3)


@every_kind
def test_the_estimate_ignores_what_comes_after_the_last_origins_target(variance, distribution):
    returns, last = clustered(), 500
    train = np.arange(SHORT.context - 1, last + 1)
    later = returns.copy()
    later[last + HORIZON + 1 :] = clustered(seed=1, size=0.05)[last + HORIZON + 1 :]
    sooner = returns.copy()
    sooner[last] += 0.01
    states = [
        estimated(family(variance, distribution), windows_of(one), train).state_dict()
        for one in (returns, later, sooner)
    ]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name])
        assert not torch.equal(value, states[2][name])


def test_a_session_without_a_bar_is_left_out():
    returns = clustered()
    holed = np.insert(returns, 400, np.nan)
    with_hole = windows_of(holed)
    found = estimated(family(), with_hole, with_hole.span(None, None))
    whole = estimated(family(), windows_of(returns), np.arange(23, len(returns) - HORIZON))
    # The hole costs the origins around it, so only the fit is the same, up to the last origin.
    assert torch.equal(found.coefficients, whole.coefficients)


@every_kind
def test_onnx_answers_as_torch_does(variance, distribution, capfd):
    windows = windows_of(clustered())
    origins = windows.span(None, None)
    model = estimated(family(variance, distribution), windows, origins)
    contexts = torch.from_numpy(windows.contexts(origins))
    session = onnxruntime.InferenceSession(to_onnx(model, contexts[:1]), providers=["CPUExecutionProvider"])
    for count, length in ((1, 24), (9, 24), (64, 24), (9, 11), (1, 8)):
        some = contexts[-count:, -length:].contiguous()
        with torch.inference_mode():
            expected = model(some)
        for found, one in zip(session.run(None, {"context": some.numpy()}), expected, strict=True):
            assert found.shape == one.shape
            np.testing.assert_allclose(found, one.numpy(), rtol=1e-5, atol=1e-9)
    assert capfd.readouterr().err == ""  # onnxruntime has no doubts about the loop


@every_kind
def test_any_context_has_an_ordered_forecast(variance, distribution):
    windows = windows_of(clustered())
    origins = windows.span(None, None)
    model = estimated(family(variance, distribution), windows, origins)
    for size in (0.0, 1e-6, 1.0, 50.0, 1e4):
        with torch.inference_mode():
            quantiles, parameters = model(size * torch.from_numpy(windows.contexts(origins)))
        assert torch.isfinite(quantiles).all()
        assert torch.isfinite(parameters).all()
        assert (parameters[..., 1] > 0).all()
        assert (quantiles.diff(dim=-1) > 0).all()


@every_kind
def test_each_symbol_is_answered_from_its_own_row_and_an_unknown_one_from_the_median(variance, distribution):
    one = family(variance, distribution)
    series = [windows_of(clustered(seed=seed), NAMED, symbol=seed) for seed in (1, 2, 3)]
    origins = series[0].span(None, None)
    model = one.build(Spec(NAMED, HORIZON, symbols=4))
    model.estimate([Sample(windows, origins) for windows in series])
    for windows in series:
        alone = estimated(one, windows, origins, symbols=4)
        for found, expected in zip(answer(model, windows, origins), answer(alone, windows, origins), strict=True):
            np.testing.assert_array_equal(found, expected)
    median = model.coefficients[1:4].median(dim=0).values
    for number in (0, 4):  # never told, and told of but without history
        torch.testing.assert_close(model.coefficients[number], median)
    context = torch.from_numpy(series[0].contexts(origins[-1:]))
    with torch.inference_mode():
        unknown, named = (model(torch.cat((context[..., :1], torch.full((1, 24, 1), at)), -1))[0] for at in (0.0, 1.0))
        beyond = model(torch.cat((context[..., :1], torch.full((1, 24, 1), -3.0)), -1))[0]
    assert torch.equal(unknown, beyond)
    assert not torch.equal(unknown, named)


@pytest.mark.parametrize("kind", ["still", "steady", "one jump", "short"])
@every_kind
def test_a_series_that_says_too_little_is_refused_in_one_line(variance, distribution, kind):
    returns = {
        "still": np.zeros(300),
        "steady": np.full(300, 0.001),
        "one jump": np.eye(1, 300, 200)[0],
        "short": clustered(50),
    }[kind]
    windows = windows_of(returns)
    with pytest.raises(TooShort, match="too little history for g") as caught:
        estimated(family(variance, distribution), windows, windows.span(None, None))
    assert "\n" not in str(caught.value)


def test_where_arch_ends_in_nonsense_another_start_is_taken():
    """Which series leads it astray depends on the last bits of the processor, so the first such is looked for."""
    wave = np.exp(0.5 * np.sin(np.arange(150) / 20))
    histories = (0.01 * np.random.default_rng(seed).standard_normal(150) * wave for seed in range(200))
    returns = next(history for history in histories if astray(history))
    found = fit(family("egarch", "t"), returns)
    assert abs(found.gamma) < 1
    assert abs(found.beta) <= 1


def astray(returns: np.ndarray) -> bool:
    """Whether arch by itself says that it converged, on a leverage that nothing has."""
    reference = ConstantMean(100 * returns, volatility=EGARCH(1, 1, 1), distribution=StudentsT(), rescale=False)
    nonsense = reference.fit(disp="off", show_warning=False, options={"maxiter": 500})
    return nonsense.convergence_flag == 0 and abs(nonsense.params["gamma[1]"]) > 10


def test_a_fit_that_never_converges_is_refused_in_one_line(monkeypatch):
    from arch.univariate import base

    def hurried(*arguments, options, **others):
        return minimize(*arguments, options=options | {"maxiter": 1}, **others)

    minimize = base.minimize
    monkeypatch.setattr(base, "minimize", hurried)
    with pytest.raises(ConfigError, match="model g: the likelihood of gjr-t has no maximum") as caught:
        fit(family("gjr", "t"), clustered())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("variance", ["garch", "gjr", "egarch"])
@pytest.mark.parametrize("size", [1e-6, 3e-4, 1e5])
def test_the_unit_of_the_target_does_not_matter(variance, size):
    windows = windows_of(clustered(2000))
    values, targets = size * windows.values, size * windows.targets
    scaled = Windows(SHORT, windows.sessions, values, windows.close, targets, windows.whole)
    origins = windows.span(None, None)
    plain, other = (answer(estimated(family(variance), one, origins), one, origins)[1] for one in (windows, scaled))
    np.testing.assert_allclose(other[..., 1] / size, plain[..., 1], rtol=5e-3)


def test_reading_a_configuration_does_not_wake_arch():
    code = (
        "import sys; import forecaster.families.garch, forecaster.families.har; "
        "heavy = {'arch', 'statsmodels', 'scipy.optimize', 'scipy.stats'}; "
        "print(heavy & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
