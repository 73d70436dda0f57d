"""Durable: the room that starts DBOS and asks it, which remembers what ran, what runs and how far it came.

A run is a DBOS workflow whose id says job, target and session, so it exists once however many ask for it. Its inputs,
steps and outcome are JSON; an error is kept as its class and its line.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dbos import DBOS, DBOSClient, DBOSConfig, Serializer, WorkflowStatus
from dbos._dbos import _get_dbos_instance, _get_or_create_dbos_registry
from sqlalchemy import Engine, event, inspect
from sqlalchemy.engine import ExceptionContext

from forecaster.errors import ForecasterError, JobFailed
from forecaster.store.database import connect
from pipelines.home import Home
from pipelines.work.runs import Name, Run, State

APPLICATION = "forecaster"
SHAPE = "1"
"""Of the workflows: a run is gone on with by code whose steps are those that it began with."""
_STATES: dict[str, State] = {"ENQUEUED": "waits", "DELAYED": "waits", "PENDING": "runs", "SUCCESS": "done"}


class Json(Serializer):
    """Plain values as JSON: nothing that is stored can run code when it is read."""

    def name(self) -> str:
        return "json"

    def serialize(self, data: Any) -> str:
        if isinstance(data, BaseException):
            kept = data.error if isinstance(data, JobFailed) else type(data).__name__
            return json.dumps({"error": kept, "problem": _first_line(data)})
        return json.dumps(data)

    def deserialize(self, serialized_data: str) -> Any:
        value = json.loads(serialized_data)
        if isinstance(value, dict) and set(value) == {"error", "problem"}:
            return JobFailed(value["problem"], value["error"])
        if isinstance(value, dict) and set(value) == {"args", "kwargs"}:
            return value | {"args": tuple(value["args"])}
        return value


def _first_line(error: BaseException) -> str:
    """An error of ours as it is, anybody else's in short: theirs go on for pages, and may hold what is in a URL."""
    if isinstance(error, ForecasterError):
        return str(error)
    said = (str(error).splitlines() or [""])[0][:200]
    return f"{type(error).__name__}: {said}"


@dataclass(frozen=True)
class Queue:
    """Runs that wait their turn."""

    name: str
    here: int | None = None
    """How many of it this process runs at once."""
    anywhere: int | None = None
    """How many all processes run at once."""
    every: float = 0.5
    """Seconds from one look at it to the next."""


def configure(home: Home, worker: str, traces: str | None = None) -> None:
    """Say where DBOS keeps its tables, and who this process is. Instances of its classes are made after this.

    Arguments:
        traces: OTLP endpoint that runs and steps are told to.
    """
    event.listen(Engine, "handle_error", call_lost)
    config = DBOSConfig(
        name=APPLICATION,
        system_database_url=home.jobs_url,
        application_version=SHAPE,
        executor_id=worker,
        serializer=Json(),
        log_level="CRITICAL",  # a run that failed is told of by us, in our words
    )
    if traces:
        config |= DBOSConfig(
            enable_otlp=True,
            otlp_traces_endpoints=[f"{traces.rstrip('/')}/v1/traces"],
            otel_attribute_format="semconv",
        )
    DBOS(config=config)


def call_lost(context: ExceptionContext) -> None:
    """Call a server that cannot be reached lost.

    The library waits until a lost connection is back. That one could not be made it knows by the driver's words, which
    psycopg 3.3 has changed for a socket that is gone and a host without an address: the run's error could then not be
    written down either, and it stayed with its living worker for ever.
    """
    if context.connection is None and context.dialect.name == "postgresql":
        context.is_disconnect = True


@contextmanager
def launched(queues: Sequence[Queue]) -> Iterator[None]:
    """DBOS at work in this process, taking from these queues and no others, until the end."""
    DBOS.listen_queues([queue.name for queue in queues])
    DBOS.launch()
    try:
        for queue in queues:
            DBOS.register_queue(
                queue.name,
                worker_concurrency=queue.here,
                global_concurrency=queue.anywhere,
                polling_interval_sec=queue.every,
                on_conflict="always_update",
            )
        yield
    finally:
        DBOS.destroy(workflow_completion_timeout_sec=0)
        _get_or_create_dbos_registry().instance_info_map.clear()  # it keeps them for good; the next brings its own


def at_work() -> set[str]:
    """Workers that have runs, alive or not."""
    return {str(one.executor_id) for one in DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)}


def take_over(dead: list[str]) -> None:
    """Put the runs of dead workers back into their queues.

    The library does it in one conditional statement by worker and run, so it does not matter how many do it at once: a
    run that somebody has taken since is not taken from him. Its public `resume_workflow` would.
    """
    DBOS._recover_pending_workflows(dead)


def idle(worker: str) -> bool:
    """Whether this worker has runs and carries out none of them.

    So it is where the library could not write down how a run ended: on a full disk, say, which it does not wait for.
    """
    mine = DBOS.list_workflows(status="PENDING", executor_id=worker, load_input=False, load_output=False)
    return bool(mine) and not _get_dbos_instance()._active_workflows_set.activeList()


def wait_for(name: Name) -> None:
    """Wait until a run is over, however it ends."""
    with suppress(Exception):  # why it failed is kept with it
        DBOS.retrieve_workflow(str(name)).get_result()


def known_runs(prefixes: Sequence[str], limit: int | None = None) -> list[Run]:
    """Runs whose names begin so, the newest first; for a process where DBOS is launched."""
    found = DBOS.list_workflows(workflow_id_prefix=list(prefixes), sort_desc=True, limit=limit, load_input=False)
    return _runs(found)


def recorded_runs(home: Home, prefixes: Sequence[str], limit: int | None = None) -> list[Run]:
    """The same for a process that only looks; empty where nothing ever ran."""
    if not _any_run(home):
        return []
    client = DBOSClient(system_database_url=home.jobs_url, serializer=Json())
    try:
        found = client.list_workflows(workflow_id_prefix=list(prefixes), sort_desc=True, limit=limit, load_input=False)
        return _runs(found)
    finally:
        client.destroy()


def _any_run(home: Home) -> bool:
    """Whether DBOS has made its tables; asking it would make them."""
    if home.database is None and not (home.root / "jobs.db").exists():
        return False
    engine = connect(home.jobs_url)
    try:
        schema = "dbos" if engine.dialect.name == "postgresql" else None
        return inspect(engine).has_table("workflow_status", schema=schema)
    finally:
        engine.dispose()


def _runs(found: Sequence[WorkflowStatus]) -> list[Run]:
    return [_run(name, one) for one in found if (name := Name.of(one.workflow_id)) is not None]


def _run(name: Name, one: WorkflowStatus) -> Run:
    told = one.output if isinstance(one.output, dict) else {}
    ended_as = _STATES.get(one.status, "failed")
    state: State = told.get("outcome", "done") if ended_as == "done" else ended_as
    failed = f"{one.error}" if one.error else one.status.lower().replace("_", " ")
    ended = one.completed_at if one.status not in ("PENDING", "ENQUEUED", "DELAYED") else None
    return Run(
        name=name,
        state=state,
        says=failed if state == "failed" else str(told.get("says", "")),
        told=told,
        worker=one.executor_id or "",
        asked_at=datetime.fromtimestamp((one.created_at or 0) / 1000, UTC),
        seconds=None if ended is None or one.dequeued_at is None else (ended - one.dequeued_at) / 1000,
    )
