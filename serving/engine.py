"""The engine: holds the champions in charge, follows them without a restart, refuses what cannot be trusted.

A champion replaces another only after its digest, contract and golden forecast have been checked; until then, and
whenever that fails or the database is away, the last good one stays.
"""

import logging
import timeit
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from sqlalchemy import Engine

from forecaster.artifact import golden_context
from forecaster.errors import ContractMismatch, ForecasterError, NoChampion, SeveralChampions, StoreOutdated
from forecaster.runtime import Runtime
from forecaster.store.artifacts import load_artifact
from forecaster.store.champions import Champion, all_champions
from forecaster.store.database import require_current
from serving.database import AWAY, Database
from serving.shelf import Shelf

log = logging.getLogger(__name__)

_CLOSING_SECONDS = 2
_QUICK = 0.001
_TRIES = 5
_ADVICE = (
    "start the database, make one by `forecaster demo`, or point FORECASTER_HOME or FORECASTER_DATABASE_URL to one"
)


@dataclass(frozen=True)
class Loaded:
    """A champion whose artifacts have passed every check."""

    champion: Champion
    runtime: Runtime
    walk: Runtime | None
    """The random walk that stands beside it; None where the promotion names none."""
    quick: bool
    """Whether both answer in less time than it takes to have it done by a thread."""

    @classmethod
    def check(cls, champion: Champion, load: Callable[[str], Runtime]) -> "Loaded":
        """A champion, loaded, and the random walk that its promotion names.

        Arguments:
            load: Digest to the artifact, loaded: it matches its digest and answers its golden forecast.

        Raises:
            ArtifactError: An artifact is of another target, breaks the contract or misses its golden forecast.
            OutputInvalid: An artifact's golden forecast is none.
        """
        runtime, named = load(champion.digest), champion.decision.get("walk")
        walk = None if named is None else runtime if named == champion.digest else load(named)
        for one in (runtime, walk or runtime):
            key = one.manifest.target.key
            if key != champion.target:
                raise ContractMismatch(one.digest, f"target {champion.target}", key)
        if walk is not None and walk.manifest.window != runtime.manifest.window:
            raise ContractMismatch(walk.digest, "the champion's window", "another")
        return cls(champion, runtime, walk, _seconds(runtime) + (0 if walk is None else _seconds(walk)) < _QUICK)

    def covers(self, symbol: str) -> bool:
        """Whether the symbol is one of its target's."""
        return symbol in self.runtime.manifest.target.symbols


@dataclass(frozen=True)
class Refusal:
    """A promoted artifact that does not answer, and why."""

    target: str
    digest: str
    reason: str


class ChampionEngine:
    """The champions in charge; making one opens nothing."""

    def __init__(self, store: Engine, shelf: Shelf) -> None:
        self.store = store
        self.database = Database("away", _ADVICE, "not looked at yet")
        self._shelf = shelf
        self._loaded: dict[str, Loaded] = {}
        self._before: dict[str, Loaded] = {}
        self._refused: dict[str, Refusal] = {}
        self._unkept: set[str] = set()
        """Targets whose champion is yet to be kept on disk."""
        self._lock = Lock()

    @property
    def loaded(self) -> list[Loaded]:
        """Champions that answer, by target."""
        return [one for _, one in sorted(self._loaded.items())]

    def before(self, target: str) -> Loaded | None:
        """The champion that answered before the one that does, kept loaded: a rollback is a matter of a moment."""
        return self._before.get(target)

    @property
    def refused(self) -> list[Refusal]:
        """Champions that do not, by target; where there was an earlier good one, that one answers."""
        return [one for _, one in sorted(self._refused.items())]

    def in_charge(self, symbol: str | None = None, target: str | None = None) -> Loaded:
        """The champion of a target, of a symbol, or the only one there is.

        Raises:
            NoChampion: There is none.
            SeveralChampions: There are more; the question does not say which.
        """
        found = [
            one
            for one in self.loaded
            if target in (None, one.champion.target) and (symbol is None or one.covers(symbol))
        ]
        if not found:
            raise NoChampion(target or symbol or "any target")
        if len(found) > 1:
            raise SeveralChampions(one.champion.target for one in found)
        return found[0]

    def restore(self) -> None:
        """Load the last good champions from disk."""
        with self._lock:
            for copy in self._shelf.copies():
                self._restore(copy)

    def refresh(self) -> None:
        """Look once at which champions are in charge, and load those that are new."""
        with self._lock:
            self._found(self._follow())

    def give_up(self) -> None:
        """Say that the database is away, while a look at it does not end."""
        self._found(Database("away", _ADVICE, "it does not answer"))

    def close(self) -> None:
        """Let go of the database, after a refresh that is still running; one that does not end is left alone."""
        if self._lock.acquire(timeout=_CLOSING_SECONDS):
            self.store.dispose()
            self._lock.release()

    def _found(self, database: Database) -> None:
        if database != self.database:  # said once, not at every look
            level = logging.INFO if database.state == "up" else logging.WARNING
            log.log(level, "database %s %s", database.state, database.cause or database.advice)
        self.database = database

    def _follow(self) -> Database:
        try:
            require_current(self.store)
            for champion in all_champions(self.store):
                self._consider(champion)
        except StoreOutdated as error:
            return Database("outdated", str(error))
        except AWAY as error:
            return Database("away", _ADVICE, str(error.__cause__ or error))
        return Database("up")

    def _consider(self, champion: Champion) -> None:
        current = self._loaded.get(champion.target)
        if current is not None and _identity(current.champion) == _identity(champion):
            self._absolve(champion.target)
            if champion.target in self._unkept:
                self._keep(current)
            return
        known = {one.digest: one for one in self._runtimes(champion.target)}
        try:
            loaded = Loaded.check(champion, lambda digest: known.get(digest) or self._load(digest))
        except AWAY:
            raise
        except Exception as error:  # one bad artifact, however it is bad, must not keep the others from being followed
            self._refuse(champion.target, champion.digest, error)
            return
        self._accept(loaded)
        self._keep(loaded)

    def _runtimes(self, target: str) -> Iterator[Runtime]:
        """Those of a target that are loaded."""
        for one in (self._loaded.get(target), self._before.get(target)):
            if one is not None:
                yield one.runtime
                yield one.walk or one.runtime

    def _load(self, digest: str) -> Runtime:
        return Runtime(load_artifact(self.store, digest), single=True)

    def _restore(self, copy: Path) -> None:
        digest = copy.name
        try:
            champion = self._shelf.champion(copy)
            digest = champion.digest
            loaded = Loaded.check(champion, lambda named: Runtime(self._shelf.artifact(copy, named), single=True))
        except Exception as error:  # as above: the others still answer
            self._refuse(copy.parent.name, digest, error)
            return
        earlier = self._loaded.get(champion.target)
        # Two copies are left where a process died between writing one and removing the other.
        if earlier is None or earlier.champion.created_at < champion.created_at:
            self._accept(loaded)

    def _accept(self, loaded: Loaded) -> None:
        champion, earlier = loaded.champion, self._loaded.get(loaded.champion.target)
        if earlier is not None and earlier.runtime is not loaded.runtime:
            self._before[champion.target] = earlier
        # A new dict: requests read the old one until it is replaced, and never a half-changed one.
        self._loaded = {**self._loaded, champion.target: loaded}
        self._absolve(champion.target)
        log.info("champion loaded: %s version %d %s", champion.target, champion.version, champion.digest[:12])

    def _absolve(self, target: str) -> None:
        self._refused = {key: one for key, one in self._refused.items() if key != target}

    def _refuse(self, target: str, digest: str, error: Exception) -> None:
        known = isinstance(error, ForecasterError)
        refusal = Refusal(target, digest, str(error) if known else f"{type(error).__name__} while loading it")
        if self._refused.get(target) != refusal:
            log.error("champion refused: %s %s: %s", target, digest[:12], refusal.reason, exc_info=error)
        self._refused = {**self._refused, target: refusal}

    def _keep(self, loaded: Loaded) -> None:
        champion, walk = loaded.champion, loaded.walk
        again = champion.target in self._unkept
        self._unkept.add(champion.target)
        try:
            beside = None if walk is None or walk is loaded.runtime else load_artifact(self.store, walk.digest)
            self._shelf.keep(champion, load_artifact(self.store, champion.digest), beside)
        except (OSError, ForecasterError) as error:
            if not again:  # said once, not at every look
                log.warning("champion not kept on disk: %s: %s", champion.target, error)
        else:
            self._unkept.remove(champion.target)


def _seconds(runtime: Runtime) -> float:
    """What an answer takes when nothing is in its way: the least of some."""
    context = golden_context(runtime.manifest.window)
    return min(timeit.repeat(lambda: runtime.quantiles(context), number=1, repeat=_TRIES))


def _identity(champion: Champion) -> tuple[object, ...]:
    # Not the decision: its figures may be NaN, which equals nothing.
    return champion.version, champion.digest, champion.created_at
