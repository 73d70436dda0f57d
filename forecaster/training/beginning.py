"""Where a fit begins: fresh weights, an earlier model's, or an earlier model of which only the readout learns."""

from collections.abc import Mapping

from torch import Tensor, nn

from forecaster.errors import ConfigError
from forecaster.families.base import Network, Readout
from forecaster.training.config import TrainingConfig
from forecaster.training.task import Task

_WHERE = "[training] mode"


def begin(network: Network, config: TrainingConfig, task: Task, start: Mapping[str, Tensor] | None) -> None:
    """Put weights and scales in place, and mark what is to learn.

    Scales are estimated on the training origins of this fit, so that inputs are in units of the data that the weights
    learn from. Only finetuning keeps the earlier model's: its body is frozen and knows its inputs in no other units.

    Raises:
        ConfigError: The mode and `start` do not fit, or `start` is of another build.
    """
    if config.mode == "scratch" and start is not None:
        raise ConfigError(_WHERE, 'weights to start from were given; write mode = "warm" or "finetune", or give none')
    if config.mode != "scratch":
        if start is None:
            raise ConfigError(_WHERE, f'"{config.mode}" goes on from an earlier model, and none was given')
        _load(network, start)
    if config.mode != "finetune":
        network.estimate(task.train)
        return
    network.requires_grad_(False)
    for module in network.modules():
        if isinstance(module, Readout | nn.Embedding):
            module.requires_grad_(True)


def _load(network: Network, start: Mapping[str, Tensor]) -> None:
    own = network.state_dict()
    odd = sorted(own.keys() ^ start.keys()) or [name for name in own if own[name].shape != start[name].shape]
    if odd:
        raise ConfigError(_WHERE, f"the model to start from is of another build (it differs in {odd[0]})")
    network.load_state_dict(dict(start))
