import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecaster.calendars import Calendar
from forecaster.errors import MissingSessions, NoHistory
from forecaster.facts import FIELDS, Facts
from forecaster.panel import as_known, build_panel

DAY = np.timedelta64(1, "D")
SESSIONS = np.datetime64("2020-03-02") + np.arange(5) * DAY
CLOSES = SESSIONS.astype("datetime64[us]") + np.timedelta64(20, "h") + np.timedelta64(30, "m")
CALENDAR = Calendar("XNYS", SESSIONS, CLOSES - np.timedelta64(390, "m"), CLOSES)


def facts_of(rows: list[tuple[str, str, str, float]]) -> Facts:
    """Rows of (subject, date, known_at, number): the number stands in every column."""
    subject, dates, known, numbers = zip(*rows, strict=True)
    values = np.repeat(np.array(numbers)[:, None], len(FIELDS), axis=1)
    return Facts.of(np.array(subject), np.array(dates, "datetime64[D]"), np.array(known, "datetime64[us]"), values)


def bars(symbol: str = "TGT", sessions: np.ndarray = SESSIONS) -> list[tuple[str, str, str, float]]:
    return [(symbol, str(session), f"{session}T21:00", 10.0 + int(str(session)[-2:])) for session in sessions]


@given(
    rows=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 20)), min_size=1, max_size=25, unique=True),
    cutoffs=st.lists(st.integers(-1, 21), max_size=10),
)
def test_as_known_agrees_with_a_plain_search(rows, cutoffs):
    start = np.datetime64("2020-01-01T00:00:00")
    facts = Facts.of(
        np.array(["S"] * len(rows)),
        np.datetime64("2020-01-01") + np.array([date for date, _ in rows]) * DAY,
        start + np.array([known for _, known in rows]).astype("timedelta64[h]"),
        np.array([[100.0 * date + known] * len(FIELDS) for date, known in rows]),
    )
    moments = start + np.array(sorted(cutoffs), dtype="timedelta64[h]")
    found = [None if index < 0 else facts.column("close")[index] for index in as_known(facts, moments)]
    expected = []
    for cutoff in sorted(cutoffs):
        known = [(date, known_at) for date, known_at in rows if known_at <= cutoff]
        expected.append(100.0 * max(known)[0] + max(known)[1] if known else None)
    assert found == expected


def test_a_revision_counts_from_when_it_became_known():
    rows = [*bars(), ("M", "2020-02-01", "2020-03-01T00:00", 1.0), ("M", "2020-02-01", "2020-03-04T21:00", 2.0)]
    panel = build_panel(facts_of(rows), "TGT", ["M"], CALENDAR)
    assert panel.column("M", "value").tolist() == [1, 1, 2, 2, 2]


def test_a_late_revision_of_an_old_date_does_not_cover_a_newer_date():
    rows = [
        *bars(),
        ("M", "2020-01-01", "2020-02-20T00:00", 1.0),
        ("M", "2020-02-01", "2020-03-03T00:00", 2.0),
        ("M", "2020-01-01", "2020-03-04T00:00", 9.0),
    ]
    panel = build_panel(facts_of(rows), "TGT", ["M"], CALENDAR)
    assert panel.column("M", "value").tolist() == [1, 2, 2, 2, 2]


def test_known_at_the_cutoff_itself_counts_and_a_moment_later_does_not():
    rows = [*bars(), ("M", "2020-02-01", "2020-03-03T21:00:00.000000", 1.0)]
    late = [*bars(), ("M", "2020-02-01", "2020-03-03T21:00:00.000001", 1.0)]
    first = [
        np.isnan(build_panel(facts_of(r), "TGT", ["M"], CALENDAR).column("M", "value")).sum() for r in (rows, late)
    ]
    assert first == [1, 2]


def test_before_its_first_known_row_a_subject_is_nan():
    panel = build_panel(facts_of([*bars(), *bars("PEER", SESSIONS[2:])]), "TGT", ["PEER"], CALENDAR)
    assert np.isnan(panel.subjects["PEER"][:2]).all()
    assert panel.column("PEER", "close")[2:].tolist() == [14, 15, 16]


def test_a_peer_that_did_not_trade_shows_its_last_bar():
    panel = build_panel(facts_of([*bars(), *bars("PEER", SESSIONS[[0, 1, 4]])]), "TGT", ["PEER"], CALENDAR)
    assert panel.column("PEER", "close").tolist() == [12, 13, 13, 13, 16]


def test_the_panel_runs_from_the_targets_first_to_its_last_bar():
    panel = build_panel(facts_of([*bars(sessions=SESSIONS[1:4]), *bars("PEER")]), "TGT", ["PEER", "TGT"], CALENDAR)
    assert panel.sessions.tolist() == SESSIONS[1:4].tolist()
    assert sorted(panel.subjects) == ["PEER", "TGT"]


def test_a_hole_in_the_target_is_refused_and_named():
    with pytest.raises(MissingSessions, match=r"TGT: 1 session.*2020-03-04"):
        build_panel(facts_of(bars(sessions=SESSIONS[[0, 1, 3, 4]])), "TGT", [], CALENDAR)


def test_a_bar_that_was_not_known_in_time_is_a_hole():
    rows = bars()
    rows[2] = ("TGT", "2020-03-04", "2020-03-05T03:00", 14.0)
    with pytest.raises(MissingSessions, match="2020-03-04"):
        build_panel(facts_of(rows), "TGT", [], CALENDAR)


@pytest.mark.parametrize(("symbol", "others"), [("NONE", []), ("TGT", ["NONE"])])
def test_a_subject_without_rows_is_named(symbol, others):
    with pytest.raises(NoHistory, match="NONE"):
        build_panel(facts_of(bars()), symbol, others, CALENDAR)


def test_a_column_of_a_subject_the_panel_was_built_without_is_refused():
    with pytest.raises(NoHistory, match="PEER"):
        build_panel(facts_of(bars()), "TGT", [], CALENDAR).column("PEER", "close")
