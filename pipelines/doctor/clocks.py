"""Clocks: ours against the others', and against what was written down by it."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from forecaster.store.database import reading
from forecaster.store.schema import alarm, bar, forecast, observation, visit
from pipelines.doctor.finding import Patient, Unwell
from pipelines.doctor.server import Server

_MOST = 120.0
"""Seconds by which clocks may differ."""
_WRITTEN = (bar.c.recorded_at, observation.c.recorded_at, visit.c.asked_at, forecast.c.issued_at, alarm.c.raised_at)
_REMEDY = "set the clock (NTP) before anything is written: a row's time says who could know it"


def clock(patient: Patient) -> str:
    """Our clock is near those of the database and of MLflow, and after everything that was written down."""
    seen = {"the database": _database(patient), "MLflow": _of_mlflow(patient)}
    heard = {name: there for name, there in seen.items() if there is not None}
    for name, there in heard.items():
        off = seconds_off(there, patient.now)
        if off > _MOST:
            raise Unwell(f"ours is {off:.0f} s from that of {name}; {_REMEDY}")
    newest = _newest(patient)
    if newest is not None and newest > patient.now:
        behind = f"{patient.now:%Y-%m-%d %H:%M} UTC, before the newest row of the store ({newest:%Y-%m-%d %H:%M})"
        raise Unwell(f"it says {behind}; {_REMEDY}")
    agreed = f", as {' and '.join(heard)} say" if heard else ""
    return f"{patient.now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC{agreed}"


def of_the_database(engine: Engine) -> datetime | None:
    """The time of a database server; None for a database that has no clock of its own."""
    if engine.dialect.name != "postgresql":
        return None
    with reading(engine).connect() as connection:
        told: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return told


def seconds_off(one: datetime, other: datetime) -> float:
    """How far apart."""
    return abs((one - other).total_seconds())


def _database(patient: Patient) -> datetime | None:
    """None too where it does not answer; the look at the database says so."""
    try:
        return of_the_database(patient.engine)
    except SQLAlchemyError:
        return None


def _of_mlflow(patient: Patient) -> datetime | None:
    """What its server says in passing; None where there is no server, or no answer."""
    server = Server.of(patient)
    try:
        return None if server is None else parsedate_to_datetime(server.get("/version").headers["Date"])
    except (requests.RequestException, KeyError, ValueError):
        return None


def _newest(patient: Patient) -> datetime | None:
    """When the newest row was written; None where there is none, or no store."""
    try:
        with reading(patient.engine).connect() as connection:
            found = [connection.scalar(select(func.max(column))) for column in _WRITTEN]
    except SQLAlchemyError:
        return None
    return max((one for one in found if one is not None), default=None)
