"""Every picture of the docs is made by a command, shown on a page, and that of the rooms is what the code says."""

import re
from pathlib import Path

import pytest

from benchmarks import performance
from scripts import first_hour, readme, rooms
from scripts.pages import DOCS, PICTURE

ROOT = DOCS.parent
IMAGE = re.compile(r"!\[[^\]]+\]\((?:docs/)?images/([^)]+)\)")
TEXT = "\n".join(path.read_text("utf-8") for path in (ROOT / "README.md", *sorted(DOCS.glob("*.md"))))


def made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Pictures by the command that makes them."""
    monkeypatch.setattr("sys.argv", ["performance", "--page", str(folder / "performance.md")])
    assert performance.main() == 0
    return {
        "make readme": {f"{name}.png" for name in readme.PICTURES},
        "make pages": {Path(found["path"]).name for found in PICTURE.finditer(TEXT)},
        "python -m scripts.first_hour": {first_hour.REPORT.name, first_hour.SERVICE.name},
        "make reference": {rooms.PICTURE.name},
        "python -m benchmarks.performance": {path.name for path in (folder / "images").iterdir()},
    }


def test_every_picture_is_made_by_one_command_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by = made(tmp_path, monkeypatch)
    assert all(by.values())
    everything = [name for names in by.values() for name in names]
    assert len(everything) == len(set(everything))
    assert set(everything) == {path.name for path in (DOCS / "images").iterdir()}
    assert set(everything) == set(IMAGE.findall(TEXT))


def test_the_map_of_the_rooms_is_what_the_code_says() -> None:
    assert rooms.PICTURE.read_text("utf-8") == rooms.picture(), "run `make reference`"


def test_a_wing_that_leans_on_the_other_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaning(wing: str) -> list[tuple[str, str]]:
        return [("train", "serving.app")] if wing == "pipelines" else []

    monkeypatch.setattr(rooms, "imports", leaning)
    with pytest.raises(SystemExit, match="import each other"):
        rooms.border(0, 0)


def test_a_room_that_is_gone_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rooms.PLAN, "serving", {"door": "door moat"})
    with pytest.raises(SystemExit, match="no room moat"):
        list(rooms.grouped("serving", 200))
