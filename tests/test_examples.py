"""Each example runs as somebody would run it: a process of its own, in an empty folder, offline."""

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.pages import desk

EXAMPLES = Path(__file__).parent.parent / "examples"
SAYS = {
    "one_symbol.py": ("har", "champion: ", "2019-01-02"),
    "universe.py": ("^GSPC\n", "^IXIC\n", "2019-01-02"),
    "own_csv.py": ("fetched   1 subject from files", "champion: "),
    "level_series.py": ("fetched   1 subject from files", "champion: "),
    "custom_feature.py": ("nothing leaks", "skill with below_high: "),
}


@pytest.mark.parametrize("name", SAYS)
def test_it_runs_and_says_what_came_of_it(name: str, tmp_path: Path) -> None:
    with desk(tmp_path) as here:
        done = here.run(f"python examples/{name}")
    assert done.code == 0, done.printed
    assert [words for words in SAYS[name] if words not in done.printed] == []


def test_the_service_is_asked(tmp_path: Path) -> None:
    with desk(tmp_path) as here:
        made = here.run("forecaster demo --run examples/own_csv.toml")
        assert made.code == 1
        assert "prices" in made.printed  # the folder that it wants
        assert here.run("python examples/own_csv.py").code == 0
        here.run("forecaster serve --port 8000 > serve.log 2>&1 &")
        wait = "curl -s --retry 60 --retry-delay 1 --retry-connrefused http://127.0.0.1:8000/readyz"
        assert here.run(wait).code == 0
        asked = here.run("python examples/call_api.py SPX http://127.0.0.1:8000")
        assert asked.code == 0, asked.printed
        assert "SPX from 2018-12-31, issued: True" in asked.printed
        other = here.run("python examples/call_api.py MSFT http://127.0.0.1:8000")
        assert other.code == 1
        assert "404 Unknown symbol: unknown symbol 'MSFT'; known here: SPX" in other.printed


def test_all_are_run_here_and_short() -> None:
    files = {path.name: path.read_text("utf-8") for path in EXAMPLES.glob("*.py")}
    assert set(files) == {*SAYS, "call_api.py", "my_features.py"}
    assert {name for name, text in files.items() if text.count("\n") >= 60} == set()
    assert {path.stem for path in EXAMPLES.glob("*.toml")} - {Path(name).stem for name in SAYS} == {"ladder", "study"}


def test_examples_import_without_side_effects(tmp_path: Path) -> None:
    code = "import runpy, sys; [runpy.run_path(path, run_name='x') for path in sys.argv[1:]]"
    paths = [str(path) for path in EXAMPLES.glob("*.py")]
    subprocess.run([sys.executable, "-c", code, *paths], check=True, cwd=tmp_path, timeout=300)
    assert list(tmp_path.iterdir()) == []
