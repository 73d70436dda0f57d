"""The GRU's own recursion is torch's GRU: states, last states, gradients, and nothing from the future."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from forecaster.families.gates import Gru, Recursion


def pair(inputs: int, width: int, layers: int) -> tuple[Gru, nn.GRU]:
    ours, theirs = Gru(inputs, width, layers, batch_first=True), nn.GRU(inputs, width, layers, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def answered(cell: nn.GRU, inputs: Tensor, start: Tensor | None, weight: Tensor) -> list[Tensor]:
    """States, last states, and the gradients of all that a loss over both depends on."""
    held = [inputs.clone().requires_grad_(), *([] if start is None else [start.clone().requires_grad_()])]
    states, last = cell(*held)
    loss = (states * weight).sum() + last.square().sum()
    return [states, last, *torch.autograd.grad(loss, [*held, *cell.parameters()])]


shapes = st.tuples(*(st.integers(1, most) for most in (4, 9, 3, 6, 3)))


@given(shapes, st.booleans(), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_it_is_torchs_gru(shape: tuple[int, ...], carried: bool, seed: int):
    batch, length, inputs, width, layers = shape
    torch.manual_seed(seed)
    ours, theirs = pair(inputs, width, layers)
    context, weight = torch.randn(batch, length, inputs), torch.randn(batch, length, width)
    start = torch.randn(layers, batch, width) if carried else None
    for one, other in zip(*(answered(cell, context, start, weight) for cell in (ours, theirs)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_its_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    shapes = ((4, 2, 9), (9, 3), (3,), (2, 3))
    given_ = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(Recursion.apply, given_)


def test_when_it_does_not_learn_it_is_torchs_to_the_bit():
    ours, theirs = pair(3, 8, 2)
    context = torch.randn(2, 20, 3)
    assert torch.equal(ours.eval()(context)[0], theirs(context)[0])


@pytest.mark.parametrize("change", [1.0, float("nan")])
def test_a_state_knows_nothing_of_later_sessions(change: float):
    ours, _ = pair(3, 8, 2)
    context = torch.randn(2, 20, 3)
    later = context.clone()
    later[:, 12:] += change
    assert torch.equal(ours(context)[0][:, :12], ours(later)[0][:, :12])
