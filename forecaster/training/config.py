"""How gradient families are trained; apart from the learner, so that reading a run file does not wake lightning."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from forecaster.contract import Frozen, Range


class TrainingConfig(Frozen):
    """The [training] table of a run file."""

    seed: int = 0
    """The first seed; one fit has one."""
    seeds: int = Field(default=1, ge=1)
    """Fits of each trained model, with seeds one after the other; their distributions are pooled."""
    mode: Literal["scratch", "warm", "finetune"] = "scratch"
    """From fresh weights; on from an earlier model's, all of them; or on from them, the readout alone."""
    start: str | None = None
    """Digest of the artifact whose weights are gone on from."""
    carry: bool = False
    """Whether a recurrent state is carried from block to block (truncated backpropagation through time)."""
    epochs: int = Field(default=200, ge=1)
    """At most so many passes over the training span."""
    patience: int = Field(default=20, ge=1)
    """Stop after so many epochs without a better validation loss."""
    batch: int = Field(default=16, ge=1)
    """Blocks an optimiser step; streams side by side where the state is carried."""
    learning_rate: Annotated[float, Range(3e-4, 3e-2, log=True)] = Field(default=3e-3, gt=0)
    """Step size of the optimiser, before `schedule` lets it down."""
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    """Of the learning rate: kept; let down to a hundredth over `epochs`; or halved when the loss stays where it is."""
    weight_decay: Annotated[float, Range(1e-6, 1e-1, log=True)] = Field(default=1e-4, ge=0)
    """How strongly weights are drawn to zero, apart from the gradient (AdamW)."""
    clip: float = Field(default=1.0, gt=0)
    """Gradients with a larger norm are scaled down to it."""
    accelerator: Literal["cpu", "gpu", "mps", "auto"] = "cpu"
    """Lightning's switch."""
    devices: int = Field(default=1, ge=1)
    """Lightning's switch: blocks of a step are shared out among so many."""
    precision: Literal["32-true", "bf16-mixed", "auto"] = "32-true"
    """Lightning's switch; `auto` is bf16 where the processor multiplies it itself."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.mode == "scratch") != (self.start is None):
            raise ValueError(
                f"mode {self.mode!r} {'takes no' if self.start else 'needs a'} start (an artifact's digest)"
            )
        return self
