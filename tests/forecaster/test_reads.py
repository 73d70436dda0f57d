"""What the service reads of the ledger, its scores and its promotions, on SQLite and on a real PostgreSQL alike."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from small_artifact import small_artifact
from sqlalchemy import Engine, insert

from forecaster.contract import LEVELS
from forecaster.store import ledger
from forecaster.store.artifacts import add_artifact
from forecaster.store.challenges import Challenge, add_challenge, challenges
from forecaster.store.champions import Champion, crown, find_champion, find_promotions, promotions, promotions_of
from forecaster.store.ledger import Entry, add_entries
from forecaster.store.news import fallen_behind, marks, news
from forecaster.store.schema import forecast
from forecaster.store.scores import Score, add_scores, history, newest_results, results, track
from forecaster.store.visits import Visit, add_visit

NOW = datetime(2020, 6, 1, 12, tzinfo=UTC)
TODAY = NOW.date()
TARGET, OTHER = "T-return-2", "U-return-2"
DECISION = {"passed": True, "reason": "beats the random walk"}
FIRST, SECOND = small_artifact("first"), small_artifact("second")


def promote(store: Engine, artifact: Any = FIRST, target: str = TARGET) -> Champion:
    with store.begin() as connection:
        add_artifact(connection, artifact, NOW)
    return crown(store, target, artifact.digest, find_champion(store, target), DECISION, NOW)


def issue(store: Engine, champion: Champion, day: int = 0, symbol: str = "T", **said: Any) -> list[Entry]:
    """Two steps, from so many days before today."""
    origin = TODAY - timedelta(days=day)
    entries = [
        Entry(
            target=champion.target,
            symbol=symbol,
            origin=origin,
            horizon=horizon,
            session=origin + timedelta(days=horizon),
            digest=champion.digest,
            version=champion.version,
            origin_close=100.0,
            quantiles=[0.01 * place for place in range(len(LEVELS))],
            **{"issued_at": NOW, **said},
        )
        for horizon in (1, 2)
    ]
    add_entries(store, entries)
    return entries


def score(store: Engine, target: str = TARGET, symbol: str | None = None, horizons: tuple[int, ...] = (1, 2)) -> None:
    waiting = [one for one in track(store, target, symbol) if one.score is None and one.entry.horizon in horizons]
    add_scores(store, [Score(one.id, 0.1, 0.9, 1.0, 1.2, [True] * len(LEVELS), NOW) for one in waiting])


def visit(store: Engine, subject: str, status: str, stale: date | None, hours: int = 0) -> None:
    with store.begin() as connection:
        add_visit(connection, Visit(subject, "x", NOW + timedelta(hours=hours), True, status, None, stale))


def test_the_newest_of_many_symbols_are_those_of_each(store):
    champion = promote(store)
    for symbol, days in (("T", (3, 1, 2)), ("U", (7,)), ("V", (2, 9))):
        for day in days:
            issue(store, champion, day, symbol)
    found = ledger.newest(store, ["T", "U", "V", "W"])
    days = {symbol: [(TODAY - one.origin).days for one in steps] for symbol, steps in found.items()}
    assert days == {"T": [1, 1], "U": [7, 7], "V": [2, 2]}
    assert [one.horizon for one in found["T"]] == [1, 2]
    assert found == {symbol: ledger.latest(store, symbol) for symbol in found}
    assert ledger.newest(store, []) == {}
    assert ledger.symbols(store) == ["T", "U", "V"]


def test_of_one_origin_the_champion_speaks_then_the_newest_and_looking_back_only_the_newest(store):
    first = promote(store)
    issue(store, first)
    second = promote(store, SECOND)
    issue(store, second)
    assert ledger.latest(store, "T")[0].digest == SECOND.digest
    crown(store, TARGET, FIRST.digest, second, DECISION, NOW)
    assert ledger.latest(store, "T")[0].digest == FIRST.digest
    assert ledger.newest(store, ["T"], before=NOW + timedelta(seconds=1))["T"][0].digest == SECOND.digest


def test_before_a_moment_and_of_a_target(store):
    champion, other = promote(store), promote(store, SECOND, OTHER)
    issue(store, champion, 3, issued_at=NOW - timedelta(days=2))
    issue(store, champion, 1, issued_at=NOW)
    issue(store, other, 2)
    days = [
        (TODAY - steps[0].origin).days
        for steps in (
            ledger.newest(store, ["T"])["T"],
            ledger.newest(store, ["T"], before=NOW)["T"],
            ledger.newest(store, ["T"], target=OTHER)["T"],
        )
    ]
    assert days == [1, 3, 2]
    assert ledger.newest(store, ["T"], before=NOW - timedelta(days=2)) == {}
    assert ledger.targets(store, "T") == [TARGET, OTHER]


def test_newest_results_are_live_scored_and_of_the_newest_sessions(store):
    champion, other = promote(store), promote(store, SECOND, OTHER)
    for day in range(9, -1, -1):
        issue(store, champion, day)
    issue(store, champion, -2, kind="backfill")  # the newest of all
    issue(store, champion, 0, "U")
    issue(store, other, 3)
    score(store)
    score(store, OTHER)
    issue(store, champion, -1)  # not scored
    found = newest_results(store, ["T"], sessions=4)
    said = sorted((one.target, one.horizon, (TODAY - one.origin).days) for one in found)
    assert said == [*((TARGET, horizon, day) for horizon in (1, 2) for day in range(4)), (OTHER, 1, 3), (OTHER, 2, 3)]
    assert {(one.crps, one.crps_walk, tuple(one.below), one.kind) for one in found} == {
        (0.9, 1.2, (True,) * len(LEVELS), "live")}  # fmt: skip


def test_two_artifacts_of_one_origin_are_one_session(store):
    first = promote(store)
    for day in (2, 1, 0):
        issue(store, first, day)
    issue(store, promote(store, SECOND), 0)
    score(store)
    found = [(TODAY - one.origin).days for one in newest_results(store, ["T"], sessions=2) if one.horizon == 1]
    assert sorted(found) == [0, 0, 1]


def test_results_are_all_steps_of_a_target_scored_or_not(store):
    champion = promote(store)
    issue(store, champion, 5)
    issue(store, champion, 4, "U", kind="backfill")
    score(store, horizons=(1,))
    everything, mine = results(store, TARGET), results(store, TARGET, "T")
    assert sorted((one.symbol, one.horizon, one.kind, one.crps) for one in everything if one.horizon == 1) == [
        ("T", 1, "live", 0.9), ("U", 1, "backfill", 0.9)]  # fmt: skip
    assert [(one.horizon, one.crps, one.below) for one in mine if one.horizon == 2] == [(2, None, None)]
    assert results(store, OTHER) == []


def test_history_comes_page_by_page_for_one_target_or_all(store):
    champion, other = promote(store), promote(store, SECOND, OTHER)
    for day in (3, 2, 1):
        issue(store, champion, day)
    issue(store, other, 2)
    issue(store, champion, 1, "U")
    score(store)
    everything = history(store, "T", 10)
    assert [[one.entry.horizon for one in steps] for steps in everything] == [[1, 2]] * 4
    assert [(steps[0].entry.target, (TODAY - steps[0].entry.origin).days) for steps in everything] == [
        (OTHER, 2), (TARGET, 1), (TARGET, 2), (TARGET, 3)]  # fmt: skip
    assert [steps[0].score is None for steps in everything] == [True, False, False, False]
    first = history(store, "T", 2, target=TARGET)
    rest = history(store, "T", 2, before=first[-1][0].id, target=TARGET)
    assert [*first, *rest] == everything[1:]


def test_promotions_are_found_by_version_and_by_digest(store):
    first = promote(store)
    second = promote(store, SECOND)
    crown(store, TARGET, FIRST.digest, second, DECISION, NOW - timedelta(days=9))  # a clock that was set back
    promote(store, SECOND, OTHER)
    found = find_promotions(store, {(TARGET, 1), (TARGET, 3), (TARGET, 7), (OTHER, 1)})
    assert {key: one.digest for key, one in found.items()} == {
        (TARGET, 1): FIRST.digest, (TARGET, 3): FIRST.digest, (OTHER, 1): SECOND.digest}  # fmt: skip
    assert [one.version for one in promotions_of(store, first.digest)] == [3, 1]
    assert [one.version for one in promotions(store, TARGET)] == [3, 2, 1]
    assert find_promotions(store, []) == {}


def test_so_many_challenges_are_the_newest(store):
    with store.begin() as connection:
        for number in range(1, 5):
            add_challenge(connection, Challenge(TARGET, number, f"{number:064}", "r" * 64, 0.1, False, DECISION, NOW))
    assert [one.number for one in challenges(store, TARGET, 2)] == [4, 3]
    assert [one.number for one in challenges(store, TARGET)] == [4, 3, 2, 1]


def test_news_tell_what_was_added_about_whom(store):
    champion = promote(store)
    issue(store, champion, 1)
    issue(store, champion, 1, "U")
    begin = marks(store, TODAY)
    seen = [news(store, begin)]

    def added() -> set[str]:
        seen.append(news(store, begin))
        return seen[-1].since(seen[-2])

    assert added() == set()
    issue(store, champion, 0)
    assert added() == {"T"}
    score(store, symbol="U", horizons=(1,))
    assert added() == {"U"}
    visit(store, "V", "ok", None)
    assert added() == {"V"}
    assert added() == set()
    promote(store, SECOND)
    assert added() == set()
    assert seen[-1].champions ^ seen[-2].champions == {(TARGET, 1), (TARGET, 2)}


def test_a_row_that_shows_up_late_is_news(store):
    """Its number was given before that of a row which was seen already."""
    champion = promote(store)
    (entry, _), (late, _) = issue(store, champion, 1), issue(store, champion, 0, "U")
    begin = marks(store, TODAY)
    before = news(store, begin)
    with store.begin() as connection:
        row = {**vars(late), "symbol": "W", "id": -5}
        connection.execute(insert(forecast).values(row))
    assert news(store, begin).since(before) == {"W"}
    assert entry.symbol == "T"


def test_looking_begins_with_the_last_days(store):
    champion = promote(store)
    for number, day in ((1, 400), (5000, 12), (9000, 9), (9500, 1)):
        with store.begin() as connection:
            connection.execute(insert(forecast).values({**vars(issue_row(champion, day)), "id": number}))
    assert 5000 < marks(store, TODAY).forecast <= 9000 - 1000
    assert set(news(store, marks(store, TODAY)).steps.values()) == {(2, 0)}
    assert marks(store, TODAY + timedelta(days=500)).forecast == 9500 - 1000


def issue_row(champion: Champion, day: int) -> Entry:
    origin = TODAY - timedelta(days=day)
    return Entry(
        target=champion.target, symbol="T", origin=origin, horizon=1, session=origin, digest=champion.digest,
        version=1, origin_close=1.0, quantiles=[], issued_at=NOW,
    )  # fmt: skip


def test_nothing_is_no_news(store):
    found = news(store, marks(store, TODAY))
    assert (found.champions, found.steps, found.visits) == (frozenset(), {}, {})


@pytest.mark.parametrize(
    ("visits", "behind"),
    [
        ([("deferred", TODAY)], True),
        ([("deferred", None)], False),
        ([("ok", TODAY)], False),
        ([("deferred", TODAY), ("ok", None)], False),
        ([("ok", None), ("temporary", TODAY)], True),
        ([], False),
    ],
)
def test_who_fell_behind_is_told_by_the_last_visit(store, visits, behind):
    for hours, (status, stale) in enumerate(visits):
        visit(store, "T", status, stale, hours)
        visit(store, "U", "ok", None, hours)
    assert fallen_behind(store, ["T", "U"]) == ({"T"} if behind else set())
    assert fallen_behind(store, ["U"]) == set()
