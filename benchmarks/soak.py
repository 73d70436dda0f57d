"""Does it grow? `python -m benchmarks.soak [--requests 1000000] [--steps 10]`

A million requests of mixed kinds: the latest forecast, with and without its ETag, a symbol nobody knows, history, the
record, forecasts on demand. Bounds: under 200 MB at the end, and over the second half of the steps no slope: less than
2 MB from the first of them to the last by a straight line. Prints memory at each step.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.answering import OURS, new_key, own_time, service, settled
from benchmarks.load import SYMBOL, demo_home, post, started, wrk

MEGABYTES, GROWTH = 200, 2.0
OTHERS = ("NOBODY", f"{SYMBOL}?horizon=1", f"{SYMBOL}/history?limit=20")


def main() -> int:
    """Ask a million times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--model", default="lstm", help='in charge meanwhile; "champion" for the gate\'s own')
    asked = parser.parse_args()
    memory: list[float] = []
    with (
        demo_home(asked.model) as home,
        tempfile.TemporaryDirectory() as spare,
        started(OURS, "/readyz", service(home)) as ours,
    ):
        key = settled(ours, new_key(home))
        script = post(Path(spare), "predict", own_time(home, 10)[1])
        base, done = f"{ours.url}/v1/forecasts/", 0.0
        while done < asked.requests:
            step = 0.0
            while step < asked.requests / asked.steps:
                loads = [(wrk(base + SYMBOL, 16, 8, key), 8)]
                loads += [(wrk(base + other, 16, 1, key), 1) for other in OTHERS]
                loads += [(wrk(f"{ours.url}/v1/predict", 4, 1, key, script), 1)]
                step += sum(load.rate * seconds for load, seconds in loads)
            done += step
            memory.append(ours.megabytes())
            print(f"{done:9.0f} requests  {memory[-1]:6.1f} MB", flush=True)
    late = memory[len(memory) // 2 :]
    growth = statistics.linear_regression(range(len(late)), late).slope * (len(late) - 1)
    print(
        f"{memory[-1]:.0f} MB after {done:.0f} requests (at most {MEGABYTES}), {growth:+.2f} MB over the second half "
        f"(at most {GROWTH:.0f})"
    )
    return int(memory[-1] > MEGABYTES or growth > GROWTH)


if __name__ == "__main__":
    sys.exit(main())
