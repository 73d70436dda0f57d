"""The main job in an empty home: wall time and peak memory. `python -m benchmarks.demo`

Bounds: 4 minutes, 2 GB, on 2 cores, with the environment already built.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS, MEGABYTES = 240, 2048


def main() -> int:
    """Run it once."""
    with tempfile.TemporaryDirectory() as home:
        start = time.monotonic()
        command = [str(Path(sys.executable).parent / "forecaster"), "demo", "--json"]
        done = subprocess.run(command, env={**os.environ, "FORECASTER_HOME": home}, capture_output=True, check=False)
        seconds = time.monotonic() - start
        kept = sum(path.stat().st_size for path in Path(home).rglob("*") if path.is_file()) / 2**20
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"demo: {seconds:.0f} s (at most {SECONDS}), peak {peak:.0f} MB (at most {MEGABYTES}), {kept:.0f} MB kept")
    return int(done.returncode != 0 or seconds > SECONDS or peak > MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
