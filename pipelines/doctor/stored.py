"""What the store holds: its schema, bars, champions."""

from sqlalchemy import func, select

from forecaster.errors import NoChampion, NoHistory
from forecaster.runtime import Runtime
from forecaster.store.artifacts import load_artifact
from forecaster.store.champions import all_champions
from forecaster.store.database import reading, require_current
from forecaster.store.schema import bar
from pipelines.doctor.clocks import of_the_database, seconds_off
from pipelines.doctor.finding import Patient, Unwell

_CLOSE = 60.0
"""Seconds that a database server's clock may be off."""


def database(patient: Patient) -> str:
    """It answers, has the schema of this version, and its server's clock agrees with ours."""
    require_current(patient.engine)
    there, kind = of_the_database(patient.engine), patient.engine.dialect.name
    if there is None:
        return f"{kind}, schema up to date"
    off = seconds_off(there, patient.now)
    if off > _CLOSE:
        raise Unwell(f"{kind}, schema up to date, but its server's clock is {off:.0f} s from ours; set both by NTP")
    return f"{kind}, schema up to date, its clock agrees with ours"


def data(patient: Patient) -> str:
    """There are bars."""
    with reading(patient.engine).connect() as connection:
        newest, count = connection.execute(select(func.max(bar.c.session), func.count())).one()
    if newest is None:
        raise NoHistory("the store")
    return f"{count} bars, the newest {newest}, {(patient.now.date() - newest).days} days old"


def champion(patient: Patient) -> str:
    """There are champions, and each can be trusted."""
    champions = all_champions(patient.engine)
    if not champions:
        raise NoChampion("any target")
    for one in champions:
        Runtime(load_artifact(patient.engine, one.digest))
    return ", ".join(f"{one.target} version {one.version}" for one in champions)
