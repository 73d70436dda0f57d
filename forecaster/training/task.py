"""What a fit is asked."""

from dataclasses import dataclass

from forecaster.windows import Sample


@dataclass(frozen=True)
class Task:
    """What a family is fitted on; one sample a symbol."""

    train: tuple[Sample, ...]
    """Training origins; nothing after the target of a symbol's last one is read."""
    validation: tuple[Sample, ...] = ()
    """Origins for early stopping; none to run all epochs and keep the last weights."""
