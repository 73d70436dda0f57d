"""The service from start to ready, and what it holds in memory. `python -m benchmarks.serving`

Bounds: ready within 2 s (median of 5 starts), under 250 MB after 2,000 requests. Uses the home of FORECASTER_HOME if it
has a database, else a fresh demo's.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

SECONDS, MEGABYTES, STARTS, REQUESTS = 2.0, 250, 5, 2000
FORECASTER = str(Path(sys.executable).parent / "forecaster")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def measure(environment: dict[str, str], requests: int) -> tuple[float, float, float]:
    """Seconds to ready, resident MB after the requests, median milliseconds a request."""
    port = free_port()
    start = time.monotonic()
    service = subprocess.Popen(
        [FORECASTER, "serve", "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            while True:
                try:
                    if client.get("/readyz").status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                if time.monotonic() - start > 60:
                    raise TimeoutError("not ready after 60 s")
                time.sleep(0.01)
            seconds = time.monotonic() - start
            times = []
            for _ in range(requests):
                before = time.perf_counter()
                client.get("/v1/forecasts/^GSPC").raise_for_status()
                times.append(time.perf_counter() - before)
        status = Path(f"/proc/{service.pid}/status").read_text("utf-8")
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024
    finally:
        service.terminate()
        service.wait(20)
    return seconds, resident, 1000 * statistics.median(times)


def main() -> int:
    """Start it several times."""
    home = Path(os.environ.get("FORECASTER_HOME", ".forecaster"))
    with tempfile.TemporaryDirectory() as spare:
        if not (home / "forecaster.db").exists():
            home = Path(spare)
        environment = {**os.environ, "FORECASTER_HOME": str(home)}
        subprocess.run([FORECASTER, "demo", "--json"], env=environment, capture_output=True, check=True)
        runs = [measure(environment, 1) for _ in range(STARTS - 1)] + [measure(environment, REQUESTS)]
    seconds = statistics.median(run[0] for run in runs)
    _, resident, milliseconds = runs[-1]
    print(
        f"ready after {seconds:.2f} s (median of {STARTS}, at most {SECONDS}), {resident:.0f} MB after {REQUESTS} "
        f"requests (at most {MEGABYTES}), {milliseconds:.1f} ms a forecast"
    )
    return int(seconds > SECONDS or resident > MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
