"""The encoder and decoder: the equations one session at a time, nothing from after a position, every weight used."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from forecaster.contract import LEVELS, WindowSpec
from forecaster.families.base import Network, Readout, Spec
from forecaster.families.seq2seq import Seq2Seq, Seq2SeqFamily
from forecaster.training.export import to_onnx

HORIZON = 3
WINDOW = WindowSpec(context=20, burn_in=8, channels=("log_return", "log_range"))
SPAN = 6


def body(span: int = SPAN, inputs: int = 2) -> Seq2Seq:
    """A body without a weight at zero."""
    torch.manual_seed(0)
    config = Seq2SeqFamily(name="attending", hidden=5, span=span)
    made = Seq2Seq(config, inputs, HORIZON, Readout(10, 1, 4))
    return stirred(made).eval()


def network() -> Network:
    torch.manual_seed(0)
    return stirred(Seq2SeqFamily(name="attending", hidden=5, span=SPAN).build(Spec(WINDOW, HORIZON))).eval()


def stirred(module):
    with torch.no_grad():
        for weight in module.parameters():
            weight.add_(0.4 * torch.randn_like(weight))
    return module


def block(count: int = 4, length: int = 20, seed: int = 1) -> Tensor:
    return torch.randn(count, length, 2, generator=torch.Generator().manual_seed(seed))


def decoded_by_loop(made: Seq2Seq, inputs: Tensor, position: int) -> tuple[Tensor, Tensor]:
    """Raw numbers [H, P] and weights [H, T] of one row at one position, session by session."""
    states, _ = made.encoder(inputs[None, : position + 1])
    states = states[0]
    raw, weights = torch.zeros(HORIZON, 4), torch.zeros(HORIZON, len(inputs))
    state = states[position]
    for step in range(HORIZON):
        scores = {}
        for session in range(max(position - made.span + 1, 0), position + 1):
            mixed = made.alignment.query.weight @ state + made.alignment.key(states[session])
            scores[session] = float(made.alignment.score.weight[0] @ torch.tanh(mixed))
        total = sum(np.exp(score) for score in scores.values())
        for session, score in scores.items():
            weights[step, session] = float(np.exp(score) / total)
        seen = sum(weights[step, session] * states[session] for session in scores)
        state = made.decoder(seen[None], state[None])[0]
        raw[step] = made.readout.weight @ torch.cat((state, seen)) + made.readout.bias
    return raw, weights


@torch.no_grad()
def test_it_computes_the_equations_one_session_at_a_time():
    made, inputs = body(), block(2)
    raw, looked = made(inputs, 20), made.attention(inputs, 20)
    assert raw.shape == (2, 20, HORIZON, 4)
    assert looked.shape == (2, 20, HORIZON, 20)
    for row in range(2):
        for position in range(20):
            expected, weights = decoded_by_loop(made, inputs[row], position)
            torch.testing.assert_close(raw[row, position], expected, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(looked[row, position], weights, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_it_looks_nowhere_but_at_the_last_sessions():
    looked = body().attention(block(), 20)
    torch.testing.assert_close(looked.sum(-1), torch.ones(4, 20, HORIZON))
    ages = torch.arange(20)[:, None] - torch.arange(20)
    within = (ages >= 0) & (ages < SPAN)
    assert (looked[:, within.nonzero()[:, 0], :, within.nonzero()[:, 1]] > 0).all()
    assert (looked.transpose(2, 3)[:, ~within] == 0).all()


@torch.no_grad()
@pytest.mark.parametrize("keep", [1, 7, 20])
def test_a_position_is_answered_alike_however_many_are_asked(keep):
    made, inputs = body(), block()
    torch.testing.assert_close(made(inputs, keep), made(inputs, 20)[:, 20 - keep :], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        made.attention(inputs, keep), made.attention(inputs, 20)[:, 20 - keep :], rtol=1e-5, atol=1e-6
    )


@torch.no_grad()
def test_an_output_ignores_to_the_bit_what_comes_after_it():
    asked, inputs = network(), block()
    before = asked.parameters_at(inputs, 20)
    for place in range(19):
        other = inputs.clone()
        other[:, place + 1 :] += 5 * torch.randn_like(other[:, place + 1 :])
        after = asked.parameters_at(other, 20)
        assert torch.equal(before[:, : place + 1], after[:, : place + 1])
        assert not torch.equal(before[:, place + 1], after[:, place + 1])  # it does read its own


@pytest.mark.parametrize(("count", "length"), [(1, 20), (9, 20), (9, 13), (2, 3)])
def test_the_exported_graph_answers_a_prefix_as_the_block_does_at_its_end(count, length):
    asked, inputs = network(), 0.01 * block(count)
    session = onnxruntime.InferenceSession(to_onnx(asked, 0.01 * block(1)), providers=["CPUExecutionProvider"])
    quantiles, parameters = session.run(None, {"context": inputs[:, :length].numpy()})
    with torch.inference_mode():
        inside = asked.parameters_at(inputs, 20)[:, length - 1]
        outside = asked(inputs[:, :length])
    np.testing.assert_allclose(parameters, inside.numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(parameters, outside[1].numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(quantiles, outside[0].numpy(), rtol=1e-5, atol=1e-6)
    assert quantiles.shape == (count, HORIZON, len(LEVELS))
    assert (np.diff(quantiles) >= 0).all()


def test_the_gradient_reaches_each_parameter():
    asked = network()
    asked.head.loss(asked.parameters_at(block(), 12), torch.zeros(4, 12, HORIZON), asked.unit).sum().backward()
    assert [name for name, weight in asked.named_parameters() if not weight.grad.abs().any()] == []


@torch.no_grad()
@pytest.mark.parametrize("cuts", [(10,), (2, 3, 11), tuple(range(1, 20))])
def test_a_state_carried_over_cuts_answers_as_one_pass(cuts):
    made, inputs = body(), block()
    parts, state = [], None
    for first, last in zip((0, *cuts), (*cuts, 20), strict=True):
        raw, state = made.advance(inputs[:, first:last], state)
        parts.append(raw)
    torch.testing.assert_close(torch.cat(parts, dim=1), made(inputs, 20), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_with_a_span_of_one_it_looks_at_the_newest_session_only():
    made, inputs = body(span=1), block()
    assert torch.equal(made.attention(inputs, 20), torch.eye(20)[:, None].expand(4, 20, HORIZON, 20))
    _, state = made.advance(inputs, None)
    assert state[1].shape == (0, 4, 5)
    raw, _ = made.advance(inputs, state)
    assert raw.isfinite().all()


def test_untrained_it_is_the_random_walk_of_its_head():
    torch.manual_seed(0)
    fresh = Seq2SeqFamily(name="attending").build(Spec(WINDOW, HORIZON)).eval()
    with torch.inference_mode():
        assert (fresh.body(fresh.standardise(block()), 12) == 0).all()
