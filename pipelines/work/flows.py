"""Flows: the runs, as DBOS carries them out. A step that was done is not done again by whoever goes on with its run."""

import logging
from collections.abc import Callable
from datetime import date, datetime, timedelta
from os import environ
from typing import Any

from dbos import DBOS, DBOSConfiguredInstance, SetWorkflowID, StepOptions
from sqlalchemy.exc import DBAPIError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from forecaster.errors import ForecasterError, JobFailed, NotebookAway, PromotionConflict, WorkerDied
from forecaster.spelling import counted
from pipelines.timetable import Timetable, timetable_of
from pipelines.work import daily, retraining
from pipelines.work.durable import Queue, known_runs
from pipelines.work.frozen import Freezer
from pipelines.work.retraining import Why
from pipelines.work.runs import Name, last_attempts
from pipelines.work.telling import Telling
from pipelines.workspace import Workspace

log = logging.getLogger(__name__)

ATTEMPTS = 6
"""At a step: what passes is given about a minute to pass."""


@DBOS.dbos_class()
class Flows(DBOSConfiguredInstance):
    """The jobs of one run file."""

    def __init__(self, workspace: Workspace, clock: Callable[[], datetime], telling: Telling) -> None:
        """Arguments:
        workspace: On the run file; its own moment is not used.
        """
        self.target = workspace.config.target.key
        self.telling = telling
        self._workspace, self._clock = workspace, clock
        self._freezer = Freezer(workspace)
        super().__init__(self.target)

    @property
    def queues(self) -> tuple[Queue, ...]:
        """Sessions one after the other, one retraining at a time, and trainings that several workers share."""
        return (
            Queue(self._queue("session"), anywhere=1),
            Queue(self._queue("retrain"), anywhere=1),
            Queue(self._queue("train"), here=self._workspace.crew.size),
        )

    def ask(self, name: Name) -> None:
        """Have a session seen to, once."""
        with SetWorkflowID(str(name)):
            DBOS.enqueue_workflow(self._queue("session"), self.session, name.session.isoformat())

    def attempt(self, session: date, model: str | None) -> Name:
        """By which name to ask for a retraining: another attempt's where the last one failed."""
        name = Name("retrain", self.target, session, model or "")
        last = [run for run in last_attempts(known_runs([str(name)])) if run.name.first == name]
        return name if not last else last[0].name.again if last[0].state == "failed" else last[0].name

    def ask_retraining(self, name: Name, reason: Why) -> None:
        """Have a model retrained, once."""
        with SetWorkflowID(str(name)):
            DBOS.enqueue_workflow(self._queue("retrain"), self.retrain, name.session.isoformat(), reason.record())

    @DBOS.workflow(name="session")
    def session(self, day: str) -> dict[str, Any]:
        """See to a session: fetch, check, score, issue, monitor, and say whether to retrain."""
        name, session = self._name(), date.fromisoformat(day)
        with self.telling.run(name) as told:
            fetched = self._step(name, "fetch", lambda: daily.fetch(self._now, environ))
            checked = self._step(name, "check", lambda: daily.check(self._now, session))
            scored = self._step(name, "score", lambda: daily.score(self._now))
            issued = self._step(
                name, "issue", lambda: daily.issue(self._now, self._timetable(session), session, checked["arrived"])
            )
            seen = self._step(name, "monitor", lambda: daily.monitor(self._now, session))
            self._step(name, "tell", lambda: self.telling.session(name, seen["watched"], seen["alarms"]))
            mirrored = self._step(name, "mirror", lambda: daily.mirror(self._now))
            whole = not checked["missing"]
            outcome = "done" if whole else "deferred" if fetched["remote"] else "stale"
            reason = None
            if outcome != "deferred":  # nothing is trained on data that are yet to come
                asked = mirrored["request"]
                reason = self._step(name, "decide", lambda: self._why(session, whole, seen["alarms"], asked))
            if reason is not None:
                more = reason.pop("more", reason["model"] or "")  # older outcomes of this step have none
                self.ask_retraining(Name("retrain", self.target, session, more), Why(**reason))
            says = f"{len(issued['issued'])} issued, {counted(scored['scored'], 'step')} scored"
            if not whole:
                says += f"; nothing of {', '.join(checked['missing'][:3])} yet"
            told |= {"outcome": outcome, "says": says}
            told |= fetched | checked | scored | issued | {"alarms": seen["alarms"]}
            return told

    @DBOS.workflow(name="retrain")
    def retrain(self, day: str, reason: dict[str, Any]) -> dict[str, Any]:
        """Freeze what is known, train, and let the gate (or, for a refit, soundness) decide."""
        name, session, asked = self._name(), date.fromisoformat(day), Why(**reason)
        with self.telling.run(name) as told:
            taken = self._step(name, "snapshot", lambda: retraining.take(self._now))
            if asked.kind == "challenge":
                self._share_out(session, taken)
                said = self._step(
                    name, "gate", self._on(taken, lambda frozen: retraining.challenge(frozen, asked.model))
                )
            else:
                said = self._step(name, "refresh", self._on(taken, retraining.refit))
            answer = None if asked.model is None else f"{asked.model}, asked for by hand: {said['reason']}"
            self._step(name, "mirror", lambda: daily.mirror(self._now, answer))
            issued = self._step(name, "issue", lambda: daily.issue_newest(self._now))
            if said["moved"]:
                self._step(name, "tell", lambda: self.telling.tell("promotion", name, asked.kind, "", said["reason"]))
            told |= {"outcome": "done", "kind": asked.kind, "because": asked.because, "says": said["reason"]}
            told |= said | issued
            return told

    @DBOS.workflow(name="train")
    def train(self, taken: dict[str, Any], model: str) -> dict[str, Any]:
        """Train one model of a retraining, by whichever worker is free."""
        name = self._name()
        with self.telling.run(name) as told:
            told |= self._step(name, "train", self._on(taken, lambda frozen: retraining.train(frozen, model)))
            return told

    def _share_out(self, session: date, taken: dict[str, Any]) -> None:
        asked = []
        for model in retraining.models(self._workspace):
            with SetWorkflowID(str(Name("train", self.target, session, f"{taken['as_of']} {model}"))):
                asked.append(DBOS.enqueue_workflow(self._queue("train"), self.train, taken, model))
        for handle in asked:
            handle.get_result()

    def _why(
        self, session: date, whole: bool, alarms: list[dict[str, Any]], request: str | None
    ) -> dict[str, Any] | None:
        if request is not None:
            reason: Why | None = Why("challenge", "the alias in MLflow was moved to it by hand", request)
        else:
            past = known_runs([f"retrain {self.target} "])
            if any(not run.over for run in past):
                return None  # one is on its way
            done = [run for run in past if run.state == "done"]
            reason = retraining.why(self._now, self._timetable(session), session, whole, alarms, done)
        return None if reason is None else reason.record() | {"more": self.attempt(session, reason.model).more}

    def _step(self, name: Name, step: str, work: Callable[[], Any]) -> Any:
        """Carry out a step, again where what stopped it may pass; its outcome is kept before the next begins."""
        again = Retrying(
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(max=30),
            retry=retry_if_exception(may_pass),
            before_sleep=lambda state: log.warning("again", extra={"step": step, "problem": _problem(state)}),
            reraise=True,
        )

        def timed() -> Any:
            with self.telling.step(name, step):
                return again(work)

        return DBOS.run_step(StepOptions(name=step), timed)

    def _name(self) -> Name:
        """Of the run that this is."""
        name = Name.of(DBOS.workflow_id or "")
        if name is None:
            raise JobFailed(f"a run without a name of ours: {DBOS.workflow_id}; leave it to those who asked")
        return name

    @property
    def _now(self) -> Workspace:
        return self._workspace.at(self._clock())

    def _on(self, taken: dict[str, Any], work: Callable[[Workspace], Any]) -> Callable[[], Any]:
        """The work, on what was frozen."""

        def carry_out() -> Any:
            with self._freezer.on(taken) as frozen:
                return work(frozen)

        return carry_out

    def _timetable(self, session: date) -> Timetable:
        # Back to the retrainings before it, whose distance is counted.
        return timetable_of(self._workspace.config, session - timedelta(days=800), session + timedelta(days=10))

    def _queue(self, job: str) -> str:
        return f"{job} {self.target}"


def may_pass(error: BaseException) -> bool:
    """Whether a step that ended so is worth another try: the world failed it, not its own words."""
    if isinstance(error, ForecasterError):
        return isinstance(error, PromotionConflict | WorkerDied | NotebookAway)
    return isinstance(error, DBAPIError | OSError) or type(error).__module__.startswith("mlflow.")


def _problem(state: RetryCallState) -> str:
    error = state.outcome.exception() if state.outcome is not None else None
    return type(error).__name__
