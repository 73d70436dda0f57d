"""The gate: a promotion is a statistical decision, and its reasons are kept.

First version: the one candidate that the validation years chose is put to the test years, which had no part in
choosing it. It passes when it is significantly better than the random walk, its intervals cover what they promise,
and its artifact verifies. One candidate, one test: nothing to correct for. Otherwise the random walk is champion.
"""

from dataclasses import dataclass

from forecaster.significance import Rate, Skill

ALPHA = 0.05
"""Largest p-value that counts as better than the random walk."""


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
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def reason(self) -> str:
        """The decision in one line."""
        said = "; ".join(f"{check.question}: {check.figures}" for check in self.checks if check.passed == self.passed)
        if self.passed:
            return f"{self.candidate} beats the random walk ({said})"
        return f"nothing beat the random walk: {self.candidate}, which validation chose, failed on {said}"


def judge(candidate: str, skill: Skill, coverage: dict[float, Rate], artifact_fault: str | None) -> Decision:
    """Put a candidate to the test.

    Arguments:
        skill: Against the random walk on origins that had no part in choosing the candidate.
        coverage: Nominal interval to realised rate on the same origins.
        artifact_fault: Why its artifact does not verify; None where it does.
    """
    better = f"skill {skill.skill:+.2%} (s.e. {skill.error:.2%}), p = {skill.p:.2g} against {ALPHA}"
    checks = [Check("better than the random walk", skill.p < ALPHA and skill.skill > 0, better)]
    for nominal, found in coverage.items():
        interval = f"{found.rate:.1%}, 99% interval {found.low:.1%} to {found.high:.1%}"
        checks.append(Check(f"{nominal:.0%} interval covers", found.holds(nominal), interval))
    checks.append(Check("artifact verifies", artifact_fault is None, artifact_fault or "digest, contract and golden"))
    return Decision(candidate, tuple(checks))
