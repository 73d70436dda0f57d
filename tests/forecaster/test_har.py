"""Range-HAR on the real sample (its years before 2015), and what it promises of itself."""

import functools

import numpy as np
import onnxruntime
import pytest
import torch
from arch.data import sp500
from scipy import optimize, stats

from forecaster.contract import LEVELS, WindowSpec
from forecaster.densities import log_density
from forecaster.errors import ConfigError, TooShort
from forecaster.families.base import Spec
from forecaster.families.har import Har, HarFamily
from forecaster.features import Channels
from forecaster.training.export import to_onnx
from forecaster.windows import Sample, Windows

HORIZON = 5
CHANNELS = ("log_return", "open_return", "high_return", "low_return")
WINDOW = WindowSpec(context=30, burn_in=22, channels=CHANNELS)
NAMED = WindowSpec(context=30, burn_in=22, channels=(*CHANNELS, "symbol"))
TRAIN = np.arange(WINDOW.context - 1, 3000)
KINDS = [(kind, leverage) for kind in ("parkinson", "garman_klass") for leverage in (False, True)]

every_kind = pytest.mark.parametrize(
    ("kind", "leverage"), KINDS, ids=[f"{kind}-{leverage}" for kind, leverage in KINDS]
)


def family(kind="garman_klass", leverage=True) -> HarFamily:
    return HarFamily(name="h", range=kind, leverage=leverage)


@functools.cache
def bars() -> np.ndarray:
    """Open, high, low and close of the S&P 500 from 1999 to 2014 [T, 4]."""
    table = sp500.load()
    return table.loc[table.index < "2015", ["Open", "High", "Low", "Close"]].to_numpy(dtype=float)


def windows_of(prices=None, window=WINDOW, symbol=0) -> Windows:
    prices = bars() if prices is None else prices
    against = np.log(prices[1:]) - np.log(prices[:-1, 3:])
    values = against[:, [3, 0, 1, 2]]
    sessions = np.datetime64("2001-01-01") + np.arange(len(values))
    close = prices[1:, 3]
    return Windows.of(Channels(sessions, values, close, close), window, HORIZON, symbol=symbol)


def estimated(one: HarFamily, windows: Windows, origins=TRAIN, symbols=1) -> Har:
    model = one.build(Spec(windows.spec, HORIZON, symbols=symbols))
    model.estimate([Sample(windows, origins)])
    return model


@functools.cache
def fitted(kind="garman_klass", leverage=True) -> Har:
    return estimated(family(kind, leverage), windows_of())


def answer(model: Har, windows: Windows, origins):
    with torch.inference_mode():
        return [one.double().numpy() for one in model(torch.from_numpy(windows.contexts(origins)))]


def by_hand(kind: str, leverage: bool, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Another way to the same: regressors by cumulative sums, gradients by differences. Scale and tail at origins."""
    open_, high, low, close = 100 * np.log(bars()).T
    square = (high - low) ** 2
    if kind == "parkinson":
        variance = square / (4 * np.log(2))
    else:
        variance = 0.5 * square - (2 * np.log(2) - 1) * (close - open_) ** 2
    logs = np.log(np.maximum(variance, 1e-3))[1:]
    returns = np.diff(close)
    total = np.cumsum(np.r_[0.0, logs])
    at = np.arange(21, len(logs))
    columns = [np.ones(len(at)), *((total[at + 1] - total[at + 1 - days]) / days for days in (1, 5, 22))]
    if leverage:
        columns += [np.minimum(returns[at], 0), np.abs(returns[at])]
    inputs = np.column_stack(columns)
    seen = 3000 - 21
    outcome = np.log(bars()[22 + step : 22 + step + seen, 3] / bars()[22 : 22 + seen, 3]) * 100

    def loss(theta):
        scale = np.exp(0.5 * inputs[:seen] @ theta[:-2])
        return -stats.t.logpdf(outcome, 2.05 + np.exp(theta[-1]), theta[-2], scale).mean()

    start = np.r_[np.log(step), 0.3, 0.3, 0.3, np.zeros(inputs.shape[1] - 4), 0, np.log(4)]
    found = optimize.minimize(loss, start, method="BFGS", options={"gtol": 1e-6}).x
    return np.exp(0.5 * inputs[seen:] @ found[:-2]), 2.05 + np.exp(found[-1])


@every_kind
@pytest.mark.parametrize("step", [1, 5])
def test_it_is_the_maximum_likelihood_fit_of_each_horizon(kind, leverage, step):
    windows = windows_of()
    scale, tail = by_hand(kind, leverage, step)
    parameters = answer(fitted(kind, leverage), windows, np.arange(3000, len(windows.values)))[1][:, step - 1]
    np.testing.assert_allclose(100 * parameters[:, 1], scale, rtol=1e-3)
    np.testing.assert_allclose(parameters[:, 2], tail, rtol=3e-2)


@every_kind
def test_quantiles_and_log_density_are_those_of_scipys_t(kind, leverage):
    windows, origins = windows_of(), np.arange(3000, 3800)
    model = fitted(kind, leverage)
    quantiles, parameters = answer(model, windows, origins)
    location, scale, tail = np.moveaxis(parameters, -1, 0)
    law = stats.t(tail[..., None], location[..., None], scale[..., None])
    np.testing.assert_allclose(law.cdf(quantiles), np.broadcast_to(LEVELS, quantiles.shape), rtol=0, atol=1e-6)
    outcomes = windows.targets[origins]
    expected = stats.t.logpdf(outcomes, tail, location, scale)
    np.testing.assert_allclose(log_density(model.density, parameters, outcomes), expected, rtol=1e-9)


def test_a_fall_raises_the_scale_more_than_a_rise():
    windows = windows_of()
    context = torch.from_numpy(windows.contexts(TRAIN[-1:])).repeat(2, 1, 1)
    context[:, -1] = 0.0
    context[:, -1, 2:] = torch.tensor([0.02, -0.02])
    context[0, -1, 0], context[1, -1, 0] = -0.02, 0.02
    with torch.inference_mode():
        fall, rise = fitted("parkinson", True)(context)[1][:, :, 1]
        same, again = fitted("parkinson", False)(context)[1][:, :, 1]
    assert (fall > rise).all()
    assert torch.equal(same, again)


@pytest.mark.parametrize(
    ("kind", "channels"),
    [
        ("parkinson", ("log_return", "log_range")),
        ("garman_klass", ("log_return", "log_range", "open_return")),
        ("parkinson", ("log_return", "low_return", "high_return")),
    ],
)
def test_the_range_is_read_from_either_choice_of_channels(kind, channels):
    plain = windows_of()
    columns = dict(zip(CHANNELS, plain.values.T, strict=True))
    columns["log_range"] = columns["high_return"] - columns["low_return"]
    spec = WindowSpec(context=30, burn_in=22, channels=channels)
    values = np.column_stack([columns[name] for name in channels])
    other = Windows(spec, plain.sessions, values, plain.close, plain.targets, plain.whole)
    origins = np.arange(3000, 3200)
    found = answer(estimated(family(kind), other), other, origins)
    for one, expected in zip(found, answer(fitted(kind, True), plain, origins), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "channels", "wanted"),
    [
        ("parkinson", ("log_return",), "'log_range' or 'high_return' and 'low_return'"),
        ("parkinson", ("log_return", "high_return"), "'log_range' or 'high_return' and 'low_return'"),
        ("garman_klass", ("log_return", "log_range"), "'open_return'"),
        ("parkinson", ("change", "log_range"), "'log_return'"),
    ],
)
def test_a_window_without_its_channels_is_refused_with_their_names(kind, channels, wanted):
    window = WindowSpec(context=30, burn_in=22, channels=channels)
    with pytest.raises(ConfigError, match=wanted):
        family(kind).build(Spec(window, HORIZON))


@every_kind
def test_the_estimate_ignores_what_comes_after_the_last_origins_target(kind, leverage):
    last = 1000
    origins = np.arange(WINDOW.context - 1, last + 1)
    later, sooner = bars().copy(), bars().copy()
    later[last + HORIZON + 2 :] *= np.random.default_rng(0).uniform(0.5, 2, (len(later) - last - HORIZON - 2, 1))
    sooner[last + HORIZON + 1] *= 1.05
    states = [
        estimated(family(kind, leverage), windows_of(prices), origins).state_dict()
        for prices in (bars(), later, sooner)
    ]
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name])
        moved = not torch.equal(value, states[2][name])
        assert moved or name in ("tail", "table")  # a tail may be as light as it can be


def test_a_hole_costs_the_sessions_around_it_and_nothing_else():
    prices = bars()[:1500].copy()
    prices[700] = np.nan
    windows = windows_of(prices)
    model = estimated(family(), windows, windows.span(None, None))
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    whole = estimated(family(), windows_of(bars()[:1500]), np.arange(29, 1499 - HORIZON))
    one, other = (answer(each, windows, TRAIN[:600])[1][..., 1] for each in (model, whole))
    np.testing.assert_allclose(one, other, rtol=0.05)


@every_kind
def test_onnx_answers_as_torch_does(kind, leverage, capfd):
    windows, model = windows_of(), fitted(kind, leverage)
    contexts = torch.from_numpy(windows.contexts(TRAIN[-64:]))
    session = onnxruntime.InferenceSession(to_onnx(model, contexts[:1]), providers=["CPUExecutionProvider"])
    for count, length in ((1, 30), (9, 30), (64, 30), (9, 12), (1, 3)):
        some = contexts[-count:, -length:].contiguous()
        with torch.inference_mode():
            expected = model(some)
        for found, one in zip(session.run(None, {"context": some.numpy()}), expected, strict=True):
            assert found.shape == one.shape
            np.testing.assert_allclose(found, one.numpy(), rtol=1e-5, atol=1e-9)
    assert capfd.readouterr().err == ""


@every_kind
@pytest.mark.parametrize("size", [0.0, 1e-6, 1.0, 50.0, 1e4])
def test_any_context_has_an_ordered_forecast(kind, leverage, size):
    contexts = torch.from_numpy(windows_of().contexts(TRAIN[-200:]))
    with torch.inference_mode():
        quantiles, parameters = fitted(kind, leverage)(size * contexts)
    assert torch.isfinite(quantiles).all()
    assert (parameters[..., 1] > 0).all()
    assert (quantiles.diff(dim=-1) > 0).all()


def test_each_symbol_is_answered_from_its_own_row_and_an_unknown_one_from_the_median():
    parts = [bars()[start : start + 900] for start in (0, 900, 1800)]
    series = [windows_of(part, NAMED, symbol=number) for number, part in enumerate(parts, 1)]
    origins = series[0].span(None, None)
    model = family().build(Spec(NAMED, HORIZON, symbols=4))
    model.estimate([Sample(windows, origins) for windows in series])
    for windows in series:
        alone = estimated(family(), windows, origins, symbols=4)
        for found, expected in zip(answer(model, windows, origins), answer(alone, windows, origins), strict=True):
            np.testing.assert_array_equal(found, expected)
    for number in (0, 4):  # never told, and told of but without history
        torch.testing.assert_close(model.weights[number], model.weights[1:4].median(dim=0).values)


@pytest.mark.parametrize("kind", ["still", "short"])
@pytest.mark.parametrize("which", ["parkinson", "garman_klass"])
def test_a_series_that_says_too_little_is_refused_in_one_line(kind, which):
    prices = np.full((300, 4), 100.0) if kind == "still" else bars()[:60]
    windows = windows_of(prices)
    with pytest.raises(TooShort, match="too little history for h") as caught:
        estimated(family(which), windows, windows.span(None, None))
    assert "\n" not in str(caught.value)


def test_a_month_is_its_reach():
    assert family().reach == 22
    windows, origins = windows_of(), TRAIN[-5:]
    contexts = torch.from_numpy(windows.contexts(origins))
    changed = contexts.clone()
    changed[:, : 30 - 22] *= 3
    with torch.inference_mode():
        for one, other in zip(fitted()(contexts), fitted()(changed), strict=True):
            assert torch.equal(one, other)
        changed[:, 30 - 22] *= 3
        assert not torch.equal(fitted()(contexts)[0], fitted()(changed)[0])
