import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecaster.facts import FIELDS, Facts


def facts_of(rows: list[tuple[str, int, int, float]]) -> Facts:
    """Rows of (subject, day, hour known, value)."""
    subject, days, hours, values = (list(column) for column in zip(*rows, strict=True))
    table = np.full((len(rows), len(FIELDS)), np.nan)
    table[:, -1] = values
    return Facts.of(
        np.array(subject),
        np.datetime64("2020-01-01") + np.array(days),
        np.datetime64("2020-01-01T00", "us") + np.array(hours) * np.timedelta64(1, "h"),
        table,
    )


ROWS = [("B", 0, 1, 1.0), ("A", 1, 30, 2.0), ("A", 0, 2, 3.0), ("A", 0, 5, 4.0)]


@given(st.permutations(ROWS))
def test_rows_have_one_order_and_one_digest_however_they_came(rows):
    facts = facts_of(rows)
    assert facts.column("value").tolist() == [3.0, 4.0, 2.0, 1.0]
    assert facts.digest() == facts_of(ROWS).digest()


@pytest.mark.parametrize("column", range(4))
def test_each_column_moves_the_digest(column):
    changed = [list(row) for row in ROWS]
    changed[0][column] = "C" if column == 0 else changed[0][column] + 1
    assert facts_of([tuple(row) for row in changed]).digest() != facts_of(ROWS).digest()


def test_a_subject_cannot_run_into_the_next_in_the_digest():
    assert (
        facts_of([("AB", 0, 1, 1.0), ("C", 0, 1, 1.0)]).digest()
        != facts_of([("A", 0, 1, 1.0), ("BC", 0, 1, 1.0)]).digest()
    )


def test_all_ways_to_write_no_value_have_one_digest():
    facts = facts_of(ROWS)
    other = facts.values.copy()
    other[np.isnan(other)] = -np.nan
    assert dataclasses.replace(facts, values=other).digest() == facts.digest()


def test_known_ends_with_the_moment_itself():
    facts = facts_of(ROWS)
    moment = np.datetime64("2020-01-01T05", "us")
    assert facts.known(moment).column("value").tolist() == [3.0, 4.0, 1.0]
    assert facts.known(moment - np.timedelta64(1, "us")).column("value").tolist() == [3.0, 1.0]


def test_about_is_one_subject():
    assert facts_of(ROWS).about("A").column("value").tolist() == [3.0, 4.0, 2.0]
    assert len(facts_of(ROWS).about("NONE")) == 0
