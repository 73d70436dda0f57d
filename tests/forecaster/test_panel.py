import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecaster.errors import NoHistory
from forecaster.facts import FIELDS, Facts
from forecaster.panel import as_known, build_panel
from forecaster.sessions import Calendar

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


def test_a_hole_in_the_target_stays_a_hole():
    panel = build_panel(facts_of(bars(sessions=SESSIONS[[0, 1, 3, 4]])), "TGT", [], CALENDAR)
    assert panel.holes.tolist() == [False, False, True, False, False]
    assert np.isnan(panel.subjects["TGT"][2]).all()


def test_a_bar_that_was_not_known_in_time_is_a_hole():
    rows = bars()
    rows[2] = ("TGT", "2020-03-04", "2020-03-05T03:00", 14.0)
    assert build_panel(facts_of(rows), "TGT", [], CALENDAR).holes.tolist() == [False, False, True, False, False]


def action(kind: str, day: str, value: float, known_at: str | None = None) -> tuple[str, str, str, float]:
    return (f"TGT#{kind}", day, known_at or f"{day}T00:00", value)


def test_a_split_scales_prices_forward_and_volume_alike():
    rows = [*bars(), action("split", "2020-03-04", 2.0), action("split", "2020-03-06", 3.0)]
    panel = build_panel(facts_of(rows), "TGT", [], CALENDAR)
    assert panel.column("TGT", "close").tolist() == [12, 13, 28, 30, 96]
    assert panel.column("TGT", "volume").tolist() == [12, 13, 7, 7.5, 16 / 6]
    assert panel.traded("close").tolist() == [12, 13, 14, 15, 16]


def test_a_later_split_changes_no_earlier_row():
    before = build_panel(facts_of(bars()), "TGT", [], CALENDAR)
    after = build_panel(facts_of([*bars(), action("split", "2020-03-06", 4.0)]), "TGT", [], CALENDAR)
    assert before.column("TGT", "close")[:4].tobytes() == after.column("TGT", "close")[:4].tobytes()
    assert after.column("TGT", "close")[4] == 64


def test_a_split_that_nobody_knew_in_time_is_not_applied():
    late = [*bars(), action("split", "2020-03-04", 2.0, known_at="2020-03-05T00:00")]
    assert build_panel(facts_of(late), "TGT", [], CALENDAR).column("TGT", "close").tolist() == [12, 13, 14, 15, 16]


def test_a_split_counts_as_it_was_known_on_its_own_date():
    rows = [*bars(), action("split", "2020-03-04", 2.0), action("split", "2020-03-04", 1.0, "2020-03-05T09:00")]
    assert build_panel(facts_of(rows), "TGT", [], CALENDAR).column("TGT", "close").tolist() == [12, 13, 28, 30, 32]


def test_a_peers_split_turns_with_its_own_bar_not_with_the_date():
    late = [("PEER", str(day), f"{day + DAY}T04:00", 10.0) for day in SESSIONS]  # each known a session later
    rows = [*bars(), *late, ("PEER#split", "2020-03-04", "2020-03-04T00:00", 2.0)]
    panel = build_panel(facts_of(rows), "TGT", ["PEER"], CALENDAR)
    assert panel.column("PEER", "close")[1:].tolist() == [10, 10, 20, 20]


def test_a_dividend_falls_on_its_ex_date_in_shares_of_the_first_row():
    rows = [*bars(), action("split", "2020-03-03", 2.0), action("dividend", "2020-03-05", 0.5)]
    panel = build_panel(facts_of(rows), "TGT", [], CALENDAR)
    assert panel.dividends("TGT").tolist() == [0, 0, 0, 1.0, 0]
    assert build_panel(facts_of(bars()), "TGT", [], CALENDAR).dividends("TGT").tolist() == [0] * 5


def test_what_a_panel_holds_cannot_be_written_over():
    panel = build_panel(facts_of([*bars(), action("split", "2020-03-03", 2.0)]), "TGT", [], CALENDAR)
    for array in (panel.subjects["TGT"], panel.factors["TGT"], panel.column("TGT", "value"), panel.traded("close")):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize(("symbol", "others"), [("NONE", []), ("TGT", ["NONE"])])
def test_a_subject_without_rows_is_named(symbol, others):
    with pytest.raises(NoHistory, match="NONE"):
        build_panel(facts_of(bars()), symbol, others, CALENDAR)


def test_a_column_of_a_subject_the_panel_was_built_without_is_refused():
    with pytest.raises(NoHistory, match="PEER"):
        build_panel(facts_of(bars()), "TGT", [], CALENDAR).column("PEER", "close")
