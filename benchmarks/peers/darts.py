"""darts: BlockRNN supervises the last position of a window, RNNModel every one.

Its torch models take any likelihood; a Student t is not among those that come along, so it is one of five lines here.
RNNModel reads covariates of the step that it forecasts: it is given each channel a session late, so that it sees no
more than the others.
"""

from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from darts import TimeSeries
from darts.models import BlockRNNModel, RNNModel, TransformerModel
from darts.utils.likelihood_models.base import LikelihoodType
from darts.utils.likelihood_models.torch import TorchLikelihood
from torch import Tensor
from torch.nn.functional import softplus

from benchmarks.peers import job


class StudentT(TorchLikelihood):
    """Location, scale, and degrees of freedom above 2."""

    def __init__(self) -> None:
        super().__init__(LikelihoodType.Cauchy, ["location", "scale", "degrees"])  # the nearest of its names

    def _distr_from_params(self, params: tuple[Tensor, ...]) -> torch.distributions.StudentT:
        location, scale, degrees = params
        return torch.distributions.StudentT(degrees, location, scale)

    def _params_from_output(self, model_output: Tensor) -> tuple[Tensor, ...]:
        location, scale, degrees = model_output.unbind(-1)
        return location, softplus(scale), 2.0 + softplus(degrees)

    def sample(self, model_output: Tensor) -> Tensor:
        return self._distr_from_params(self._params_from_output(model_output)).sample()


def made(model: str, common: dict[str, Any]) -> BlockRNNModel | RNNModel | TransformerModel:
    """The peer's model of that name."""
    kind, _, cell = model.partition("-")
    if kind == "Transformer":
        shape = {"d_model": job.HIDDEN, "nhead": job.HEADS, "num_encoder_layers": job.LAYERS, "num_decoder_layers": 1}
        wide = {"dim_feedforward": 2 * job.HIDDEN, "dropout": 0.0}
        return TransformerModel(output_chunk_length=job.HORIZON, **shape, **wide, **common)
    layers = {"hidden_dim": job.HIDDEN, "n_rnn_layers": job.LAYERS}
    if kind == "RNN":
        return RNNModel(model=cell, training_length=job.CONTEXT, **layers, **common)
    return BlockRNNModel(model=cell, output_chunk_length=job.HORIZON, **layers, **common)


def train(work: job.Work, model: str, setting: job.Setting, seed: int, watch: job.Watch) -> None:
    dates = pd.bdate_range("1999-01-04", periods=work.end)
    rows = work.scaled[: work.end]
    late = model.startswith("RNN")
    others = np.concatenate((rows[:1, 1:], rows[:-1, 1:])) if late else rows[:, 1:]
    target, channels = (TimeSeries.from_times_and_values(dates, held) for held in (rows[:, :1], others))
    trainer = {
        "accelerator": "cpu",
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "callbacks": [job.marking(pl.Callback, watch)],
    }
    rate = {} if setting.rate is None else {"optimizer_kwargs": {"lr": setting.rate}}
    batch = {} if setting.batch is None else {"batch_size": setting.batch}
    common = {"input_chunk_length": job.CONTEXT, "likelihood": StudentT(), "random_state": seed, "n_epochs": 10**6}
    watch.begin()
    one = made(model, {**common, "pl_trainer_kwargs": trainer, **rate, **batch})
    one.fit(target, **{"future_covariates" if late else "past_covariates": channels})


def judge(work: job.Work, module: Any) -> float:
    contexts, outcomes = work.held_out
    module.eval()
    with torch.inference_mode():
        output = module((contexts, None, None))
        last = (output[0] if isinstance(output, tuple) else output)[:, -1:]
        loss = module.likelihood.compute_loss(last, outcomes[:, None, None], None)
    module.train()
    return float(loss)


if __name__ == "__main__":
    job.drive(train, judge)
