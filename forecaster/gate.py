"""The gate: a promotion is a statistical decision whose false alarms a year are bounded, and its reasons are kept.

A challenge puts one recipe to the years that had no part in making it. It passes where it is better than the random
walk and than the champion on the same origins, by more than chance and by more than nothing, covers what its
intervals promise, and is sound. Two things keep chance from passing in the end:

- the p-value must beat the challenge's own alpha divided by the number of recipes whose scores on those origins anyone
  has seen since the champion came (Bonferroni: whoever looks at many and submits the best has had that many turns);
- alpha flows into a vessel that holds 1 %, by 4 % a year, and a challenge spends half of what is in it. So all
  challenges of any 365 days together, however many, pass a worthless recipe with a probability of at most 5 % (the
  union bound).

Better than the random walk *and* than the champion is one test by intersection and union: each at the full level.

References:
    R. Berger, Multiparameter hypothesis testing and acceptance sampling, Technometrics 24 (1982), p. 295 (theorem 1).
    D. Foster, R. Stine, Alpha-investing, J. Royal Statistical Society B 70 (2008), p. 429 (a budget of false alarms).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from forecaster.significance import Rate, Skill
from forecaster.spelling import counted

YEARLY = 0.05
"""Largest probability that the challenges of any 365 days promote a worthless recipe."""
VESSEL = 0.01
"""Alpha that can be saved up; full at the start. The rest of the year's flows in evenly."""
SHARE = 0.5
"""Of what is in the vessel, spent by one challenge: the first has .5 %, weekly ones settle at .08 %."""
YEAR = timedelta(days=365)
EFFECT = 0.001
"""Least skill that is worth a promotion."""
LAG = 21
"""Most sessions by which the newest scored origin may lie behind the data, beyond the horizon."""


def allowance(spent: Sequence[tuple[datetime, float]], now: datetime) -> float:
    """The alpha that a challenge may spend now.

    Arguments:
        spent: When earlier challenges were, and what each spent, in order.
    """
    level, since = VESSEL, spent[0][0] if spent else now
    for when, alpha in [*spent, (now, 0.0)]:
        flown = (YEARLY - VESSEL) * max((when - since) / YEAR, 0.0)
        level, since = min(VESSEL, level + flown) - alpha, when
    return SHARE * max(level, 0.0)


@dataclass(frozen=True)
class Evidence:
    """All that the gate asks about."""

    candidate: str
    skills: Mapping[str, Skill]
    """Rival (the random walk, and the champion if there is one) to the skill against it on the same origins."""
    coverage: Mapping[float, Rate]
    """Central interval to its realised rate on those origins."""
    alpha: float
    """What this challenge may spend."""
    recipes: int
    """Recipes whose scores on these origins were seen since the champion came, this one included."""
    behind: int
    """Sessions of the data after the newest origin that could have been scored."""
    leak: str | None = None
    """A channel that knows the future; None where none was found."""
    artifact_fault: str | None = None
    """Why an artifact does not verify; None where all do."""
    constant: bool = False
    """Whether it says the same whatever it sees."""
    copies: str | None = None
    """The rival whose very forecasts it makes; None where it has its own."""


@dataclass(frozen=True)
class Check:
    """One question of the gate and its answer."""

    question: str
    passed: bool
    figures: str


@dataclass(frozen=True)
class Decision:
    """What the gate said about a candidate."""

    candidate: str
    rivals: tuple[str, ...]
    checks: tuple[Check, ...] = field(default=())

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def reason(self) -> str:
        """The decision in one line."""
        if self.passed:
            said = "; ".join(check.figures for check in self.checks if check.question.startswith("better"))
            return f"{self.candidate} beats {' and '.join(self.rivals)} ({said})"
        said = "; ".join(f"{check.question}: {check.figures}" for check in self.checks if not check.passed)
        return f"{self.candidate} was refused on {said}"


def judge(evidence: Evidence) -> Decision:
    """Put a candidate to the test."""
    checks = [
        Check("nothing from the future", evidence.leak is None, evidence.leak or "no channel moved"),
        Check(
            "artifact verifies",
            evidence.artifact_fault is None,
            evidence.artifact_fault or "digest and golden forecast",
        ),
        Check("answers to what it sees", not evidence.constant, "the same always" if evidence.constant else "it moves"),
        Check(
            "no copy", evidence.copies is None, f"that of {evidence.copies}" if evidence.copies else "its own forecasts"
        ),
        *_better(evidence),
        *(
            Check(
                f"{nominal:.0%} interval covers",
                found.holds(nominal),
                f"{found.rate:.1%}, 99% interval {found.low:.1%} to {found.high:.1%}",
            )
            for nominal, found in evidence.coverage.items()
        ),
        Check(
            "scored on the newest",
            evidence.behind <= LAG,
            f"{counted(evidence.behind, 'session')} of the data {'lies' if evidence.behind == 1 else 'lie'} after the "
            f"last scored one (at most {LAG})",
        ),
    ]
    return Decision(evidence.candidate, tuple(evidence.skills), tuple(checks))


def _better(evidence: Evidence) -> list[Check]:
    level = evidence.alpha / evidence.recipes
    checks = []
    for rival, found in evidence.skills.items():
        figures = (
            f"skill {found.skill:+.2%} (s.e. {found.error:.2%}), p = {found.p:.2g} against {level:.2g} = "
            f"{evidence.alpha:.2g} / {counted(evidence.recipes, 'recipe')} seen"
        )
        checks.append(Check(f"better than {rival}", found.p < level and found.skill > 0, figures))
    least = min(found.skill for found in evidence.skills.values())
    checks.append(Check("worth it", least >= EFFECT, f"skill {least:+.2%}, at least {EFFECT:.1%}"))
    return checks
