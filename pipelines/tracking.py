"""The only room that imports mlflow: the notebook and registry people look at. Nothing needs it to answer.

One experiment a target. A training is a run with its parameters, metrics by epoch, the data's digest, figures and the
ONNX model; a comparison is a run with the leaderboard, and below it one run a model and one a seed with their merits.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Before mlflow is imported: this service works without a network and tells nobody that it runs.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")  # its handlers go past ours, stack traces and all
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# It notes which variables are read while a model is logged, in a set that other threads change under its hands.
os.environ.setdefault("MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")  # its own 7 take four minutes to say that it is away
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # stdout is for --json

import mlflow
import numpy as np
import onnx
import onnxruntime
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec

from forecaster.artifact import Artifact, golden_context, serialise
from forecaster.components import width
from forecaster.errors import NotebookAway

CHAMPION = "champion"
_MIRRORED = "mirrored"  # tag of a registered model: the digest that its alias was last set to by us
_LONGEST = 6000  # characters of a parameter, the backend's limit


@dataclass(frozen=True)
class Entry:
    """One model of a comparison."""

    name: str
    tags: dict[str, str]
    metrics: dict[str, float]
    seeds: dict[int, dict[str, float]]
    """Metrics of each single fit, where several are pooled."""


@dataclass(frozen=True)
class Alias:
    """The alias of the champion."""

    digest: str | None
    """Of the model it points at; None where there is no alias, empty where that model is none of ours."""
    mirrored: str | None
    """Digest that this code last pointed it at."""

    @property
    def moved(self) -> bool:
        """Whether somebody else has moved it since."""
        return self.digest is not None and self.mirrored is not None and self.digest != self.mirrored


class Notebook:
    """An MLflow experiment and registry for one target."""

    def __init__(self, uri: str, files: Path, experiment: str) -> None:
        """Arguments:
        uri: Tracking URI; a local database is made where there is none.
        files: Where figures and models go when the URI is a local database; a server has its own place.

        Raises:
            NotebookAway: MLflow does not answer.
        """
        for chatty in ("alembic", "mlflow", "mlflow.store.db.utils"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self._uri, self._client = uri, MlflowClient(uri)
        location = files.absolute().as_uri() if uri.startswith("sqlite:") else None
        with _away():
            found = self._client.get_experiment_by_name(experiment)
            self._experiment = found.experiment_id if found else self._client.create_experiment(experiment, location)

    def open(self, key: str, name: str, parent: str | None = None) -> str:
        """The run of a training, made where there is none yet; its id.

        Arguments:
            key: Of the training: one key, one run, whatever happened in between.
            parent: Run under which it is shown.
        """
        found = self._client.search_runs([self._experiment], f"tags.job = '{key}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        tags = {"job": key} | ({"mlflow.parentRunId": parent} if parent else {})
        return str(self._client.create_run(self._experiment, run_name=name, tags=tags).info.run_id)

    def log_training(
        self,
        run_id: str,
        artifact: Artifact,
        tags: Mapping[str, str],
        history: Sequence[Mapping[str, float]],
        figures: Mapping[str, Figure],
        now_ms: int,
    ) -> None:
        """A finished training, into the run that was opened for it.

        Arguments:
            history: Metrics by epoch.
        """
        manifest = artifact.manifest
        said = {"family": manifest.family, "snapshot": manifest.snapshot, "digest": artifact.digest, **tags}
        params = {f"{part}.{key}": value for part, block in manifest.config.items() for key, value in block.items()}
        params |= {"context": manifest.window.context, "burn_in": manifest.window.burn_in, "code": manifest.code}
        points = [(name, value, step) for step, row in enumerate(history) for name, value in row.items()]
        points += [("parameters", manifest.parameters, 0), ("epochs", manifest.epochs, 0)]
        metrics = [Metric(name, value, now_ms, step) for name, value, step in points]
        self._log(run_id, metrics, [Param(key, str(value)[:_LONGEST]) for key, value in params.items()], said)
        # MLflow keeps 36 characters of a digest; the tag `snapshot` has it whole.
        data = Dataset(manifest.target.key, manifest.snapshot[:36], "snapshot", manifest.snapshot)
        self._client.log_inputs(run_id, [DatasetInput(data)])
        self._log_figures(run_id, figures)
        self._client.set_terminated(run_id)

    def log_model(self, run_id: str, artifact: Artifact) -> None:
        """The artifact's graph as a model of the run that `mlflow.pyfunc` opens."""
        mlflow.set_tracking_uri(self._uri)  # `log_model` knows no other way to be told
        with mlflow.start_run(run_id):
            self._log_model(artifact)

    def curve(self, run_id: str, metric: str) -> list[float]:
        """A metric of a run by step; empty where it has none."""
        return [point.value for point in sorted(self._client.get_metric_history(run_id, metric), key=lambda m: m.step)]

    def log_comparison(
        self,
        key: str,
        tags: Mapping[str, str],
        entries: Sequence[Entry],
        leaderboard: Mapping[str, Any],
        figures: Mapping[str, Figure],
        now_ms: int,
    ) -> tuple[str, dict[str, str]]:
        """A comparison as a run, with one below it for each model and one below that for each seed; once for each key.

        Returns:
            Its id, and the id of each model's run by the model's name.
        """
        run_id = self.open(key, "comparison")
        children = {entry.name: self.open(f"{key} {entry.name}", entry.name, run_id) for entry in entries}
        if self._client.get_run(run_id).info.status == "FINISHED":
            return run_id, children
        self._log(run_id, [], [], {"comparison": key, **tags})
        for entry in entries:
            self._log_entry(children[entry.name], {**entry.tags, **tags}, entry.metrics, now_ms)
            for seed, metrics in entry.seeds.items():
                name = f"{entry.name} seed {seed}"
                below = self.open(f"{key} {name}", name, children[entry.name])
                self._log_entry(below, {**entry.tags, **tags, "seed": str(seed)}, metrics, now_ms)
        self._client.log_dict(run_id, dict(leaderboard), "leaderboard.json")
        self._log_figures(run_id, figures)
        self._client.set_terminated(run_id)
        return run_id, children

    def _log_entry(self, run_id: str, tags: Mapping[str, str], metrics: Mapping[str, float], now_ms: int) -> None:
        self._log(run_id, [Metric(name, value, now_ms, 0) for name, value in metrics.items()], [], tags)
        self._client.set_terminated(run_id)

    def log_decision(self, key: str, decision: Mapping[str, Any]) -> None:
        """What the gate said of a model of a comparison, into the comparison's run."""
        run_id = self.open(key, "comparison")
        said = {"gate": "passed" if decision["passed"] else "refused", "gate_reason": decision["reason"]}
        self._log(run_id, [], [], {name: value[:_LONGEST] for name, value in said.items()})
        self._client.log_dict(run_id, dict(decision), f"gate/{decision['candidate']}.json")

    def log_trial(
        self, run_id: str, values: Mapping[str, str], skills: Sequence[float], tags: Mapping[str, str], now_ms: int
    ) -> None:
        """A trial of a tuning, into the run that was opened for it.

        Arguments:
            skills: On the validation years, seed by seed.
        """
        metrics = [Metric("seed_skill", skill, now_ms, seed) for seed, skill in enumerate(skills)]
        if skills:
            metrics.append(Metric("validation_skill", float(np.mean(skills)), now_ms, 0))
        self._log(run_id, metrics, [Param(name, value[:_LONGEST]) for name, value in values.items()], tags)
        self._client.set_terminated(run_id)

    def log_course(self, run_id: str, name: str, points: Mapping[int, float], now_ms: int) -> None:
        """Values of a metric by step."""
        self._log(run_id, [Metric(name, value, now_ms, step) for step, value in points.items()], [])

    def log_tuning(
        self,
        run_id: str,
        params: Mapping[str, str],
        counts: Mapping[str, float],
        snapshot: str,
        trials: Mapping[str, Any],
        figures: Mapping[str, Figure],
        now_ms: int,
    ) -> None:
        """A tuning, into the run that was opened for it.

        Arguments:
            counts: What the trials came to; metrics, because a tuning that is gone on with changes them.
        """
        self._client.set_tag(run_id, "snapshot", snapshot)
        metrics = [Metric(name, value, now_ms, int(counts["asked"])) for name, value in counts.items()]
        self._log(run_id, metrics, [Param(name, value) for name, value in params.items()])
        self._client.log_dict(run_id, dict(trials), "trials.json")
        self._log_figures(run_id, figures)
        self._client.set_terminated(run_id)

    def add_figures(
        self, run_id: str, figures: Mapping[str, Figure], metrics: Mapping[str, Mapping[str, float]]
    ) -> None:
        """Further figures of a run, and metrics of others.

        Arguments:
            metrics: By run id.
        """
        self._log_figures(run_id, figures)
        for other, values in metrics.items():
            self._log(other, [Metric(name, value, 0, 0) for name, value in values.items()], [])

    def crown(self, target: str, run_id: str | None, digest: str, version: int) -> None:
        """Mirror the store's champion: register its model once and point the alias at it.

        Arguments:
            run_id: Of its training; None for one that was champion before.

        Raises:
            NotebookAway: MLflow does not answer, or somebody has deleted the model there.
        """
        mlflow.set_tracking_uri(self._uri)  # the model's address is looked up there, whichever client asks
        with _away():
            if not self._client.search_registered_models(f"name = '{target}'"):
                self._client.create_registered_model(target)
            registered = self._client.search_model_versions(f"name = '{target}'")
            mine = next((found for found in registered if found.tags.get("digest") == digest), None)
            if mine is None:
                logged = self._client.search_logged_models([self._experiment], f"source_run_id = '{run_id}'")
                if not logged:
                    raise NotebookAway(f"it has no model of run {run_id}")
                tags = {"digest": digest, "champion_version": str(version)}
                model = logged[0]
                mine = self._client.create_model_version(
                    target, model.model_uri, run_id, tags=tags, model_id=model.model_id
                )
            self._client.set_registered_model_alias(target, CHAMPION, mine.version)
            self._client.set_registered_model_tag(target, _MIRRORED, digest)

    def alias(self, target: str) -> Alias:
        """Where the alias points, and where this code last pointed it.

        Raises:
            NotebookAway: MLflow does not answer.
        """
        with _away():
            (known,) = self._client.search_registered_models(f"name = '{target}'") or (None,)
            if known is None or CHAMPION not in known.aliases:
                return Alias(None, None)
            found = self._client.get_model_version(target, known.aliases[CHAMPION])
            return Alias(found.tags.get("digest", ""), known.tags.get(_MIRRORED))

    def explain(self, target: str, reason: str) -> None:
        """Say on the registered model why its alias is where it is.

        Raises:
            NotebookAway: MLflow does not answer.
        """
        with _away():
            self._client.set_registered_model_tag(target, "reason", reason[:_LONGEST])

    def _log(
        self, run_id: str, metrics: list[Metric], params: list[Param], tags: Mapping[str, str] | None = None
    ) -> None:
        """In as few calls as can be: each is a transaction."""
        named = [RunTag(name, value) for name, value in (tags or {}).items()]
        for start in range(0, max(len(metrics), 1), 1000):  # the server's limit for one call
            part = metrics[start : start + 1000]
            self._client.log_batch(run_id, part, () if start else params, () if start else named, synchronous=True)

    def _log_figures(self, run_id: str, figures: Mapping[str, Figure]) -> None:
        for name, figure in figures.items():
            self._client.log_figure(run_id, figure, f"figures/{name}.png")

    def _log_model(self, artifact: Artifact) -> None:
        window, target = artifact.manifest.window, artifact.manifest.target
        single = np.dtype(np.float32)
        outputs: list[ColSpec | TensorSpec] = [
            TensorSpec(single, (-1, target.horizon, len(artifact.manifest.levels)), "quantiles")
        ]
        if artifact.manifest.density:
            outputs.append(TensorSpec(single, (-1, target.horizon, width(artifact.manifest.density)), "parameters"))
        shape = (-1, window.context, len(window.channels))
        with TemporaryDirectory() as folder:
            manifest = Path(folder) / "manifest.json"
            manifest.write_text(serialise(artifact.manifest))
            mlflow.onnx.log_model(
                onnx.load_from_string(artifact.model),
                name="model",
                signature=ModelSignature(Schema([TensorSpec(single, shape)]), Schema(outputs)),
                input_example=golden_context(window),
                pip_requirements=[f"onnxruntime=={onnxruntime.__version__}", f"onnx=={onnx.__version__}"],
                onnx_execution_providers=["CPUExecutionProvider"],
                save_as_external_data=False,
                extra_files=[str(manifest)],
            )


@contextmanager
def _away() -> Iterator[None]:
    """What MLflow cannot do is for later: nothing that answers depends on it."""
    try:
        yield
    except MlflowException as error:
        raise NotebookAway(type(error.__cause__ or error).__name__) from error
