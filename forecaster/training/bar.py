"""A progress bar that moves once an epoch: Lightning's own, drawn anew at every step, costs more than a small step."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm

from forecaster.training.course import Course


class Bar(pl.callbacks.ProgressBar):
    """One line on the terminal: epochs done of those allowed, and the last loss."""

    def __init__(self, name: str, course: Course) -> None:
        super().__init__()
        self.name, self.course = name, course
        self.line: Any = None

    def disable(self) -> None:
        """Nothing: on other devices than the first Lightning draws no bar."""

    def on_train_start(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            done = len(self.course.history)
            self.line = Tqdm(desc=self.name, total=self.course.config.epochs, initial=done, leave=False, unit="epoch")

    def on_train_epoch_end(self, _trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        if self.line is not None:
            self.line.set_postfix_str(f"loss {self.course.losses[-1]:.4f}", refresh=False)
            self.line.update()

    def on_train_end(self, _trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        if self.line is not None:
            self.line.close()
