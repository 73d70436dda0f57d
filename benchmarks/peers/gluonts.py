"""GluonTS: its torch DeepAR, an LSTM with a Student t that supervises every position of a window.

It reads features of the step that it forecasts: it is given each channel a session late, so that it sees no more than
the others. The lagged target is that of the session before; no calendar features.
"""

from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from gluonts.torch import DeepAREstimator

from benchmarks.peers import job


def late(work: job.Work) -> np.ndarray:
    """Channels [C, T] but the return, each a session late."""
    rows = work.scaled[:, 1:]
    return np.concatenate((rows[:1], rows[:-1])).T


def train(work: job.Work, _model: str, setting: job.Setting, seed: int, watch: job.Watch) -> None:
    pl.seed_everything(seed)
    held = {"start": pd.Period("1999-01-04", freq="B"), "item_id": "series", "target": work.scaled[: work.end, 0]}
    channels = late(work)[:, : work.end]
    trainer = {
        "max_epochs": 10**6,
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "callbacks": [job.marking(pl.Callback, watch)],
    }
    watch.begin()
    DeepAREstimator(
        freq="B",
        prediction_length=job.HORIZON,
        context_length=job.CONTEXT,
        num_layers=job.LAYERS,
        hidden_size=job.HIDDEN,
        dropout_rate=0.0,
        num_feat_dynamic_real=len(channels),
        lags_seq=[1],
        time_features=[],
        trainer_kwargs=trainer,
        **setting.given("batch_size", "lr"),
    ).train([{**held, "feat_dynamic_real": channels}])


def judge(work: job.Work, module: Any) -> float:
    """By its own log density of the step ahead."""
    _, outcomes = work.held_out
    length = module.model.past_length
    origins = torch.from_numpy(work.validation)
    target = torch.from_numpy(work.scaled[:, 0])
    channels = torch.from_numpy(np.ascontiguousarray(late(work).T))
    age = torch.log10(2.0 + torch.arange(len(target)))[:, None]  # the age feature that it adds to the given ones
    features = torch.cat((age, channels), dim=1)
    past = origins[:, None] + torch.arange(1 - length, 1)
    count = len(origins)
    module.eval()
    with torch.inference_mode():
        log_density = module.model.log_prob(
            feat_static_cat=torch.zeros(count, 1, dtype=torch.long),
            feat_static_real=torch.zeros(count, 1),
            past_time_feat=features[past],
            past_target=target[past],
            past_observed_values=torch.ones(count, length),
            future_time_feat=features[origins + job.HORIZON][:, None],
            future_target=outcomes[:, None],
        )
    module.train()
    return -float(log_density.mean())


if __name__ == "__main__":
    job.drive(train, judge)
