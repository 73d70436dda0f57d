"""Jobs in small: a home with the random walk in charge, a clock that is set by hand, a worker in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, select

from forecaster.store.alarms import Alarm, add_alarms
from forecaster.store.champions import crown
from forecaster.store.schema import forecast, score
from pipelines.config import RunConfig
from pipelines.timetable import timetable_of
from pipelines.train import scored_jobs, train_all
from pipelines.work.runs import Policy, Run
from pipelines.work.worker import Worker, working
from pipelines.workspace import Workspace
from tests.pipelines.small_runs import prices

KEY = "^GSPC-return-2"
HAR = {"name": "har", "family": "har"}
RUN = prices([HAR], window={"context": 40, "burn_in": 24, "channels": ["log_return", "log_range"]})
CONFIG = RunConfig.model_validate(RUN)
TABLE = timetable_of(CONFIG, date(2017, 1, 2), date(2018, 12, 31))
DAYS = TABLE.between(date(2018, 12, 10), date(2018, 12, 17))
HOUR = timedelta(hours=1)


@dataclass
class Clock:
    """A clock that is set by hand."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@contextmanager
def at_work(made: Workspace, now: datetime, lease: float = 30.0) -> Iterator[tuple[Worker, Clock]]:
    """A worker in this process, as the commands open it."""
    clock = Clock(now)
    with working(made.at(now), clock, lease) as one:
        yield one, clock


def see_to(one: Worker, policy: Policy = "latest", began: datetime | None = None) -> list[Run]:
    return one.wait(one.fire(policy, began or one.clock()))


def rows(engine: Engine, *columns: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return sorted((tuple(row) for row in connection.execute(select(*columns))), key=repr)


def issued_of(made: Workspace) -> list[tuple[Any, ...]]:
    return rows(made.engine, forecast.c.origin, forecast.c.horizon, forecast.c.kind)


def scored_of(made: Workspace) -> list[tuple[Any, ...]]:
    """Steps that were held against what came: origin and horizon."""
    with made.engine.connect() as connection:
        found = connection.execute(select(forecast.c.origin, forecast.c.horizon).join(score))
        return sorted(tuple(row) for row in found)


def crowned(made: Workspace) -> Workspace:
    """The random walk in charge; its inputs are watched from now on, not since the years that it was trained on."""
    (job, *_) = scored_jobs(made.bench, made.spans)
    (one,) = train_all(made.bench, [job], lambda _: None)
    crown(made.engine, made.config.target.key, one.artifact.digest, None, {"reason": "a test"}, made.now)
    friday = DAYS[0] - timedelta(days=3)
    add_alarms(made.engine, [Alarm(made.config.target.key, "inputs", "", friday, 2.0, 1.0, "a test", made.now)])
    return made
