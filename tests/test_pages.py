"""Pages for newcomers do what they say: files they show are written, commands run, outputs held against the page's."""

from pathlib import Path

import pytest

from scripts.pages import PAGES, desk, runs, surprises

QUICK = ("first-forecast.md",)
"""The rest take minutes each."""
WALKED = "extend.md"
"""tests/test_half_hour.py runs it, and checks what it leads to."""
RUN = [
    pytest.param(page, id=page.name, marks=() if page.name in QUICK else pytest.mark.slow)
    for page in PAGES
    if page.name != WALKED
]


@pytest.mark.parametrize("page", RUN)
def test_commands_print_what_the_page_says(page: Path, tmp_path: Path) -> None:
    count = 0
    with desk(tmp_path) as here:
        for _, done in runs(page, here):
            for one in done:
                assert one.code == 0, f"{one.command}\n{one.printed}"
                assert not surprises(one), f"{one.command} prints otherwise:\n{one.printed}"
                count += 1
    assert count, "no command is on the page"


def test_the_check_notices_another_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('```text title="a.txt"\none 1\n```\n```console\n$ cat a.txt\none 2\n$ echo two\nthree\n```\n')
    folder = tmp_path / "desk"
    folder.mkdir()
    with desk(folder) as here:
        (first, second) = [one for _, done in runs(page, here) for one in done]
    assert surprises(first) == []
    assert surprises(second) == ["three"]
