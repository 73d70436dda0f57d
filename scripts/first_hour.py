"""Live through a newcomer's first hour and keep it in docs/first-hour.md: `python -m scripts.first_hour`.

A clone of what is committed, an environment made by `make venv`, then every command of the pages of the hour, in their
order, in that one clone. Nothing is typed that no page says. The transcript has the minute at which each command was
typed; pictures are what a browser showed.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from scripts.pages import DOCS, ROOT, Desk, Run, free_port, runs, surprises

PAGE = DOCS / "first-hour.md"
REPORT, SERVICE = DOCS / "images" / "hour-report.png", DOCS / "images" / "hour-page.png"
BLOCK = re.compile(r"(?<=<!-- hour -->\n).*?(?=<!-- end of the hour -->)", re.DOTALL)
HOUR = ("first-forecast", "own-data", "information-tuning-model", "call-the-api", "every-session")
LINES = 6
"""Of what a command printed, at its beginning and at its end; the pages have all of it."""


@dataclass
class Hour:
    """What was typed, and when."""

    began: float = field(default_factory=time.monotonic)
    typed: list[tuple[str, float, Run]] = field(default_factory=list)
    """Page, seconds since the beginning, command."""
    ended: dict[str, float] = field(default_factory=dict)
    """Seconds since the beginning at which a page was done."""

    def now(self) -> float:
        return time.monotonic() - self.began

    def live(self, here: Desk, look: Page) -> None:
        """Type what the pages say, and look where they say that there is something to see."""
        self._type("make venv", replace(here.run("make venv"), printed=""))  # pip's remarks are of no use to anybody
        for page in HOUR:
            for _, done in runs(DOCS / f"{page}.md", here, self.now):
                for one in done:
                    self._type(page, one)
            self.ended[page] = self.now()
            if page == "first-forecast":
                shown = next(one.printed for _, _, one in self.typed if "report:" in one.printed)
                report = here.folder / shown.split("report:")[1].split()[0]
                look.goto(report.resolve().as_uri())
                look.screenshot(path=REPORT)
            if page == "call-the-api":
                look.goto(f"http://127.0.0.1:{here.port}/")
                look.locator("#forecast:not([aria-busy]) .main-svg").first.wait_for()
                look.screenshot(path=SERVICE)
            here.close()  # what a page left running; the next has the port to itself

    def _type(self, page: str, one: Run) -> None:
        print(f"{clock(one.at)} {page}: {one.command.splitlines()[0]}: {one.code}", flush=True)
        if one.code:
            sys.exit(f"the hour ends here:\n{one.printed[-3000:]}")
        for line in surprises(one):
            print(f"      not as on the page: {line}", flush=True)
        self.typed.append((page, one.at, one))
        self.ended[page] = self.now()

    def told(self) -> str:
        """The transcript."""
        end = self.now()
        parts = ["| page | done at |", "|---|---|"]
        parts += [f"| {link(page)} | {clock(at)} |" for page, at in self.ended.items()]
        parts += ["", f"{len(self.typed)} commands, {end / 60:.0f} minutes of waiting. Reading comes on top.", ""]
        for page in self.ended:
            parts += [f"### {link(page)}", "", "```text"]
            for named, at, one in self.typed:
                if named == page:
                    parts += [f"[{clock(at)}] $ {one.command}", *shortened(one.printed)]
            parts += ["```", ""]
        return "\n".join(parts)


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def link(page: str) -> str:
    """A page of the hour by its name."""
    return f"[{page}]({page}.md)" if page in HOUR else f"`{page}`"


def shortened(printed: str) -> list[str]:
    """The first and last lines."""
    lines = [line.rstrip() for line in printed.strip().splitlines()]
    return lines if len(lines) <= 2 * LINES + 1 else [*lines[:LINES], "...", *lines[-LINES:]]


@contextmanager
def browser() -> Iterator[Page]:
    """Debian's Chromium without a window."""
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield found.new_page(viewport={"width": 1200, "height": 900})
        found.close()


def main() -> None:
    """Live through it, and write it down."""
    with tempfile.TemporaryDirectory() as folder, browser() as look:
        clone = Path(folder) / "forecaster"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        here = Desk(clone, free_port(), clone / ".venv" / "bin")
        hour = Hour()
        try:
            hour.live(here, look)
        finally:
            here.close()
        PAGE.write_text(BLOCK.sub(lambda _: hour.told(), PAGE.read_text("utf-8")), "utf-8")
        print(f"{hour.now() / 60:.0f} minutes")


if __name__ == "__main__":
    main()
