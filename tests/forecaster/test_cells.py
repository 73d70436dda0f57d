"""Cells trained by our recursions are torch's: states, last states, gradients, and nothing from the future."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from forecaster.families import recursions
from forecaster.families.cells import Cell, Gru, Lstm, Rnn


class Rectified(Rnn):
    def __init__(self, *sizes: int, **more: bool) -> None:
        super().__init__(*sizes, nonlinearity="relu", **more)


CELLS = {Rnn: nn.RNN, Rectified: partial(nn.RNN, nonlinearity="relu"), Lstm: nn.LSTM, Gru: nn.GRU}
kinds = pytest.mark.parametrize("kind", CELLS, ids=lambda kind: kind.__name__)


def pair(kind: type[Cell], inputs: int, width: int, layers: int) -> tuple[Cell, nn.RNNBase]:
    ours, theirs = (one(inputs, width, layers, batch_first=True) for one in (kind, CELLS[kind]))
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def flat(state: Tensor | tuple[Tensor, Tensor]) -> list[Tensor]:
    return list(state) if isinstance(state, tuple) else [state]


def answered(cell: nn.RNNBase, inputs: Tensor, starts: list[Tensor], weight: Tensor) -> list[Tensor]:
    """States, last states, and the gradients of all that a loss over both depends on."""
    held = [tensor.clone().requires_grad_() for tensor in (inputs, *starts)]
    start = None if not starts else held[1] if len(starts) == 1 else tuple(held[1:])
    states, last = cell(held[0], start)
    loss = (states * weight).sum() + sum(part.square().sum() for part in flat(last))
    return [states, *flat(last), *torch.autograd.grad(loss, [*held, *cell.parameters()])]


shapes = st.tuples(*(st.integers(1, most) for most in (4, 9, 3, 20, 3)))


@given(st.sampled_from(list(CELLS)), shapes, st.booleans(), st.integers(0, 99))
@settings(max_examples=100, deadline=None)
def test_they_are_torchs(kind: type[Cell], shape: tuple[int, ...], carried: bool, seed: int):
    batch, length, inputs, width, layers = shape
    torch.manual_seed(seed)
    ours, theirs = pair(kind, inputs, width, layers)
    context, weight = torch.randn(batch, length, inputs), torch.randn(batch, length, width)
    starts = [torch.randn(layers, batch, width) for _ in range(kind.carried * carried)]
    for one, other in zip(*(answered(cell, context, starts, weight) for cell in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@kinds
def test_from_its_last_state_a_cell_goes_on(kind: type[Cell]):
    ours, _ = pair(kind, 3, 8, 2)
    context = torch.randn(2, 20, 3)
    whole, _ = ours(context)
    first, state = ours(context[:, :13])
    rest, _ = ours(context[:, 13:], state)
    assert torch.equal(torch.cat((first, rest), dim=1), whole)


@kinds
def test_what_does_not_learn_is_torchs_to_the_bit(kind: type[Cell]):
    ours, theirs = pair(kind, 3, 8, 2)
    context = torch.randn(2, 20, 3)
    assert torch.equal(ours.eval()(context)[0], theirs(context)[0])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@kinds
def test_other_precisions_are_torchs(kind: type[Cell], dtype: torch.dtype):
    ours, theirs = pair(kind, 3, 8, 2)
    context = torch.randn(2, 20, 3, dtype=dtype)
    assert torch.equal(ours.to(dtype)(context)[0], theirs.to(dtype)(context)[0])


def test_a_second_derivative_is_refused_not_guessed():
    ours, _ = pair(Gru, 3, 8, 1)
    context = torch.randn(2, 5, 3, requires_grad=True)
    (grad,) = torch.autograd.grad(ours(context)[0].square().sum(), context, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@pytest.mark.parametrize("change", [1.0, float("nan")])
@kinds
def test_a_state_knows_nothing_of_later_sessions(kind: type[Cell], change: float):
    ours, _ = pair(kind, 3, 8, 2)
    context = torch.randn(2, 20, 3)
    later = context.clone()
    later[:, 12:] += change
    before, after = ours(context)[0], ours(later)[0]
    assert torch.equal(before[:, :12], after[:, :12])
    assert not torch.equal(before[:, 12], after[:, 12])


@kinds
def test_what_is_not_a_number_stays_so(kind: type[Cell]):
    ours, _ = pair(kind, 3, 8, 1)
    context = torch.randn(2, 20, 3)
    context[1, 5] = float("nan")
    states = ours(context)[0]
    assert states[1, 5:].isnan().all()
    assert states[0].isfinite().all()


def test_tanh_is_tanh():
    values = torch.linspace(-20, 20, 100_001)
    weight = torch.zeros(1, 1)
    states = torch.cat((torch.zeros(1), values))[:, None, None].contiguous()
    recursions.elman(states.numpy(), weight.numpy(), False)
    torch.testing.assert_close(states[1:, 0, 0], torch.tanh(values.double()).float(), rtol=5e-7, atol=0)


def test_where_nothing_can_be_kept_on_disk_a_recursion_is_compiled_all_the_same():
    made: dict = {}
    exec("def double(values):\n    for j in range(len(values)):\n        values[j] *= 2", made)  # noqa: S102  # no file
    values = torch.ones(3)
    recursions._compiled(made["double"])(values.numpy())
    assert values.tolist() == [2, 2, 2]
