import pytest

from forecaster.gate import ALPHA, judge
from forecaster.significance import Rate, Skill

GOOD = Skill(0.04, 0.01, 0.001)
COVERS = {0.5: Rate(0.51, 0.46, 0.56), 0.95: Rate(0.94, 0.92, 0.96)}


def test_it_passes_when_all_hold_and_says_why():
    decision = judge("lstm", GOOD, COVERS, None)
    assert decision.passed
    assert [check.passed for check in decision.checks] == [True] * 4
    assert decision.reason.startswith("lstm beats the random walk")
    for part in ("+4.00%", "p = 0.001", "50% interval", "95% interval", "artifact verifies"):
        assert part in decision.reason


@pytest.mark.parametrize(
    ("skill", "coverage", "fault", "question", "figure"),
    [
        (Skill(0.04, 0.03, 0.09), COVERS, None, "better than the random walk", "p = 0.09"),
        (Skill(0.04, 0.03, ALPHA), COVERS, None, "better than the random walk", "p = 0.05"),
        (Skill(-0.01, 0.01, 0.001), COVERS, None, "better than the random walk", "-1.00%"),
        (Skill(0.0, 0.0, 1.0), COVERS, None, "better than the random walk", "p = 1"),
        (Skill(float("nan"), float("nan"), float("nan")), COVERS, None, "better than the random walk", "nan"),
        (GOOD, {**COVERS, 0.5: Rate(0.61, 0.56, 0.66)}, None, "50% interval covers", "61.0%"),
        (GOOD, {**COVERS, 0.95: Rate(0.90, 0.88, 0.92)}, None, "95% interval covers", "90.0%"),
        (GOOD, COVERS, "its golden forecast is off by 1e-2", "artifact verifies", "off by 1e-2"),
    ],
)
def test_each_check_refuses_alone_with_its_reason(skill, coverage, fault, question, figure):
    decision = judge("lstm", skill, coverage, fault)
    assert not decision.passed
    assert [check.question for check in decision.checks if not check.passed] == [question]
    assert question in decision.reason
    assert figure in decision.reason
    assert "lstm" in decision.reason


def test_all_that_failed_is_told_and_nothing_that_passed():
    decision = judge("gru", Skill(-0.1, 0.1, 0.8), COVERS, "wrong digest")
    assert "better than the random walk" in decision.reason
    assert "wrong digest" in decision.reason
    assert "interval covers" not in decision.reason
    assert len(decision.reason.splitlines()) == 1


def test_each_coverage_is_asked_for():
    assert [check.question for check in judge("gru", GOOD, COVERS, None).checks] == [
        "better than the random walk",
        "50% interval covers",
        "95% interval covers",
        "artifact verifies",
    ]
