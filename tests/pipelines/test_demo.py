"""The main job, end to end, in processes of its own."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.pipelines.conftest import SMALL, demo, forecaster

HomeAndSummary = tuple[Path, dict[str, Any]]


def rows(home: Path, table: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(home / "forecaster.db") as connection:
        return sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr)


def scores(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """The leaderboard without what a clock or a random id decides."""
    return [{k: v for k, v in row.items() if k not in ("train_seconds", "run_id")} for row in summary["leaderboard"]]


def test_summary_has_what_is_promised(small_home: HomeAndSummary) -> None:
    _, summary = small_home
    assert {"snapshot", "leaderboard", "champion", "forecasts", "report"} <= summary.keys()
    row = {"family", "crps", "skill", "skill_se", "dm_p", "coverage_80", "coverage_95", "parameters", "kilobytes"}
    assert all(row | {"train_seconds", "run_id"} <= one.keys() for one in summary["leaderboard"])
    assert [one["family"] for one in sorted(summary["leaderboard"], key=lambda r: r["name"])] == ["ar", "lstm", "naive"]
    assert {"family", "version", "digest", "reason"} <= summary["champion"].keys()
    assert {"symbol", "origin", "sessions", "levels", "price_quantiles"} <= summary["forecasts"][0].keys()


def test_the_report_says_first_whose_forecast_it_is(small_home: HomeAndSummary) -> None:
    page = Path(small_home[1]["report"]).read_text("utf-8")
    said = page.partition('class="verdict">')[2].partition("</p>")[0]
    assert said.startswith("No model has passed the gate, so this forecast is the random walk's own")
    assert small_home[1]["champion"]["reason"] in said
    assert "of holding ^GSPC and" in page
    assert "never seen" not in page.lower()  # no n-gram is there


def test_forecast_is_about_real_sessions_and_ordered_prices(small_home: HomeAndSummary) -> None:
    forecast = small_home[1]["forecasts"][0]
    assert forecast["origin"] == "2018-12-31"
    assert forecast["sessions"] == ["2019-01-02", "2019-01-03"]  # New Year is no session
    prices = np.array(forecast["price_quantiles"])
    assert prices.shape == (2, 25)
    assert (np.diff(prices, axis=1) > 0).all()
    assert (prices > 0).all()
    assert prices[0, 0] < 2506.85 < prices[0, -1]


def test_a_month_of_test_years_is_told_without_a_trading_view(tmp_path: Path) -> None:
    """Scores need 20 sessions, a Sharpe ratio 60: one may be told without the other."""
    run = tmp_path / "short.toml"
    run.write_text(re.sub(r"test_from = .*", "test_from = 2018-11-15", SMALL.read_text("utf-8")), "utf-8")
    done = forecaster("demo", "--json", "--run", str(run), home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    page = Path(json.loads(done.stdout)["report"]).read_text("utf-8")
    assert "Would it have made money?" not in page


def test_random_walk_has_no_skill_against_itself(small_home: HomeAndSummary) -> None:
    walk = next(row for row in small_home[1]["leaderboard"] if row["family"] == "naive")
    assert (walk["skill"], walk["skill_se"], walk["dm_p"]) == (0.0, 0.0, 1.0)


def test_second_demo_adds_no_row_and_a_second_home_gives_the_same(small_home: HomeAndSummary, tmp_path: Path) -> None:
    home, first = small_home
    tables = (
        "bar",
        "observation",
        "artifact",
        "run",
        "promotion",
        "champion",
        "forecast",
        "instrument",
        "quarantine",
        "look",
        "challenge",
    )
    before = {table: rows(home, table) for table in tables}
    again = demo(home)
    assert {table: rows(home, table) for table in tables} == before
    elsewhere = demo(tmp_path / "other")
    for other in (again, elsewhere):
        assert other["snapshot"] == first["snapshot"]
        assert scores(other) == scores(first)
        assert other["champion"]["digest"] == first["champion"]["digest"]
        assert other["forecasts"][0]["price_quantiles"] == first["forecasts"][0]["price_quantiles"]
    assert again["leaderboard"] == first["leaderboard"]
    assert again["champion"]["moved"] is False


def test_single_verbs_do_the_same_steps(small_home: HomeAndSummary, tmp_path: Path) -> None:
    first = small_home[1]
    run = ("--run", str(SMALL), "--json")

    def verb(*words: str) -> dict[str, Any]:
        done = forecaster(*words, *run, home=tmp_path)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    assert sum(one["inserted"] for one in verb("fetch")["fetched"]) > 10_000
    assert verb("snapshot")["digest"] == first["snapshot"]
    early = forecaster("compare", *run, home=tmp_path)
    assert early.returncode == 1
    assert "not trained on this snapshot by this code: naive, ar, lstm; run `forecaster train --run" in early.stderr
    assert [one["name"] for one in verb("train", "lstm", "naive")["trained"]] == ["naive", "lstm"]
    assert [one["fresh"] for one in verb("train")["trained"]] == [False, True, False]
    assert scores(verb("compare")) == scores(first)
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        assert connection.execute("SELECT COUNT(*) FROM tags WHERE key = 'comparison'").fetchone() == (1,)
    assert verb("promote")["champion"]["digest"] == first["champion"]["digest"]
    assert verb("forecast", "^GSPC")["price_quantiles"] == first["forecasts"][0]["price_quantiles"]


def test_every_stored_row_says_when_it_became_known(small_home: HomeAndSummary) -> None:
    home, _ = small_home
    with sqlite3.connect(home / "forecaster.db") as connection:
        for table, date in (("bar", "session"), ("observation", "period")):
            wrong = f"SUM(known_at IS NULL), SUM(known_at <= {date}), SUM(recorded_at < known_at)"
            query = f"SELECT COUNT(*), {wrong} FROM {table}"
            count, without, too_early, unsettled = connection.execute(query).fetchone()
            assert count > 0
            assert (without, too_early, unsettled) == (0, 0, 0)


@pytest.mark.filterwarnings("ignore")  # an MLflow client in our process: its warnings are its own
@pytest.mark.parametrize("model", ["lstm", "naive"])
def test_mlflow_opens_the_model_and_holds_the_run(
    small_home: HomeAndSummary, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, summary = small_home
    row = next(row for row in summary["leaderboard"] if row["name"] == model)
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{home / 'mlflow.db'}")
    client = mlflow.MlflowClient()
    run = client.get_run(row["run_id"])
    assert run.data.tags["family"] == row["family"]
    assert run.data.tags["snapshot"] == summary["snapshot"]
    assert run.inputs.dataset_inputs[0].dataset.digest == summary["snapshot"][:36]
    (told,) = client.search_runs(
        [run.info.experiment_id], f"tags.trained_in = '{row['run_id']}' and metrics.skill > -1"
    )
    assert told.data.metrics["skill"] == pytest.approx(row["skill"])
    assert told.data.tags["family"] == row["family"]
    assert "model.name" in run.data.params
    if model == "lstm":
        assert len(client.get_metric_history(row["run_id"], "validation_loss")) == 2
        assert [file.path for file in client.list_artifacts(row["run_id"], "figures")] == ["figures/training.png"]
        (comparison,) = client.search_runs([run.info.experiment_id], "tags.comparison != ''")
        assert told.data.tags["mlflow.parentRunId"] == comparison.info.run_id
        assert comparison.data.tags["gate"] in ("passed", "refused")
        assert model in comparison.data.tags["gate_reason"]
        drawn = {file.path for file in client.list_artifacts(comparison.info.run_id, "figures")}
        assert {f"figures/{name}.png" for name in ("leaderboard", "calibration", "training", "gradient")} <= drawn
    (logged,) = client.search_logged_models([run.info.experiment_id], f"source_run_id = '{row['run_id']}'")
    loaded = mlflow.pyfunc.load_model(logged.model_uri)
    context = np.zeros((3, 24, 3), dtype=np.float32)
    answer = loaded.predict(context)
    assert answer["quantiles"].shape == (3, 2, 25)
    assert loaded.metadata.signature is not None
    assert loaded.input_example is not None
    champion = client.get_model_version_by_alias("^GSPC-return-2", "champion")
    assert champion.tags["digest"] == summary["champion"]["digest"]


def test_nothing_stored_is_a_pickle(small_home: HomeAndSummary) -> None:
    home, _ = small_home
    suffixes = {path.suffix for path in home.rglob("*") if path.is_file()}
    assert suffixes.isdisjoint({".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib"})
    assert not [p for p in home.rglob("*") if p.is_file() and p.read_bytes()[:2] in (b"\x80\x04", b"\x80\x05")]


def test_mlflow_serves_the_champion(small_home: HomeAndSummary) -> None:
    home, _ = small_home
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [Path(sys.executable).parent / "mlflow", "models", "serve", "-m", "models:/^GSPC-return-2@champion"]
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    options = ["--env-manager", "local", "--port", str(port)]
    service = subprocess.Popen(
        [*command, *options],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as client:
            wait_until_up(client)
            context = np.zeros((1, 24, 3)).tolist()
            answer = client.post("/invocations", json={"inputs": context})
        assert answer.status_code == 200, answer.text
        assert np.array(answer.json()["predictions"]["quantiles"]).shape == (1, 2, 25)
    finally:
        os.killpg(service.pid, signal.SIGTERM)
        service.wait(20)


def wait_until_up(client: httpx.Client) -> None:
    for _ in range(600):
        try:
            if client.get("/ping").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail("mlflow models serve did not come up in a minute")
