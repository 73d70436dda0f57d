"""Is the random walk beaten? `python -m benchmarks.skill [--data FOLDER --symbol S ...]`

Exits 0 where the network that the validation years chose has p < .05 on the test years, or any trained one has after
Holm's correction over all of them. Prints every model, whatever comes out. On other data the demo's run is kept but for
the source, the target and the dates; a channel of another symbol stays only if the folder has that symbol.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from pipelines.reading import demo_path

ALPHA = 0.05


def run_file(asked: argparse.Namespace, folder: Path) -> Path:
    """The demo's run file, with what was asked put in."""
    text = demo_path().read_text("utf-8")
    text = re.sub(r"validation_from = \S+", f"validation_from = {asked.validation_from}", text)
    text = re.sub(r"test_from = \S+", f"test_from = {asked.test_from}", text)
    if asked.data != "sample":
        data = Path(asked.data).absolute()
        other = any(data.glob("^IXIC.*")) and asked.symbol != "^IXIC"
        symbols = [asked.symbol, *(["^IXIC"] if other else [])]
        text = text.replace('bars = { source = "sample" }', f'bars = {{ source = "files", folder = "{data}" }}')
        text = re.sub(r"symbols = .*", f"symbols = {json.dumps(symbols)}", text, count=1)
        text = re.sub(r"series = .*", "series = []", text)
        text = text.replace('symbols = ["^GSPC"]\nvenue', f'symbols = ["{asked.symbol}"]\nvenue').replace(
            '"XNYS"', f'"{asked.venue}"'
        )
        text = text if other else text.replace(', "log_return(^IXIC)"', "")
    path = folder / "run.toml"
    path.write_text(text, "utf-8")
    return path


def demo(asked: argparse.Namespace) -> dict[str, Any]:
    """The demo's summary, from an empty home."""
    with tempfile.TemporaryDirectory() as home:
        run = str(run_file(asked, Path(home)))
        command = [str(Path(sys.executable).parent / "forecaster"), "demo", "--json", "--run", run]
        environment = {**os.environ, "FORECASTER_HOME": home}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> int:
    """Judge one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="sample", help="folder of SYMBOL.csv[.gz] files, or sample")
    parser.add_argument("--symbol", default="^GSPC")
    parser.add_argument("--venue", default="XNYS")
    parser.add_argument("--validation-from", default="2013-01-01")
    parser.add_argument("--test-from", default="2015-01-01")
    rows = demo(parser.parse_args())["leaderboard"]
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
