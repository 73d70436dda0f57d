"""The engine: holds the champions in charge, follows them without a restart, refuses what cannot be trusted.

A champion replaces another only after its digest, contract and golden forecast have been checked; until then, and
whenever that fails or the database is away, the last good one stays.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from sqlalchemy import Engine

from forecaster.artifact import Artifact
from forecaster.errors import ContractMismatch, ForecasterError, StoreOutdated
from forecaster.runtime import Runtime
from forecaster.store.artifacts import load_artifact
from forecaster.store.champions import Champion, all_champions
from forecaster.store.database import require_current
from serving.database import AWAY, Database
from serving.shelf import Shelf

log = logging.getLogger(__name__)

_ADVICE = "start the database, or point FORECASTER_HOME or FORECASTER_DATABASE_URL to one that exists"


@dataclass(frozen=True)
class Loaded:
    """A champion whose artifact has passed every check."""

    champion: Champion
    runtime: Runtime

    @classmethod
    def check(cls, champion: Champion, artifact: Artifact) -> "Loaded":
        """A champion, loaded.

        Raises:
            ArtifactError: The artifact is of another target, breaks the contract or misses its golden forecast.
        """
        key = artifact.manifest.target.key
        if key != champion.target:
            raise ContractMismatch(artifact.digest, f"target {champion.target}", key)
        return cls(champion, Runtime(artifact))


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
        self._refused: dict[str, Refusal] = {}
        self._lock = Lock()

    @property
    def loaded(self) -> list[Loaded]:
        """Champions that answer, by target."""
        return [one for _, one in sorted(self._loaded.items())]

    @property
    def refused(self) -> list[Refusal]:
        """Champions that do not, by target; where there was an earlier good one, that one answers."""
        return [one for _, one in sorted(self._refused.items())]

    @property
    def symbols(self) -> list[str]:
        """Symbols that have a champion."""
        return sorted({symbol for one in self.loaded for symbol in one.runtime.manifest.target.symbols})

    def restore(self) -> None:
        """Load the last good champions from disk."""
        with self._lock:
            for copy in self._shelf.copies():
                self._restore(copy)

    def refresh(self) -> None:
        """Look once at which champions are in charge, and load those that are new."""
        with self._lock:
            database = self._follow()
            if database != self.database:  # said once, not at every look
                level = logging.INFO if database.state == "up" else logging.WARNING
                log.log(level, "database %s %s", database.state, database.cause or database.advice)
            self.database = database

    def close(self) -> None:
        """Let go of the database, after a refresh that is still running."""
        with self._lock:
            self.store.dispose()

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
            return
        try:
            artifact = load_artifact(self.store, champion.digest)
            loaded = Loaded.check(champion, artifact)
        except AWAY:
            raise
        except Exception as error:  # one bad artifact, however it is bad, must not keep the others from being followed
            self._refuse(champion.target, champion.digest, error)
            return
        self._accept(loaded)
        self._keep(champion, artifact)

    def _restore(self, copy: Path) -> None:
        digest = copy.name
        try:
            champion = self._shelf.champion(copy)
            digest = champion.digest
            loaded = Loaded.check(champion, self._shelf.artifact(copy, digest))
        except Exception as error:  # as above: the others still answer
            self._refuse(copy.parent.name, digest, error)
            return
        earlier = self._loaded.get(champion.target)
        # Two copies are left where a process died between writing one and removing the other.
        if earlier is None or earlier.champion.created_at < champion.created_at:
            self._accept(loaded)

    def _accept(self, loaded: Loaded) -> None:
        champion = loaded.champion
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

    def _keep(self, champion: Champion, artifact: Artifact) -> None:
        try:
            self._shelf.keep(champion, artifact)
        except OSError as error:
            log.warning("champion not kept on disk: %s: %s", champion.target, error)


def _identity(champion: Champion) -> tuple[object, ...]:
    # Not the decision: its figures may be NaN, which equals nothing.
    return champion.version, champion.digest, champion.created_at
