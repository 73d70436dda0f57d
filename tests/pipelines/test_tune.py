"""Tuning: where it looks, what it reads, that it comes to the same whatever happens on the way, and what it writes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from sqlalchemy import Engine, select

from forecaster.contract import Choice, Range
from forecaster.errors import ConfigError
from forecaster.families import AnyFamily
from forecaster.store.database import connect, sqlite_url
from forecaster.store.schema import tuning as tuning_table
from forecaster.store.tunings import Tuning as Written
from forecaster.store.tunings import add_tuning, count_trials
from forecaster.windows import Spans, Windows, split
from pipelines.config import RunConfig, load_config
from pipelines.engines.pool import Pool
from pipelines.home import Home
from pipelines.search import Attempt, Search
from pipelines.spaces import Space
from pipelines.trial import Trial, without_test
from pipelines.tune import BATCH, Tuning, tune
from pipelines.workspace import Workspace
from tests.pipelines.conftest import SMALL, forecaster

pytestmark = pytest.mark.slow  # many small trainings in processes of their own

NOW = datetime(2019, 3, 1, tzinfo=UTC)
MLP = '[[models]]\nname = "mlp"\nfamily = "mlp"\nhidden = 4\n'
OTHERS = """
[[models]]
name = "tanh"
family = "rnn"
[[models]]
name = "relu"
family = "rnn"
nonlinearity = "relu"
[[models]]
name = "transformer"
family = "transformer"
width = 12
heads = 2
[[models]]
name = "ngram"
family = "ngram"
[[models]]
name = "garch"
family = "garch"
"""

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run, one epoch long, with more families."""
    path = tmp_path_factory.mktemp("run") / "run.toml"
    path.write_text(SMALL.read_text().replace("epochs = 2", "epochs = 1") + MLP + OTHERS)
    return path


@pytest.fixture(scope="module")
def config(run: Path) -> RunConfig:
    return load_config(run)


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory, config: RunConfig) -> Path:
    """A home with data and nothing trained."""
    home = tmp_path_factory.mktemp("fetched")
    data = config.data
    list(Workspace(Home(home), config, NOW).fetcher({}, lambda: NOW).fetch(data.symbols, data.series))
    return home


@pytest.fixture
def workspace(fetched: Path, config: RunConfig, tmp_path: Path) -> Workspace:
    return Workspace(Home(copied(fetched, tmp_path)), config, NOW)


def copied(fetched: Path, tmp_path: Path, name: str = "home") -> Path:
    return Path(shutil.copytree(fetched, tmp_path / name))


def tuned(workspace: Workspace, name: str, trials: int, seeds: int = 2, workers: int = 1) -> Tuning:
    bench, folder = replace(workspace.bench, workers=Pool(workers)), workspace.home.root / "tunings"
    return tune(bench, workspace.spans, name, folder, lambda _: None, trials, seeds)


def found(trials: Sequence[Trial]) -> list[Trial]:
    """What does not depend on a clock."""
    return [replace(trial, seconds=0.0) for trial in trials]


def test_every_range_holds_its_default_and_both_ends_are_valid_values(config: RunConfig) -> None:
    tunable = []
    for member in get_args(get_args(AnyFamily)[0]):
        name = member.model_fields["family"].default
        if not any(isinstance(said, Range) for field in member.model_fields.values() for said in field.metadata):
            continue
        tunable.append(name)
        alone = config.model_copy(update={"models": (config.baseline, member(name=name))})
        space = Space.of(alone, name)
        assert {place.split(".")[0] for place in space.axes} <= {"model", "training"}
        for place, axis in space.axes.items():
            part, field = place.split(".")
            stated = {"model": member(name=name), "training": config.training}[part]
            ends = (axis.low, axis.high) if isinstance(axis, Range) else axis.values
            for value in ends:
                kept = type(stated).__pydantic_validator__.validate_assignment(
                    type(stated).model_construct(**dict(stated)), field, value
                )
                assert kept is not None
    assert {"ar", "ngram", "mlp", "rnn", "lstm", "gru", "seq2seq", "transformer"} <= set(tunable)


def test_space_starts_at_the_run_and_is_wide_enough_for_it(config: RunConfig) -> None:
    space = Space.of(config, "lstm")
    assert space.start["model.hidden"] == 4
    assert space.start["training.learning_rate"] == config.training.learning_rate
    wide = config.model_copy(update={"training": config.training.model_copy(update={"learning_rate": 0.5})})
    axis = Space.of(wide, "lstm").axes["training.learning_rate"]
    assert isinstance(axis, Range)
    assert axis.high == 0.5
    widths = Space.of(config, "transformer").axes["model.width"]
    assert isinstance(widths, Choice)
    assert 12 in widths.values
    assert "model.nonlinearity" in Space.of(config, "relu").axes
    assert not any(place.startswith("training.") for place in Space.of(config, "garch").axes)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("naive", "family 'naive' has nothing to tune"),
        ("nothing", "no model or family 'nothing' in this run; it has naive, ar, lstm"),
        ("rnn", "several are of family 'rnn'; name one: tanh, relu"),
    ],
)
def test_what_cannot_be_tuned_is_said(config: RunConfig, name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Space.of(config, name)


def test_zero_is_no_place_on_an_axis_of_factors(config: RunConfig) -> None:
    still = config.model_copy(update={"training": config.training.model_copy(update={"weight_decay": 0.0})})
    with pytest.raises(ConfigError, match=r"weight_decay: 0\.0 cannot be tuned by factors; write a positive number"):
        Space.of(still, "lstm")


def test_values_that_do_not_go_together_are_refused(config: RunConfig) -> None:
    space = Space.of(config, "transformer")
    space.settle(space.start)
    with pytest.raises(ConfigError, match="width 12 must be a multiple of twice the heads, 8"):
        space.settle(space.start | {"model.heads": 4})
    far = Space.of(config, "mlp")
    with pytest.raises(ConfigError, match="mlp reads 20 sessions, but burn_in leaves 13"):
        far.settle(far.start | {"model.lags": 20})


def test_same_trials_with_one_worker_and_with_two(fetched: Path, config: RunConfig, tmp_path: Path) -> None:
    homes = [Home(copied(fetched, tmp_path, name)) for name in ("one", "two")]
    one, two = (
        tuned(Workspace(home, config, NOW), "lstm", BATCH + 1, seeds=1, workers=workers)
        for workers, home in enumerate(homes, 1)
    )
    assert len({json.dumps(trial.values) for trial in one.trials}) == BATCH + 1
    assert one.key == two.key
    assert found(one.trials) == found(two.trials)
    assert one.toml == two.toml


def test_nothing_after_the_validation_years_is_read(workspace: Workspace, tmp_path: Path) -> None:
    bench, dates = workspace.bench, workspace.config.split

    def search(universe: tuple[Windows, ...], name: str) -> Tuning:
        spans = split(universe, dates.validation_from, dates.test_from, dates.test_until)
        changed = replace(bench, universe=universe)
        return tune(changed, spans, "lstm", tmp_path / name, lambda _: None, trials=3, seeds=1)

    before = search(bench.universe, "before")
    after = search(tuple(other_world(windows, workspace.spans) for windows in bench.universe), "after")
    assert after.key == before.key
    assert found(after.trials) == found(before.trials)
    task = without_test(workspace.spans)
    for sample in (*task.train, *task.validation):
        assert sample.windows.sessions[-1] < np.datetime64(dates.test_from)
        assert len(sample.windows.targets) == len(sample.windows.values) == len(sample.windows.sessions)


def other_world(windows: Windows, spans: Spans) -> Windows:
    """The same up to the last validation target, and anything after it."""
    last = int(spans.validation[0].origins[-1])
    rng = np.random.default_rng(1)
    values, targets, close = windows.values.copy(), windows.targets.copy(), windows.close.copy()
    end = last + targets.shape[1] + 1
    values[end:] = rng.normal(size=values[end:].shape)
    targets[last + 1 :] = np.where(np.isnan(targets[last + 1 :]), np.nan, rng.normal(size=targets[last + 1 :].shape))
    close[end:] = rng.uniform(1, 2, len(close[end:]))
    return replace(windows, values=values, targets=targets, close=close)


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType.*")  # mlflow, when it logs a model
def test_first_trial_is_the_model_of_the_run_and_scored_as_comparison_scores_it(workspace: Workspace) -> None:
    from pipelines.compare import compare
    from pipelines.train import Walked, scored_jobs, train_all

    config, bench = workspace.config, workspace.bench
    jobs = [job for job in scored_jobs(bench, workspace.spans) if job.family.name in ("naive", "lstm")]
    trained = train_all(bench, jobs, lambda _: None)
    walked = [Walked((one,)) for one in trained]
    row = compare(walked, config.baseline.name, workspace.folds, config.target.kind, Pool()).row("lstm")
    first = tuned(workspace, "lstm", trials=1, seeds=1).trials[0]
    assert first.values == Space.of(config, "lstm").start
    assert first.skill == pytest.approx(row.validation_skill, abs=1e-6)


def test_what_is_refused_is_counted_apart_and_written_down(workspace: Workspace) -> None:
    trials = BATCH + 1
    result = tuned(workspace, "mlp", trials)
    refused = [trial for trial in result.trials if trial.state == "refused"]
    assert refused  # lags above burn_in + 1 are in the range
    assert all(trial.scores == () and "sessions, but burn_in leaves 13" in trial.note for trial in refused)
    counts = result.counts
    assert counts["asked"] == trials
    assert counts["trials"] + counts["refused"] == trials
    with workspace.engine.connect() as connection:
        rows = connection.execute(select(tuning_table).order_by(tuning_table.c.asked)).all()
    assert [row.asked for row in rows] == [BATCH, trials]
    assert rows[-1].refused == len(refused)
    assert rows[-1].snapshot == workspace.snapshot.digest
    assert result.best is not None
    assert rows[-1].best_skill == result.best.skill
    assert rows[-1].config == result.config
    assert count_trials(workspace.engine, workspace.config.target.key) == counts["trials"]
    again = tuned(workspace, "mlp", trials)
    assert again == result
    assert count_trials(workspace.engine, workspace.config.target.key) == counts["trials"]
    more = tuned(workspace, "mlp", trials + 1)
    assert more.trials[:trials] == result.trials
    assert count_trials(workspace.engine, workspace.config.target.key) == more.counts["trials"]


def test_notebook_has_a_run_a_trial_below_one_a_tuning(workspace: Workspace, tmp_path: Path) -> None:
    result = tuned(workspace, "ngram", trials=2)
    assert all(len(trial.scores) == 1 for trial in result.trials)  # there is no seed in it
    client = MlflowClient(workspace.home.tracking_uri)
    experiment = client.get_experiment_by_name(workspace.config.target.key)
    assert experiment is not None
    runs = {one.info.run_name: one for one in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"ngram tuning", "ngram trial 1", "ngram trial 2"}
    parent = runs["ngram tuning"]
    assert parent.data.params == {"family": "ngram", "model": "ngram", "seeds": "1"}
    assert {name: int(parent.data.metrics[name]) for name in result.counts} == result.counts
    for trial in result.trials:
        child = runs[f"ngram trial {trial.number}"]
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.data.params == {place: str(value) for place, value in trial.values.items()}
        assert child.data.metrics["validation_skill"] == trial.skill
    told = Path(client.download_artifacts(parent.info.run_id, "trials.json", str(tmp_path)))
    assert len(json.loads(told.read_text())["table"]) == 2
    assert [one.path for one in client.list_artifacts(parent.info.run_id, "figures")] == ["figures/tuning.png"]


def test_winner_can_be_pasted_into_a_run_file(workspace: Workspace, run: Path, tmp_path: Path) -> None:
    result = tuned(workspace, "lstm", trials=3, seeds=1)
    pasted = tomllib.loads(result.toml)
    text = run.read_text()
    text = text.replace('[[models]]\nname = "lstm"\nfamily = "lstm"\nhidden = 4\n', "")
    start = text.index("[training]")
    text = text[:start] + text[text.index("[[models]]", start) :]
    new = tmp_path / "new.toml"
    new.write_text(text + result.toml)
    config = load_config(new)
    model = next(model for model in config.models if model.name == "lstm")
    assert {"model": model.model_dump(mode="json"), "training": config.training.model_dump(mode="json")} == (
        result.config
    )
    assert pasted["models"][0]["family"] == "lstm"


def answered(search: Search, first: int, count: int, seeds: int, skill: Any) -> list[Attempt]:
    attempts = search.ask(first, count)
    for attempt in attempts:
        for seed in range(seeds):
            if attempt.record is None:
                attempt.score(skill(attempt, seed), 1.0)
                if seed + 1 < seeds and attempt.hopeless:
                    attempt.end("pruned")
    search.tell(attempts)
    return attempts


def test_only_the_worst_quarter_is_given_up(config: RunConfig, tmp_path: Path) -> None:
    search = Search(tmp_path / "s.db", "key", Space.of(config, "lstm"), 0)
    answered(search, 1, 8, 2, lambda attempt, _: attempt.number / 100)
    good, bad = answered(search, 9, 2, 2, lambda attempt, _: 0.04 if attempt.number == 9 else 0.02)
    assert (good.record, bad.record) == (search_record(search, 9), search_record(search, 10))
    states = [trial.state for trial in search.finished()]
    assert states == ["done"] * 9 + ["pruned"]
    assert len(search.finished()[-1].scores) == 1


def search_record(search: Search, number: int) -> Trial:
    return search.finished()[number - 1]


def test_search_learns_where_it_is_good(config: RunConfig, tmp_path: Path) -> None:
    search = Search(tmp_path / "s.db", "key", Space.of(config, "lstm"), 0)
    for first in range(1, 40, BATCH):
        answered(
            search, first, BATCH, 1, lambda attempt, _: -abs(np.log(attempt.values["training.learning_rate"] / 0.01))
        )
    rates = [float(trial.values["training.learning_rate"]) for trial in search.finished()]
    off = np.abs(np.log(np.array(rates) / 0.01))
    assert np.mean(off[20:]) < 0.5 * np.mean(off[1:11])


def test_a_repeated_point_is_trained_once(config: RunConfig, tmp_path: Path) -> None:
    space = Space.of(config, "garch")  # nine points
    search = Search(tmp_path / "s.db", "key", space, 0)
    trained: list[Any] = []
    for first in range(1, 25, BATCH):
        attempts = search.ask(first, BATCH)
        for attempt in attempts:
            known = search.remembered(attempt.values)
            if not known:
                trained.append(attempt.values)
            attempt.score(*(known[0] if known else (0.01 * len(trained), 1.0)))
        search.tell(attempts)
    assert len(trained) <= 9
    trials = search.finished()
    assert len(trials) == 24
    assert Tuning("key", space, 1, tuple(trials)).counts["trials"] == len({json.dumps(one.values) for one in trials})


def test_killed_search_asks_the_same_and_remembers_its_fits(config: RunConfig, tmp_path: Path) -> None:
    space = Space.of(config, "lstm")
    whole, killed = Search(tmp_path / "a.db", "key", space, 0), Search(tmp_path / "b.db", "key", space, 0)
    for first in range(1, 17, BATCH):
        answered(whole, first, BATCH, 1, lambda attempt, _: float(attempt.values["model.dropout"]))
        lost = killed.ask(first, BATCH)
        for attempt in lost[:2]:
            attempt.score(float(attempt.values["model.dropout"]), 1.0)
        killed = Search(tmp_path / "b.db", "key", space, 0)
        attempts = killed.ask(first, BATCH)
        for attempt in attempts:
            known = killed.remembered(attempt.values)
            assert len(known) == (1 if attempt.number < first + 2 else 0)
            attempt.score(*(known or [(float(attempt.values["model.dropout"]), 1.0)])[0])
        killed.tell(attempts)
    assert killed.finished() == whole.finished()


def test_sigkill_loses_no_fit_that_was_finished(fetched: Path, run: Path, tmp_path: Path) -> None:
    words = ("tune", "lstm", "--trials", str(BATCH + 1), "--seeds", "1", "--workers", "1", "--run", str(run), "--json")
    homes = [copied(fetched, tmp_path, name) for name in ("killed", "whole")]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FORECASTER_", "MLFLOW_"))}
    program = Path(sys.executable).parent / "forecaster"
    with subprocess.Popen(
        [program, *words],
        env={**clean, "FORECASTER_HOME": str(homes[0])},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stderr is not None
        seen = list(islice(trial_lines(process.stderr), 2))
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len(seen) == 2
    again = forecaster(*words, home=homes[0])
    whole = forecaster(*words, home=homes[1])
    assert again.returncode == whole.returncode == 0, again.stderr + whole.stderr
    left, all_of_it = (list(trial_lines(done.stderr.splitlines())) for done in (again, whole))
    assert len(all_of_it) == BATCH + 1
    assert len(left) <= len(all_of_it) - len(seen)
    results = [json.loads(done.stdout) for done in (again, whole)]
    for result in results:
        for trial in result["table"]:
            del trial["seconds"]
    assert results[0] == results[1]
    engines = [connect(sqlite_url(home)) for home in homes]
    counts = [count_trials(engine, load_config(run).target.key) for engine in engines]
    assert counts == [BATCH + 1, BATCH + 1]
    for engine in engines:
        engine.dispose()


def trial_lines(lines: Any) -> Any:
    """Of fits that were carried out."""
    return (line for line in lines if line.startswith("trial ") and ": seed " in line)


def test_two_of_the_same_do_not_run_at_once(workspace: Workspace) -> None:
    complaints: list[str] = []

    def meanwhile(_: str) -> None:
        if not complaints:
            with pytest.raises(ConfigError) as caught:
                tuned(workspace, "ngram", trials=2)
            complaints.append(str(caught.value))

    folder = workspace.home.root / "tunings"
    tune(workspace.bench, workspace.spans, "ngram", folder, meanwhile, trials=2)
    assert complaints == ["tune: the same tuning is under way in this home; wait for it"]


def test_own_model_that_cannot_be_trained_is_an_error(workspace: Workspace) -> None:
    training = workspace.config.training.model_copy(update={"learning_rate": 1e30})
    config = workspace.config.model_copy(update={"training": training})
    with pytest.raises(ConfigError, match="lower it"):
        tuned(Workspace(workspace.home, config, NOW), "lstm", trials=2)


def test_command_line_says_what_was_tried(fetched: Path, run: Path, tmp_path: Path) -> None:
    home = copied(fetched, tmp_path)
    done = forecaster("tune", "ngram", "--trials", "3", "--run", str(run), "--workers", "1", home=home)
    assert done.returncode == 0, done.stderr
    assert "tried 3 configurations in 3 trials: 0 given up, 0 refused before training" in done.stdout
    assert '[[models]]\nname = "ngram"\nfamily = "ngram"\n' in done.stdout
    assert "[training]\n" not in done.stdout
    assert "trial     1/3 order=2 bins=5: seed 1 of 1: skill " in done.stderr
    assert not [line for line in done.stderr.splitlines() if not line.startswith("trial ")]
    refused = forecaster("tune", "naive", "--run", str(run), home=home)
    assert refused.returncode == 1
    assert refused.stderr == "forecaster: tune: family 'naive' has nothing to tune: no field of it has a range\n"


def test_counts_are_those_of_the_newest_row_of_each_study(store: Engine) -> None:
    def row(study: str, asked: int, trials: int, target: str = "T") -> Written:
        return Written(study, asked, target, "lstm", "lstm", "5" * 64, trials, 1, 2, None, {})

    for written in (row("a", 4, 3), row("a", 8, 6), row("b", 4, 4), row("c", 4, 4, "OTHER"), row("a", 8, 6)):
        add_tuning(store, written, NOW)
    assert count_trials(store, "T") == 10
    assert count_trials(store, "OTHER") == 4
    assert count_trials(store, "NONE") == 0
