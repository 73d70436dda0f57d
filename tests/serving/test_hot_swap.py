"""A change of model under load, in small; `python -m benchmarks.hot_swap` is the same a hundred times."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.hot_swap import NOW, QUESTIONS, Shop, run
from benchmarks.hot_swap_clients import Answer
from benchmarks.hot_swap_truth import Change, Truth
from benchmarks.small_models import FAULTS


def test_promotions_under_load_cost_no_request_and_every_answer_is_its_digests(tmp_path):
    found = run(tmp_path / "home", promotions=6, clients=3)
    assert (found.failed, found.wrong, found.old, found.let_in) == ([], [], [], [])
    assert set(found.refused) == {*FAULTS, "damaged", "another target"}
    assert found.answers.keys() == {question.kind for question in QUESTIONS}
    assert found.spoke > 6
    assert found.holds
