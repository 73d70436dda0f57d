"""How gradient families are trained; apart from the learner, so that reading a run file does not wake lightning."""

from pydantic import Field

from forecaster.contract import Frozen


class TrainingConfig(Frozen):
    """The [training] table of a run file."""

    seed: int = 0
    epochs: int = Field(default=200, ge=1)
    """At most so many passes over the training span."""
    patience: int = Field(default=20, ge=1)
    """Stop after so many epochs without a better validation loss."""
    batch: int = Field(default=16, ge=1)
    """Blocks an optimiser step."""
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    clip: float = Field(default=1.0, gt=0)
    """Gradients with a larger norm are scaled down to it."""
