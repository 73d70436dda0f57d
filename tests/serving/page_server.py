"""The service for a browser: a real server on loopback, and Debian's Chromium."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from serving.app import create_app
from serving.settings import Settings

VIEWS = ("forecast", "past", "record", "models")
SCREENS = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True},
}


@contextmanager
def served(home: Path, now: datetime, port: int = 0, **settings: object) -> Iterator[str]:
    """Where the service answers, until the end of the block."""
    app = create_app(Settings(home=home, **settings), clock=lambda: now)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the service did not start"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window.

    It is Debian's (`apt-get install chromium`): what playwright would download comes from no package registry.
    """
    path = shutil.which("chromium")
    assert path, "the page is tested in a real browser: apt-get install chromium"
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def settle(page: Page, view: str) -> None:
    """Wait until a view has what it asked for, and its charts are drawn."""
    page.locator(f"#{view}:not([aria-busy])").wait_for()
    page.locator(f"#{view} .body > *").first.wait_for(state="attached")
    for chart in page.locator(f"#{view} .chart").all():
        chart.locator(".main-svg").first.wait_for()


def take_pictures(browser: Browser, address: str, symbol: str, folder: Path) -> list[Path]:
    """Every view on every screen, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    for screen, what in SCREENS.items():
        page = browser.new_page(**what)
        for view in VIEWS:
            page.goto(f"{address}/?symbol={symbol}&view={view}")
            settle(page, view)
            taken.append(folder / f"{view}-{screen}.png")
            page.screenshot(path=taken[-1], full_page=True)
        page.close()
    return taken
