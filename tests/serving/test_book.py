"""The book: the newest forecasts as bytes, whatever the database does, and never older than they say."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from small_past import issue_past, score_all, steps
from small_store import NOW, SmallStore, small_artifact
from sqlalchemy import insert

from forecaster.contract import LEVELS
from forecaster.store.champions import crown, find_champion
from forecaster.store.ledger import Entry, add_entries
from forecaster.store.schema import forecast
from forecaster.store.visits import Visit, add_visit
from serving.book import Book
from serving.database import open_database
from serving.engine import ChampionEngine
from serving.routes.forecasts import FromBook
from serving.schemas.forecasts import Forecast
from serving.shelf import Shelf

PATH = "/v1/forecasts/^IXIC"


@dataclass
class Reader:
    """A book on a store, at a moment that the test sets."""

    store: SmallStore
    now: datetime = NOW
    engine: ChampionEngine = field(init=False)
    book: Book = field(init=False)

    def __post_init__(self) -> None:
        folder = self.store.home / "serving"
        self.engine = ChampionEngine(open_database(f"sqlite:///{self.store.file}"), Shelf(folder))
        self.book = Book(self.engine, folder, lambda: self.now)

    def look(self) -> None:
        self.engine.refresh()
        self.book.refresh()

    def lose(self) -> None:
        """Take the database away."""
        self.store.remove()
        self.engine.store.dispose()  # an open connection would hold the file

    def says(self, symbol: str = "^IXIC") -> Forecast | None:
        answer = self.book.get(symbol)
        return None if answer is None else Forecast.model_validate_json(answer.body)


@pytest.fixture
def reader(store: SmallStore):
    made = Reader(store)
    yield made
    made.engine.close()


def again(reader: Reader) -> Reader:
    """Another process on the same disk."""
    fresh = Reader(reader.store, reader.now)
    fresh.engine.restore()
    fresh.book.restore()
    return fresh


def place(store: SmallStore, first: int, entries: list[Entry]) -> None:
    """Put steps into rows of these numbers."""
    rows = [{"id": first + place, **vars(entry)} for place, entry in enumerate(entries)]
    with store.engine.begin() as connection:
        connection.execute(insert(forecast), rows)


def test_the_newest_forecast_is_answered_while_the_database_is_away(store, service):
    store.issue(store.promote(small_artifact()))
    with service() as running:
        before = running.get(PATH)
        store.remove()
        running.engine.store.dispose()  # an open connection would hold the file
        assert running.get(f"{PATH}?horizon=1").status_code == 503  # this one asks the database
        after = running.get(PATH)
    assert (after.status_code, after.content) == (200, before.content)


def test_the_short_way_gives_the_bytes_of_the_documented_one(store, service):
    store.issue(store.promote(small_artifact()))
    with service() as running:
        short, documented = running.get(PATH), running.get(f"{PATH}?horizon=2")
    assert short.content == documented.content
    assert short.headers["etag"] == documented.headers["etag"]
    assert short.headers["content-type"] == documented.headers["content-type"] == "application/json"


@pytest.mark.parametrize("query", ["", "?horizon=1"])
@pytest.mark.parametrize("known", ["{}", "W/{}", '"other", {}', "*"])
def test_who_has_it_is_told_so(store, service, query, known):
    store.issue(store.promote(small_artifact()))
    with service() as running:
        etag = running.get(PATH + query).headers["etag"]
        answer = running.send("GET", PATH + query, headers={"If-None-Match": known.format(etag)})
        other = running.send("GET", PATH + query, headers={"If-None-Match": '"other"'})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert other.status_code == 200


def test_another_method_is_told_what_is_allowed(store, service):
    store.issue(store.promote(small_artifact()))
    with service() as running:
        for method in ("PUT", "POST", "DELETE"):
            answer = running.send(method, PATH)
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_what_stands_in_front_may_add_headers(reader):
    """The list of headers is the request's own: an answer that is sent a thousand times does not grow."""
    reader.store.issue(reader.store.promote(small_artifact()))
    reader.look()
    route, seen = FromBook(reader.book), []

    async def receive() -> dict[str, Any]:
        return {}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            seen.append(len(message["headers"]))
            message["headers"].append((b"x", b"y"))

    for _ in range(2):
        asked = {"type": "http", "method": "GET", "path": PATH, "query_string": b"", "headers": []}
        asyncio.run(route(asked, receive, send))
    assert seen[0] == seen[1]


def test_only_what_changed_is_made_anew(reader):
    champion, other = (reader.store.promote(small_artifact(symbol)) for symbol in ("^IXIC", "MSFT"))
    reader.store.issue(champion)
    reader.store.issue(other, "MSFT")
    reader.look()
    first, second = reader.book.get("^IXIC"), reader.book.get("MSFT")
    written = (reader.store.home / "serving" / "book.jsonl").stat().st_mtime_ns
    reader.look()
    assert reader.book.get("^IXIC") is first
    assert (reader.store.home / "serving" / "book.jsonl").stat().st_mtime_ns == written
    add_entries(reader.store.engine, steps(champion, 1))
    reader.look()
    assert reader.says().origin == steps(champion, 1)[0].origin
    assert reader.book.get("MSFT") is second


def test_a_row_with_an_earlier_number_is_seen_though_it_comes_later(reader):
    champion = reader.store.promote(small_artifact())
    place(reader.store, 500, steps(champion))
    reader.look()
    place(reader.store, 7, steps(champion, 1))
    reader.look()
    assert reader.says().origin == steps(champion, 1)[0].origin


def test_a_score_moves_the_live_record(reader):
    champion = reader.store.promote(small_artifact())
    issue_past(reader.store, champion, 3, first=-3)
    reader.look()
    assert [line.n for line in reader.says().trailing] == [0, 0]
    score_all(reader.store, champion)  # at the very moment that the clock says: nothing is told by times
    reader.look()
    assert [line.n for line in reader.says().trailing] == [3, 3]


def test_a_failed_fetch_makes_it_stale_and_a_good_one_fresh(reader):
    champion = reader.store.promote(small_artifact())
    reader.store.issue(champion)
    reader.look()
    told = [reader.says().stale]
    for status in ("deferred", "ok"):
        with reader.store.engine.begin() as connection:
            add_visit(connection, Visit("^IXIC", "yahoo", NOW, True, status, None, champion.created_at.date()))
        reader.look()
        told.append(reader.says().stale)
    assert told == [False, True, False]


def test_of_one_origin_the_model_in_charge_speaks(reader):
    first = reader.store.promote(small_artifact())
    add_entries(reader.store.engine, steps(first))
    second = reader.store.promote(small_artifact(seed=1))
    add_entries(reader.store.engine, steps(second))
    reader.look()
    assert reader.says().model.digest == second.digest
    crown(reader.store.engine, first.target, first.digest, find_champion(reader.store.engine, first.target), {
        **first.decision, "kind": "rollback"}, NOW)  # fmt: skip
    reader.look()
    assert reader.says().model.digest == first.digest


@pytest.mark.parametrize("away", [False, True])
def test_a_day_later_it_says_that_it_is_older(reader, away):
    reader.store.issue(reader.store.promote(small_artifact()))
    reader.look()
    before = reader.book.get("^IXIC")
    if away:
        reader.lose()
    told = []
    for days in (1, 4, 5):
        reader.now = NOW + timedelta(days=days)
        reader.look()
        told.append((reader.says().age_days, reader.says().stale))
    assert told == [(2, False), (5, False), (6, True)]
    assert reader.book.get("^IXIC").etag != before.etag


def test_what_came_before_the_day_changed_is_not_overlooked(reader):
    champion = reader.store.promote(small_artifact())
    reader.store.issue(champion)
    reader.look()
    issue_past(reader.store, champion, 1, first=-1)
    score_all(reader.store, champion)
    reader.now = NOW + timedelta(days=1)
    reader.look()
    assert [line.n for line in reader.says().trailing] == [2, 2]


def test_as_much_as_falls_out_of_sight_on_a_new_day_does_not_hide_what_came(reader):
    champion = reader.store.promote(small_artifact())
    place(reader.store, 1, steps(champion, -9))  # ten days old today, and not looked at tomorrow
    reader.look()
    place(reader.store, 5001, steps(champion, 0))
    reader.now = NOW + timedelta(days=1)
    reader.look()
    assert reader.says().origin == steps(champion, 0)[0].origin


def test_it_starts_from_disk_and_says_its_age(reader):
    champion = reader.store.promote(small_artifact())
    reader.store.issue(champion)
    with reader.store.engine.begin() as connection:
        add_visit(connection, Visit("^IXIC", "yahoo", NOW, True, "deferred", None, champion.created_at.date()))
    reader.look()
    reader.lose()
    reader.now = NOW + timedelta(days=2)
    fresh = again(reader)
    before = fresh.says()
    fresh.look()
    assert (before.age_days, before.stale) == (3, True)
    assert fresh.says() == before
    assert before.steps == reader.says().steps


def test_the_service_starts_and_answers_without_its_database(store, service):
    store.issue(store.promote(small_artifact()))
    with service() as running:
        before = running.get(PATH)
    store.remove()
    with service() as running:
        after = running.get(PATH)
    assert (after.status_code, after.content) == (200, before.content)


def cut(raw: bytes) -> bytes:
    return raw[:-40]


def changed(raw: bytes) -> bytes:
    return raw.replace(b'"stale":false', b'"stale":true ')


def older(raw: bytes) -> bytes:
    """As another version of this program would have written it, with the right digest."""
    from hashlib import sha256

    rest = raw.partition(b"\n")[2].replace(b'"calibrated"', b'"adjusted"')
    return sha256(rest).hexdigest().encode() + b"\n" + rest


@pytest.mark.parametrize("harm", [cut, changed, older, lambda _: b"", lambda _: b"\xff\n\xff"])
def test_a_damaged_copy_is_not_believed(reader, harm: Callable[[bytes], bytes], caplog):
    reader.store.issue(reader.store.promote(small_artifact()))
    reader.look()
    kept = reader.store.home / "serving" / "book.jsonl"
    kept.write_bytes(harm(kept.read_bytes()))
    fresh = again(reader)
    assert fresh.book.get("^IXIC") is None
    assert "book on disk not read" in caplog.text
    fresh.look()
    assert fresh.book.get("^IXIC") == reader.book.get("^IXIC")


def test_a_copy_of_another_database_is_forgotten(reader):
    reader.store.issue(reader.store.promote(small_artifact()))
    reader.look()
    fresh = again(reader)
    fresh.engine.store = open_database(f"sqlite:///{SmallStore(reader.store.home / 'other').file}")
    fresh.look()
    assert fresh.book.get("^IXIC") is None


@pytest.mark.parametrize("spoilt", [{"quantiles": [0.0] * len(LEVELS)}, {"quantiles": [0.0]}, {"version": 9}])
def test_one_that_cannot_be_answered_stops_no_other(store, service, spoilt, caplog):
    bad, good = (store.promote(small_artifact(symbol)) for symbol in ("^IXIC", "MSFT"))
    broken = [type(one)(**{**vars(one), **spoilt}) for one in steps(bad)]
    broken[0].quantiles[0] = 1.0  # crosses the next one
    store.issue(good, "MSFT")
    with service() as running:
        add_entries(store.engine, steps(bad, -1))
        running.app.state.book.refresh()
        assert running.get(PATH).status_code == 200
        add_entries(store.engine, broken)
        with caplog.at_level(logging.ERROR):
            running.app.state.book.refresh()
        answer = running.get(PATH)
        assert running.get("/v1/forecasts/MSFT").status_code == 200
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:forecaster:output-invalid")
    assert "not in the book: ^IXIC" in caplog.text


def test_one_whose_promotion_cannot_be_read_stops_no_other(store, service):
    bad, good = store.promote(small_artifact(), {"passed": True}), store.promote(small_artifact("MSFT"))
    store.issue(bad)
    store.issue(good, "MSFT")
    with service() as running:
        answer = running.get(PATH)
        assert running.get("/v1/forecasts/MSFT").status_code == 200
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:forecaster:output-invalid")


def test_a_disk_that_cannot_be_written_is_not_fatal(reader, caplog):
    (reader.store.home / "serving").write_text("a file, where a folder should be")
    reader.store.issue(reader.store.promote(small_artifact()))
    reader.look()
    assert reader.says() is not None
    assert "book not kept on disk" in caplog.text


def test_an_empty_ledger_makes_no_file(reader):
    reader.look()
    assert not (reader.store.home / "serving").exists()


def test_a_database_that_goes_before_the_engine_notices_leaves_what_was(reader, caplog):
    reader.store.issue(reader.store.promote(small_artifact()))
    reader.look()
    before = reader.book.get("^IXIC")
    reader.lose()
    reader.book.refresh()
    assert reader.book.get("^IXIC") is before
    assert "book not refreshed" in caplog.text
