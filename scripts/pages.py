"""Run what pages of docs/ tell to type, and put what it printed into them: `python scripts/pages.py [PAGE...]`.

    <!-- after COMMAND -->       before the first block: the home is what this command makes, once for all pages
    ```python title="ask.py"     a file for the page; of any language, `title="more.toml"`
    ```console                   `$ ` begins a command, a last backslash goes on with it; the rest is what it printed
    <!-- keep 12 -->             before such a block: of each output so many lines stay, and a line `...`
    <!-- drawn gradient -->      before a picture: it is that one of the last report that the page's commands wrote

All blocks of a page run in their order in one folder, as in a clone of the repository whose environment is active. A
command that ends with ` &` goes on until the page is done, its output in a file. Port 8000 is another one here.
`tests/test_pages.py` runs the same and holds what a page shows against what was printed.
"""

import atexit
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
HOME = ".forecaster"
BLOCK = re.compile(
    r"(?:^<!-- keep (?P<keep>\d+) -->\n)?"
    r"^(?P<indent> *)```(?P<kind>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
COMMAND = re.compile(r"^\$ (?P<command>(?:.*\\\n)*.*)\n?(?P<output>(?:(?!\$ ).*\n?)*)", re.MULTILINE)
KEY = re.compile(r"\bfk_[\w-]+")
LIST = re.compile(r": [\w-]+(?:, [\w-]+)+")
NUMBER = re.compile(r"[-+]?[0-9a-f]{12,}|[-+]?\.?\d[\w.:+-]*%?|(?<=\s)-(?=\s|$)|\*|-{3,}")
PICTURE = re.compile(r"^<!-- drawn (?P<name>[\w-]+) -->\n!\[[^\]]*\]\((?P<path>[^)]+)\)", re.MULTILINE)
AFTER = re.compile(r"^<!-- after (?P<command>.+) -->$", re.MULTILINE)
PATIENCE = 900
PAGES = tuple(
    page for page in sorted(DOCS.glob("*.md")) if re.search(r"^ *```console", page.read_text("utf-8"), re.MULTILINE)
)
_LEFT = (
    ".git",
    ".venv*",
    ".forecaster",
    "site",
    "out",
    "__pycache__",
    "*.egg-info",
    ".*_cache",
    ".hypothesis",
    "results",
)


@dataclass
class Run:
    """A command of a page, and what it printed."""

    command: str
    shown: str
    """What the page says that it prints."""
    printed: str
    code: int
    at: float
    """When it was typed, in seconds of a clock of the caller's."""


@dataclass
class Desk:
    """Where a page is worked through."""

    folder: Path
    port: int
    binaries: Path = Path(sys.executable).parent
    """Of the environment that is active."""
    groups: list[int] = field(default_factory=list)
    """Process groups of what goes on."""

    def write(self, name: str, text: str) -> None:
        """A file that a page shows."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._here(text), "utf-8")

    def run(self, command: str, shown: str = "", at: float = 0.0) -> Run:
        """A command in the page's folder."""
        process = subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", self._here(command)],
            cwd=self.folder, env=self._environment(command), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self.groups.append(process.pid)
        printed, _ = process.communicate(timeout=PATIENCE)
        there = printed.replace(str(self.folder), "~/forecaster").replace(str(self.port), "8000")
        return Run(command, shown, KEY.sub("fk_...", there), process.returncode, at)

    def close(self) -> None:
        """End what goes on."""
        while self.groups:
            with suppress(ProcessLookupError):
                os.killpg(self.groups.pop(), signal.SIGTERM)

    def _here(self, text: str) -> str:
        return re.sub(r"\b8000\b", str(self.port), text)

    def _environment(self, command: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("FORECASTER_", "MLFLOW_"))}
        binaries = (self.binaries, _node())
        path = os.pathsep.join([*map(str, binaries), os.environ["PATH"]])
        shown = {"COLUMNS": "120"}
        if "2>" not in command:  # it is read on a terminal
            shown["FORECASTER_LOG"] = "text"
        return {**kept, **shown, "PATH": path, "PYTHONPATH": str(self.folder)}


def _node() -> Path:
    """A folder with node: the one that Playwright brings along."""
    import playwright

    return Path(str(playwright.__file__)).parent / "driver"


@contextmanager
def desk(folder: Path) -> Iterator[Desk]:
    """The repository as a fresh clone has it, in an empty folder, and a port that is free."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*_LEFT), dirs_exist_ok=True)
    for told in ("init", "config user.name you", "config user.email you@example.com", "add --all", "commit -m clone"):
        subprocess.run(["git", *told.split()], cwd=folder, capture_output=True, check=True)
    made = Desk(folder, free_port())
    try:
        yield made
    finally:
        made.close()


def free_port() -> int:
    """A port of this machine that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@cache
def home_after(command: str) -> Path:
    """The home that a command makes in an empty folder; it is there until the process ends."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with desk(folder) as here:
        done = here.run(command)
    if done.code:
        raise RuntimeError(f"{command}\n{done.printed}")
    return folder / HOME


def runs(
    page: Path, here: Desk, clock: Callable[[], float] = time.monotonic
) -> Iterator[tuple[re.Match[str], list[Run]]]:
    """Each block of a page, and what its commands printed."""
    if before := AFTER.search(page.read_text("utf-8")):
        shutil.copytree(home_after(before["command"]), here.folder / HOME)
    for block in BLOCK.finditer(page.read_text("utf-8")):
        body = textwrap.dedent(block["body"])
        if block["title"]:
            here.write(block["title"], body)
        told = COMMAND.finditer(body) if block["kind"] == "console" else ()
        yield block, [here.run(one["command"], one["output"], clock()) for one in told]


def fill(page: Path) -> None:
    """Put what commands print into a page."""
    text, shift = page.read_text("utf-8"), 0
    with tempfile.TemporaryDirectory() as folder, desk(Path(folder)) as here:
        for block, done in runs(page, here):
            for one in done:
                print(f"{page.name}: {one.command.splitlines()[0]}: {one.code}", flush=True)
                if one.code:
                    sys.exit(one.printed[-3000:])
            if done:
                told = "".join(f"$ {one.command}\n{_kept(one.printed, block['keep'])}" for one in done)
                start, end = (place + shift for place in block.span("body"))
                new = textwrap.indent(told, block["indent"])
                text, shift = text[:start] + new + text[end:], shift + len(new) - (end - start)
        page.write_text(text, "utf-8")
        _hang(text, Path(folder) / HOME / "reports", page.parent)


def _hang(text: str, reports: Path, docs: Path) -> None:
    """Put the pictures that a page names into docs, from the newest report that has them."""
    drawn = {path.stem: path for path in sorted(reports.glob("*/*.png"), key=lambda path: path.stat().st_mtime)}
    for picture in PICTURE.finditer(text):
        if picture["name"] not in drawn:
            sys.exit(f"no picture {picture['name']} was drawn; there are {', '.join(sorted(drawn))}")
        shutil.copy(drawn[picture["name"]], docs / picture["path"])


def _kept(printed: str, keep: str | None) -> str:
    lines = [line.rstrip() for line in printed.strip("\n").splitlines()]
    if keep and len(lines) > int(keep):
        lines = [*lines[: int(keep)], "..."]
    return "".join(f"{line}\n" for line in lines)


def masked(line: str) -> str:
    """What of a line is the same on every machine: words, without figures, order of names and widths of columns."""
    return " ".join(NUMBER.sub(" ", LIST.sub(": ", line)).split())


def surprises(done: Run) -> list[str]:
    """Lines that a page shows and the command did not print."""
    printed = {masked(line) for line in done.printed.splitlines()}
    return [line for line in done.shown.splitlines() if line.strip() != "..." and masked(line) not in printed]


if __name__ == "__main__":
    for page in [DOCS / name for name in sys.argv[1:]] or PAGES:
        fill(page)
