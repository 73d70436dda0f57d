"""pytorch-forecasting: its DeepAR, an LSTM or GRU that supervises the step after a window.

Its RecurrentNetwork forecasts a point and no distribution. A Student t is not among the distributions that come along,
so it is written here as its NormalDistributionLoss is. It reads covariates of the step that it forecasts: it is given
each channel a session late, so that it sees no more than the others. Its target is normalised by window, as it comes.
"""

from typing import Any

import lightning.pytorch as pl
import pandas as pd
import torch
from pytorch_forecasting import DeepAR, TimeSeriesDataSet
from pytorch_forecasting.metrics import DistributionLoss
from torch import Tensor, distributions
from torch.nn.functional import softplus

from benchmarks.peers import job


class StudentT(DistributionLoss):
    """Location, scale, and degrees of freedom above 2."""

    distribution_class = distributions.StudentT
    distribution_arguments = ("loc", "scale", "df")

    def map_x_to_distribution(self, x: Tensor) -> distributions.StudentT:
        centre, unit, location, scale, degrees = x.unbind(-1)
        return distributions.StudentT(degrees, centre + unit * location, unit * scale)

    def rescale_parameters(self, parameters: Tensor, target_scale: Tensor, encoder: Any) -> Tensor:
        location, scale, degrees = parameters.unbind(-1)
        given = target_scale.unsqueeze(1).expand(-1, location.size(1), -1)
        own = torch.stack((location, softplus(scale), 2.0 + softplus(degrees)), dim=-1)
        return torch.cat((given, own), dim=-1)


def frame(work: job.Work) -> pd.DataFrame:
    """All rows in its long format."""
    rows = work.scaled
    names = [f"x{k}" for k in range(1, rows.shape[1])]
    held = pd.DataFrame(rows[:, 1:], columns=names).shift(1).bfill()
    return held.assign(y=rows[:, 0], time=range(len(rows)), series="series")


def windows(data: pd.DataFrame) -> TimeSeriesDataSet:
    """Windows of a context and the step after it."""
    return TimeSeriesDataSet(
        data,
        time_idx="time",
        target="y",
        group_ids=["series"],
        min_encoder_length=job.CONTEXT,
        max_encoder_length=job.CONTEXT,
        min_prediction_length=job.HORIZON,
        max_prediction_length=job.HORIZON,
        time_varying_unknown_reals=["y"],
        time_varying_known_reals=[name for name in data.columns if name.startswith("x")],
    )


def train(work: job.Work, model: str, setting: job.Setting, seed: int, watch: job.Watch) -> None:
    pl.seed_everything(seed)
    data = frame(work)[: work.end]
    watch.begin()
    training = windows(data)
    batch = {} if setting.batch is None else {"batch_size": setting.batch}
    loader = training.to_dataloader(train=True, **batch)
    network = DeepAR.from_dataset(
        training,
        cell_type=model.removeprefix("DeepAR-"),
        hidden_size=job.HIDDEN,
        rnn_layers=job.LAYERS,
        dropout=0.0,
        loss=StudentT(),
        **({} if setting.rate is None else {"learning_rate": setting.rate}),
    )
    pl.Trainer(
        max_epochs=10**6,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[job.marking(pl.Callback, watch)],
    ).fit(network, loader)


def held_out(work: job.Work, module: DeepAR) -> Any:
    """The validation windows, scaled as the training's."""
    first = int(work.validation[0])
    data = frame(work)[first - job.CONTEXT + 1 :]
    dataset = TimeSeriesDataSet.from_parameters(module.dataset_parameters, data)
    count = len(work.validation)
    if len(dataset) != count:
        raise ValueError(f"{len(dataset)} windows where there are {count} validation origins")
    return next(iter(dataset.to_dataloader(train=False, batch_size=count)))


def judge(work: job.Work, module: Any) -> float:
    """By the density that it trains for."""
    if not hasattr(module, "held_out"):
        module.held_out = held_out(work, module)
    inputs, (outcomes, _) = module.held_out
    module.eval()
    with torch.inference_mode():
        answer = module(inputs)["prediction"]
        loss = -module.loss.map_x_to_distribution(answer).log_prob(outcomes).mean()
    module.train()
    return float(loss)


if __name__ == "__main__":
    job.drive(train, judge)
