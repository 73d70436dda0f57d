"""Challenges, refreshes and rollbacks on a series that goes back to its mean, which a small network sees at once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forecaster.errors import ConfigError, NothingBefore, PromotionConflict
from forecaster.runtime import Runtime
from forecaster.scores import Scores
from forecaster.store.artifacts import load_artifact
from forecaster.store.challenges import challenges, count_recipes, spending
from forecaster.store.champions import find_champion, promotions
from pipelines.compare import Comparison, see
from pipelines.promote import Promoted, _decided, promote
from pipelines.refresh import refresh
from pipelines.rollback import rollback
from pipelines.train import Walked, walk
from pipelines.workspace import Workspace
from tests.pipelines.small_runs import GRU, fetched, levels, moved, workspace, write_load

pytestmark = pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType.*")  # mlflow, when it is imported

EARLY, NOW = datetime(2016, 7, 1, tzinfo=UTC), datetime(2017, 1, 2, tzinfo=UTC)
TRAINING = {"epochs": 15, "patience": 15, "learning_rate": 0.02}
STILL = {"name": "still", "family": "naive", "scale": "empirical"}
COPY = GRU | {"name": "copy"}


def run_of(folder: Path, models: list[dict[str, Any]], **parts: Any) -> dict[str, Any]:
    return levels(folder, models, training=TRAINING, **parts)


def walked_and_seen(made: Workspace) -> tuple[list[Walked], Comparison]:
    walked = walk(made.bench, made.folds, lambda _: None)
    return walked, see(made, walked)


def put(made: Workspace, name: str | None = None) -> Promoted:
    return promote(made, *walked_and_seen(made), name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("series")
    write_load(root)
    return root


@pytest.fixture(scope="module")
def crowned(folder: Path) -> Workspace:
    """A home in which a network was promoted in the middle of the last year. Tests take a copy."""
    made = fetched(folder / "home", run_of(folder, [GRU]), EARLY)
    assert put(made).decision["passed"] is True
    return made


@pytest.fixture
def home(crowned: Workspace, tmp_path: Path, folder: Path) -> Path:
    moved(crowned.home.root, tmp_path / "home", workspace(crowned.home.root, run_of(folder, [GRU])))
    return tmp_path / "home"


def failed(promoted: Promoted) -> list[str]:
    return [check["question"] for check in promoted.decision["checks"] if not check["passed"]]


def test_what_passes_is_refitted_and_its_recipe_is_kept(crowned):
    champion = find_champion(crowned.engine, "LOAD-level-2")
    assert champion is not None
    assert (champion.version, champion.decision["kind"]) == (1, "challenge")
    assert champion.decision["recipe"]["model"]["name"] == "gru"
    (challenge,) = challenges(crowned.engine, "LOAD-level-2")
    assert challenge.passed
    assert (challenge.alpha, challenge.decision["recipes"]) == (pytest.approx(0.005), 1)


def test_a_copy_of_the_champion_is_refused_as_one(home, folder):
    made = workspace(home, run_of(folder, [GRU, COPY]), EARLY + timedelta(days=7))
    answer = put(made, "copy")
    assert not answer.moved
    assert "no copy" in failed(answer)
    assert "better than champion gru" in failed(answer)
    assert answer.name == "gru"
    assert "copy was refused on no copy: that of champion gru" in answer.reason


def test_what_never_moves_is_refused_as_constant(home, folder):
    made = workspace(home, run_of(folder, [GRU, STILL]), EARLY + timedelta(days=7))
    answer = put(made, "still")
    assert "answers to what it sees" in failed(answer)
    assert not answer.moved


def test_a_random_walk_leaves_nothing_to_promote(tmp_path):
    """The changes of the series in another order: whatever the network finds is chance."""
    path = write_load(tmp_path)
    head, *lines = path.read_text().splitlines()
    days, values = zip(*(line.split(",") for line in lines), strict=True)
    changes = np.random.default_rng(3).permutation(np.diff(np.array(values, dtype=float)))
    walk_values = np.concatenate(([0.0], np.cumsum(changes)))
    path.write_text("\n".join([head, *(f"{day},{value:.4f}" for day, value in zip(days, walk_values, strict=True))]))
    answer = put(fetched(tmp_path / "home", run_of(tmp_path, [GRU]), NOW))
    assert answer.decision["passed"] is False
    assert "better than the random walk" in failed(answer)
    assert (answer.name, answer.champion.decision["kind"]) == ("naive", "fallback")


def test_a_feature_that_knows_the_future_is_named(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom forecaster.features import feature\n\n"
        '@feature(unit="none", warm_up=0)\ndef tomorrow(panel, subject):\n'
        '    value = panel.column(subject, "value")\n    return np.append(np.diff(value), 0.0)\n'
    )
    write_load(tmp_path)
    run = run_of(tmp_path, [GRU], features={"modules": ["mine"]})
    run["window"] = {"context": 24, "burn_in": 12, "channels": ["change", "tomorrow"]}
    made = fetched(tmp_path / "home", run, NOW, tmp_path)
    answer = put(made)
    assert answer.decision["passed"] is False
    assert failed(answer)[0] == "nothing from the future"
    assert "LEAK  tomorrow" in answer.reason
    assert answer.name == "naive"


def test_the_same_question_gets_the_same_answer_and_spends_once(home, folder):
    run = run_of(folder, [GRU, COPY])
    first = put(workspace(home, run, EARLY + timedelta(days=7)), "copy")
    again = put(workspace(home, run, EARLY + timedelta(days=7, hours=1)), "copy")
    assert again.decision == first.decision
    made = workspace(home, run, EARLY + timedelta(days=8))
    assert len(spending(made.engine, "LOAD-level-2")) == 2


def test_looks_are_counted_once_a_recipe_and_from_the_champion_on(home, folder):
    run = run_of(folder, [GRU, COPY, STILL])
    for day in (7, 8):
        made = workspace(home, run, EARLY + timedelta(days=day))
        walked_and_seen(made)
    first, last = made.spans.test[0].windows.sessions[[0, -1]].astype(object)
    assert count_recipes(made.engine, "LOAD-level-2", first, last) == 3


def test_two_promoters_at_once_one_wins(home, folder):
    """Both have looked and judged before either wrote."""
    made = workspace(home, run_of(folder, [GRU, COPY]), EARLY + timedelta(days=7))
    walked, comparison = walked_and_seen(made)
    before, past = find_champion(made.engine, "LOAD-level-2"), challenges(made.engine, "LOAD-level-2")
    winner, loser = (replace(past[0], number=2, key=key, created_at=made.now) for key in ("a", "b"))
    assert _decided(made, walked, comparison, winner, before, False).moved
    with pytest.raises(PromotionConflict, match="somebody else promoted for LOAD-level-2"):
        _decided(made, walked, comparison, loser, before, False)
    assert challenges(made.engine, "LOAD-level-2")[0].key == "a"
    refused = replace(loser, passed=False)
    with pytest.raises(PromotionConflict):
        _decided(made, walked, comparison, refused, before, False)


def test_newer_data_refresh_the_champion_without_a_challenge(home, folder):
    made = fetched(home, run_of(folder, [GRU]), NOW)
    before = find_champion(made.engine, "LOAD-level-2")
    answer = put(made)  # the recipe that is in charge
    assert answer.moved
    assert before is not None
    assert (answer.champion.version, answer.champion.decision["kind"]) == (2, "refresh")
    assert answer.manifest.trained_until > load_until(made, before.digest)
    assert len(challenges(made.engine, "LOAD-level-2")) == 1
    assert refresh(made) == find_champion(made.engine, "LOAD-level-2")  # nothing newer: nothing moves


def load_until(made: Workspace, digest: str) -> Any:
    return load_artifact(made.engine, digest).manifest.trained_until


def test_a_rollback_restores_the_digest_before_and_another_goes_further(home, folder):
    first = find_champion(workspace(home, run_of(folder, [GRU]), NOW).engine, "LOAD-level-2")
    made = fetched(home, run_of(folder, [GRU]), NOW)
    refreshed = refresh(made)
    back = rollback(made)
    assert first is not None
    assert (back.version, back.digest) == (3, first.digest)
    assert refreshed.digest != first.digest
    assert "rolled back from version 2 to version 1" in back.decision["reason"]
    assert back.decision["recipe"] == first.decision["recipe"]
    assert [one.digest for one in promotions(made.engine, "LOAD-level-2")] == [
        first.digest,
        refreshed.digest,
        first.digest,
    ]
    with pytest.raises(NothingBefore, match="LOAD-level-2"):
        rollback(made)


def test_a_model_that_is_not_there_is_refused_by_name(home, folder):
    made = workspace(home, run_of(folder, [GRU]), NOW)
    with pytest.raises(ConfigError, match="no model 'lstm' to challenge with; the run has gru"):
        put(made, "lstm")


def test_folds_are_scored_each_by_its_own_refit(folder, tmp_path):
    run = run_of(folder, [GRU])
    run["split"] |= {"refit_every": 120}
    made = fetched(tmp_path / "home", run, NOW)
    assert len(made.folds) == 4
    edges = [(spans.test[0].origins[0], spans.test[0].origins[-1]) for spans in made.folds]
    assert all(later[0] == earlier[1] + 1 for earlier, later in pairwise(edges))
    for spans in made.folds:
        horizon = made.config.target.horizon
        assert spans.train[0].origins[-1] + horizon <= spans.validation[0].origins[0]
        assert spans.validation[0].origins[-1] + horizon <= spans.test[0].origins[0]
    walked, comparison = walked_and_seen(made)
    assert comparison.folds == 4
    assert len({trained.artifact.digest for trained in walked[1].folds}) == 4
    windows = made.universe[0]
    raw = [
        Scores.of(
            Runtime(trained.artifact).quantiles(windows.contexts(spans.test[0].origins)),
            windows.targets[spans.test[0].origins],
            unit=1.0,
        ).crps
        for trained, spans in zip(walked[1].folds, made.folds, strict=True)
    ]
    np.testing.assert_array_equal(comparison.scored["gru"].raw.crps, np.concatenate(raw))
