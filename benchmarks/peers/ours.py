"""Ours, as it comes: a whole call of `fit`.

Its losses are known by epoch, from a call that judges after each. The clock is that of a call that does nothing but
train: it takes so much for the first epoch and, epochs being alike, so much for each more, read off two calls.
"""

import sys
import time

from benchmarks.peers import job
from forecaster.contract import WindowSpec
from forecaster.families import AnyFamily
from forecaster.families.base import Spec
from forecaster.families.gru import GruFamily
from forecaster.families.lstm import LstmFamily
from forecaster.families.transformer import TransformerFamily
from forecaster.features import Channels
from forecaster.training.config import TrainingConfig
from forecaster.training.fit import fit
from forecaster.training.task import Task
from forecaster.windows import Sample, Windows

EPOCHS = 60
SIZES = ("log_return", "log_range")
"""Channels whose size the network also sees: inputs are divided by it, and peers are shown it undivided."""
FAMILIES: dict[str, AnyFamily] = {
    "LSTM": LstmFamily(name="lstm", hidden=job.HIDDEN, layers=job.LAYERS, head="student_t", sizes=SIZES),
    "GRU": GruFamily(name="gru", hidden=job.HIDDEN, layers=job.LAYERS, head="student_t", sizes=SIZES),
    "Transformer": TransformerFamily(
        name="transformer",
        width=job.HIDDEN,
        heads=job.HEADS,
        layers=job.LAYERS,
        dropout=0.0,
        head="student_t",
        sizes=SIZES,
    ),
}


def task_of(work: job.Work, channels: tuple[str, ...]) -> tuple[Spec, Task, Sample]:
    """The same rows as windows of ours: a task, and the validation origins each behind its own context."""
    spec = Spec(WindowSpec(context=job.CONTEXT, burn_in=1, channels=channels), job.HORIZON)
    columns = Channels(work.sessions, work.values, work.close, work.close)
    windows, served = (
        Windows.of(columns, spec.window.model_copy(update={"burn_in": burn_in}), job.HORIZON)
        for burn_in in (1, job.CONTEXT - 1)
    )
    return spec, Task((Sample(windows, work.train),)), Sample(served, work.validation)


def main() -> None:
    """One JSON line a training."""
    asked = job.arguments()
    job.quiet()
    work = job.Work.read(asked.data)
    spec, task, served = task_of(work, tuple(map(str, work.channels)))
    family, config = FAMILIES[asked.model], TrainingConfig(epochs=EPOCHS, patience=EPOCHS)

    def took(epochs: int, seed: int) -> float:
        start = time.process_time()
        fit(family, spec, config.model_copy(update={"epochs": epochs}), task, seed=seed)
        return time.process_time() - start

    took(1, 0)
    for setting, seed in job.pairs(asked):
        if setting != job.Setting():
            sys.exit("ours is run as it comes")
        history = fit(family, spec, config, Task(task.train, (served,)), seed=seed).history
        first, whole = took(1, seed), took(EPOCHS, seed)
        watch = job.Watch(lambda _: 0.0)
        watch.at = [first + epoch * (whole - first) / (EPOCHS - 1) for epoch in range(len(history))]
        watch.losses = [epoch["validation_loss"] for epoch in history]
        job.report(asked.model, setting, seed, watch)


if __name__ == "__main__":
    main()
