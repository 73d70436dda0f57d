"""The book: the newest forecast of every symbol, as bytes that are ready to be sent.

It follows the store beside the engine, and is made anew only where something was added. A forecast that cannot be
answered is not in it, and stops no other. Its last state is kept on disk, for a start while the database is away:

    home/serving/book.jsonl     SHA-256 of the rest; then a line for each symbol
"""

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Lock

from forecaster.errors import ForecasterError
from forecaster.store import ledger
from forecaster.store.news import Marks, News, marks, news
from serving.database import AWAY
from serving.engine import ChampionEngine
from serving.issued import Sheet, read_sheets
from serving.kept import KeptFile
from serving.tagged import Answer

log = logging.getLogger(__name__)

_AT_ONCE = 100  # symbols that are read together


@dataclass(frozen=True)
class _Look:
    """What was found in the store, and when."""

    day: date
    marks: Marks
    news: News


class Book:
    """Answers by symbol; making one opens nothing."""

    def __init__(self, engine: ChampionEngine, folder: Path, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._file = KeptFile(folder / "book.jsonl")
        self._clock = clock
        self._sheets: dict[str, Sheet] = {}
        self._answers: Mapping[str, Answer] = {}
        self._day: date | None = None
        """Of which the answers say their age."""
        self._look: _Look | None = None
        """What the sheets stand on; None while they come from disk."""
        self._lock = Lock()

    def get(self, symbol: str) -> Answer | None:
        """The newest forecast of a symbol, whole; None where the store must be asked what to say."""
        return self._answers.get(symbol)

    def restore(self) -> None:
        """Take the last state from disk."""
        with self._lock:
            try:
                sheets = self._kept()
            except FileNotFoundError:
                return
            except (OSError, ValueError) as error:  # damaged, or of another version: the database has all of it
                log.warning("book on disk not read: %s", type(error).__name__)
                return
            self._publish(sheets, self._today())

    def refresh(self) -> None:
        """Look once at what was added, and at the date."""
        with self._lock:
            today, sheets = self._today(), self._sheets
            if self._engine.database.state == "up":
                try:
                    sheets = self._followed(today)
                except AWAY as error:
                    log.warning("book not refreshed: %s", error.__cause__ or error)
            if sheets is not self._sheets or today != self._day:
                self._publish(sheets, today)
                self._keep()
            self._file.catch_up()

    def _today(self) -> date:
        return self._clock().astimezone(UTC).date()

    def _followed(self, today: date) -> dict[str, Sheet]:
        """The sheets as the store has them now; the very same where nothing was added."""
        store, last = self._engine.store, self._look
        begin = last.marks if last is not None and last.day == today else marks(store, today)
        look = _Look(today, begin, news(store, begin))
        if last is None:
            changed = {*ledger.symbols(store), *self._sheets}
        else:
            # From other marks on the numbers are others. What is added in between is seen twice.
            found = look.news if begin == last.marks else news(store, last.marks)
            added = found.since(last.news) & {*found.steps, *self._sheets}
            changed = added | self._symbols({target for target, _ in found.champions ^ last.news.champions})
        sheets = self._reread(changed, today) if changed else self._sheets
        self._look = look  # only now: where reading failed, it is tried again
        return sheets

    def _symbols(self, targets: Collection[str]) -> set[str]:
        """Of whom a change of champion may decide who speaks."""
        theirs = {symbol for symbol, sheet in self._sheets.items() if sheet.forecast.target in targets}
        loaded = [one.runtime.manifest.target for one in self._engine.loaded if one.champion.target in targets]
        return theirs.union(*(target.symbols for target in loaded))

    def _reread(self, symbols: Collection[str], today: date) -> dict[str, Sheet]:
        asked, fresh = sorted(symbols), dict[str, Sheet]()
        for start in range(0, len(asked), _AT_ONCE):
            for symbol, found in read_sheets(self._engine.store, asked[start : start + _AT_ONCE], today):
                if isinstance(found, ForecasterError):
                    log.error("not in the book: %s: %s", symbol, found)
                else:
                    fresh[symbol] = found
        kept = {symbol: sheet for symbol, sheet in self._sheets.items() if symbol not in symbols}
        return {**kept, **fresh}

    def _publish(self, sheets: dict[str, Sheet], today: date) -> None:
        made = {
            symbol: self._answers[symbol]
            if today == self._day and self._sheets.get(symbol) is sheet
            else Answer.of(sheet.on(today))
            for symbol, sheet in sheets.items()
        }
        # By reference: requests read the old one until it is replaced, and never a half-changed one.
        self._sheets, self._answers, self._day = sheets, made, today

    def _keep(self) -> None:
        """Have the state on disk."""
        if not self._sheets and not self._file.path.exists():
            return
        lines = [
            b'{"missed":%s,"forecast":%s}\n' % (b"true" if sheet.missed else b"false", self._answers[symbol].body)
            for symbol, sheet in self._sheets.items()
        ]
        rest = b"".join(lines)
        self._file.write(hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)

    def _kept(self) -> dict[str, Sheet]:
        """The state on disk.

        Raises:
            ValueError: It is not what its digest says, or of another version.
        """
        digest, _, rest = self._file.path.read_bytes().partition(b"\n")
        if hashlib.sha256(rest).hexdigest().encode() != digest:
            raise ValueError("the digest does not match")
        sheets = (Sheet.model_validate_json(line) for line in rest.splitlines())
        return {sheet.forecast.symbol: sheet for sheet in sheets}
