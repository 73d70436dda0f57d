from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from forecaster.gate import EFFECT, LAG, SHARE, VESSEL, YEARLY, Evidence, allowance, judge
from forecaster.significance import Rate, Skill

WALK = "the random walk"
COVERS = {0.8: Rate(0.81, 0.78, 0.84), 0.95: Rate(0.94, 0.92, 0.96)}
GOOD = Evidence("lstm", {WALK: Skill(0.04, 0.01, 1e-5)}, COVERS, alpha=0.01, recipes=12, behind=0)
NOW = datetime(2026, 1, 5, tzinfo=UTC)


def against(skill: float, error: float, p: float) -> dict[str, dict[str, Skill]]:
    return {"skills": {WALK: Skill(skill, error, p)}}


def test_it_passes_when_all_hold_and_says_why():
    decision = judge(GOOD)
    assert decision.passed
    assert decision.reason.startswith("lstm beats the random walk (")
    for part in ("+4.00%", "p = 1e-05", "0.00083 = 0.01 / 12 recipes seen"):
        assert part in decision.reason


@pytest.mark.parametrize(
    ("changed", "question", "figure"),
    [
        (against(0.04, 0.03, 0.002), f"better than {WALK}", "p = 0.002"),
        (against(0.04, 0.03, 0.01 / 12), f"better than {WALK}", "0.00083"),
        (against(0.0005, 0.0001, 1e-7), "worth it", "+0.05%"),
        ({"coverage": {**COVERS, 0.8: Rate(0.61, 0.56, 0.66)}}, "80% interval covers", "61.0%"),
        ({"coverage": {**COVERS, 0.95: Rate(0.90, 0.88, 0.92)}}, "95% interval covers", "90.0%"),
        ({"artifact_fault": "its golden forecast is off by 1e-2"}, "artifact verifies", "off by 1e-2"),
        ({"leak": "LEAK tomorrow"}, "nothing from the future", "LEAK tomorrow"),
        ({"constant": True}, "answers to what it sees", "the same always"),
        ({"copies": "champion gru"}, "no copy", "champion gru"),
        ({"behind": LAG + 1}, "scored on the newest", "22 sessions"),
    ],
)
def test_each_check_refuses_alone_with_its_reason(changed, question, figure):
    decision = judge(replace(GOOD, **changed))
    assert not decision.passed
    assert [check.question for check in decision.checks if not check.passed] == [question]
    assert question in decision.reason
    assert figure in decision.reason
    assert "lstm was refused" in decision.reason


@pytest.mark.parametrize("skill", [Skill(-0.01, 0.01, 1e-5), Skill(0.0, 0.0, 1.0), Skill(*[float("nan")] * 3)])
def test_what_is_no_better_is_refused_whatever_its_p_value(skill):
    failed = [check.question for check in judge(replace(GOOD, skills={WALK: skill})).checks if not check.passed]
    assert failed == [f"better than {WALK}", "worth it"]


def test_both_rivals_must_be_beaten_each_at_the_full_level():
    both = {WALK: Skill(0.04, 0.01, 1e-5), "champion gru": Skill(0.01, 0.004, 5e-4)}
    decision = judge(replace(GOOD, skills=both))
    assert decision.passed
    assert "lstm beats the random walk and champion gru" in decision.reason
    beaten = judge(replace(GOOD, skills=both | {"champion gru": Skill(0.001, 0.004, 0.4)}))
    assert [check.question for check in beaten.checks if not check.passed] == ["better than champion gru"]


def test_a_recipe_must_be_worth_it_against_the_closer_rival():
    close = {WALK: Skill(0.04, 0.01, 1e-5), "champion gru": Skill(EFFECT / 2, EFFECT / 100, 1e-9)}
    assert [check.question for check in judge(replace(GOOD, skills=close)).checks if not check.passed] == ["worth it"]


def test_more_recipes_seen_ask_for_more():
    good = replace(GOOD, skills={WALK: Skill(0.04, 0.01, 2e-4)})
    assert judge(replace(good, recipes=49)).passed
    assert not judge(replace(good, recipes=51)).passed


def test_all_that_failed_is_told_and_nothing_that_passed():
    decision = judge(replace(GOOD, artifact_fault="wrong digest", **against(-0.1, 0.1, 0.8)))
    assert "better than the random walk" in decision.reason
    assert "wrong digest" in decision.reason
    assert "interval covers" not in decision.reason
    assert len(decision.reason.splitlines()) == 1


def test_the_first_challenge_may_spend_half_of_the_vessel():
    assert allowance([], NOW) == pytest.approx(SHARE * VESSEL)


@pytest.mark.parametrize("days", [1, 7, 30])
def test_no_365_days_ever_spend_more_than_the_years_alpha(days):
    """Whatever the rhythm, over five years, by a plain loop over all windows."""
    spent: list[tuple[datetime, float]] = []
    for number in range(5 * 365 // days):
        when = NOW + timedelta(days=number * days)
        spent.append((when, allowance(spent, when)))
    moments = np.array([(when - NOW).days for when, _ in spent])
    alphas = np.array([alpha for _, alpha in spent])
    for moment in moments:
        assert alphas[(moments > moment - 365) & (moments <= moment)].sum() <= YEARLY
    flow = (YEARLY - VESSEL) * days / 365
    np.testing.assert_allclose(alphas[len(alphas) // 2 :], flow, rtol=0.05)  # it does not dry up


def test_the_vessel_fills_again_in_a_quarter_and_no_further():
    spent = [(NOW, 0.01)]
    assert allowance(spent, NOW) == pytest.approx(0.0)
    assert allowance(spent, NOW + timedelta(days=365 / 8)) == pytest.approx(SHARE * 0.005)
    assert allowance(spent, NOW + timedelta(days=365)) == pytest.approx(SHARE * VESSEL)
