"""The contributor's half hour, from docs/extend.md alone: a feature, a source, a family, a distribution, in a clone."""

import re
import subprocess
from pathlib import Path

import pytest

from scripts.pages import BLOCK, DOCS, ROOT, desk, runs, surprises

PAGE = DOCS / "extend.md"
TOLD = {"feature": 3, "source": 3, "family": 4, "distribution": 4}
REFERENCE = "docs/reference.md"
PATCHES = {
    block["title"]: block["body"] for block in BLOCK.finditer(PAGE.read_text("utf-8")) if block["kind"] == "diff"
}


@pytest.mark.slow
def test_the_guide_leads_to_green_checks_and_names_every_file(tmp_path: Path) -> None:
    with desk(tmp_path) as here:
        for _, done in runs(PAGE, here):
            for one in done:
                assert one.code == 0, f"{one.command}\n{one.printed}"
                assert not surprises(one), f"{one.command} prints otherwise:\n{one.printed}"
        log = here.run('git log --format="# %s" --name-only').printed
        left = here.run("git status --short --untracked-files=no").printed
    assert left == ""  # no change to a file of the repository stayed out of the commits
    commits = re.findall(r"^# (\w+): .*\n\n((?:[^#\n].*\n?)+)", log, re.MULTILINE)
    assert {kind.lower(): len(set(files.split()) - {REFERENCE}) for kind, files in commits} == TOLD


def test_the_guide_says_how_many_files() -> None:
    words = {"three": 3, "four": 4, "five": 5}
    sections = re.findall(r"^## An? (\w+)\n(.*?)(?=^## )", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    said = {kind: re.findall(r"\*\*(\w+) files\*\*", text) for kind, text in sections}
    assert {kind: [words[word.lower()] for word in found] for kind, found in said.items()} == {
        kind: [count] for kind, count in TOLD.items()
    }


@pytest.mark.parametrize("name", PATCHES)
def test_its_patches_fit_what_is_there(name: str) -> None:
    command = ["git", "apply", "--check", "-"]
    done = subprocess.run(command, cwd=ROOT, input=PATCHES[name], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        f"{done.stderr}a line beside those that {name} of docs/extend.md adds is another one now: apply it by hand, "
        "write what `git diff -U1` says into the page's block, and take it back"
    )
