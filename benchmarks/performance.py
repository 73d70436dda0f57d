"""Write docs/performance.md and its pictures from what the benchmarks wrote down. `python -m benchmarks.performance`

A section is a function from its results to Markdown; one whose results are not there yet is left out.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

from benchmarks.limit import ASKED
from benchmarks.limit import RESULTS as LIMIT
from benchmarks.peer_training import RESULTS as TRAINING
from benchmarks.peer_training import ROOT, Results, Row, claims, rows
from benchmarks.peers.install import PEERS, TORCH
from benchmarks.peers.job import AS_IT_COMES

PAGE = ROOT / "docs" / "performance.md"
HEAD = """# Performance

Written by `python -m benchmarks.performance` from what the benchmarks measured; each table names the command that
measures it anew. Times are CPU seconds of one thread, medians with the least and the most. The machine has two cores
that other work shares, so compare figures of one table, not of two.
"""


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Markdown of a table."""
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median (least to most)."""
    middle, low, high = (f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({low} to {high})"


def scatter(losses: Sequence[float]) -> str:
    """Mean and standard deviation over seeds."""
    deviation = statistics.stdev(losses) if len(losses) > 1 else 0.0
    return f"{statistics.mean(losses):.4f} ({deviation:.4f})"


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
    lost = [text for text, holds in claims(found) if not holds]
    return "\n".join(
        [
            INTRODUCTION,
            table(["Ours", "lowest loss (sd)", "s to it", "MB"], own),
            "",
            table(head.split("|"), body),
            "",
            "![Validation loss against processor time, and how many times sooner](images/peer_training.png)",
            "",
            "**Where we lose**, or win by less than was asked:",
            "",
            *([f"- {text}" for text in lost] or ["- nowhere in this run."]),
        ]
    )


INTRODUCTION = f"""## Training, beside the peers

`python -m benchmarks.peer_training`

One series (S&P 500 of the sample, four channels), trained before 2013, judged on 2013-14. The same architecture: LSTM
or GRU of two layers of 64, Transformer of width 64 with 4 heads, 2 encoder layers and a decoder; context 64, one
session ahead, a Student t, no dropout. Each by its own public API, in an environment of its own
({", ".join(f"`{asked}`" for asked in PEERS.values())}, `{TORCH}`). *As it comes* leaves batch, learning rate and
all else as the library has it; *tuned* takes the batch (16 or 64) and the rate (.001 or .003) that come soonest within
.01 of the lowest loss of that grid, searched with another seed. Ours runs as it comes throughout.

- The loss is the mean negative log density of the next return, in standard deviations of the training returns, over
  all validation origins, each behind its own context of 64: the same measure for all, taken off the clock. darts and
  pytorch-forecasting take any likelihood and bring no Student t, so theirs is a few lines of ours.
- Inputs are divided by their standard deviation in training for all. neuralforecast, GluonTS and pytorch-forecasting
  scale each window besides, as they come, and so does ours. Models that read covariates of the step that they forecast
  get each channel a session late. neuralforecast's Transformer takes no other channel than the target.
- *Loss* is the highest of all lowest losses of that peer's seeds and ours, so that every run reaches it; a training is
  followed until nothing better comes for as long as it took plus two seconds, or to 8 CPU seconds, so that the lowest
  loss of a slow one may be higher than it would be in the end.
- The clock is that of the whole call that trains, in its second use in the process. Memory is the process's peak, all
  seeds one after the other. A peer is judged every .15 s (.1 in the first runs) or 6 % of what was spent. Ours is
  known by epoch; the time of one is read off a call of one epoch and one of all.
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
        left.step([*middle.at, 8.0], [*middle.losses, middle.lowest], where="post", label=name, linewidth=width)
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
    held: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
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
    short = [model for model, one in held.items() if one["share"] < ASKED]
    lost = f"**Where we lose:** {' and '.join(short)} below the {ASKED:.0%} asked; [the log](log.md) has where it goes."
    return "\n".join([LIMITS, table(head.split("|"), body), *(["", lost] if short else [])])


LIMITS = """## Training, against the machine

`python -m benchmarks.limit`

The matrix products of one training step, each timed by itself at its very shape, are the least that a step could take.
*Else* is what is not the recurrent cell: scaling, distribution, clipping, optimiser.
"""


SECTIONS: tuple[tuple[Callable[[Path, Path], str], Path], ...] = ((training, TRAINING), (limit, LIMIT))


def main() -> int:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=PAGE)
    asked = parser.parse_args()
    mpl.use("agg")
    pictures = asked.page.parent / "images"
    pictures.mkdir(parents=True, exist_ok=True)
    parts = [section(path, pictures) for section, path in SECTIONS if path.exists()]
    asked.page.write_text("\n".join([HEAD, *(f"{part}\n" for part in parts)]), "utf-8")
    print(f"{len(parts)} sections in {asked.page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
