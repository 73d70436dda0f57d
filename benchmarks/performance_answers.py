"""Sections on answers: inference, start-up, and the service."""

import statistics
from pathlib import Path
from typing import Any

from benchmarks.answering import ASKED as ASKED_OF_ROUTE
from benchmarks.performance_table import Section, figures, lost, ranged, spread, table
from benchmarks.record import RESULTS

LATENCY, FASTER, NEAR = 0.2, 30.0, 1.0
"""Asked of inference: milliseconds of one context, times faster with a carried state, times the best at many."""
HELP, FORECAST = 0.3, 1.5
"""Asked of start-up, seconds."""
TIMES, SHARE = {"latest": 10.0, "demand": 2.0}, {"latest": 0.2, "demand": 0.2}
"""Asked beside MLflow: times its rate, and share of its p99."""
MEMORY, READY = 0.5, 1.5

Timings = dict[tuple[str, str], dict[str, dict[str, Any]]]


def inference(path: Path, _pictures: Path) -> str:
    """Artifacts, in milliseconds."""
    found: Timings = {}
    for one in figures(path)["timings"]:
        found.setdefault((one["model"], one["job"]), {})[one["way"]] = one
    body = [
        [model, job, way, ranged(one, 1 if one["median"] > 10 else 3)]
        for (model, job), ways in found.items()
        for way, one in ways.items()
    ]
    asked = []
    for (model, job), ways in found.items():
        if job == "one context":
            took = ways["runtime"]["median"]
            asked.append((f"{model}: one context in {took:.2f} ms (at most {LATENCY})", took <= LATENCY))
        elif "carried" in ways:
            times = ways["windows"]["median"] / ways["carried"]["median"]
            text = f"{model}: {job}, {times:.0f} times faster with the state carried (at least {FASTER:.0f})"
            asked.append((text, times >= FASTER))
        elif "runtime" in ways:
            best = min(ways.values(), key=lambda one: one["median"])
            times = ways["runtime"]["median"] / best["median"]
            asked.append((f"{model}: {job}, {times:.2f} times the best, {best['way']}", times <= NEAR))
    return "\n".join([INFERENCE, table("Model|Work|Way|ms", body), "", lost(asked)])


INFERENCE = """An LSTM and a GRU of 2 x 64, contexts of 64 sessions and 12 channels, five sessions ahead. *Runtime* is
what serves, on the artifact's ONNX graph; *torch eager* is the same network as most packages serve it; *onnx by 64*
gives the graph so many rows a call; *carried* is the artifact's declared mode that keeps a state instead of reading a
whole context at each session.
"""


def startup(path: Path, _pictures: Path) -> str:
    """Commands, in seconds."""
    found = {one["command"]: one for one in figures(path)["commands"]}
    body = [[f"`{name}`", ranged(one["cpu"]) if one["cpu"] else "", ranged(one["wall"])] for name, one in found.items()]
    asked = []
    for name, one in found.items():
        limit = HELP if name.endswith("--help") else FORECAST if " forecast " in name else None
        if limit is not None:
            took = one["cpu"]["median"]
            asked.append((f"`{name}` in {took:.2f} s (at most {limit})", took <= limit))
    introduction = "From the start of the process to its end, or until the service says that it is ready.\n"
    return "\n".join([introduction, table("Command|CPU s|s by the clock", body), "", lost(asked)])


def answering(path: Path, _pictures: Path) -> str:
    """Our routes beside the least that a route can be."""
    found = figures(path)
    names = {"latest": "latest forecast, ours", "bare": "a bare Starlette route, the same bytes",
             "predict": "`POST /v1/predict`, one connection"}  # fmt: skip
    loads = found["loads"]
    body = [_load(name, loads[key]) for key, name in names.items()]
    middle = {name: _medians(one) for name, one in loads.items()}
    share, over = middle["latest"]["rate"] / middle["bare"]["rate"], middle["predict"]["p50"] - found["own_ms"]
    least, most = ASKED_OF_ROUTE
    asked = [
        (f"the latest forecast at {share:.0%} of the bare route's rate (at least {least:.0%})", share >= least),
        (f"predict's p50 {over:.2f} ms above the model's own {found['own_ms']:.2f} (at most {most:g})", over <= most),
    ]
    text = f"""wrk beside the service on the same cores, 16 connections, in turns; keys, limits and metrics on.
The latest forecast comes at **{share:.0%}** of the bare route's rate; a forecast on demand takes {over:.2f} ms
beyond the model's own {found["own_ms"]:.2f} ms ({found["model"]}).
"""
    return "\n".join([text, table(LOADS, body), "", lost(asked)])


LOADS = "Route|Answers a second|p50, ms|p99, ms|Failed"


def peer_serving(path: Path, _pictures: Path) -> str:
    """Beside MLflow's server."""
    found = figures(path)
    names = {"latest": "latest forecast, ours", "demand": "on demand, ours", "mlflow": "`mlflow models serve`"}
    loads = found["loads"]
    body = [_load(name, loads[key]) for key, name in names.items()]
    middle = {name: _medians(one) for name, one in loads.items()}
    asked = []
    for name in ("latest", "demand"):
        times, share = (middle[name][key] / middle["mlflow"][key] for key in ("rate", "p99"))
        asked.append(
            (f"{names[name]}: {times:.1f} times MLflow's rate (at least {TIMES[name]:g})", times >= TIMES[name])
        )
        asked.append((f"{names[name]}: p99 {share:.2f} of MLflow's (at most {SHARE[name]})", share <= SHARE[name]))
    memory, ready = found["memory_mb"], statistics.median(found["ready_s"])
    part = memory["ours"] / memory["mlflow"]
    asked.append((f"memory {part:.0%} of MLflow's (at most {MEMORY:.0%})", part <= MEMORY))
    asked.append((f"ready after {ready:.2f} s (at most {READY})", ready <= READY))
    text = f"""The same graph behind both, one worker each, 16 connections, in turns. Memory
{memory["ours"]:.0f} MB against {memory["mlflow"]:.0f}; ours is ready {spread(found["ready_s"])} s after its start.
"""
    return "\n".join([text, table(LOADS, body), "", lost(asked)])


def _medians(loads: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(one[key] for one in loads) for key in ("rate", "p50", "p99")}


def _load(name: str, loads: list[dict[str, float]]) -> list[str]:
    digits = {"rate": 0, "p50": 2, "p99": 1}
    told = [spread([one[key] for one in loads], places) for key, places in digits.items()]
    return [name, *told, f"{sum(one['bad'] for one in loads):.0f}"]


SECTIONS = (
    Section("Inference", "python -m benchmarks.inference", RESULTS / "inference.json", inference),
    Section("Start-up", "python -m benchmarks.startup", RESULTS / "startup.json", startup),
    Section("Serving", "python -m benchmarks.answering", RESULTS / "answering.json", answering),
    Section("Serving, beside MLflow", "python -m benchmarks.peer_serving", RESULTS / "peer_serving.json", peer_serving),
)
