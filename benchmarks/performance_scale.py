"""Sections on size: data, growth of a run, engines, and a whole retraining."""

import statistics
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from benchmarks.data import COLD, GROWTH, IMPORT, WARM
from benchmarks.performance_table import Section, figures, lost, spread, table
from benchmarks.record import RESULTS
from benchmarks.scale_growth import ASKED, Growth, claims


def data(path: Path, _pictures: Path) -> str:
    """The store and the snapshot."""
    found = figures(path)
    body = [
        [f"100 symbols x 15 years into {name}", f"{took['first_s']:.1f}"] for name, took in found["imports"].items()
    ]
    body += [
        [f"the same again with one session more, {name}", f"{took['second_s']:.1f}"]
        for name, took in found["imports"].items()
    ]
    body += [[f"panel of 50 symbols x 20 years from the {name}", spread(s)] for name, s in found["panel_s"].items()]
    slowest = max(took["first_s"] for took in found["imports"].values())
    cold, warm = (statistics.median(found["panel_s"][name]) for name in ("store", "snapshot"))
    ratio = found["memory_ratio"]
    asked = [
        (f"the slowest import {slowest:.1f} s (at most {IMPORT:g})", slowest <= IMPORT),
        (f"a panel from the store {cold:.2f} s (at most {COLD:g})", cold <= COLD),
        (f"a panel from the snapshot {warm:.2f} s (at most {WARM:g})", warm <= WARM),
        (f"windows of 512 sessions take {ratio:.2f} times the memory of 16 (at most {GROWTH:g})", ratio <= GROWTH),
    ]
    text = f"""Daily bars under other names, from {found["histories"]} real histories; by the clock. Windows are views:
those of 512 sessions take {ratio:.2f} times the memory of those of 16.
"""
    return "\n".join([text, table("Work|s", body), "", lost(asked)])


def scale(path: Path, pictures: Path) -> str:
    """Growth, dimension by dimension."""
    found = [Growth.read(raw) for raw in figures(path)["growth"]]
    body = []
    for one in found:
        for size, runs, data_mb in zip(one.sizes, one.runs, one.medians("data_mb"), strict=True):
            parts = (spread([run.seconds[part] for run in runs], 1) for part in ("read", "train", "compare"))
            grown = spread([run.grown_mb for run in runs], 0)
            body.append([f"{one.dimension}: {size:,}", *parts, f"{data_mb:,.1f}", grown])
    draw(found, pictures / "scale.png")
    powers = [
        [
            one.dimension,
            *(f"{exponent:.2f}" for exponent in one.exponents),
            *([f"{one.bytes_a_byte:.1f}"] if one.data_grows else [""]),
        ]
        for one in found
    ]
    before = statistics.median(run.before_mb for one in found for runs in one.runs for run in runs)
    return "\n".join(
        [
            SCALE.format(before=before),
            table("Dimension|power of time|between the two largest|bytes of memory a byte of data", powers),
            "",
            table("Size|read, s|train, s|compare, s|data, MB|memory beyond the constant, MB", body),
            "",
            "![Processor time and memory against size, logarithmic](images/scale.png)",
            "",
            lost(list(claims(found, ASKED))),
        ]
    )


SCALE = """One dimension grows at a time: a snapshot is read and cut into windows, LSTMs are trained for two epochs and
sealed, and all are compared with the random walk. The others stay at 10 symbols, 2,000 sessions (1,000 where symbols
grow), 6 channels, one network and one seed; markets are simulated. Each size has a fresh process, warmed up off the
clock; what it holds by then, {before:.0f} MB, is the constant. *Data* are the facts, the windows cut from them and the
forecasts that are compared, each once. A power of 1 is in line with the size; what does not grow makes it smaller.
"""


def draw(found: Sequence[Growth], path: Path) -> None:
    """Time and memory against size, both in logarithms."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    for number, one in enumerate(found):
        base, seconds = np.array(one.sizes) / one.sizes[0], one.medians("processor")
        label = (
            f"{one.dimension} from {one.sizes[0]:,}: power {one.exponents[0]:.2f}, {one.exponents[1]:.2f} at the end"
        )
        _line(left, base, [[run.processor for run in runs] for runs in one.runs], f"C{number}", label)
        left.annotate(f"{one.sizes[-1]:,}", (float(base[-1]), seconds[-1]), xytext=(4, 2), textcoords="offset points")
        if one.data_grows:
            label = f"{one.dimension}: {one.bytes_a_byte:.1f} bytes a byte of data"
            grown = [[max(run.grown_mb, 1.0) for run in runs] for runs in one.runs]
            _line(right, np.array(one.medians("data_mb")), grown, f"C{number}", label)
    for axes, name in ((left, "size, in units of the smallest"), (right, "data, MB")):
        ends = np.array(axes.get_xlim())
        low = axes.get_ylim()[0]
        axes.plot(ends, low * ends / ends[0], ":", color="grey", linewidth=1, label="in line with the size")
        axes.set(xscale="log", yscale="log", xlabel=name)
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    left.set(ylabel="processor seconds", title="Time")
    right.set(ylabel="peak beyond the constant, MB", title="Memory")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _line(axes: Axes, at: np.ndarray, values: Sequence[Sequence[float]], colour: str, label: str) -> None:
    axes.plot(at, [statistics.median(one) for one in values], "o-", color=colour, label=label)
    axes.vlines(at, [min(one) for one in values], [max(one) for one in values], color=colour)


def engines(path: Path, _pictures: Path) -> str:
    """One process, the pool and Ray."""
    found = figures(path)
    body = [
        [
            one["engine"],
            f"{one['seconds']:.0f}",
            f"{one['processor']:.0f}",
            f"{one['workers_mb']:,.0f}",
            "yes" if one["same"] and one["expected"] else "**no**",
        ]
        for one in found["trials"]
    ]
    begun = [
        [
            one["engine"],
            f"{one['first_processor_s']:.1f} ({one['first_s']:.1f})",
            f"{one['task_processor_ms']:.1f} ({one['task_ms']:.1f})",
            f"{one['idle_mb']:.0f}",
        ]
        for one in found["starts"]
    ]
    pool, ray = found["starts"]
    once, each, more = (ray[key] - pool[key] for key in ("first_processor_s", "task_processor_ms", "idle_mb"))
    over = f"Over the pool, Ray costs {once:.1f} s of processor time once, {each:.1f} ms a task and {more:.0f} MB."
    asked = [(f"{one['engine']}: not the same", one["same"] and one["expected"]) for one in found["trials"]]
    if not any("namespaces" in one["engine"] for one in found["trials"]):
        asked.append(("two nodes in network namespaces: that machine would not have them", False))
    return "\n".join(
        [
            ENGINES,
            table("Engine|s by the clock|processor s|workers, MB|the same to the bit", body),
            "",
            table("Engine|first answer, processor s (clock)|empty task, processor ms (clock)|waiting, MB", begun),
            "",
            over,
            "",
            lost(asked),
        ]
    )


ENGINES = """The walk-forward backtest of four models over two years of refits, by each engine in a copy of one home:
digests of all artifacts and every figure of the leaderboard are compared with those of one process.
"""


def retraining(path: Path, _pictures: Path) -> str:
    """From an empty home to a champion."""
    found = figures(path)
    body = [
        [
            f"{one['symbols']}",
            f"{one['clock']:.0f}",
            f"{one['spent']:.0f}",
            f"{one['others']:.0f}",
            f"{one['together']:,.0f}",
            f"{one['data']:,.0f}",
        ]
        for one in found["sizes"]
    ]
    text = f"""From an empty home: local files are fetched, a snapshot is taken, {found["families"]} families (with
{found["seeds"]} seeds of each that learns by gradient) are trained on {found["sessions"]:,} sessions a symbol,
compared, judged by the gate and promoted, on {found["cores"]} cores. *Others* is what else the machine did meanwhile.
"""
    head = "Symbols|s by the clock|processor s|others, processor s|memory of all, MB|data, MB"
    held = [(one["figure"], one["holds"]) for one in found["held"]]
    least, most = found["sizes"][0], found["sizes"][-1]
    if most["data"] > least["data"]:
        ratio = (most["together"] - least["together"]) / (most["data"] - least["data"])
        held.append((f"memory grows by {ratio:.1f} bytes a byte of data (at most 1, and a constant)", ratio <= 1))
    return "\n".join([text, table(head, body), "", lost(held)])


SECTIONS = (
    Section("A whole retraining", "python -m benchmarks.retraining", RESULTS / "retraining.json", retraining),
    Section("Data", "python -m benchmarks.data", RESULTS / "data.json", data),
    Section("Cost as work grows", "python -m benchmarks.scale", RESULTS / "scale.json", scale),
    Section("Engines", "python -m benchmarks.scale_engines", RESULTS / "scale_engines.json", engines),
)
