"""Put what `forecaster demo` prints and draws into README.md and docs/images: `make readme`."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(?<=<!-- demo -->\n).*?(?=<!-- end of demo -->)", re.DOTALL)
PICTURES = ("fan", "leaderboard")


def main() -> None:
    """Run the demo in an empty home and keep its words and pictures."""
    with tempfile.TemporaryDirectory() as home:
        command = [str(Path(sys.executable).parent / "forecaster"), "demo"]
        environment = {**os.environ, "FORECASTER_HOME": home}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        words = (done.stderr + done.stdout).replace(home, ".forecaster").strip()
        (report,) = (Path(home) / "reports").iterdir()
        (ROOT / "docs" / "images").mkdir(parents=True, exist_ok=True)
        for name in PICTURES:
            shutil.copy(report / f"{name}.png", ROOT / "docs" / "images" / f"{name}.png")
    readme = ROOT / "README.md"
    readme.write_text(BLOCK.sub(lambda _: f"```\n{words}\n```\n", readme.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
