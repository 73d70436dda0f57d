"""Tune: search a model's configuration on the validation years, and write down how many were looked at.

A trial trains seed after seed. Its merit is the mean, over the seeds, of the single fits' validation skill against the
random walk; the test years are cut off before anything is trained. Trials are asked and told in batches of a fixed
size, so the outcome does not depend on how many workers there are.
"""

import fcntl
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from forecaster.artifact import code_digest
from forecaster.contract import Floats, Frozen
from forecaster.errors import ConfigError, ForecasterError
from forecaster.store import tunings
from forecaster.training.fit import Task, fit
from forecaster.windows import Spans
from pipelines.figures.tuning import tuning as draw
from pipelines.search import Attempt, Search
from pipelines.spaces import Space
from pipelines.train import Bench, Say
from pipelines.trial import Fit, Trial, try_out, validation_crps, without_test

BATCH = 4
"""Trials that are asked before the first of them is told; so many can be under way at once."""


@dataclass(frozen=True)
class Tuning:
    """What was tried of a model."""

    key: str
    """Digest of all that decides what a trial gives."""
    space: Space
    seeds: int
    """Fits of a trial that is not given up."""
    trials: tuple[Trial, ...]

    @property
    def ranked(self) -> list[Trial]:
        """The trials that were trained to the end, best first."""
        done = [trial for trial in self.trials if trial.state == "done"]
        return sorted(done, key=lambda trial: (-(trial.skill or 0.0), trial.number))

    @property
    def best(self) -> Trial | None:
        """None where no trial was trained to the end."""
        return next(iter(self.ranked), None)

    @property
    def counts(self) -> dict[str, int]:
        """`asked`; `trials`: different configurations that were trained; of the asked, `pruned` and `refused`."""
        trained = {json.dumps(trial.values) for trial in self.trials if trial.state != "refused"}
        states = [trial.state for trial in self.trials]
        counts = {state: states.count(state) for state in ("pruned", "refused")}
        return {"asked": len(states), "trials": len(trained), **counts}

    @property
    def config(self) -> dict[str, dict[str, Any]]:
        """`model` and `training` of the best trial, complete; those of the run where there is none."""
        family, training = self.space.settle(self.best.values if self.best else self.space.start)
        return {"model": family.model_dump(mode="json"), "training": training.model_dump(mode="json")}

    @property
    def toml(self) -> str:
        """The best trial as lines of a run file: what was varied, and what the run says otherwise than by default."""
        family, training = self.space.settle(self.best.values if self.best else self.space.start)
        parts: list[tuple[str, str, Frozen]] = [("model", "[[models]]", family)]
        if self.space.trained:
            parts.append(("training", "[training]", training))
        lines = []
        for part, title, stated in parts:
            varied = [place.split(".")[1] for place in self.space.axes if place.startswith(f"{part}.")]
            changed = stated.model_dump(mode="json", exclude_defaults=True)
            shown = dict.fromkeys([*(("name", "family") if part == "model" else ()), *changed, *varied])
            lines += [title, *(f"{field} = {json.dumps(getattr(stated, field))}" for field in shown), ""]
        return "\n".join(lines)

    @property
    def verdict(self) -> str:
        """How much was looked at, and what to make of the best."""
        counts = self.counts
        return (
            f"tried {counts['trials']} configurations in {counts['asked']} trials: {counts['pruned']} given up, "
            f"{counts['refused']} refused before training.\n"
            "The best of many is better here than it will be; [training] is shared by all models of the run."
        )

    def rows(self, most: int = 5) -> list[dict[str, Any]]:
        """The best trials and the run's own, as a table."""
        shown = [*self.ranked[:most], *(trial for trial in self.ranked[most:] if trial.number == 1)]
        return [
            {"trial": trial.number, "skill %": f"{100 * (trial.skill or 0.0):+.2f}"}
            | {place.split(".")[1]: value for place, value in trial.values.items()}
            for trial in shown
        ]

    def record(self) -> dict[str, Any]:
        """Everything as plain values."""
        table = [asdict(trial) | {"skill": trial.skill} for trial in self.trials]
        return {"study": self.key, "seeds": self.seeds, **self.counts, "table": table, "config": self.config}


def tune(bench: Bench, spans: Spans, name: str, folder: Path, say: Say, trials: int = 20, seeds: int = 2) -> Tuning:
    """Try configurations of one model of the run; the same command goes on where it was killed.

    Arguments:
        name: Of the model, or its family where the run has one of it.
        folder: Where unfinished searches are kept.

    Raises:
        ConfigError: There is nothing to tune, the run's own model cannot be trained, or the same tuning is under way.
    """
    space, task = Space.of(bench.config, name), without_test(spans)
    seeds = seeds if space.trained else 1
    key = study_key(bench, space, task, seeds)
    with _alone(folder / f"{key[:16]}.lock"):
        search = Search(folder / f"{key[:16]}.db", key, space, bench.config.training.seed)
        found = Tuning(key, space, seeds, tuple(search.finished()))
        if found.trials:
            say(f"found     {len(found.trials)} trials of an earlier start")
        batches = _Batches(bench, space, task, seeds, _walk(bench, task), search, key, say, trials)
        while (done := len(found.trials)) < trials:
            attempts = search.ask(done + 1, min(BATCH, trials - done))
            ended = batches.carry_out(attempts)
            found = replace(found, trials=(*found.trials, *ended))
            # Written down before they are told: a batch that is killed in between is asked and written again, alike.
            _write(bench, found, ended)
            search.tell(attempts)
        _publish(bench, found)
    return found


def study_key(bench: Bench, space: Space, task: Task, seeds: int) -> str:
    """Digest of all that decides what a trial gives: the data up to the last validation target, code, configuration."""
    stated = {
        "code": code_digest(),
        "target": bench.config.target.model_dump(),
        "window": bench.config.window.model_dump(),
        "features": bench.config.features.digest,
        "baseline": bench.config.baseline.model_dump(),
        "model": space.family.model_dump(mode="json"),
        "training": bench.config.training.model_dump(exclude={"seeds"}),
        "axes": {place: asdict(axis) for place, axis in space.axes.items()},
        "seeds": seeds,
    }
    digest = hashlib.sha256(json.dumps(stated, sort_keys=True).encode())
    for sample in (*task.train, *task.validation):
        for part in (sample.windows.values, sample.windows.targets, sample.origins):
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two processes would ask and tell the same trials; the lock goes with the process, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError("tune", "the same tuning is under way in this home; wait for it") from error
        yield


def _walk(bench: Bench, task: Task) -> Floats:
    """Mean CRPS of the random walk by horizon [H], fitted and scored as the trials are."""
    training = bench.config.training
    walk = fit(bench.config.baseline, bench.spec, training, task, seed=training.seed)
    return validation_crps(walk.model, task.validation)


@dataclass(frozen=True)
class _Batches:
    """What carries out attempts, side by side."""

    bench: Bench
    space: Space
    task: Task
    seeds: int
    reference: Floats
    """[H] mean CRPS of the random walk."""
    search: Search
    key: str
    say: Say
    trials: int
    """Asked for, all batches together."""

    def carry_out(self, attempts: Sequence[Attempt]) -> list[Trial]:
        """Seed after seed, until each attempt has come to an end."""
        fits = {attempt.number: stated for attempt in attempts if (stated := self._stated(attempt)) is not None}
        for seed in range(self.seeds):
            self._seed(seed, [attempt for attempt in attempts if attempt.record is None], fits)
            for attempt in attempts:
                if attempt.record is None and seed + 1 < self.seeds and attempt.hopeless:
                    attempt.end("pruned", f"among the worst after {seed + 1} of {self.seeds} seeds")
                    self._say(attempt, "given up")
        return [attempt.record or attempt.end("done") for attempt in attempts]

    def _stated(self, attempt: Attempt) -> Fit | None:
        """The fit of an attempt's first seed; None where its values do not go together."""
        try:
            family, training = self.space.settle(attempt.values)
            family.build(self.bench.spec)
        except ForecasterError as problem:
            self._fail(attempt, "refused", problem)
            return None
        folder = self.bench.checkpoints.resolve() / self.key[:16]
        folder.mkdir(parents=True, exist_ok=True)
        return Fit(attempt.number, family, training, self.task, self.bench.spec, training.seed, folder)

    def _seed(self, seed: int, attempts: Sequence[Attempt], fits: Mapping[int, Fit]) -> None:
        """One more seed of each attempt, trained or remembered."""
        asked = []
        by_number = {attempt.number: attempt for attempt in attempts}
        for attempt in attempts:
            known, first = self.search.remembered(attempt.values), fits[attempt.number]
            if seed < len(known):
                attempt.score(*known[seed])
            else:
                asked.append(replace(first, seed=first.seed + seed))
        for order, outcome in self.bench.workers.each(try_out, asked) if asked else ():
            attempt = by_number[order.number]
            if outcome.problem is not None:
                self._fail(attempt, "pruned", outcome.problem)
                continue
            skill = float(1 - np.mean(np.array(outcome.crps) / self.reference))
            attempt.score(skill, outcome.seconds)
            self._say(attempt, f"seed {seed + 1} of {self.seeds}: skill {100 * skill:+.2f} %, {outcome.seconds:.1f} s")

    def _fail(self, attempt: Attempt, state: Literal["pruned", "refused"], problem: ForecasterError) -> None:
        """End an attempt that cannot be trained; the run's own model has to be."""
        if attempt.number == 1:
            raise problem
        attempt.end(state, str(problem))
        self._say(attempt, f"{state}: {problem}")

    def _say(self, attempt: Attempt, line: str) -> None:
        values = " ".join(f"{place.split('.')[1]}={value}" for place, value in attempt.values.items())
        self.say(f"trial     {attempt.number}/{self.trials} {values}: {line}")


def _write(bench: Bench, found: Tuning, ended: Sequence[Trial]) -> None:
    """Where the tuning stands, into the store; the trials that have just ended, into the notebook."""
    family, best = found.space.family, found.best
    entry = tunings.Tuning(
        study=found.key,
        target=bench.config.target.key,
        family=family.family,
        name=family.name,
        snapshot=bench.snapshot,
        best_skill=None if best is None else best.skill,
        config=found.config,
        **found.counts,
    )
    tunings.add_tuning(bench.engine, entry, bench.now)
    parent, now_ms = _parent(bench, found), int(bench.now.timestamp() * 1000)
    for trial in ended:
        key = hashlib.sha256(f"{found.key} {trial.number} {json.dumps(trial.values)}".encode()).hexdigest()
        run_id = bench.notebook.open(key, f"{family.name} trial {trial.number}", parent)
        values = {place: str(value) for place, value in trial.values.items()}
        tags = {"family": family.family, "state": trial.state, "note": trial.note}
        bench.notebook.log_trial(run_id, values, trial.scores, tags, now_ms)
    best_so_far = {
        trial.number: best.skill
        for trial in ended
        if (best := replace(found, trials=found.trials[: trial.number]).best) is not None and best.skill is not None
    }
    bench.notebook.log_course(parent, "best_skill", best_so_far, now_ms)


def _publish(bench: Bench, found: Tuning) -> None:
    """The whole tuning into its run of the notebook."""
    family = found.space.family
    said = {"family": family.family, "model": family.name, "seeds": str(found.seeds)}
    counts = {name: float(count) for name, count in found.counts.items()}
    drawn = {"tuning": draw(family.name, found.trials)}
    run_id, now_ms = _parent(bench, found), int(bench.now.timestamp() * 1000)
    bench.notebook.log_tuning(run_id, said, counts, bench.snapshot, found.record(), drawn, now_ms)


def _parent(bench: Bench, found: Tuning) -> str:
    return bench.notebook.open(found.key, f"{found.space.family.name} tuning")
