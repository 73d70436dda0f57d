"""What is seen inside a network is what is known beforehand of one whose dependence is built by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from forecaster.contract import WindowSpec
from forecaster.diagnostics.attention import attention
from forecaster.diagnostics.gates import gate_activity, unroll
from forecaster.diagnostics.gradient import body_gradient_by_age, gradient_by_age
from forecaster.diagnostics.lags import response_by_lag
from forecaster.diagnostics.memory import decay, gradient_length
from forecaster.families.ar import ArFamily
from forecaster.families.base import Network, Spec, TrainedFamily
from forecaster.families.gru import GruFamily
from forecaster.families.lstm import LstmFamily
from forecaster.families.mlp import MlpFamily
from forecaster.families.rnn import RnnFamily
from forecaster.families.seq2seq import Seq2SeqFamily
from forecaster.families.transformer import TransformerFamily
from forecaster.features import Channels
from forecaster.windows import Sample, Windows

WINDOW = WindowSpec(context=24, burn_in=12, channels=("log_return", "log_range", "change(M)"))
HORIZON = 2
TRAINED = (
    ArFamily(name="ar", order=3),
    MlpFamily(name="mlp", lags=5),
    RnnFamily(name="rnn"),
    LstmFamily(name="lstm"),
    GruFamily(name="gru"),
    Seq2SeqFamily(name="seq2seq", span=8),
    TransformerFamily(name="transformer"),
)
every_family = pytest.mark.parametrize("family", TRAINED, ids=lambda family: family.name)


def windows_of(returns: np.ndarray, others: np.ndarray) -> Windows:
    sessions = np.datetime64("2001-01-01") + np.arange(len(returns))
    close = 100 * np.exp(np.cumsum(returns))
    return Windows.of(Channels(sessions, np.column_stack((returns, others)), close, close), WINDOW, HORIZON)


def noise(count: int = 300, seed: int = 0) -> Windows:
    rng = np.random.default_rng(seed)
    return windows_of(0.01 * rng.standard_normal(count), 0.02 * rng.standard_normal((count, 2)))


WINDOWS = noise()
ORIGINS = WINDOWS.span(None, None)
CONTEXTS = WINDOWS.contexts(ORIGINS)


def stirred(family: TrainedFamily, head: str = "johnson_su") -> Network:
    """A network with no weight at zero, so that nothing is right only because it is silent."""
    torch.manual_seed(0)
    network = family.model_copy(update={"head": head}).build(Spec(WINDOW, HORIZON))
    network.estimate([Sample(WINDOWS, ORIGINS)])
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return network.eval()


# Gradient and memory


def test_an_autoregression_of_three_lags_is_felt_at_three_ages_and_no_further():
    network = stirred(TRAINED[0])
    by_age = body_gradient_by_age(network, WINDOWS, ORIGINS[-50:])
    assert (by_age[:3] > 0).all()
    assert (by_age[3:] == 0).all()
    assert gradient_length(by_age, share=1.0) == 3
    whole = gradient_by_age(network, WINDOWS, ORIGINS[-50:])
    assert (whole > 0).all()  # the EWMA scale reads on


def test_a_fixed_window_is_felt_to_its_edge():
    by_age = body_gradient_by_age(stirred(TRAINED[1]), WINDOWS, ORIGINS[-50:])
    assert np.flatnonzero(by_age).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("factor", "sign"), [(0.5, -1), (1.5, 1)])
def test_a_linear_recurrence_vanishes_or_explodes_by_its_factor(factor, sign):
    network = stirred(RnnFamily(name="rnn", hidden=1, nonlinearity="relu"))
    cell = network.body.cell
    with torch.no_grad():
        cell.weight_ih_l0.fill_(1e-4)
        cell.weight_hh_l0.fill_(factor)
        cell.bias_ih_l0.fill_(0.01)  # far from the kink: the cell is linear
        cell.bias_hh_l0.fill_(0.0)
        network.body.readout.weight.mul_(1e-3)
    by_age = body_gradient_by_age(network, WINDOWS, ORIGINS[-5:])
    assert decay(by_age[:12]) == pytest.approx(factor, rel=1e-3)
    assert np.sign(np.diff(by_age[:12])).tolist() == [sign] * 11


@every_family
@pytest.mark.parametrize("head", ["johnson_su", "quantiles"])
def test_the_gradient_by_age_is_that_of_the_training_loss(family, head):
    """Against a difference quotient: one channel of one session moves, and the loss with it."""
    network, origin = stirred(family, head), ORIGINS[40:41]
    by_age = gradient_by_age(network, WINDOWS, origin)
    context = torch.from_numpy(WINDOWS.contexts(origin))
    outcome = torch.from_numpy(WINDOWS.targets[origin]).float()

    def loss(shown: torch.Tensor) -> float:
        with torch.inference_mode():
            parameters = network.parameters_at(shown, 1)[:, 0]
            return float(network.head.loss(parameters, outcome, network.unit).mean())

    for age in (0, 2):
        slopes = []
        for channel in range(3):
            step = torch.zeros_like(context)
            step[:, -1 - age, channel] = 1e-3 * float(network.spread[channel])
            slopes.append((loss(context + step) - loss(context - step)) / 2e-3)
        assert by_age[age] == pytest.approx(np.linalg.norm(slopes), rel=0.02, abs=2e-3)


@every_family
def test_a_gradient_knows_nothing_after_the_targets_of_its_origins(family):
    network, origins = stirred(family), ORIGINS[:60]
    later = noise()
    after = origins[-1] + HORIZON + 1
    later.values[after:] *= -3.0
    later.targets[origins[-1] + 1 :] += 1.0
    for measure in (gradient_by_age, body_gradient_by_age):
        assert np.array_equal(measure(network, WINDOWS, origins), measure(network, later, origins))


def test_the_network_is_as_it_was_after_it_was_looked_into():
    network = stirred(GruFamily(name="gru"))
    context = torch.from_numpy(CONTEXTS[:3])
    before = [part.clone() for part in network(context)]
    body_gradient_by_age(network, WINDOWS, ORIGINS[:5])
    gate_activity(network, CONTEXTS[:5])
    response_by_lag(network, CONTEXTS[:5])
    assert all(torch.equal(one, other) for one, other in zip(before, network(context), strict=True))
    assert all(weight.grad is None for weight in network.parameters())


def test_a_length_holds_its_share():
    assert gradient_length(np.array([1.0, 1.0, 1.0, 1.0]), share=0.5) == 2
    assert gradient_length(np.array([1.0, 1.0, 1.0, 1.0]), share=0.51) == 3
    assert gradient_length(np.array([4.0, 0.0, 0.0]), share=1.0) == 1
    assert gradient_length(np.zeros(5)) == 0
    assert np.isnan(decay(np.zeros(5)))


# Weights of ar


@pytest.mark.parametrize("head", ["johnson_su", "gaussian", "student_t", "quantiles"])
def test_the_response_of_an_autoregression_is_its_weights(head):
    network = stirred(TRAINED[0], head)
    found = response_by_lag(network, CONTEXTS[:4])
    weights = network.body.weights.weight[:, 0].flip(-1).detach().double().numpy()  # newest first
    expected = 0.1 * np.sqrt([[1.0], [2.0]]) * weights
    np.testing.assert_allclose(found[:, :3], expected, rtol=1e-4)
    assert (found[:, 3:] == 0).all()


def test_the_response_is_how_far_the_median_moves():
    """On a market at its usual volatility: a return is 1 % higher, and what the body hears of it, too."""
    network = stirred(TRAINED[0])
    context = torch.from_numpy(CONTEXTS[:1])
    response = response_by_lag(network, CONTEXTS[:1])
    inputs = network.standardise(context)
    moved = inputs.clone()
    moved[:, -2, 0] += 0.01 / network.spread[0]
    with torch.inference_mode():
        locations = [
            network.head.link(network.body(one, 1), torch.ones(1, 1, 2), network.shy * network.unit)[0, 0, :, 0]
            for one in (inputs, moved)
        ]
    np.testing.assert_allclose((locations[1] - locations[0]).numpy(), 0.01 * response[:, 1], rtol=1e-3)


# Attention


@pytest.mark.parametrize(("family", "heads"), [(TRAINED[5], 1), (TRAINED[6], 4)], ids=["seq2seq", "transformer"])
def test_attention_sums_to_one_and_is_causal(family, heads):
    network = stirred(family)
    shares = attention(network, CONTEXTS[:9])
    assert shares.shape == (9, HORIZON, heads, WINDOW.context)
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(-1), 1, rtol=1e-5)
    with torch.inference_mode():
        inputs = network.standardise(torch.from_numpy(CONTEXTS[:2]))
        inside = network.body.attention(inputs, 10)
        other = inputs.clone()
        other[:, -4:] += 1.0
        again = network.body.attention(other, 10)
    for place in range(10):
        after = WINDOW.context - 10 + place + 1
        assert (inside[:, place, ..., after:] == 0).all()
    assert torch.equal(inside[:, :6], again[:, :6])
    assert not torch.equal(inside[:, 6:], again[:, 6:])


def test_attention_is_what_the_transformer_mixes_by():
    """The answer of its cross-attention, put together again from the shares and the values."""
    network = stirred(TRAINED[6])
    across = network.body.decoder.across
    seen: list[tuple[torch.Tensor, ...]] = []
    across.register_forward_hook(lambda _, given, answer: seen.append((*given, answer)))
    with torch.inference_mode():
        network.parameters_at(torch.from_numpy(CONTEXTS[:3]), 1)
    asking, memory, answer = seen[0]
    with torch.inference_mode():
        width = memory.shape[-1]
        values = across.key_value(memory)[..., width:].unflatten(-1, (across.heads, -1))  # [B, T, h, d]
        shares = torch.from_numpy(attention(network, CONTEXTS[:3])).flip(-1).float()  # [B, H, h, T]
        mixed = torch.einsum("bght,bthd->bghd", shares, values).flatten(-2)
        torch.testing.assert_close(across.out(mixed)[:, None], answer, rtol=1e-4, atol=1e-5)
    assert asking.shape[2] == HORIZON


def test_who_has_no_attention_says_so():
    with pytest.raises(TypeError, match="Recurrent has no attention"):
        attention(stirred(GruFamily(name="gru")), CONTEXTS[:1])


# Gates


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("layers", [1, 2])
def test_gates_reproduce_the_cells_own_states(kind, layers):
    torch.manual_seed(0)
    cell = kind(3, 5, layers, batch_first=True)
    inputs = 2 * torch.randn(4, 30, 3)
    found = unroll(cell, inputs)
    with torch.inference_mode():
        states, last = cell(inputs)
    assert len(found) == layers
    torch.testing.assert_close(found[-1].states, states, rtol=1e-5, atol=1e-6)
    hidden = last[0] if kind is nn.LSTM else last
    for layer, of in enumerate(found):
        torch.testing.assert_close(of.states[:, -1], hidden[layer], rtol=1e-5, atol=1e-6)
        assert all(
            values.shape == (4, 30, 5) and (values > 0).all() and (values < 1).all() for values in of.gates.values()
        )
    assert list(found[0].gates) == (["input", "forget", "output"] if kind is nn.LSTM else ["reset", "update"])


@pytest.mark.parametrize(
    "cell", [nn.RNN(3, 4), nn.LSTM(3, 4, bidirectional=True), nn.LSTM(3, 4, proj_size=2), nn.GRU(3, 4, bias=False)]
)
def test_a_cell_that_cannot_be_read_is_refused(cell):
    with pytest.raises(TypeError, match="no gates"):
        unroll(cell, torch.zeros(1, 5, 3))


def test_a_forget_gate_that_is_held_open_is_seen_to_be():
    network = stirred(LstmFamily(name="lstm", hidden=6))
    with torch.no_grad():
        network.body.cell.bias_ih_l0[6:12] += 50.0  # order i, f, g, o
        network.body.cell.bias_ih_l0[:6] -= 50.0
    found = gate_activity(network, CONTEXTS[:20])
    assert found["forget"].open == 1
    assert found["forget"].shut == 0
    assert found["input"].shut == 1
    assert found["output"].open + found["output"].shut < 1
    for gate in found.values():
        assert gate.mean.shape == (WINDOW.context,)
        assert gate.shares.sum() == pytest.approx(1)


def test_gates_are_read_from_the_newest_session_on():
    network = stirred(GruFamily(name="gru", hidden=6))
    contexts = CONTEXTS[:20].copy()
    contexts[:, -1] *= 30.0
    before, after = (
        gate_activity(network, CONTEXTS[:20])["update"].mean,
        gate_activity(network, contexts)["update"].mean,
    )
    assert before[0] != after[0]
    assert np.array_equal(before[1:], after[1:])


def test_gates_of_an_encoder_are_found_and_who_has_none_says_so():
    assert list(gate_activity(stirred(TRAINED[5]), CONTEXTS[:3])) == ["reset", "update"]
    with pytest.raises(TypeError, match="Mlp has no recurrent cell"):
        gate_activity(stirred(TRAINED[1]), CONTEXTS[:3])
