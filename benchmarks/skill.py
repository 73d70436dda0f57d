"""Is the random walk beaten? `python -m benchmarks.skill [--run FILE]`

Exits 0 where the network that the validation years chose has p < .05 on the test years, or any trained one has after
Holm's correction over all of them. Prints every model, whatever comes out.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ALPHA = 0.05


def demo(run: str | None) -> dict[str, Any]:
    """The demo's summary, from an empty home."""
    with tempfile.TemporaryDirectory() as home:
        command = [str(Path(sys.executable).parent / "forecaster"), "demo", "--json", *(["--run", run] if run else [])]
        environment = {**os.environ, "FORECASTER_HOME": home}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> int:
    """Judge one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", help="run file; the demo's if left out")
    rows = demo(parser.parse_args().run)["leaderboard"]
    for row in rows:
        print(
            f"{row['name']:12} skill {row['skill']:+.4f} (s.e. {row['skill_se']:.4f}) p {row['dm_p']:.4f} "
            f"Holm {row['dm_p_holm']:.4f} h=1 {row['crps_1']:.4f} validation {row['validation_skill']:+.4f}"
        )
    trained = [row for row in rows if row["family"] != "naive"]
    chosen = max(trained, key=lambda row: row["validation_skill"])
    best = min(trained, key=lambda row: row["dm_p_holm"])
    print(
        f"chosen by validation: {chosen['name']} p = {chosen['dm_p']:.3f}; "
        f"best after Holm over {len(trained)}: {best['name']} p = {best['dm_p_holm']:.3f}, skill {best['skill']:+.2%}"
    )
    return int(chosen["dm_p"] >= ALPHA and best["dm_p_holm"] >= ALPHA)


if __name__ == "__main__":
    sys.exit(main())
