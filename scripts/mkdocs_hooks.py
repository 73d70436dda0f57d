"""What MkDocs cannot do by itself: decisions enter the navigation, links out of docs/ are checked and unlinked.

`<!-- deploy of README -->` becomes README's block of that name, which a script follows word by word.

A page may link to a file of the repository (`../docker/database.sh`), which is right where the page is read beside it.
The site holds docs/ alone, so there the link becomes the file's path; where no such file is, the build fails.
"""

import logging
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig

ROOT = Path(__file__).parent.parent
OUTSIDE = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#]*)(?:#[^)]*)?\)")
THERE = re.compile(r"<!-- (\w+) of README -->")
log = logging.getLogger("mkdocs.hooks.site")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put every decision below its heading of the navigation."""
    pages = [f"decisions/{path.name}" for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
    _fill(config.nav, pages)
    return config


def on_page_markdown(markdown: str, page: Any, **_given: Any) -> str:
    """Show files outside docs/ by their path."""
    here = Path(page.file.abs_src_path).parent

    def shown(link: re.Match[str]) -> str:
        words, target = link[1], (here / link[2]).resolve()
        if target.is_relative_to(ROOT / "docs"):
            return link[0]
        if not target.exists():
            log.warning("%s links to %s, which is not there", page.file.src_uri, link[2])
        path = f"`{target.relative_to(ROOT)}`"
        return path if words.strip("`") in path else f"{words} ({path})"

    return OUTSIDE.sub(shown, THERE.sub(_block, markdown))


def _block(named: re.Match[str]) -> str:
    """What stands between README's marks of a name."""
    text = (ROOT / "README.md").read_text("utf-8")
    return text.partition(f"<!-- {named[1]} -->\n")[2].partition(f"<!-- end of {named[1]} -->")[0]


def _fill(nav: Any, pages: list[str]) -> None:
    for entry in nav:
        for title, below in entry.items():
            if title == "Decisions":
                entry[title] = pages
            elif isinstance(below, list):
                _fill(below, pages)
