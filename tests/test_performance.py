"""docs/performance.md says what the benchmarks wrote down, and growth is read off it rightly."""

import json
from dataclasses import asdict
from pathlib import Path

import matplotlib as mpl
import pytest

from benchmarks import performance_answers, performance_scale
from benchmarks.load import Load
from benchmarks.performance import HEAD, PAGE, SECTIONS
from benchmarks.performance_table import Section, lost, spread, table
from benchmarks.record import machine, write
from benchmarks.scale_growth import Growth, Size, Took, claims, power

mpl.use("agg")


def growth(dimension: str, sizes: tuple[int, ...], exponent: float, a_byte: float) -> Growth:
    """Seconds that grow with a power, and memory by so many bytes a byte beside a constant."""
    runs = []
    for size in sizes:
        took = [
            Took(Size(), {"read": 0.0, "train": (1 + noise) * 0.1 * size**exponent, "compare": 0.0}, 700.0,
                 {"compare": 720.0 + a_byte * size}, float(size))
            for noise in (0.0, -0.1, 0.3)
        ]  # fmt: skip
        runs.append(tuple(took))
    return Growth(dimension, sizes, tuple(runs))


def test_the_page_is_what_its_command_writes(tmp_path: Path) -> None:
    assert PAGE.read_text("utf-8") == "\n".join([HEAD, *(section.text(tmp_path) for section in SECTIONS)])
    assert {path.name for path in tmp_path.iterdir()} <= {path.name for path in (PAGE.parent / "images").iterdir()}


def test_a_command_that_was_not_run_has_one_line_in_its_place(tmp_path: Path) -> None:
    section = Section("Data", "python -m benchmarks.data", tmp_path / "data.json", performance_scale.data)
    assert section.text(tmp_path) == "## Data\n\n`python -m benchmarks.data`: not run yet.\n"


def test_figures_stand_beside_day_and_machine_and_say_where_we_lose(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    took = {"SQLite": {"first_s": 20.0, "second_s": 2.0}, "PostgreSQL": {"first_s": 95.0, "second_s": 3.0}}
    panels = {"store": [1.0, 2.0, 1.5], "snapshot": [0.1, 0.2, 0.15]}
    write(path, {"imports": took, "panel_s": panels, "memory_ratio": 1.01, "histories": 2})
    text = Section("Data", "python -m benchmarks.data", path, performance_scale.data).text(tmp_path)
    run = machine()
    assert f"`python -m benchmarks.data`, {run['date']}, {run['cores']} cores, {run['processor']}\n" in text
    assert "| panel of 50 symbols x 20 years from the store | 1.50 (1.00 to 2.00) |" in text
    assert text.endswith("less than was asked:\n\n- the slowest import 95.0 s (at most 90)\n")


def test_serving_is_put_beside_what_was_asked_of_it(tmp_path: Path) -> None:
    def loads(*rates: float) -> list[dict[str, float]]:
        return [asdict(Load(rate, 1e3 / rate, 5e3 / rate, 0)) for rate in rates]

    path = tmp_path / "answering.json"
    routes = {"latest": loads(500, 600, 700), "bare": loads(1000, 900, 1100), "predict": loads(800)}
    write(path, {"model": "lstm", "bytes": 9, "own_ms": 0.2, "loads": routes})
    text = performance_answers.answering(path, tmp_path)
    assert "| latest forecast, ours | 600 (500 to 700) | 1.67 (1.43 to 2.00) |" in text
    assert text.endswith("- predict's p50 1.05 ms above the model's own 0.20 (at most 1)")
    beside = {"latest": loads(1000), "demand": loads(300), "mlflow": loads(100)}
    write(
        path, {"model": "lstm", "loads": beside, "memory_mb": {"ours": 100, "mlflow": 400}, "ready_s": [1.0, 2.0, 1.2]}
    )
    text = performance_answers.peer_serving(path, tmp_path)
    assert "Memory\n100 MB against 400; ours is ready 1.20 (1.00 to 2.00) s" in text
    assert text.endswith("asked:\n\n- on demand, ours: p99 0.33 of MLflow's (at most 0.2)")


def test_growth_is_the_slope_of_logarithms_and_of_bytes() -> None:
    found = growth("symbols", (1, 10, 100, 500), 1.2, 3.0)
    assert found.exponents == pytest.approx((1.2, 1.2))
    assert found.bytes_a_byte == pytest.approx(3.0)
    assert power([2, 4, 8], [3, 3, 3]) == pytest.approx(0.0)
    assert [holds for _, holds in claims([found], 1.0)] == [False, False]
    assert all(holds for _, holds in claims([growth("symbols", (1, 10, 100), 1.0, 0.9)], 1.0))


def test_growth_comes_back_from_its_file_and_is_drawn(tmp_path: Path) -> None:
    found = [growth("symbols", (1, 10, 100), 0.9, 2.0), growth("seeds", (1, 2, 4), 1.0, 0.0)]
    path = tmp_path / "scale.json"
    write(path, {"growth": [one.record() for one in found]})
    assert [Growth.read(raw) for raw in json.loads(path.read_text("utf-8"))["growth"]] == found
    text = performance_scale.scale(path, tmp_path)
    assert "| symbols | 0.90 | 0.90 | 2.0 |" in text
    assert "- symbols: peak memory grows by 2.0 bytes a byte of data (at most 1)" in text
    assert (tmp_path / "scale.png").stat().st_size > 10_000


def test_tables_and_spreads_are_plain_markdown() -> None:
    assert table("a|b", [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
    assert (spread([3.0, 1.0, 2000.0], 0), spread([1.0])) == ("3 (1 to 2,000)", "1.00")
    assert lost([("well", True)]).endswith("nowhere; all that was asked of this table holds.")
