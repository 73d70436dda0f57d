"""What a recurrent layer must do in turn, forward and back, compiled: session by session, and nothing else.

torch records a recurrent layer session by session, or hands it to a library that does the whole of it; either way a
small layer's time goes into dispatch. Here the matrix product of a session is the BLAS's, and what is done to its
result is one loop that the compiler turns into vector instructions. Products over all sessions at once are left to
the caller.

Shapes: T sessions, B blocks, D units. Arrays are float32, contiguous, and written in place:
    gates [T, B, G * D]: inputs' part of each gate, before; the gate's value, after (Elman: the state itself).
    states, cells [T + 1, B, D]: those before the first session are given, the others written.
    weight [D, G * D] forward, [G * D, D] backward.
    grad [T, B, D]: of the loss by each state.
    down [T, B, G * D]: of the loss by what goes into each gate, written.
    later, cell [B, D]: of the loss by the last state and cell; at the end by those before the first session.

Each inner loop writes one array: the compiler gives up on vectors where it would have to rule out more overlaps.
"""

# numba takes the types from the arrays that come in, and would not read those of a signature.
# mypy: allow-untyped-defs

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import float32

_Kernel = Callable[..., None]
_EXACT = {"contract", "reassoc", "nsz", "arcp"}  # what is not a number stays so: divergence has to be seen


def _compiled(function: _Kernel) -> _Kernel:
    """Compiled at the first call, and kept on disk where that can be."""
    options: dict[str, Any] = {"fastmath": _EXACT, "error_model": "numpy", "nogil": True}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder can be written
        return numba.njit(**options)(function)


@numba.njit(fastmath=_EXACT, error_model="numpy", inline="always")
def tanh(x):
    """By a ratio of polynomials, to 3e-7: unlike the library's it can be done sixteen at a time.

    References:
        Eigen 3.4, MathFunctionsImpl.h (coefficients; beyond 7.9 the nearest float32 is 1).
    """
    x = float32(-7.90531) if x < float32(-7.90531) else x
    x = float32(7.90531) if x > float32(7.90531) else x
    s = x * x
    p = float32(-2.76076847742355e-16) * s + float32(2.00018790482477e-13)
    p = p * s + float32(-8.60467152213735e-11)
    p = p * s + float32(5.12229709037114e-08)
    p = p * s + float32(1.48572235717979e-05)
    p = p * s + float32(6.37261928875436e-04)
    p = p * s + float32(4.89352455891786e-03)
    q = float32(1.19825839466702e-06) * s + float32(1.18534705686654e-04)
    q = q * s + float32(2.26843463243900e-03)
    q = q * s + float32(4.89352518554385e-03)
    return x * p / q


@numba.njit(fastmath=_EXACT, error_model="numpy", inline="always")
def sigmoid(x):
    """(1 + tanh(x / 2)) / 2."""
    return float32(0.5) + float32(0.5) * tanh(float32(0.5) * x)


@_compiled
def lstm(gates, weight, states, cells, shown):
    """Gates in torch's order: input, forget, candidate, output. `shown` [T, B, D] becomes tanh of the cells."""
    sessions, blocks, _ = gates.shape
    width = len(weight)
    mixed = np.empty(gates.shape[1:], np.float32)
    slope, level = np.full(4 * width, float32(0.5)), np.full(4 * width, float32(0.5))  # of the sigmoid by the tanh
    slope[2 * width : 3 * width], level[2 * width : 3 * width] = float32(1.0), float32(0.0)
    for t in range(sessions):
        np.dot(states[t], weight, mixed)
        for b in range(blocks):
            gate, own, kept, cell = gates[t, b], mixed[b], cells[t, b], cells[t + 1, b]
            top, state = shown[t, b], states[t + 1, b]
            for j in range(4 * width):
                gate[j] = level[j] + slope[j] * tanh(slope[j] * (gate[j] + own[j]))
            for j in range(width):
                cell[j] = gate[width + j] * kept[j] + gate[j] * gate[2 * width + j]
            for j in range(width):
                top[j] = tanh(cell[j])
            for j in range(width):
                state[j] = gate[3 * width + j] * top[j]


@_compiled
def lstm_back(grad, weight, gates, cells, shown, down, later, cell):
    """What `lstm` leaves in, gradients out."""
    sessions, blocks, width = grad.shape
    one = float32(1.0)
    for t in range(sessions - 1, -1, -1):
        for b in range(blocks):
            gate, out, top, kept, h, c = gates[t, b], down[t, b], shown[t, b], cells[t, b], later[b], cell[b]
            i, f, g, o = gate[:width], gate[width : 2 * width], gate[2 * width : 3 * width], gate[3 * width :]
            for j in range(width):
                h[j] += grad[t, b, j]
            for j in range(width):
                c[j] += h[j] * o[j] * (one - top[j] * top[j])
            for j in range(width):
                out[j] = c[j] * g[j] * i[j] * (one - i[j])
            for j in range(width):
                out[width + j] = c[j] * kept[j] * f[j] * (one - f[j])
            for j in range(width):
                out[2 * width + j] = c[j] * i[j] * (one - g[j] * g[j])
            for j in range(width):
                out[3 * width + j] = h[j] * top[j] * o[j] * (one - o[j])
            for j in range(width):
                c[j] *= f[j]
        np.dot(down[t], weight, later)


@_compiled
def gru(gates, weight, bias, states, turned):
    """Gates in torch's order: reset, update, candidate. `turned` [T, B, D] becomes W_n h + bias, which r turns down."""
    sessions, blocks, _ = gates.shape
    width = len(weight)
    mixed = np.empty(gates.shape[1:], np.float32)
    for t in range(sessions):
        np.dot(states[t], weight, mixed)
        for b in range(blocks):
            gate, own, kept, state, fresh = gates[t, b], mixed[b], states[t, b], states[t + 1, b], turned[t, b]
            for j in range(2 * width):
                gate[j] = sigmoid(gate[j] + own[j])
            for j in range(width):
                fresh[j] = own[2 * width + j] + bias[j]
            for j in range(width):
                own[j] = tanh(gate[2 * width + j] + gate[j] * fresh[j])
            for j in range(width):
                gate[2 * width + j] = own[j]
                state[j] = own[j] + gate[width + j] * (kept[j] - own[j])


@_compiled
def gru_back(grad, weight, gates, states, turned, down, own, later):
    """What `gru` leaves in, gradients out; `own` [T, B, 3D] as `down`, by what the last state adds into each gate."""
    sessions, blocks, width = grad.shape
    one = float32(1.0)
    mixed = np.empty(later.shape, np.float32)
    for t in range(sessions - 1, -1, -1):
        for b in range(blocks):
            gate, out, back, kept, fresh, h = gates[t, b], down[t, b], own[t, b], states[t, b], turned[t, b], later[b]
            r, u, n = gate[:width], gate[width : 2 * width], gate[2 * width :]
            for j in range(width):
                h[j] += grad[t, b, j]
            for j in range(width):
                out[2 * width + j] = h[j] * (one - u[j]) * (one - n[j] * n[j])
            for j in range(width):
                back[2 * width + j] = out[2 * width + j] * r[j]
            for j in range(width):
                out[j] = back[2 * width + j] * fresh[j] * (one - r[j])
            for j in range(width):
                out[width + j] = h[j] * (kept[j] - n[j]) * u[j] * (one - u[j])
            for j in range(2 * width):
                back[j] = out[j]
            for j in range(width):
                h[j] *= u[j]
        np.dot(own[t], weight, mixed)
        for b in range(blocks):
            for j in range(width):
                later[b, j] += mixed[b, j]


@_compiled
def elman(states, weight, rectified):
    """tanh, or max(., 0) where `rectified`. States but for the first hold the inputs' part [T, B, D], before."""
    mixed = np.empty(states.shape[1:], np.float32)
    for t in range(len(states) - 1):
        np.dot(states[t], weight, mixed)
        for b in range(len(mixed)):
            own, state = mixed[b], states[t + 1, b]
            if rectified:
                for j in range(len(own)):
                    value = state[j] + own[j]
                    state[j] = float32(0.0) if value < float32(0.0) else value
            else:
                for j in range(len(own)):
                    state[j] = tanh(state[j] + own[j])


@_compiled
def elman_back(grad, weight, states, rectified, down, later):
    """What `elman` leaves in, gradients out."""
    sessions, blocks, width = grad.shape
    for t in range(sessions - 1, -1, -1):
        for b in range(blocks):
            state, out, now, after = states[t + 1, b], down[t, b], grad[t, b], later[b]
            if rectified:
                for j in range(width):
                    out[j] = now[j] + after[j] if state[j] > float32(0.0) else float32(0.0)
            else:
                for j in range(width):
                    out[j] = (now[j] + after[j]) * (float32(1.0) - state[j] * state[j])
        np.dot(down[t], weight, later)
