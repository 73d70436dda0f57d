"""Sources: when each was last asked and how it went, by the log of visits; how it answers now, if that is wanted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from forecaster.errors import ForecasterError
from forecaster.spelling import counted
from forecaster.store.visits import FAILURES, PROBE_EVERY, Visit, is_open, last_visit
from pipelines.doctor.finding import Patient, Unwell
from pipelines.sources.base import Surroundings

_RECENT = timedelta(days=10)
"""Of bars that a source is asked for when it is asked to see whether it answers."""
_WELL = ("ok", "behind", "overtaken")


@dataclass(frozen=True)
class _Source:
    """A source of the run file."""

    name: str
    subjects: Sequence[str]
    ask: Callable[[str], str]
    """About a subject; what it answered."""


def sources(patient: Patient) -> str:
    """Each source of the run file can be opened, is not left alone, and answered when it was last asked."""
    told, ill = [], False
    for open_one in (_bars, _macro):
        try:
            source = open_one(patient)
            if source.subjects:
                told.append(_asked(patient, source) if patient.ask else _remembered(patient, source))
        except (Unwell, ForecasterError) as error:
            told.append(str(error))
            ill = True
    said = "; ".join(dict.fromkeys(told))
    if ill:
        raise Unwell(said)
    return said


def _around(patient: Patient) -> Surroundings:
    return Surroundings(patient.config.target.venue, patient.home.sources, patient.environment)


def _bars(patient: Patient) -> _Source:
    data, now = patient.config.data, patient.now
    source = data.bars.open(_around(patient))

    def ask(symbol: str) -> str:
        bars = source.bars(symbol, now.date() - _RECENT if source.remote else None, now).bars
        return f"{len(bars)} bars of {symbol}"

    return _Source(source.name, data.symbols, ask)


def _macro(patient: Patient) -> _Source:
    data, now = patient.config.data, patient.now
    source = data.macro.open(_around(patient))

    def ask(series: str) -> str:
        return f"{len(source.observations(series, now).observations)} values of {series}"

    return _Source(source.name, data.series, ask)


def _asked(_patient: Patient, source: _Source) -> str:
    return f"{source.name} answers: {source.ask(source.subjects[0])}"


def _remembered(patient: Patient, source: _Source) -> str:
    """How it went the last time about each subject."""
    visits = [last_visit(patient.engine, one, source=source.name) for one in source.subjects]
    made = [one for one in visits if one is not None]
    if not made:
        return f"{source.name}, which this run names, was not asked yet; `forecaster fetch` does"
    newest = max(made, key=lambda one: one.asked_at)
    failed = [one for one in made if one.status not in _WELL]
    ago = _ago(patient.now, newest.asked_at)
    if is_open(patient.engine, source.name, patient.now):
        raise Unwell(
            f"{source.name} is left alone after {FAILURES} failures in a row, the last {ago} ({_why(failed)}); one "
            f"visit every {PROBE_EVERY.total_seconds() / 60:.0f} minutes sees whether it is back: `forecaster fetch`"
        )
    if failed:
        raise Unwell(
            f"{source.name} was asked {ago}, and {len(failed)} of {counted(len(made), 'subject')} "
            f"{'was' if len(failed) == 1 else 'were'} not answered ({_why(failed)}); run `forecaster fetch` again"
        )
    return f"{source.name} was asked {ago} and answered about {len(made)} of {counted(len(source.subjects), 'subject')}"


def _why(failed: Sequence[Visit]) -> str:
    newest = max(failed, key=lambda one: one.asked_at, default=None)
    return "no reason was kept" if newest is None else f"{newest.status}: {newest.problem or newest.subject}"


def _ago(now: datetime, then: datetime) -> str:
    hours = (now - then).total_seconds() / 3600
    return (
        f"{hours * 60:.0f} minutes ago"
        if hours < 2
        else f"{hours:.0f} hours ago"
        if hours < 48
        else f"on {then.date()}"
    )
