"""The way back into a fit that was killed: Lightning's checkpoint of it at the end of an epoch, every few seconds."""

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor

from forecaster.artifact import code_digest
from forecaster.training.batches import Table

EVERY = 5.0
"""Seconds between two checkpoints: writing one takes some ten milliseconds."""


class Checkpoint(pl.Callback):
    """Writes the state of a fit to a file, whole or not at all.

    All that is random is drawn anew for every epoch from the seed and the number of epochs done, which the course
    remembers; so the state of Lightning's own loops is left out, and a fit goes on as one that begins.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = time.monotonic()

    def on_train_epoch_end(self, trainer: pl.Trainer, _module: pl.LightningModule) -> None:
        due = time.monotonic() - self.written >= EVERY
        if not trainer.strategy.broadcast(due):  # the first device's clock counts: to save is to wait for each other
            return
        draft = self.path.with_suffix(".draft")
        trainer.save_checkpoint(draft, weights_only=False)
        if trainer.is_global_zero:
            with draft.open("rb") as written:
                os.fsync(written.fileno())
            draft.replace(self.path)
        self.written = time.monotonic()

    def on_save_checkpoint(self, _trainer: pl.Trainer, _module: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
        del checkpoint["loops"]


def checkpoint_path(folder: Path, stated: str, tables: Sequence[Table], start: Mapping[str, Tensor]) -> Path:
    """Where the checkpoint of this very fit lies: another configuration, other data or other code have another name.

    Arguments:
        stated: All settings of the fit, written out.
    """
    digest = hashlib.sha256(f"{code_digest()} {stated}".encode())
    for table in tables:
        for part in (table.values, table.targets, table.supervised):
            digest.update(part.numpy().tobytes())
    for name, tensor in sorted(start.items()):
        digest.update(name.encode() + tensor.numpy().tobytes())
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{digest.hexdigest()[:32]}.ckpt"


def reachable(folder: Path | None) -> Path | None:
    """A folder for checkpoints, where it is one here; on another machine there is none, and a fit begins anew."""
    return folder if folder is not None and os.access(folder, os.W_OK) else None
