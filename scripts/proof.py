"""Run every command of docs/evidence.md and say which claims hold: `make proof`.

A command runs from the repository root in the project's environment, exits 0 only where its claim holds, and prints
its figure last. Nothing is skipped; one failure makes the whole fail.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROW = re.compile(r"^\| (?P<claim>[^|]+) \| `(?P<command>[^`]+)` \|")


def claims(page: Path) -> list[tuple[str, str]]:
    """Claim and command of each row, in order."""
    found = [ROW.match(line) for line in page.read_text("utf-8").splitlines()]
    return [(row["claim"], row["command"]) for row in found if row and row["claim"] != "claim"]  # not the heads


def main() -> int:
    """Run them all; the number that failed."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    failed, done = 0, {}
    for claim, command in claims(ROOT / "docs" / "evidence.md"):
        if command not in done:
            start = time.monotonic()
            run = subprocess.run(
                ["bash", "-c", command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
            )
            last = (run.stdout.strip().splitlines() or [""])[-1]
            done[command] = (run.returncode, last, time.monotonic() - start)
            if run.returncode:
                sys.stderr.write(run.stdout[-3000:] + run.stderr[-3000:])
        code, last, seconds = done[command]
        failed += code != 0
        print(
            f"{'holds' if code == 0 else 'FAILS'}  {claim}\n       {command}  ({seconds:.0f} s)\n       {last}",
            flush=True,
        )
    print(f"{len(done)} commands, {failed} claims failed")
    return failed


if __name__ == "__main__":
    sys.exit(min(main(), 1))
