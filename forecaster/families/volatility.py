"""What the volatility families share: one row of estimates a symbol, and what a series must have to be estimated."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from forecaster.contract import Floats
from forecaster.errors import TooShort
from forecaster.families.base import Spec
from forecaster.windows import Sample

LEAST = 60
"""Sessions that an estimate asks for at least: ten for each of its handful of numbers."""


def row_of(context: Tensor, spec: Spec) -> Tensor:
    """Which row of estimates [S + 1, ...] each context [B, L, C] is answered from [B]; 0 for an unknown symbol."""
    number = context[:, -1, -1] if spec.named else torch.zeros_like(context[:, -1, 0])
    return number.long().clamp(0, spec.symbols)


def number_of(sample: Sample, spec: Spec) -> int:
    """The row that a sample's estimates belong to; 0 where the context does not name its symbol."""
    return int(sample.windows.values[0, -1]) if spec.named else 0


def by_symbol(numbers: Sequence[int], rows: Sequence[Floats], spec: Spec) -> Floats:
    """Estimates [S + 1, ...] of all symbols: row 0 and those without a sample are the median over the samples."""
    table = np.repeat(np.median(rows, axis=0)[None], spec.symbols + 1, axis=0)
    for number, row in zip(numbers, rows, strict=True):
        if number > 0:
            table[number] = row
    return table


def require_moves(name: str, returns: Floats) -> None:
    """Check that a series [N] has a volatility to estimate.

    Raises:
        TooShort: It moves on fewer than `LEAST` sessions.
    """
    away = np.abs(returns - np.median(returns)) if returns.size else returns
    moved = int((away > 1e-9 * np.abs(returns).max(initial=0.0)).sum())
    if moved < LEAST:
        raise TooShort(f"{name} (sessions on which the target moves)", moved, LEAST)
