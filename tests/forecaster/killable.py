"""A fit for a process that will be killed."""

import hashlib
from pathlib import Path

import numpy as np
import torch

from forecaster.contract import WindowSpec
from forecaster.families.base import Spec
from forecaster.families.lstm import LstmFamily
from forecaster.features import Channels
from forecaster.training import checkpoint
from forecaster.training.config import TrainingConfig
from forecaster.training.fit import fit
from forecaster.training.task import Task
from forecaster.windows import Sample, Windows

SPEC = Spec(WindowSpec(context=16, burn_in=8, channels=("log_return", "log_range")), horizon=2)
RECIPE = LstmFamily(name="lstm", hidden=4, dropout=0.3)
CONFIG = TrainingConfig(epochs=24, patience=24, batch=9)


def _sample() -> Sample:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((160, 2)) * (0.01, 1.0)
    close = np.exp(np.cumsum(values[:, 0]))
    sessions = np.datetime64("2001-01-01") + np.arange(160)
    windows = Windows.of(Channels(sessions, values, close, close), SPEC.window, SPEC.horizon)
    return Sample(windows, windows.span(None, None))


_ONE = _sample()
TASK = Task((_ONE,), (Sample(_ONE.windows, _ONE.origins[-40:]),))


def fit_to_file(config: TrainingConfig, folder: Path, answer: Path) -> None:
    """Fit with a checkpoint every epoch; the digest of the weights and the number of epochs go into a file."""
    torch.set_num_threads(1)
    checkpoint.EVERY = 0.0
    fitted = fit(RECIPE, SPEC, config, TASK, seed=2, checkpoints=folder)
    state = sorted(fitted.model.state_dict().items())
    parts = b"".join(name.encode() + value.numpy().tobytes() for name, value in state)
    answer.write_text(f"{hashlib.sha256(parts).hexdigest()} {fitted.epochs}")
