"""torch's RNN, LSTM and GRU, trained on a processor by recursions of our own.

Here a layer is one node of the graph. What depends on inputs alone is one product over all sessions, before the
recursion; the gradients of the weights are others, after it; between them `recursions` does what must be done in turn.
When a cell does not learn, computes elsewhere or in another precision, it is torch's own.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from forecaster.families import recursions


class Layer(torch.autograd.Function):
    """One layer: inputs [T, B, C], its weights and biases as torch has them, the state before -> states [T, B, D].

    Subclasses say how one session follows from another.
    """

    @staticmethod
    def project(inputs: Tensor, own: Tensor, bias: Tensor) -> Tensor:
        """What inputs alone put into the gates [T, B, G]."""
        return torch.addmm(bias, inputs.flatten(0, 1), own.t()).view(*inputs.shape[:2], -1)

    @staticmethod
    def begin(start: Tensor, sessions: int) -> Tensor:
        """Room for the states of all sessions behind the one before them [T + 1, B, D]."""
        states = start.new_empty(sessions + 1, *start.shape)
        states[0] = start
        return states

    @staticmethod
    def gradients(ctx: Any, down: Tensor, inputs: Tensor, own: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        """Of inputs (where it is asked for), their weights and their bias, by that of what they put into the gates."""
        flat = down.flatten(0, 1)
        to_inputs = (flat @ own).view(inputs.shape) if ctx.needs_input_grad[0] else None
        return to_inputs, flat.t() @ inputs.flatten(0, 1), flat.sum(0)


class ElmanLayer(Layer):
    """h' = f(W x + b + U h + c), f = tanh or, `rectified`, what is above zero."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, own: Tensor, other: Tensor, b: Tensor, c: Tensor, start: Tensor, rectified: bool
    ) -> Tensor:
        states = Layer.begin(start, len(inputs))
        states[1:] = Layer.project(inputs, own, b + c)
        recursions.elman(*arrays(states, other.t()), rectified)
        ctx.rectified = rectified
        ctx.save_for_backward(inputs, own, other, states)
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        inputs, own, other, states = ctx.saved_tensors
        down, later = torch.empty_like(states[1:]), torch.zeros_like(states[0])
        recursions.elman_back(*arrays(grads[0], other, states), ctx.rectified, *arrays(down, later))
        to_inputs, to_own, to_bias = Layer.gradients(ctx, down, inputs, own)
        to_other = down.flatten(0, 1).t() @ states[:-1].flatten(0, 1)
        return to_inputs, to_own, to_other, to_bias, to_bias, later, None


class LstmLayer(Layer):
    """States and the last cell [B, D] from a state and a cell."""

    @staticmethod
    def forward(  # torch's own parts
        ctx: Any, inputs: Tensor, own: Tensor, other: Tensor, b: Tensor, c: Tensor, start: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor]:
        gates = Layer.project(inputs, own, b + c)
        states, cells = Layer.begin(start, len(inputs)), Layer.begin(cell, len(inputs))
        shown = torch.empty_like(states[1:])
        recursions.lstm(*arrays(gates, other.t(), states, cells, shown))
        ctx.save_for_backward(inputs, own, other, gates, states, cells, shown)
        return states[1:], cells[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        inputs, own, other, gates, states, cells, shown = ctx.saved_tensors
        down, later, cell = (
            torch.empty_like(gates),
            torch.zeros_like(states[0]),
            grads[1].clone(memory_format=torch.contiguous_format),
        )
        recursions.lstm_back(*arrays(grads[0], other, gates, cells, shown, down, later, cell))
        to_inputs, to_own, to_bias = Layer.gradients(ctx, down, inputs, own)
        to_other = down.flatten(0, 1).t() @ states[:-1].flatten(0, 1)
        return to_inputs, to_own, to_other, to_bias, to_bias, later, cell


class GruLayer(Layer):
    """r, u = sigmoid(...), n = tanh(W_n x + b_n + r * (U_n h + c_n)), h' = n + u * (h - n)."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, own: Tensor, other: Tensor, b: Tensor, c: Tensor, start: Tensor) -> Tensor:
        width = other.shape[1]
        bias = b.clone()
        bias[: 2 * width] += c[: 2 * width]
        gates, states = Layer.project(inputs, own, bias), Layer.begin(start, len(inputs))
        turned = torch.empty_like(states[1:])
        recursions.gru(*arrays(gates, other.t(), c[2 * width :], states, turned))
        ctx.save_for_backward(inputs, own, other, gates, states, turned)
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        inputs, own, other, gates, states, turned = ctx.saved_tensors
        down, back, later = torch.empty_like(gates), torch.empty_like(gates), torch.zeros_like(states[0])
        recursions.gru_back(*arrays(grads[0], other, gates, states, turned, down, back, later))
        to_inputs, to_own, to_bias = Layer.gradients(ctx, down, inputs, own)
        flat = back.flatten(0, 1)
        return to_inputs, to_own, flat.t() @ states[:-1].flatten(0, 1), to_bias, flat.sum(0), later


def arrays(*tensors: Tensor) -> list[Any]:
    """The same memory as the compiler wants it."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


class Cell(nn.RNNBase):
    """What Rnn, Lstm and Gru share: [B, T, C] -> [B, T, D] and the last states [layers, B, D]."""

    layer: type[Layer]

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:  # noqa: A002  # torch's name
        if not (self.training and self._here(input)):
            return super().forward(input, hx)
        none = input.new_zeros(self.num_layers, len(input), self.hidden_size)
        starts = (hx if isinstance(hx, tuple) else (hx,)) if hx is not None else (none,) * self.carried
        states, last = input.transpose(0, 1), []
        for layer in range(self.num_layers):
            weights = (getattr(self, f"{name}_l{layer}") for name in _NAMES)
            states, *more = self._follow(states, *weights, *(start[layer] for start in starts))
            last.append((states[-1], *more))
        ends = tuple(torch.stack(part) for part in zip(*last, strict=True))
        return states.transpose(0, 1), ends if self.carried > 1 else ends[0]

    carried = 1
    """States that go from one session to the next."""

    def _follow(self, *parts: Tensor) -> tuple[Tensor, ...]:
        found = self.layer.apply(*parts)  # type: ignore[no-untyped-call]  # torch does not type Function.apply
        return found if isinstance(found, tuple) else (found,)

    def _here(self, inputs: Tensor) -> bool:
        """Whether the recursions can do it."""
        return inputs.device.type == "cpu" and inputs.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")


class Rnn(Cell, nn.RNN):  # type: ignore[misc]  # torch types each forward its own way
    """nn.RNN in everything but the time that training takes on a processor."""

    layer = ElmanLayer

    def _follow(self, *parts: Tensor) -> tuple[Tensor, ...]:
        return (ElmanLayer.apply(*parts, self.nonlinearity == "relu"),)  # type: ignore[no-untyped-call]  # nor here


class Lstm(Cell, nn.LSTM):  # type: ignore[misc]  # as Rnn
    """nn.LSTM in everything but the time that training takes on a processor."""

    layer, carried = LstmLayer, 2


class Gru(Cell, nn.GRU):  # type: ignore[misc]  # as Rnn
    """nn.GRU in everything but the time that training takes on a processor."""

    layer = GruLayer


_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
