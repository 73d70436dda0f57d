"""What `forecaster` alone shows, how its list is grouped, and what the Tab key knows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from pipelines.cli import app
from pipelines.front import FIVE, GROUPS
from tests.pipelines.conftest import forecaster

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def test_alone_it_shows_the_five_commands_of_the_readme_and_how_to_get_the_rest(tmp_path: Path) -> None:
    done = forecaster(home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    told = re.findall(r"^  forecaster (\S.*?) {2,}(.*)$", done.stdout, re.MULTILINE)
    readme = (ROOT / "README.md").read_text("utf-8")
    assert told == list(FIVE) == re.findall(r"^forecaster (\S.*?) +# (.*)$", readme, re.MULTILINE)
    assert "`forecaster --help` lists all commands" in done.stdout
    assert len(done.stdout.splitlines()) < 15  # one look
    assert not list(tmp_path.iterdir())


def test_every_command_is_listed_in_one_group(tmp_path: Path) -> None:
    named = [name for _, names in GROUPS for name in names]
    assert sorted(named) == sorted(get_command(app).commands)
    assert max(len(names) for _, names in GROUPS) <= 7
    listed = forecaster("--help", home=tmp_path).stdout
    assert re.findall(r"^  ([a-z][a-z-]+) {2,}", listed, re.MULTILINE) == named
    assert [line.rstrip(":") for line in listed.splitlines() if line.endswith(":")][1:] == [one for one, _ in GROUPS]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("forecaster che", {"check-leaks"}),
        ("forecaster re", {"retrain", "reproduce", "replay", "restore"}),
        ("forecaster key r", {"rotate", "revoke"}),
        ("forecaster demo --r", {"--run"}),
        ("forecaster train --engine r", {"ray"}),
    ],
)
def test_the_tab_key_knows_the_commands_once_installed(typed: str, offered: set[str], tmp_path: Path) -> None:
    """bash itself, with what `--install-completion` wrote into its start-up file."""
    environment = {**os.environ, "HOME": str(tmp_path), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    def bash(script: str) -> str:
        command = ["bash", "--norc", "-c", script]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout

    assert "completion installed" in bash("forecaster --install-completion; true")
    words = typed.split(" ")
    pressed = f"""
        source ~/.bashrc
        COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}
        "$(complete -p forecaster | sed 's/.*-F \\([^ ]*\\).*/\\1/')" forecaster
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    assert set(bash(pressed).split()) == offered
