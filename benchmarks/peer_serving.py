"""Against `mlflow models serve` on the same graph. `python -m benchmarks.peer_serving [--model lstm]`

The champion's graph, saved by `mlflow.onnx` and served as MLflow does (one worker, local environment), and our service,
in turns, wrk beside them with 16 connections. Bounds: the latest forecast at least 10 times MLflow's rate and at most a
fifth of its p99; a forecast on demand from the caller's own rows at least twice the rate and at most a third of the p99
(a fifth was hoped for: docs/log.md); less than half its memory; ready within 1.5 s of the start (median of 5). No
request may fail.
"""

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import mlflow.onnx
import onnx

from benchmarks.answering import OURS, new_key, own_time, service, settled
from benchmarks.load import BIN, SYMBOL, Load, Served, demo_home, post, started, wrk
from benchmarks.record import RESULTS, write
from forecaster.store.artifacts import load_artifact
from forecaster.store.champions import all_champions
from forecaster.store.database import connect, sqlite_url

LATEST, DEMAND, MEMORY, READY = 10.0, 2.0, 0.5, 1.5
LATEST_P99, DEMAND_P99 = 0.2, 0.33
STARTS = 5


def saved(home: Path, folder: Path) -> Path:
    """The champion's graph as an MLflow model."""
    engine = connect(sqlite_url(home))
    (champion,) = all_champions(engine)
    graph = onnx.load_from_string(load_artifact(engine, champion.digest).model)
    engine.dispose()
    mlflow.onnx.save_model(graph, folder / "model", pip_requirements=["mlflow", "onnxruntime"])
    return folder / "model"


def rounds_of(
    ours: Served, theirs: Served, key: dict[str, str], scripts: tuple[Path, Path], seconds: float, rounds: int
) -> dict[str, list[Load]]:
    """The three questions in turns."""
    found: dict[str, list[Load]] = {"latest": [], "demand": [], "mlflow": []}
    for _ in range(rounds):
        found["latest"].append(wrk(f"{ours.url}/v1/forecasts/{SYMBOL}", 16, seconds, key))
        found["demand"].append(wrk(f"{ours.url}/v1/predict", 16, seconds, key, scripts[0]))
        found["mlflow"].append(wrk(f"{theirs.url}/invocations", 16, seconds, None, scripts[1]))
    return found


def ready(home: Path) -> list[float]:
    """Seconds from the start to ready."""
    times = []
    for _ in range(STARTS):
        with started(OURS, "/readyz", service(home)) as one:
            times.append(one.ready)
    return times


def main() -> int:
    """Measure both, in one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="lstm", help='in charge meanwhile; "champion" for the gate\'s own')
    parser.add_argument("--results", type=Path, default=RESULTS / "peer_serving.json")
    asked = parser.parse_args()
    with demo_home(asked.model) as home, tempfile.TemporaryDirectory() as spare:
        folder = Path(spare)
        _, question = own_time(home)
        rows = json.loads(question)["context"]
        scripts = post(folder, "ours", question), post(folder, "mlflow", json.dumps({"inputs": {"context": [rows]}}))
        mlflow_serve = (str(BIN / "mlflow"), "models", "serve", "--model-uri", str(saved(home, folder)))
        options = ("--port", "{port}", "--host", "127.0.0.1", "--env-manager", "local", "--workers", "1")
        path = {"PATH": f"{BIN}:/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
        starts = ready(home)
        with (
            started(OURS, "/readyz", service(home)) as ours,
            started((*mlflow_serve, *options), "/ping", path) as theirs,
        ):
            key = settled(ours, new_key(home))
            found = rounds_of(ours, theirs, key, scripts, asked.seconds, asked.rounds)
            memory = ours.megabytes(), theirs.megabytes()
    loads = {name: [asdict(one) for one in of] for name, of in found.items()}
    sizes = dict(zip(("ours", "mlflow"), memory, strict=True))
    write(asked.results, {"model": asked.model, "loads": loads, "memory_mb": sizes, "ready_s": starts})
    return told(found, memory, statistics.median(starts))


def told(found: dict[str, list[Load]], memory: tuple[float, float], seconds: float) -> int:
    """Print the figures; 0 where every bound holds."""
    rate = {name: statistics.median(one.rate for one in loads) for name, loads in found.items()}
    p99 = {name: statistics.median(one.p99 for one in loads) for name, loads in found.items()}
    bad = sum(one.bad for loads in found.values() for one in loads)
    for name in found:
        print(f"{name:<8} {rate[name]:8.0f} a second, p99 {p99[name]:6.1f} ms")
    latest, demand = rate["latest"] / rate["mlflow"], rate["demand"] / rate["mlflow"]
    slowest, slower = p99["latest"] / p99["mlflow"], p99["demand"] / p99["mlflow"]
    share = memory[0] / memory[1]
    print(
        f"latest {latest:.1f} times MLflow's rate (at least {LATEST:.0f}), "
        f"p99 {slowest:.2f} of its (at most {LATEST_P99}); "
        f"on demand {demand:.1f} times (at least {DEMAND:.0f}), p99 {slower:.2f} (at most {DEMAND_P99}); "
        f"memory {memory[0]:.0f} of {memory[1]:.0f} MB (at most {MEMORY:.0%}), "
        f"ready after {seconds:.2f} s (at most {READY}); {bad} failed"
    )
    faster = latest >= LATEST and demand >= DEMAND and slowest <= LATEST_P99 and slower <= DEMAND_P99
    return int(not faster or share > MEMORY or seconds > READY or bad > 0)


if __name__ == "__main__":
    sys.exit(main())
