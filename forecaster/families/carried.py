"""Recurrent networks that go on from a state: every session is answered from it and from what came before.

    sums of the EWMAs ─▶ scale ┐
    bars ──────────────────────┴▶ the network's own body and head, from its cell's state ─▶ quantiles, states after

A fresh state is all zeros. From one, over exactly L sessions, the last answer is that of the network asked about this
window. Over more it is another: a window forgets what is older than L, a state does not. So it is a mode of its own,
declared in the manifest.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from forecaster.families.base import Carrying, Model, Network
from forecaster.families.pool import Pool


class Mean(nn.RNN):
    """An EWMA of squares that goes on: an Elman cell with ReLU that never learns, its weights 1 and the decay.

    S_t = d S_{t-1} + x_t^2,   N_t = d N_{t-1} + 1,   mean = S_t / N_t

    Every runtime has this operator; it takes O(T), and its sums do not depend on where a series is cut.
    """

    def __init__(self, width: int, decay: float) -> None:
        super().__init__(width + 1, width + 1, nonlinearity="relu", bias=False, batch_first=True)
        self.weight_ih_l0.data = torch.eye(width + 1)
        self.weight_hh_l0.data = decay * torch.eye(width + 1)
        self.requires_grad_(False)

    def step(self, values: Tensor, sums: Tensor) -> tuple[Tensor, Tensor]:
        """values [B, T, n], sums before [1, B, n + 1] -> means [B, T, n] and the sums after."""
        found, after = self(torch.cat((values.square(), torch.ones_like(values[..., :1])), dim=-1), sums)
        return found[..., :-1] / found[..., -1:], after


class Running:
    """The EWMAs of one pass, in the order in which the network asks for them.

    Arguments:
        before: [1, B, S] sums after the sessions before, side by side in that order.
    """

    def __init__(self, means: Sequence[Mean], before: Tensor) -> None:
        parts = torch.split_with_sizes(before, [mean.hidden_size for mean in means], dim=-1)
        self._means = zip(means, parts, strict=True)
        self._after: list[Tensor] = []

    def __call__(self, values: Tensor, decay: float) -> Tensor:
        if not decay:
            return values.square()
        mean, before = next(self._means)
        found, after = mean.step(values, before)
        self._after.append(after)
        return found

    @property
    def after(self) -> Tensor:
        """[1, B, S] sums after these sessions."""
        return torch.cat(self._after, dim=-1)


class Carried(nn.Module, ABC):
    """What is asked of a model that goes on from a state."""

    @property
    @abstractmethod
    def states(self) -> dict[str, tuple[int, int]]:
        """What it carries: name -> layers and width of a tensor [layers, B, width] that is zero at the start."""

    @abstractmethod
    def forward(self, bars: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """bars [B, T, C] -> quantiles [B, T, H, Q], parameters [B, T, H, P] where there is a density, states after."""


class CarriedNetwork(Carried):
    """A network whose body and scale go on.

    Arguments:
        network: One whose body carries a state.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        asked: list[Mean] = []

        def note(values: Tensor, decay: float) -> Tensor:
            if decay:
                asked.append(Mean(values.shape[-1], decay))
            return values.square()

        bar = torch.zeros(1, 1, len(network.spec.window.channels))
        with torch.no_grad():
            _, after = network.advance(bar, 1, None, note)
        self.means = nn.ModuleList(asked)
        own = (after,) if isinstance(after, Tensor) else after
        self._own = dict(zip(("hidden", "cell"), ((len(one), one.shape[-1]) for one in own), strict=False))

    @property
    def _running(self) -> list[Mean]:
        return [cast(Mean, mean) for mean in self.means]

    @property
    def states(self) -> dict[str, tuple[int, int]]:
        return {"sums": (1, sum(mean.hidden_size for mean in self._running)), **self._own}

    def forward(self, bars: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        sums, *own = state
        ewma = Running(self._running, sums)
        before = own[0] if len(own) == 1 else (own[0], own[1])
        parameters, after = self.network.advance(bars, bars.shape[1], before, ewma)
        quantiles = self.network.head.quantiles(parameters)
        answer = (quantiles, parameters) if self.network.density else (quantiles,)
        return (*answer, ewma.after, *((after,) if isinstance(after, Tensor) else after))


class CarriedPool(Carried):
    """A pool whose members all go on, their states side by side."""

    def __init__(self, pool: Pool, members: list[Carried]) -> None:
        super().__init__()
        self.pool = pool
        self.members = nn.ModuleList(members)

    @property
    def states(self) -> dict[str, tuple[int, int]]:
        return {
            f"{number}.{name}": size
            for number, member in enumerate(self._carried)
            for name, size in member.states.items()
        }

    @property
    def _carried(self) -> list[Carried]:
        return [cast(Carried, member) for member in self.members]

    def forward(self, bars: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        answers, after, left = [], [], list(state)
        for member, one in zip(self._carried, self.pool.pooled, strict=True):
            count = len(member.states)
            own, left = left[:count], left[count:]
            answer = member(bars, *own)
            answers.append([part.flatten(0, 1) for part in answer[: 2 if one.density else 1]])
            after += answer[len(answer) - count :]
        mixed = self.pool.mix([tuple(answer) for answer in answers])
        return (*(part.view(bars.shape[0], -1, *part.shape[1:]) for part in mixed), *after)


def carried(model: Model) -> Carried | None:
    """The model as one that goes on from a state; None where it, or a member of a pool, has none."""
    if isinstance(model, Network) and isinstance(model.body, Carrying):
        return CarriedNetwork(model)
    if isinstance(model, Pool):
        members = [carried(member) for member in model.pooled]
        there = [member for member in members if member is not None]
        return CarriedPool(model, there) if len(there) == len(members) else None
    return None
