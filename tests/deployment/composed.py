"""The services of docker-compose.yml as processes of this machine: commands, environment and health checks as stated.

Only where things are is put in: addresses of services, folders in the place of volumes, secrets and configs. The
entry point of the images is run too, so passwords take the way they take in a container.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]


class Service:
    """One service, or one of several of it."""

    def __init__(self, name: str, folder: Path, places: Mapping[str, str], around: Mapping[str, str]) -> None:
        """Arguments:
        folder: Of its own.
        places: What stands in the files, to what it is here.
        around: What the machine's environment adds.
        """
        self.name, self._folder, self._stated = name, folder, SERVICES[name]
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        self._places = {**places, "/tmp/": f"{folder}/tmp/"}  # noqa: S108
        image = (ROOT / self._stated["build"]["dockerfile"]).read_text("utf-8").replace("\\\n", " ")
        settings = [
            word.partition("=") for line in re.findall(r"^ENV (.*)$", image, re.MULTILINE) for word in shlex.split(line)
        ]
        stated = {name: value for name, _, value in settings} | self._stated["environment"]
        self._environment = {
            **{key: self.here(value) for key, value in stated.items() if key != "PATH"},
            **around,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "TMPDIR": str(folder / "tmp"),
            "OMP_NUM_THREADS": "1",
        }
        (said,) = re.findall(r"^CMD (\[.*\])$", image, re.MULTILINE)
        self._command = [self.here(word) for word in self._stated.get("command") or json.loads(said)]
        self._process: subprocess.Popen[bytes] | None = None

    def here(self, text: str) -> str:
        """What a file says, on this machine."""
        stated = "|".join(re.escape(one) for one in sorted(self._places, key=len, reverse=True))
        return re.sub(stated, lambda found: self._places[found[0]], text)

    @property
    def told(self) -> str:
        """What it has written."""
        return (self._folder / "told").read_text("utf-8", errors="replace")

    def start(self) -> None:
        """Start it through the entry point of its image."""
        entry = self._folder / "entrypoint.sh"
        entry.write_text(self.here((ROOT / "docker" / "entrypoint.sh").read_text("utf-8")))
        with (self._folder / "told").open("ab") as told:
            self._process = subprocess.Popen(
                ["sh", str(entry), *self._command], cwd=self._folder, env=self._environment, stdout=told,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    def run(self) -> None:
        """Start it and wait for its end, which must be a good one."""
        self.start()
        assert self._process is not None
        assert self._process.wait(timeout=120) == 0, self.told

    def wait_until_well(self, seconds: float = 120) -> None:
        """Ask its health check, as stated, until it is well."""
        kind, *check = self._stated["healthcheck"]["test"]
        assert kind == "CMD"
        command = [self.here(word.replace("$$", "$")) for word in check]
        until = time.monotonic() + seconds
        while subprocess.run(command, env=self._environment, capture_output=True, check=False).returncode:
            assert time.monotonic() < until, f"{self.name} is not well:\n{self.told[-3000:]}"
            assert self._process is not None
            assert self._process.poll() is None, f"{self.name} ended:\n{self.told[-3000:]}"
            time.sleep(0.5)

    def stop(self) -> int:
        """Tell it to stop, as compose does; its exit code."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            return self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            return self._process.wait()
