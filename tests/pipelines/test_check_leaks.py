"""`check-leaks` at the command line, with features that a user's own module brings."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from forecaster.errors import ConfigError
from forecaster.features import FEATURES
from pipelines.config import load_config
from pipelines.plugins import load_features
from tests.pipelines.conftest import SMALL, forecaster

HERE = Path(__file__).parent
HONEST = ("z_so_far", "rank_in_quarter", "smoothed", "session_number", "carried", "remembered_well", "seeded",
          "highest_so_far")  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the sample data in its store and nothing trained."""
    home = tmp_path_factory.mktemp("home")
    done = forecaster("fetch", "--run", str(SMALL), home=home)
    assert done.returncode == 0, done.stderr
    return home


def run_with(folder: Path, modules: list[str], channels: list[str]) -> Path:
    """The small run with a user's modules beside it and these channels."""
    for module in modules:
        if (HERE / f"{module}.py").is_file():
            shutil.copy(HERE / f"{module}.py", folder)
    wanted = json.dumps(["log_return", *channels])
    text = SMALL.read_text().replace('["log_return", "log_range", "log_return(^IXIC)"]', wanted)
    assert wanted in text
    run = folder / "run.toml"
    run.write_text(text.replace("[window]", f"[features]\nmodules = {json.dumps(modules)}\n\n[window]"))
    return run


def check(home: Path, run: Path, *words: str) -> tuple[int, dict[str, Any], str]:
    done = forecaster("check-leaks", "--json", "--run", str(run), *words, home=home)
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


def planted() -> list[str]:
    return [name for name in load_features(["planted_features"], HERE) if name not in FEATURES]


def test_every_leak_planted_in_a_users_module_is_named(home: Path, tmp_path: Path) -> None:
    names = planted()
    assert len(names) == 21
    run = run_with(tmp_path, ["planted_features", "honest_features"], [*names, *HONEST])
    code, found, said = check(home, run, "--origins", "120")
    assert code == 1, said
    leaks = {leak["channel"]: leak for leak in found["leaks"]}
    assert [name for name in names if name not in leaks] == []
    assert [name for name in leaks if name.removeprefix("context of ") not in names] == []
    for leak in leaks.values():
        assert "1999-01-04" <= leak["session"] <= leak["origin"] <= "2018-12-31"


def test_the_shipped_run_and_honest_features_are_free(home: Path, tmp_path: Path) -> None:
    own = [name for name, feature in FEATURES.items() if feature.unit != "unit of the series" and name != "log_return"]
    own = [name for name in own if name not in ("log_change", "age")]
    macro = [f"{name}(CPILFESL)" for name in ("level", "change", "log_change", "change_252", "age")]
    run = run_with(tmp_path, ["honest_features"], [*own, *macro, *HONEST, "log_return(^IXIC)"])
    code, found, said = check(home, run, "--origins", "40")
    assert (code, found["leaks"]) == (0, []), said
    assert found["origins"] >= 35
    assert found["views"] == len(FEATURES) + len(HONEST) + 1 + 2  # with another symbol's; contexts and targets
    assert found["comparisons"] > 4 * found["origins"] * found["views"]
    assert found["refused"] < 0.02 * found["comparisons"]


def test_people_read_channel_session_and_origin(home: Path, tmp_path: Path) -> None:
    run = run_with(tmp_path, ["planted_features"], ["gradient"])
    done = forecaster("check-leaks", "--run", str(run), "--origins", "8", home=home)
    assert done.returncode == 1
    first, *_, last = done.stdout.splitlines()
    assert first.startswith("LEAK  gradient: its row of ")
    assert "when only facts after" in first
    assert last.startswith("2 of them leak: 4 views (channels, contexts, targets) at ")
    free = forecaster("check-leaks", "--run", str(SMALL), "--origins", "8", home=home)
    assert (free.returncode, free.stdout[:17]) == (0, "nothing leaks: 5 ")


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    code, _, said = check(tmp_path / "home", SMALL)
    assert code == 1
    assert "run `forecaster fetch --run" in said


FAULTY = {
    "wrong_shape": ("return panel.column(subject, 'close')[1:]", "feature mine.f: answers shape"),
    "no_array": ("return None", "feature mine.f: answers shape ()"),
    "words": ("return ['a'] * len(panel.sessions)", "feature mine.f: fails on ^GSPC with ValueError"),
    "raises": ("return 1 / 0", "feature mine.f: fails on ^GSPC with ZeroDivisionError: division by zero; correct it"),
    "in_place": ("panel.column(subject, 'close')[:] = 0", "feature mine.f: fails on ^GSPC with ValueError: assignment"),
    "other_subject": ("return panel.column('AAPL', 'close')", "AAPL: nothing stored"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_feature_that_fails_is_named_with_its_module(home: Path, tmp_path: Path, fault: str) -> None:
    body, expected = FAULTY[fault]
    (tmp_path / "mine.py").write_text(
        f"from forecaster.features import feature\n@feature(unit='x', warm_up=0)\ndef f(panel, subject):\n    {body}\n"
    )
    code, _, said = check(home, run_with(tmp_path, ["mine"], ["f"]))
    assert code == 1
    assert said.startswith("forecaster: ")
    assert said.count("\n") == 1
    assert expected in said


GOOD = (
    "from forecaster.features import feature\n@feature(unit='x', warm_up=0)\ndef {}(panel, subject):\n    return {}\n"
)


@pytest.mark.parametrize(
    ("modules", "source", "expected"),
    [
        (["mine"], GOOD.format("log_return", 0), "mine.log_return: there is a feature log_return already; give it"),
        (["mine"], GOOD.format("Camel", 0), "mine.Camel: a feature's name is lower case"),
        (["mine"], "import no_such_thing", "mine cannot be imported, ModuleNotFoundError: No module named 'no_such"),
        (["mine"], "def f(:", "mine cannot be imported, SyntaxError: invalid syntax"),
        (["mine"], "raise SystemExit", "mine cannot be imported, SystemExit"),
        (["mine"], "x = 1", "mine defines no feature; put @feature(unit=..., warm_up=...) on a function"),
        (["mine", "other"], GOOD.format("f", 0), "no module other: put other.py into"),
        (["mine.py"], "", "'mine.py' is not the name of a module"),
        (["../mine"], "", "'../mine' is not the name of a module"),
    ],
)
def test_a_module_that_does_not_fit_is_refused_in_one_line(
    tmp_path: Path, modules: list[str], source: str, expected: str
) -> None:
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(ConfigError) as refused:
        load_config(run_with(tmp_path, modules, []))
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_channel_may_name_only_what_the_modules_define(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(GOOD.format("f", 0))
    assert "f" in load_config(run_with(tmp_path, ["mine"], ["f"])).features.table
    with pytest.raises(ConfigError, match=r"unknown channel 'g'; features are log_return, .*, f$"):
        load_config(run_with(tmp_path, ["mine"], ["g"]))
    with pytest.raises(ConfigError, match="unknown channel 'f'"):
        load_config(run_with(tmp_path, [], ["f"]))


def test_the_digest_follows_the_source(tmp_path: Path) -> None:
    digests = []
    for value in (0, 1, 0):
        (tmp_path / "mine.py").write_text(GOOD.format("f", value))
        config = load_config(run_with(tmp_path, ["mine"], ["f"]))
        assert config.features.table["f"].function(None, "") == value  # type: ignore[arg-type,comparison-overlap]
        digests.append(config.features.digest)
    assert digests[0] == digests[2] != digests[1]
    assert load_config(SMALL).features.digest not in digests


def test_an_installed_package_brings_features_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "acme_signals"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep.py").write_text(GOOD.format("acme", "len(panel.sessions) * [1.0]"))
    metadata = tmp_path / "site" / "acme_signals-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-signals\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[forecaster.features]\nacme = acme_signals.deep\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    config = load_config(run_with(tmp_path, ["acme"], ["acme"]))
    assert config.features.table["acme"].warm_up == 0
    before = config.features.digest
    assert config.features.load()["acme"] != config.features.table["acme"]  # read anew: another function
    (package / "__init__.py").write_text("# changed")
    assert load_config(run_with(tmp_path, ["acme"], ["acme"])).features.digest != before


def test_modules_leave_nothing_behind(tmp_path: Path) -> None:
    import sys

    (tmp_path / "json.py").write_text(GOOD.format("f", 0))  # a name that is taken
    load_config(run_with(tmp_path, ["json"], ["f"]))
    assert sys.modules["json"] is json
    assert not list(tmp_path.rglob("__pycache__"))
