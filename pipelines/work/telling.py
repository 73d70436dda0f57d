"""Telling: what happens to runs, to Prometheus, to the log and to whoever has a webhook."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from forecaster.errors import WebhookFailed
from forecaster.logs import bound
from forecaster.store.alarms import AlarmKind
from pipelines.metrics import Outcome, WorkerMetrics
from pipelines.webhook import Event, Webhook
from pipelines.work.runs import Name

log = logging.getLogger(__name__)

_OUTCOMES: dict[str, Outcome] = {"done": "done", "stale": "done", "deferred": "waiting"}


@dataclass(frozen=True)
class Telling:
    """Who is told."""

    metrics: WorkerMetrics
    webhook: Webhook | None
    clock: Callable[[], datetime]

    @contextmanager
    def run(self, name: Name) -> Iterator[dict[str, Any]]:
        """A run, whose lines carry its name: how it ended is told. What is yielded takes its outcome."""
        begun, told = time.monotonic(), dict[str, Any]()
        with bound(run=str(name), session=str(name.session), target=name.target):
            try:
                yield told
            except Exception as error:
                log.exception("failed")
                self.metrics.ran(name.job, "failed", time.monotonic() - begun)
                said = (str(error).splitlines() or [""])[0]
                self.tell("run", name, f"{name.job} failed", "", said)
                raise
            log.info("ended", extra={"outcome": told.get("outcome", "done"), "says": told.get("says", "")})
            self.metrics.ran(name.job, _OUTCOMES[told.get("outcome", "done")], time.monotonic() - begun)

    @contextmanager
    def step(self, name: Name, step: str) -> Iterator[None]:
        """A step of it, where it is carried out; one that was done before is not."""
        begun = time.monotonic()
        yield
        self.metrics.stepped(name.job, step, time.monotonic() - begun)

    def session(self, name: Name, watched: list[dict[str, Any]], alarms: list[dict[str, Any]]) -> None:
        """What monitoring saw at a session, and its alarms."""
        self.metrics.session_done(name.target, name.session)
        for one in watched:
            if one["kind"] == "age":
                self.metrics.aged(one["subject"], int(one["statistic"]))
            else:
                self.metrics.watched(one["kind"], one["subject"], one["statistic"], one["threshold"])
        for one in alarms:
            if one["kind"] in get_args(AlarmKind):
                self.metrics.alarm(one["kind"])
            self.tell("alarm", name, one["kind"], one["subject"], one["says"])

    def tell(self, what: Literal["alarm", "run", "promotion"], name: Name, kind: str, subject: str, says: str) -> None:
        """Tell the webhook, if there is one; that it does not listen stops nothing."""
        if self.webhook is None:
            return
        try:
            self.webhook.tell(Event(what, name.target, name.session, kind, subject, says, self.clock()))
        except WebhookFailed as error:
            log.warning("not told", extra={"problem": str(error)})
