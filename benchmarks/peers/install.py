"""Environments of the peers. `python -m benchmarks.peers.install --into FOLDER [--only PEER,...]`

One a peer, because no two of them agree on pandas or Lightning. torch comes first and pinned: with an open range pip
would fetch gigabytes of CUDA.
"""

import argparse
import subprocess
import sys
import venv
from collections.abc import Iterable
from pathlib import Path

TORCH = "torch==2.13.0"
PEERS = {
    "neuralforecast": "neuralforecast==3.3.0",
    "darts": "u8darts[torch]==0.41.0",
    "pytorch_forecasting": "pytorch-forecasting==1.8.0",
    "gluonts": "gluonts[torch]==0.17.0",
}
"""Driver -> what pip is asked for."""


def interpreter(folder: Path, peer: str) -> Path:
    """Where the Python of a peer is."""
    return folder / peer / "bin" / "python"


def install(folder: Path, peers: Iterable[str] = PEERS) -> None:
    """Make what is missing; an environment that is whole carries a mark, so a broken one is made anew."""
    for peer in peers:
        mark = folder / peer / f"{PEERS[peer]}.installed"
        if mark.exists():
            continue
        print(f"installing {PEERS[peer]}", flush=True)
        venv.create(folder / peer, clear=True, with_pip=True)
        for asked in ([TORCH], [TORCH, PEERS[peer]]):
            pip = [interpreter(folder, peer), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, *asked], check=True)
        mark.touch()


def main() -> int:
    """Install."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PEERS))
    asked = parser.parse_args()
    install(asked.into.absolute(), asked.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
