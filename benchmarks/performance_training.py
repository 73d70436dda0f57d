"""Sections on training: beside the peers, and against the machine."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt

from benchmarks.limit import ASKED
from benchmarks.peer_training import Results, Row, claims, rows
from benchmarks.peers.install import PEERS, TORCH
from benchmarks.peers.job import AS_IT_COMES
from benchmarks.performance_table import Section, figures, lost, scatter, spread, table
from benchmarks.record import RESULTS, RUN


def training(path: Path, pictures: Path) -> str:
    """Beside the peers."""
    results = Results(path)
    found = list(rows(results))
    body = [
        [
            row.training.cell,
            row.training.peer,
            row.training.model,
            row.kind if row.kind == AS_IT_COMES else f"{row.kind} {row.setting}",
            f"{row.loss:.3f}",
            spread(row.seconds(row.ours)),
            spread(row.seconds(row.theirs)),
            f"**{row.sooner:.1f}** ({row.asked:g})",
            scatter([run.lowest for run in row.theirs]),
            f"{max(run.memory_mb for run in row.theirs):.0f}",
            str(len(row.theirs)),
        ]
        for row in found
    ]
    mine = {row.training.cell: row.ours for row in found}
    own = [
        [
            cell,
            scatter([run.lowest for run in runs]),
            spread([run.at[-1] for run in runs]),
            f"{max(run.memory_mb for run in runs):.0f}",
        ]
        for cell, runs in mine.items()
    ]
    draw(found, pictures / "peer_training.png")
    head = (
        "Beside|Peer|Model|Setting (batch:rate)|Loss|Ours, s|Theirs, s|Times sooner (asked)|Their lowest (sd)|MB|Seeds"
    )
    return "\n".join(
        [
            INTRODUCTION,
            table("Ours|lowest loss (sd)|s to it|MB", own),
            "",
            table(head, body),
            "",
            "![Validation loss against processor time, and how many times sooner](images/peer_training.png)",
            "",
            lost(list(claims(found))),
        ]
    )


INTRODUCTION = f"""One series (S&P 500 of the sample, four channels), trained before 2013, judged on 2013-14. The same
architecture: LSTM or GRU of two layers of 64, Transformer of width 64 with 4 heads, 2 encoder layers and a decoder;
context 64, one session ahead, a Student t, no dropout. Each by its own public API, in an environment of its own
({", ".join(f"`{asked}`" for asked in PEERS.values())}, `{TORCH}`). *As it comes* leaves batch, learning rate and
all else as the library has it; *tuned* takes the batch (16 or 64) and the rate (.001, .003 or .01) that come soonest
within .01 of the lowest loss of that grid, searched with another seed. Ours runs as it comes throughout.

- The loss is the mean negative log density of the next return, in standard deviations of the training returns, over
  all validation origins, each behind its own context of 64: the same measure for all, taken off the clock. darts and
  pytorch-forecasting take any likelihood and bring no Student t, so theirs is a few lines of ours.
- Inputs are divided by their standard deviation in training for all. neuralforecast, GluonTS and pytorch-forecasting
  scale each window besides, as they come. Ours divides by recent sizes, as it always does, and is shown those of return
  and range (`sizes`), which others see in their undivided inputs. Models that read covariates of the step that they
  forecast get each channel a session late. neuralforecast's Transformer takes no other channel than the target.
- *Loss* is the highest of all lowest losses of that peer's seeds and ours, so that every run reaches it; a training is
  followed until nothing better comes for as long as it took plus two seconds, or to 30 CPU seconds, so that the lowest
  loss of a slow one may be higher than it would be in the end.
- The clock is that of the whole call that trains, in its second use in the process. Memory is the process's peak, all
  seeds one after the other. A peer is judged every .15 s or 6 % of what was spent. Ours is
  known by epoch; the time of one is read off a call of one epoch and one of all.
- Peers and ours did not run in the same minutes: the machine was busier while most of the peers ran, which lengthens
  their CPU seconds by what was not measured. Two of the closest rows (darts' Transformer and pytorch-forecasting's GRU,
  as they come) were run again on a quiet machine, and these runs stand here.
- *Seeds* says how many trainings of that peer stand behind a row: five were asked; a setting without a row was not run
  yet. The command goes on where it stopped.
"""


def draw(found: Sequence[Row], path: Path) -> None:
    """Losses against time beside one another, and ratios beside what was asked."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.5), layout="constrained")
    lstm = [row for row in found if row.training.cell == "LSTM" and row.kind == AS_IT_COMES]
    curves = [("ours", lstm[0].ours, 2.5)] if lstm else []
    curves += [(str(row.training).replace("_", "-"), row.theirs, 1.2) for row in lstm]
    for name, runs, width in curves:
        middle = sorted(runs, key=lambda run: run.lowest)[len(runs) // 2]
        left.step([*middle.at, 30.0], [*middle.losses, middle.lowest], where="post", label=name, linewidth=width)
    left.set(
        xscale="log", xlabel="CPU seconds", ylabel="lowest validation loss so far, nats", title="LSTM, as it comes"
    )
    left.set_ylim(top=0.85)
    left.legend(fontsize=8)
    names = [f"{row.training.peer} {row.training.model}, {row.kind}".replace("_", "-") for row in found]
    places = range(len(found))
    colours = ["C2" if row.sooner >= row.asked else "C3" for row in found]
    right.barh(places, [row.sooner for row in found], color=colours)
    right.scatter([row.asked for row in found], places, marker="|", s=120, color="black", label="asked", zorder=3)
    right.set_yticks(places, names, fontsize=7)
    right.invert_yaxis()
    right.set(xscale="log", xlabel="times sooner to the same validation loss", title="ours against each")
    right.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def limit(path: Path, _pictures: Path) -> str:
    """Against the machine."""
    held = {name: one for name, one in figures(path).items() if name != RUN}
    body = [
        [
            model,
            f"{one['megaflop']:.0f}",
            f"{one['rate_gflops']:.0f}",
            f"{one['limit_ms']:.2f}",
            f"{one['step_ms']:.2f}",
            f"**{one['share']:.0%}**",
            f"{one['cells_ms']['our cell']:.2f}",
            f"{one['cells_ms']['nn cell']:.2f}",
            f"{one['step_ms'] - one['cells_ms']['our cell']:.2f}",
        ]
        for model, one in held.items()
    ]
    head = "Model|MFLOP|GFLOP/s of its shapes|Least, ms|Step, ms|Share|Cell, ms|torch's cell, ms|Else, ms"
    asked = [(f"{model}: {one['share']:.0%} of its products' rate (at least {ASKED:.0%})", one["share"] >= ASKED)
             for model, one in held.items()]  # fmt: skip
    return "\n".join([LIMITS, table(head, body), "", lost(asked)])


LIMITS = """The matrix products of one training step, each timed by itself at its very shape by the quicker of
torch's and numpy's library, are the least that a step could take. *Else* is what is not the recurrent cell: scaling,
distribution, clipping, optimiser.
"""


PEERS_RUN = RESULTS / "peer_training.jsonl"
SECTIONS = (
    Section("Training, beside the peers", "python -m benchmarks.peer_training", PEERS_RUN, training),
    Section("Training, against the machine", "python -m benchmarks.limit", RESULTS / "limit.json", limit),
)
