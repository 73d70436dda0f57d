"""Two Ray nodes, each in a network namespace of its own, joined by a cable that exists for the occasion.

The far node has an empty folder where the near one has homes and temporary files, so that nothing can come to it but
through Ray. Addresses are from RFC 2544's range for benchmarks, and known within these namespaces only.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

NEAR, FAR = "198.18.0.1", "198.18.0.2"
PORT = 6379
PATIENCE = 300.0
"""Seconds for a node to come up, on a machine with other work."""
WHILE = 30
"""Seconds that a node is kept busy: longer than another one takes to start a worker."""
RAY = Path(sys.executable).parent / "ray"
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Nodes:
    """A cluster of two."""

    address: str
    around: dict[str, str]
    """Environment of who connects: the token."""
    inside: tuple[str, ...]
    """Words that put a command into the near namespace."""

    @property
    def environment(self) -> dict[str, str]:
        return surroundings(self.around)


@contextmanager
def two(folder: Path) -> Iterator[Nodes | str]:
    """A cluster of two nodes of one processor each; why not, where that cannot be had.

    Arguments:
        folder: What the near node keeps there the far one does not see.
    """
    reason = _impossible()
    if reason is not None:
        yield reason
        return
    names = [f"forecaster-{side}-{os.getpid()}" for side in ("near", "far")]
    around = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0",
              "PYTHONPATH": str(ROOT)}  # fmt: skip
    started: list[subprocess.Popen[bytes]] = []
    try:
        _cable(names)
        started.append(
            _node(
                names[0],
                around,
                folder,
                ["--head", f"--port={PORT}", f"--node-ip-address={NEAR}", "--include-dashboard=false"],
            )
        )
        cluster = Nodes(f"{NEAR}:{PORT}", around, ("ip", "netns", "exec", names[0]))
        _wait(cluster, 1)
        far = [f"--address={NEAR}:{PORT}", f"--node-ip-address={FAR}"]
        started.append(_node(names[1], around, folder, far, unseen=folder))
        _wait(cluster, 2)
        yield cluster
    finally:
        _take_down(names, started)


def who_works(cluster: Nodes, count: int = 2) -> set[str]:
    """Addresses of the nodes that answer when as many are asked at once."""
    asked = [WHILE if count > 1 else 0] * count
    code = (
        "import json\nfrom benchmarks.scale_nodes import here\nfrom pipelines.engines.cluster import Cluster\n"
        f"workers = Cluster(address={cluster.address!r})\n"
        f"print(json.dumps(sorted({{answer for _, answer in workers.each(here, {asked})}})))"
    )
    command = [*cluster.inside, sys.executable, "-c", code]
    done = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def here(seconds: float) -> str:
    """The address of the machine that answers; it takes its time, so that one alone does not answer for all."""
    time.sleep(seconds)
    ours = [one.address for held in psutil.net_if_addrs().values() for one in held]
    return next(address for address in ours if address in (NEAR, FAR))


def surroundings(around: dict[str, str]) -> dict[str, str]:
    """This process's environment with these settings of Ray and no others.

    A cluster of this machine alone leaves its own there, among them the one that keeps a node to the loopback address.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | around


def _impossible() -> str | None:
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "it takes root, and iproute2"
    probe = f"forecaster-probe-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if tried.returncode:
        return tried.stderr.strip()
    subprocess.run(["ip", "netns", "del", probe], check=False, capture_output=True)
    return None


def _cable(names: list[str]) -> None:
    ends = [f"fc{side}{os.getpid()}" for side in "ab"]
    _ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
    for name, end, address in zip(names, ends, (NEAR, FAR), strict=True):
        _ip("netns", "add", name)
        _ip("link", "set", end, "netns", name)
        _ip("-n", name, "addr", "add", f"{address}/30", "dev", end)
        for device in ("lo", end):
            _ip("-n", name, "link", "set", device, "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _node(
    name: str, around: dict[str, str], folder: Path, words: list[str], unseen: Path | None = None
) -> "subprocess.Popen[bytes]":
    """A node at work; `ip netns exec` gives it mounts of its own, too."""
    hidden = f"mount -t tmpfs none {unseen} && " if unseen is not None else ""
    temporary = f"/tmp/{name}"  # noqa: S108 - short: sockets' names have a limit
    ray = f"{RAY} start --block --num-cpus=1 {' '.join(words)}"
    keep = f" --temp-dir={temporary}" if unseen is None else ""
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            ["ip", "netns", "exec", name, "sh", "-c", f"{hidden}exec {ray}{keep}"],
            env=surroundings(around), stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


def _wait(cluster: Nodes, count: int) -> None:
    deadline, last = time.monotonic() + PATIENCE, ""
    while time.monotonic() < deadline:
        try:
            if len(who_works(cluster, count)) == count:
                return
        except subprocess.CalledProcessError as error:
            last = error.stderr
        time.sleep(1)
    raise SystemExit(f"FAILS: {count} nodes did not come up in {PATIENCE:.0f} s: {last[-1000:]}")


def _take_down(names: list[str], started: list["subprocess.Popen[bytes]"]) -> None:
    """What was started here and everything in these namespaces, then the namespaces, and the cable with them."""
    for process in started:
        os.killpg(process.pid, signal.SIGTERM)
    for process in started:
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    for name in names:
        left = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout
        for pid in left.split():
            psutil.Process(int(pid)).kill()
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
        shutil.rmtree(f"/tmp/{name}", ignore_errors=True)  # noqa: S108 - made above
