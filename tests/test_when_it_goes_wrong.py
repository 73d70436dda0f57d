"""Every row of docs/when-it-goes-wrong.md: its step is taken, and says what the page says."""

import re

import pytest

from tests.first_steps import PAGE, ROW, STEPS, taken

SHOWN = {row["name"]: row["line"] for row in ROW.finditer(PAGE.read_text("utf-8"))}
FIGURES = re.compile(r"\d+")
ASKED = {
    "no-column",
    "unsorted",
    "given-twice",
    "no-ticker",
    "no-network",
    "no-network-series",
    "short-window",
    "short-training",
    "port-taken",
    "old-python",
    "home-without-rights",
    "mistyped-key",
    "mistyped-command",
    "nothing-fetched",
    "not-trained",
    "no-champion",
}
"""What a newcomer must be helped out of, whatever else is on the page."""

# The command line silences third parties itself, and here it runs in this process.
pytestmark = pytest.mark.filterwarnings("ignore")


def test_every_step_has_its_row() -> None:
    assert set(SHOWN) == set(STEPS) >= ASKED


@pytest.mark.parametrize("name", SHOWN)
def test_the_step_says_what_the_page_says(name: str) -> None:
    said = taken(name)
    assert FIGURES.sub("0", said) == FIGURES.sub("0", SHOWN[name])
    assert "Traceback" not in said
    assert "internal error" not in said
