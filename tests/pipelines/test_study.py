"""The study: cells from its file, parts from scores with planted effects, words that follow them, and a whole run."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from sqlalchemy import select

from forecaster.errors import ConfigError
from forecaster.store.challenges import count_recipes
from forecaster.store.database import connect
from forecaster.store.schema import look
from forecaster.windows import Sample, Spans, Windows
from pipelines.engines.base import Crew
from pipelines.figures.study import LUCK
from pipelines.home import Home
from pipelines.study.cells import Way, even
from pipelines.study.config import Study, load_study, study_path
from pipelines.study.findings import Findings, write
from pipelines.study.parts import Cell, Factorial, Part
from pipelines.study.run import study
from pipelines.study.words import paragraph, verdict
from tests.real_data import DATA, with_data

# mlflow, where a model is first logged in a process.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType")

NOW = datetime(2019, 3, 1, tzinfo=UTC)
SETS, FAMILIES = ("price", "+ volume", "+ macro"), ("ar", "mlp", "lstm")
TINY = """
[study]
trials = 2
[study.information]
price = ["log_return", "log_range"]
"+ momentum" = ["momentum_3m"]
"+ indices" = ["log_return(^IXIC)"]
[data]
symbols = ["^GSPC", "^IXIC"]
[target]
symbols = ["^GSPC"]
venue = "XNYS"
horizon = 2
[window]
context = 24
burn_in = 21
[split]
validation_from = 2009-01-01
test_from = 2010-01-01
test_until = 2011-01-01
[training]
seeds = 2
epochs = 1
patience = 1
[[models]]
name = "naive"
family = "naive"
[[models]]
name = "ar"
family = "ar"
[[models]]
name = "lstm"
family = "lstm"
hidden = 4
"""

torch.set_num_threads(1)


def written(tmp_path: Path, text: str = TINY) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(text)
    return path


def read(tmp_path: Path, text: str = TINY, data: Path | None = None) -> Study:
    return load_study(written(tmp_path, text), data, tmp_path / "links")


# --- its file


def test_each_set_shows_what_the_ones_before_show_and_more(tmp_path: Path) -> None:
    plan = read(tmp_path)
    assert plan.design.sets == ("price", "+ momentum", "+ indices")
    assert plan.shown("price").window.channels == ("log_return", "log_range")
    assert plan.shown("+ indices").window.channels == ("log_return", "log_range", "momentum_3m", "log_return(^IXIC)")
    assert [family.name for family in plan.families] == ["ar", "lstm"]
    assert plan.shown("price").models == plan.run.models


def test_the_study_that_ships_keeps_out_of_the_demos_test_years(tmp_path: Path) -> None:
    plan = load_study(study_path(), None, tmp_path)
    assert plan.run.data.bars.source == "sample"
    assert plan.run.split.test_until is not None
    assert plan.run.split.test_until <= date(2015, 1, 1)
    assert len(plan.design.sets) == 5


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("trials = 2", "trials = 0", "study.trials: must be at least 1, not 0"),
        (
            "trials = 2",
            "trails = 2",
            "unknown key 'study.trails', did you mean 'trials'\\? allowed here: files, information, trials",
        ),
        ('"+ momentum" = ["momentum_3m"]', '"+ momentum" = []', "'\\+ momentum' adds no channel"),
        ('["momentum_3m"]', '["momentum_4m"]', "momentum_4m"),
        ('["momentum_3m"]', '["log_range"]', "a channel is named twice"),
        ('["log_return", "log_range"]', '["log_range"]', "the first channel must be the target's own"),
        ("burn_in = 21", 'burn_in = 21\nchannels = ["log_return"]', "no channels: \\[study.information\\] has them"),
        ("seeds = 2", "seeds = 1", "at least 2 fits of a trained family are needed"),
        ('[[models]]\nname = "ar"\nfamily = "ar"\n', "", "models: at least two besides the random walk"),
        ('"^IXIC"]\n[target]', '"^DJI"]\n[target]', "\\^IXIC is used but neither in symbols nor in series"),
        ("[data]", '[data]\nbars = { source = "files" }', "say where they are with --data FOLDER"),
    ],
)
def test_what_does_not_hold_is_said_in_one_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in TINY
    with pytest.raises(ConfigError, match=said) as raised:
        read(tmp_path, TINY.replace(old, new))
    assert "\n" not in str(raised.value)


def test_a_run_file_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no \[study\]: .*, as examples/study.toml does"):
        load_study(Path(__file__).parents[2] / "examples" / "one_symbol.toml", None, tmp_path)


def test_one_set_is_no_study(tmp_path: Path) -> None:
    text = TINY.replace('"+ momentum" = ["momentum_3m"]\n', "").replace('"+ indices" = ["log_return(^IXIC)"]\n', "")
    with pytest.raises(ConfigError, match=r"study\.information: at least two sets are needed"):
        read(tmp_path, text)


def test_files_are_found_by_the_subjects_they_hold(tmp_path: Path) -> None:
    files = '[study.files]\n"^GSPC" = "deep/spx_adjusted.csv.gz"\n[study.information]'
    text = TINY.replace("[study.information]", files).replace("[data]", '[data]\nbars = { source = "files" }')
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"has no deep/spx_adjusted\.csv\.gz, which should hold \^GSPC"):
        read(tmp_path, text, data)
    (data / "deep" / "spx_adjusted.csv.gz").write_bytes(b"one")
    for _ in range(2):  # a link from before is no hindrance
        plan = read(tmp_path, text, data)
    folder = plan.run.data.bars.model_dump()["folder"]
    assert (folder / "^GSPC.csv.gz").read_bytes() == b"one"


@with_data
def test_apples_study_holds(tmp_path: Path) -> None:
    path = study_path().with_name("study_apple.toml")
    plan = load_study(path, DATA, tmp_path / "links")
    assert plan.run.target.symbols == ("AAPL",)
    names = {link.name.removesuffix(".gz").removesuffix(".csv") for link in (tmp_path / "links").iterdir()}
    assert names == {*plan.run.data.symbols, *plan.run.data.series}


# --- the same origins


def test_every_set_is_trained_and_scored_on_the_origins_that_all_have(tmp_path: Path) -> None:
    spec = read(tmp_path).run.window
    sessions = np.arange("2001-01-01", "2001-12-01", dtype="datetime64[D]")

    def spans(skipped: int, hole: int) -> Spans:
        count = len(sessions) - skipped
        values, flat = np.zeros((count, 1)), np.zeros((count, 2))
        windows = Windows(spec, sessions[skipped:], values, np.ones(count), flat, np.ones(count, dtype=bool))
        parts = [np.arange(start, stop) - skipped for start, stop in ((40, 120), (120, 200), (200, 280))]
        return Spans(*((Sample(windows, part[part != hole - skipped]),) for part in parts))

    one, two = even([(spans(0, 210),), (spans(30, 50),)])
    for part in ("train", "validation", "test"):
        mine, theirs = (getattr(folds[0], part)[0] for folds in (one, two))
        shared = mine.windows.sessions[mine.origins]
        np.testing.assert_array_equal(shared, theirs.windows.sessions[theirs.origins])
        missing = {"train": 1, "validation": 0, "test": 1}[part]
        assert len(shared) == 80 - missing


# --- the parts


def factorial(
    information: float = 0.0,
    tuning: float = 0.0,
    model: float = 0.0,
    common: float = 0.0,
    seeds: int = 3,
    scatter: float = 0.0,
    sessions: int = 1500,
    blind: str = "",
    draw: int = 0,
) -> Factorial:
    """Scores with planted effects (share of the random walk's score that each step saves), on shared and own noise."""
    rng = np.random.default_rng(draw)
    walk = 1 + 0.3 * np.abs(rng.standard_normal((sessions, 2)))
    shock = common * rng.standard_normal((sessions, 1))
    cells = []
    for place, name in enumerate(SETS):
        for rank, family in enumerate(FAMILIES):
            for tuned in (False, True):
                if family == blind and place:
                    continue
                gain = information * place + tuning * tuned + model * rank
                lucky = scatter * rng.standard_normal((seeds, 1, 1))
                noise = 0.02 * rng.standard_normal((1, sessions, 2))
                losses = walk * (1 - gain - lucky) + noise + shock
                cells.append(Cell(name, family, tuned, losses))
    return Factorial(tuple(cells), walk, SETS, FAMILIES)


def test_a_planted_effect_is_found_and_no_other() -> None:
    parts = factorial(information=0.01).parts()
    assert parts["information"].size == pytest.approx(0.02, abs=0.002)
    assert parts["information"].low > 0.015
    for name in ("tuning", "model"):
        assert parts[name].low < 0 < parts[name].high
    tuned = factorial(tuning=0.01, model=-0.01).parts()
    assert tuned["tuning"].low > 0.005
    assert tuned["model"].size == pytest.approx(-0.02, abs=0.002)
    assert tuned["information"].low < 0 < tuned["information"].high


def test_steps_add_up_to_the_information() -> None:
    found = factorial(information=0.01)
    assert list(found.steps()) == ["+ volume", "+ macro"]
    assert sum(part.size for part in found.steps().values()) == pytest.approx(found.parts()["information"].size)


def test_what_moves_all_cells_of_a_session_alike_moves_no_part() -> None:
    """The pairing: bad days are bad for all cells, and say nothing about which is better."""
    calm, wild = factorial(information=0.01), factorial(information=0.01, common=0.3)
    for name, part in calm.parts().items():
        assert wild.parts()[name].size == pytest.approx(part.size, abs=1e-12)
        assert wild.parts()[name].low == pytest.approx(part.low, abs=1e-12)
    assert max(merit.error for merit in wild.merits()) > 3 * max(merit.error for merit in calm.merits())


def test_pairing_is_by_session() -> None:
    """With the sessions of half the cells out of order the common shock no longer cancels."""
    paired = factorial(common=0.3)
    order = np.random.default_rng(1).permutation(len(paired.walk))
    torn = [replace(cell, losses=cell.losses[:, order]) if cell.tuned else cell for cell in paired.cells]

    def width(part: Part) -> float:
        return part.high - part.low

    wide = replace(paired, cells=tuple(torn)).parts()["tuning"]
    assert width(wide) > 10 * width(paired.parts()["tuning"])


def test_intervals_hold_for_the_three_questions_at_once() -> None:
    """Null studies whose seeds and years scatter: the joint rate of a wrong part, of 5 % at most but for chance."""
    wrong = 0
    for draw in range(200):
        parts = factorial(scatter=0.004, sessions=250, draw=draw).parts()
        wrong += any(part.low > 0 or part.high < 0 for part in parts.values())
    assert wrong <= 18  # binomial(200, 0.05) exceeds it once in 200 times


def test_luck_is_the_scatter_of_seeds_and_widens_the_parts() -> None:
    still, lucky = factorial(seeds=4), factorial(seeds=4, scatter=0.005)
    assert still.luck.size == pytest.approx(0, abs=1e-12)
    assert lucky.luck.low < 0.005 < lucky.luck.high
    one, other = (found.parts()["tuning"] for found in (still, lucky))
    assert other.high - other.low > one.high - one.low


def test_fits_that_stand_in_two_cells_count_once() -> None:
    """A search that kept the settings gave the same fits again: no more is known, and tuning is worth nothing."""
    some = factorial(scatter=0.005)
    twins = [replace(cell, tuned=True) for cell in some.cells if not cell.tuned]
    twice = replace(some, cells=(*(cell for cell in some.cells if not cell.tuned), *twins))
    once = replace(some, cells=tuple(cell for cell in some.cells if not cell.tuned))
    assert twice.luck == once.luck
    assert twice.parts()["tuning"] == Part(0, 0, 0)
    for name in ("information", "model"):
        pairs = {"information": ("information", "+ macro", "price"), "model": ("family", "lstm", "ar")}[name]
        alone = once.difference(once.pairs(*pairs), 3)
        assert twice.parts()[name].low == pytest.approx(alone.low)
        assert twice.parts()[name].high == pytest.approx(alone.high)


def test_a_family_that_reads_the_first_set_only_is_compared_where_it_stands() -> None:
    found = factorial(information=0.01, model=0.004, blind="ar").parts()
    # On the price alone: what the last family gains from information is none of the model's merit.
    assert found["model"].size == pytest.approx(0.008, abs=0.002)
    assert found["information"].size == pytest.approx(0.02, abs=0.002)


def test_merits_are_corrected_for_all_cells() -> None:
    found = factorial(information=0.01)
    merits = dict(zip(found.cells, found.merits(), strict=True))
    for cell, merit in merits.items():
        assert merit.p_holm >= merit.p
        if cell.information == "+ macro":
            assert merit.p_holm < 0.001
        if cell.information == "price":
            assert merit.skill == pytest.approx(0, abs=0.003)


# --- the words


NONE = {"information": Part(0.001, -0.01, 0.012), "tuning": Part(0, -0.01, 0.01), "model": Part(-0.001, -0.01, 0.01)}
SMALL_LUCK = {LUCK: Part(0.002, 0.001, 0.003)}


def rows(*p: float) -> list[dict[str, object]]:
    return [{"name": f"way {place}", "skill": 0.01 * (place + 1), "p_holm": one} for place, one in enumerate(p)]


@pytest.mark.parametrize(
    ("changed", "p", "said", "unsaid"),
    [
        ({}, (1.0, 1.0), "It was none of the three: there was nothing to find. ", "It was the"),
        ({}, (1.0, 1.0), "None of the 2 ways to forecast is surely better", "worth"),
        ({}, (0.01, 1.0), "None made a difference that can be told from luck. ", "nothing to find"),
        ({}, (0.01, 0.001), "2 of the 2 ways to forecast are surely better", "nothing to find"),
        ({}, (0.01, 0.001), "makes 2.0 % less error (way 1)", "nothing to find"),
        ({"information": Part(0.02, 0.01, 0.03)}, (0.01, 1.0), "It was the information: 2.0 points. ", "cost"),
        ({"information": Part(0.02, 0.01, 0.03)}, (0.01,), "alone was worth 2.0 points (+1.0 to +3.0).", "cost"),
        ({"tuning": Part(-0.02, -0.03, -0.01)}, (1.0,), "settings cost 2.0 points (-3.0 to -1.0).", "was worth"),
        ({"model": Part(0.004, 0.001, 0.007)}, (1.0,), "lstm instead of ar, both offered the same, was worth 0.40 "
         "points (+0.10 to +0.70), which need be no more than a lucky seed gives.", "cost"),
    ],
)  # fmt: skip
def test_words_follow_the_figures(changed: Mapping[str, Part], p: tuple[float, ...], said: str, unsaid: str) -> None:
    found = paragraph({**NONE, **changed, **SMALL_LUCK}, rows(*p), FAMILIES)
    assert said in found
    assert unsaid not in found


def test_a_worse_cell_beats_nothing_however_sure() -> None:
    worse = [{"name": "bad", "skill": -0.05, "p_holm": 0.001}]
    assert "None of the 1 ways" in paragraph(NONE | SMALL_LUCK, worse, FAMILIES)


def test_verdicts() -> None:
    luck = Part(0.002, 0.001, 0.003)
    assert verdict(Part(0.01, 0.003, 0.02), luck) == "helps"
    assert verdict(Part(0.01, 0.001, 0.02), luck) == "small"
    assert verdict(Part(0.01, -0.001, 0.02), luck) == "unclear"
    assert verdict(Part(-0.01, -0.02, -0.001), luck) == "harms"


# --- all of it


SHORT = TINY.replace('"+ momentum" = ["momentum_3m"]\n', "")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Findings, list[str]]:
    folder, said = tmp_path_factory.mktemp("study"), []
    return folder, study(read(folder, SHORT), Home(folder / "home"), NOW, Crew(), said.append), said


def test_every_cell_is_there_once(done: tuple[Path, Findings, list[str]]) -> None:
    _, found, said = done
    cells = [(row["information"], row["family"], row["tuned"]) for row in found.rows]
    assert sorted(cells) == sorted(
        [("price", "ar", False), ("price", "ar", True)]
        + [(name, "lstm", tuned) for name in ("price", "+ indices") for tuned in (False, True)]
    )
    assert found.blind == ("ar",)
    assert any(line.startswith("blind     ar reads nothing beyond price") for line in said)
    assert all(len(row["seed_skills"]) == 2 for row in found.rows)
    assert all(row["skill"] == pytest.approx(np.mean(row["seed_skills"])) for row in found.rows)
    assert set(found.parts) == {"information", "tuning", "model", LUCK}
    assert found.sessions > 240
    assert found.subject == "^GSPC, 2 sessions ahead, 2010 to 2010"


def test_every_look_is_written_down(done: tuple[Path, Findings, list[str]]) -> None:
    folder, found, _ = done
    engine = connect(Home(folder / "home").database_url)
    with engine.connect() as connection:
        models = [row.model for row in connection.execute(select(look.c.model))]
    assert sorted(models) == ["ar", "ar tuned", "lstm", "lstm", "lstm tuned", "lstm tuned"]
    assert count_recipes(engine, "^GSPC-return-2", date(2010, 1, 1), date(2010, 12, 31)) == len(found.rows)
    assert count_recipes(engine, "^GSPC-return-2", date(2011, 1, 1), date(2018, 12, 31)) == 0


def test_the_notebook_has_a_comparison_for_each_set_and_the_figure(done: tuple[Path, Findings, list[str]]) -> None:
    client = MlflowClient(Home(done[0] / "home").tracking_uri)
    (experiment,) = [one for one in client.search_experiments() if one.name == "^GSPC-return-2"]
    runs = client.search_runs([experiment.experiment_id], "attributes.run_name = 'comparison'")
    assert len(runs) == 2
    drawn = [file.path for run in runs for file in client.list_artifacts(run.info.run_id, "figures")]
    assert drawn.count("figures/study.png") == 1


def test_the_page_says_it_all(done: tuple[Path, Findings, list[str]], tmp_path: Path) -> None:
    found = done[1]
    page = write(found, tmp_path)
    assert page.parent.name == f"study-{found.key[:12]}"
    text = page.read_text("utf-8")
    assert found.subject in text
    assert all(name in text for name in ("information", "tuning", "model", LUCK, "+ indices", "lstm tuned on"))
    assert "http://" not in text
    record = json.loads((page.parent / "study.json").read_text("utf-8"))
    assert record["parts"]["model"]["size"] == found.parts["model"].size
    assert record["words"] == found.words
    assert (page.parent / "study.png").stat().st_size > 10_000


def test_again_nothing_is_trained_and_the_answer_is_the_same(done: tuple[Path, Findings, list[str]]) -> None:
    folder, found, _ = done
    said: list[str] = []
    again = study(read(folder, SHORT), Home(folder / "home"), NOW, Crew(), said.append)
    assert not any(line.startswith("trained") for line in said)
    assert again.record() == found.record()


def test_the_names_of_ways_tell_tuned_ones_apart(tmp_path: Path) -> None:
    plan = read(tmp_path)
    model = plan.families[0]
    ways = [make("price", model, plan.run.training) for make in (Way.written, Way.searched)]
    assert [way.model.name for way in ways] == ["ar", "ar tuned"]
    assert [way.family for way in ways] == ["ar", "ar"]
