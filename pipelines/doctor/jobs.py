"""What became of the jobs."""

from forecaster.store.database import require_current
from forecaster.store.workers import beats
from pipelines.doctor.finding import Patient, Unwell
from pipelines.work.durable import recorded_runs

_NEWEST = 50


def jobs(patient: Patient) -> str:
    """The newest run of each job has not failed, and what waits has somebody to wait for."""
    require_current(patient.engine)  # and so that it is there
    runs = recorded_runs(patient.home, ("session ", "retrain "), _NEWEST)
    if not runs:
        return "nothing ran yet; `forecaster work` sees to every session"
    newest = {(run.name.job, run.name.target): run for run in reversed(runs)}
    failed = [run for run in newest.values() if run.state == "failed"]
    if failed:
        raise Unwell(f"{failed[0].name} failed: {failed[0].says[:160]}; `forecaster jobs` has all of them")
    waiting = [run for run in runs if not run.over]
    if waiting and not beats(patient.engine):
        raise Unwell(f"{waiting[0].name} waits, and nobody works; start `forecaster work`")
    return f"{runs[0].name} {runs[0].state}, {len(waiting)} waiting or running"
