"""neuralforecast: windows of the series, one target each; Student t by its own DistributionLoss; robust scaling.

A single linear layer reads the state, as in our network. Its Transformer takes no other channels than the target.
"""

from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from neuralforecast import NeuralForecast, models
from neuralforecast.losses.pytorch import DistributionLoss

from benchmarks.peers import job

CELL = {"encoder_n_layers": job.LAYERS, "encoder_hidden_size": job.HIDDEN, "decoder_layers": 1}
SHAPES: dict[str, dict[str, Any]] = {
    "LSTM": CELL,
    "GRU": CELL,
    "VanillaTransformer": {
        "hidden_size": job.HIDDEN,
        "n_head": job.HEADS,
        "encoder_layers": job.LAYERS,
        "decoder_layers": 1,
        "conv_hidden_size": 2 * job.HIDDEN,
        "dropout": 0.0,
    },
}


def frame(work: job.Work) -> pd.DataFrame:
    """The training rows in the long format."""
    held = pd.DataFrame(work.scaled[: work.end], columns=["y", *(f"x{k}" for k in range(1, work.values.shape[1]))])
    held.insert(0, "unique_id", "series")
    held.insert(1, "ds", pd.bdate_range("1999-01-04", periods=work.end))
    return held


def train(work: job.Work, model: str, setting: job.Setting, seed: int, watch: job.Watch) -> None:
    kind = getattr(models, model)
    data = frame(work)
    channels = {"hist_exog_list": list(data.columns[3:])} if kind.EXOGENOUS_HIST else {}
    watch.begin()
    one = kind(
        h=job.HORIZON,
        input_size=job.CONTEXT,
        loss=DistributionLoss("StudentT"),
        max_steps=10**6,
        random_seed=seed,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=False,
        callbacks=[job.marking(pl.Callback, watch)],
        **SHAPES[model],
        **channels,
        **setting.given("windows_batch_size", "learning_rate"),
    )
    NeuralForecast(models=[one], freq="B").fit(data)


def judge(work: job.Work, module: Any) -> float:
    """By its own scaler, network and loss, in the order of its own training step."""
    contexts, outcomes = work.held_out
    seen = contexts if module.hist_exog_size else contexts[..., :1]
    mask = torch.ones(*seen.shape[:2], 1, 1)
    module.eval()
    with torch.inference_mode():
        scaled = module.scaler.transform(x=seen[..., None], mask=mask)[..., 0]
        others = scaled[..., 1:] if module.hist_exog_size else None
        batch = {"insample_y": scaled[..., :1], "insample_mask": mask[..., 0], "hist_exog": others}
        output = module.loss.domain_map(module({**batch, "futr_exog": None, "stat_exog": None}))
        location, scale = module._get_loc_scale(0)
        arguments = module.loss.scale_decouple(output=output, loc=location, scale=scale)
        if {one.shape for one in arguments} != {(len(outcomes), job.HORIZON, 1)}:
            raise ValueError(f"parameters of shape {[tuple(one.shape) for one in arguments]}")
        loss = module.loss(y=outcomes[:, None, None], distr_args=arguments, mask=torch.ones(len(outcomes), 1, 1))
    module.train()
    return float(loss)


if __name__ == "__main__":
    job.drive(train, judge)
