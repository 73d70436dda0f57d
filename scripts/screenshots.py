"""Pictures of the page, every view on every screen: `python scripts/screenshots.py FOLDER [URL [SYMBOL]]`.

Without a URL they are of a store with real prices and a short past, made for it.
"""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "serving"))

from page_server import chromium, served, take_pictures
from page_store import NOW, SYMBOL, page_store


def main(folder: str, url: str | None = None, symbol: str = SYMBOL) -> None:
    """Take them, and say where they are."""
    with ExitStack() as stack:
        if url is None:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "home"
            page_store(home).engine.dispose()
            url = stack.enter_context(served(home, NOW))
        for path in take_pictures(stack.enter_context(chromium()), url, symbol, Path(folder)):
            print(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
