"""A recipe: how a model is made whatever the data are. It is what the gate judges, and what a refresh follows again."""

import hashlib
import json

from forecaster.contract import Frozen, WindowSpec
from forecaster.families import AnyFamily
from forecaster.training.config import TrainingConfig
from pipelines.config import RunConfig


class Recipe(Frozen):
    """Model, training, inputs and refit schedule."""

    model: AnyFamily
    training: TrainingConfig
    window: WindowSpec
    features: str
    """Digest of the user's own features; empty where there are none."""
    refit_every: int | None
    """Sessions from one refit to the next; None for one fit before all test years."""

    @classmethod
    def of(cls, config: RunConfig, name: str) -> "Recipe":
        """The recipe of one of a run's models."""
        model = next(model for model in config.models if model.name == name)
        return cls(
            model=model,
            training=config.training,
            window=config.window,
            features=config.features.digest,
            refit_every=config.split.refit_every,
        )

    @property
    def digest(self) -> str:
        """Its name wherever it is counted."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    def within(self, run: RunConfig) -> RunConfig:
        """A run of this recipe alone beside the random walk, on another run's data, target and years."""
        return run.model_copy(
            update={
                "models": (run.baseline, self.model),
                "training": self.training,
                "window": self.window,
                "split": run.split.model_copy(update={"refit_every": self.refit_every}),
            }
        )
