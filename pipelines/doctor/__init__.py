"""Doctor: look at everything that a run needs and say what to do where something is missing; changes nothing."""

from pipelines.doctor.finding import Finding, Patient, Unwell
from pipelines.doctor.run import LOOKS, doctor

__all__ = ["LOOKS", "Finding", "Patient", "Unwell", "doctor"]
