"""Every look side by side, and an end to those that hang."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait

from sqlalchemy.exc import SQLAlchemyError

from forecaster.errors import ForecasterError
from forecaster.hidden import Blotter
from pipelines.doctor.clocks import clock
from pipelines.doctor.finding import Finding, Look, Patient, Unwell
from pipelines.doctor.jobs import jobs
from pipelines.doctor.notebook import notebook
from pipelines.doctor.places import disk, home
from pipelines.doctor.sources import sources
from pipelines.doctor.stored import champion, data, database

LOOKS: tuple[tuple[str, Look], ...] = (
    ("home", home),
    ("disk", disk),
    ("database", database),
    ("data", data),
    ("sources", sources),
    ("champion", champion),
    ("mlflow", notebook),
    ("clock", clock),
    ("jobs", jobs),
)
"""In the order in which a run needs them."""

SECONDS = 6.0
"""That looks have before they are given up."""
ASKING_SECONDS = 60.0
"""The same where sources are asked."""


def doctor(patient: Patient, looks: Sequence[tuple[str, Look]] = LOOKS) -> list[Finding]:
    """What each look found, in their order."""
    blotter = Blotter.of(patient.environment)
    until = time.monotonic() + (ASKING_SECONDS if patient.ask else SECONDS)
    found = {what: Future[Finding]() for what, _ in looks}
    for what, look in looks:  # daemons: one that hangs is left behind, and ends with the process
        work = (what, look, patient, blotter, found[what])
        threading.Thread(target=_work, args=work, name=f"doctor-{what}", daemon=True).start()
    wait(found.values(), timeout=max(0.0, until - time.monotonic()))
    patient.engine.dispose()
    return [one.result() if one.done() else Finding(what, False, _HANGS) for what, one in found.items()]


_HANGS = "no answer in time; see that what it needs runs and can be reached, then look again"


def _work(what: str, look: Look, patient: Patient, blotter: Blotter, found: Future[Finding]) -> None:
    try:
        finding = Finding(what, True, look(patient))
    except (Unwell, ForecasterError) as error:
        finding = Finding(what, False, blotter.blot(str(error)))
    except SQLAlchemyError as error:
        remedy = "see that it runs and that FORECASTER_DATABASE_URL is right; `forecaster fetch` makes what is missing"
        finding = Finding(what, False, f"the database cannot be read ({type(error).__name__}); {remedy}")
    except Exception as error:  # one look that breaks must not hide what the others say
        said = (str(error).splitlines() or [""])[0][:160]
        remedy = "look at what it names, then again"
        finding = Finding(
            what, False, blotter.blot(f"could not be looked at ({type(error).__name__}: {said}); {remedy}")
        )
    found.set_result(finding)
