"""Pooling fitted models: equal weights, or those that did best on validation origins."""

from collections.abc import Sequence

import numpy as np
import torch

from forecaster.contract import Floats
from forecaster.densities import log_density
from forecaster.errors import ConfigError
from forecaster.families.base import Model
from forecaster.families.pool import Pool, PoolFamily
from forecaster.windows import Sample

_CHUNK = 256  # contexts scored at once


def pooled(family: PoolFamily, models: Sequence[Model], validation: Sequence[Sample]) -> Pool:
    """The pool of fitted models.

    Arguments:
        validation: Origins that weights are found on, before any that will be scored; not read for equal weights.

    Raises:
        ConfigError: Weights by log score, and a member has no density or there are no validation origins.
    """
    pool = Pool(models)
    if family.weights == "log_score":
        if not validation:
            raise ConfigError(f"model {family.name}", 'weights "log_score" are found on validation origins; none given')
        pool.weigh(np.stack([_log_scores(family, model, validation) for model in models]))
    return pool.eval()


def _log_scores(family: PoolFamily, model: Model, validation: Sequence[Sample]) -> Floats:
    """Log density of a member at each validation outcome, all horizons and symbols in a row [N]."""
    if not model.density:
        raise ConfigError(f"model {family.name}", 'weights "log_score" need members that have a density')
    scores = []
    for sample in validation:
        for chunk in np.split(sample.origins, range(_CHUNK, len(sample.origins), _CHUNK)):
            with torch.inference_mode():
                parameters = model(torch.from_numpy(sample.windows.contexts(chunk)))[1].double().numpy()
            scores.append(log_density(model.density, parameters, sample.windows.targets[chunk]).ravel())
    return np.concatenate(scores)
