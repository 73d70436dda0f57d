"""torch's GRU, trained on a processor by a recursion of its own.

    r, u = sigmoid(x_r + W_r h, x_u + W_u h),   n = tanh(x_n + r * (W_n h + b)),   h' = n + u * (h - n)

torch records a GRU session by session there: a dozen graph nodes each, and the gradient of the weights added up as
often. Here a layer is one node. What depends on inputs alone is one product over all sessions, before the recursion;
the gradient of the weights is another, after it; between them is only what must be done in turn.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad


class Recursion(torch.autograd.Function):
    """One layer: x [T, B, 3D] with its biases, W [3D, D], b [D], h_0 [B, D] -> h_1 ... h_T [T, B, D]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, start: Tensor) -> Tensor:
        width = weight.shape[1]
        states = torch.cat((start[None], x.new_empty(len(x), *start.shape)))
        hidden, fresh, gates = torch.empty_like(x), x.new_empty(len(x), *start.shape), torch.empty_like(x[..., width:])
        turned, offset = weight.t().contiguous(), pad(bias, (2 * width, 0))
        parts = (x[..., : 2 * width], x[..., 2 * width :], hidden, hidden[..., : 2 * width], hidden[..., 2 * width :])
        held = (gates, gates[..., :width], gates[..., width:], fresh, states[:-1], states[1:])
        for x_gates, x_fresh, h, h_gates, h_fresh, both, r, u, n, before, after in zip(
            *(part.unbind(0) for part in (*parts, *held)), strict=True
        ):
            torch.addmm(offset, before, turned, out=h)
            torch.add(x_gates, h_gates, out=both).sigmoid_()
            torch.addcmul(x_fresh, r, h_fresh, out=n).tanh_()
            torch.lerp(n, before, u, out=after)
        ctx.save_for_backward(hidden[..., 2 * width :], gates, fresh, states, weight)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        (grad,) = grads
        h_fresh, gates, n, states, weight = ctx.saved_tensors
        r, u = gates.chunk(2, dim=-1)
        before = states[:-1]
        rises = (1 - u) * (1 - n * n)  # of the state by what goes into the tanh
        turned = rises * r  # by W_n h + b
        slopes = torch.stack((turned * h_fresh * (1 - r), (before - n) * u * (1 - u), turned), dim=2)  # [T, B, 3, D]
        kept, whole = u.contiguous(), grad.clone()  # whole: of h_t by all that comes after
        down = torch.empty_like(slopes)  # to what W h is added into
        steps = zip(*(part.unbind(0) for part in (slopes, down, down.flatten(2), kept, whole)), strict=True)
        earlier = (*whole.unbind(0)[:-1][::-1], torch.zeros_like(grad[0]))
        for (slope, out, flat, u_t, now), then in zip(list(steps)[::-1], earlier, strict=True):
            torch.mul(slope, now[:, None], out=out)
            then.addmm_(flat, weight).addcmul_(now, u_t)
        to_weight = down.flatten(0, 1).flatten(1).t() @ before.flatten(0, 1)
        to_input = torch.cat((down[:, :, :2].flatten(2), whole * rises), dim=-1)
        return to_input, to_weight, down[:, :, 2].sum((0, 1)), earlier[-1]


class Gru(nn.GRU):
    """nn.GRU [B, T, C] -> [B, T, D] in everything but the time that training takes on a processor."""

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:  # type: ignore[override]  # noqa: A002
        if not self.training or input.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return super().forward(input, hx)
        states, last = input.transpose(0, 1), []
        for layer in range(self.num_layers):
            own, other, b_own, b_other = (getattr(self, f"{name}_l{layer}") for name in _NAMES)
            biases = b_own + pad(b_other[: 2 * self.hidden_size], (0, self.hidden_size))
            start = hx[layer] if hx is not None else input.new_zeros(len(input), self.hidden_size)
            x, b = linear(states, own, biases), b_other[2 * self.hidden_size :]
            states = Recursion.apply(x, other, b, start)  # type: ignore[no-untyped-call]
            last.append(states[-1])
        return states.transpose(0, 1), torch.stack(last)


_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
