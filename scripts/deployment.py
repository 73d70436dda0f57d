"""Follow README's deployment without Docker, word by word, as on a machine that has nothing of ours.

A fresh clone in a folder of its own, an environment with no variable of this project, the commands between README's
marks in one shell. Exits 0 only where every command did what it should: the backup is whole, the service answers with
a forecast, and it and the worker still run at the end.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"<!-- deploy -->\n```sh\n(.*?)```\n<!-- end of deploy -->", re.DOTALL)
KEPT = re.compile(r"PIP_\w+|SSL_\w+|REQUESTS_\w+|\w+_proxy|\w+_PROXY|LANG|LC_\w+|TMPDIR")
PORT = 8000
LAST = "\necho; echo running:; jobs -r\n"


def commands() -> str:
    """What README tells to type."""
    (block,) = BLOCK.findall((ROOT / "README.md").read_text("utf-8"))
    return str(block)


def environment(home: Path) -> dict[str, str]:
    """What a new user has: how to reach the package index, and no more."""
    kept = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    mine = str(Path(sys.executable).parent)
    path = os.pathsep.join(one for one in os.environ["PATH"].split(os.pathsep) if one != mine)
    return {**kept, "HOME": str(home), "PATH": path}


def follow(folder: Path) -> str:
    """The output of the commands in a fresh clone."""
    clone, home, told = folder / "clone", folder / "home", folder / "told"
    home.mkdir()
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    with told.open("w") as out:
        shell = subprocess.Popen(
            ["bash", "-eu", "-c", commands() + LAST],
            cwd=clone, env=environment(home), stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code = shell.wait()
        finally:
            os.killpg(shell.pid, signal.SIGTERM)  # the worker and the service are the shell's
    text = told.read_text("utf-8")
    if code:
        logs = "".join(f"\n{log.name}:\n{log.read_text('utf-8')}" for log in sorted(clone.glob("*.log")))
        sys.exit(f"{text[-3000:]}{logs[-3000:]}\nexit code {code}")
    return text


def main() -> None:
    """Follow it and judge."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT)) == 0:
            sys.exit(f"something answers on port {PORT} already; stop it first")
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        text = follow(Path(folder))
    said = next(line for line in text.splitlines() if line.startswith("{"))
    answer, _ = json.JSONDecoder().raw_decode(said)  # curl ends without a new line
    running = text.partition("\nrunning:\n")[2]
    missing = [name for name in ("forecaster work", "forecaster serve") if name not in running]
    if missing or answer["symbol"] != "^GSPC" or not answer["steps"]:
        sys.exit(f"{text[-3000:]}\nnot running: {missing or 'none'}")
    print(
        f"{len(commands().splitlines())} commands, {time.monotonic() - start:.0f} s; "
        f"{answer['symbol']} from {answer['origin']}, {len(answer['steps'])} sessions ahead"
    )


if __name__ == "__main__":
    main()
