"""What the service must have said: computed again from the store, by the digest that an answer names."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sqlalchemy import Engine

from benchmarks.hot_swap_clients import Answer
from forecaster.contract import Floats
from forecaster.features import subjects
from forecaster.outlook import Outlook
from forecaster.runtime import Runtime
from forecaster.store.artifacts import load_artifact
from forecaster.store.calendars import read_calendar
from forecaster.store.calibrations import state_at
from forecaster.store.champions import Champion, promotions
from forecaster.store.history import read_facts
from forecaster.store.ledger import issued

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Change:
    """From this moment on the service said that this version is in charge."""

    at: float
    """Monotonic."""
    target: str
    version: int


@dataclass(frozen=True)
class Stated:
    """What a forecast must say."""

    values: Floats
    """[H, Q] of the return."""
    walk: Floats
    """[H, Q]"""
    close: float
    facts: dict[str, object]
    """What stands beside them, by its name in the answer."""


class Truth:
    """The store, asked again: it may have been promoted in, but no price may have come."""

    def __init__(self, engine: Engine, moment: datetime) -> None:
        self.spoke: set[str] = set()
        """Digests that were named by answers that are right."""
        self._engine = engine
        self._moment = moment
        self._runtimes: dict[str, Runtime] = {}
        self._stated: dict[tuple[str, str, str, int], Stated] = {}

    def differs(self, answer: Answer) -> str | None:
        """What of an answer is not what its digest says; None where all of it is."""
        said = _forecast(answer)
        try:
            expected = self._expected(answer, said)
            target = self._runtime(said["model"]["digest"]).manifest.target
            for name, fact in expected.facts.items():
                _same(name, said[name], fact)
            columns = {
                "return_quantiles": expected.values,
                "price_quantiles": target.outcome(expected.close, expected.values),
                "walk_price_quantiles": target.outcome(expected.close, expected.walk),
            }
            for name, column in columns.items():
                _near(name, [step[name] for step in said["steps"]], column)
        except Exception as error:  # whatever it is: it could not be computed again
            return f"{answer.question.kind}, {said['target']} version {said['model']['version']}: {error!r}"
        self.spoke.add(said["model"]["digest"])
        return None

    def is_old(self, answer: Answer, changes: Sequence[Change]) -> bool:
        """Whether it is of a model that the service itself had called replaced before it was asked.

        An issued forecast is none: it stays as it is, whoever comes to be in charge.
        """
        said = _forecast(answer)
        known = [one.version for one in changes if one.target == said["target"] and one.at <= answer.began]
        return answer.question.kind != "latest" and said["model"]["version"] < max(known, default=0)

    def _expected(self, answer: Answer, said: dict[str, Any]) -> Stated:
        kind, model = answer.question.kind, said["model"]
        key = kind, answer.question.path, said["target"], model["version"]
        if key not in self._stated:
            (move,) = (one for one in promotions(self._engine, said["target"]) if one.version == model["version"])
            champion = Champion(move.target, move.digest, move.version, move.decision, move.created_at)
            if kind == "prediction":
                self._stated[key] = self._predicted(champion, answer.question.body or {})
            else:
                make = self._issued if kind == "latest" else self._on_demand
                self._stated[key] = make(champion, said["symbol"], date.fromisoformat(said["origin"]))
        return self._stated[key]

    def _issued(self, champion: Champion, symbol: str, origin: date) -> Stated:
        rows = issued(self._engine, champion.target, symbol, origin, champion.digest)
        facts = self._facts(champion, calibrated=True, issued=True) | {"calibration": rows[0].calibration}
        _same("version in the ledger", rows[0].version, champion.version)
        return Stated(
            np.array([row.stated for row in rows]), np.array([row.walk for row in rows]), rows[0].origin_close, facts
        )

    def _on_demand(self, champion: Champion, symbol: str, origin: date) -> Stated:
        runtime = self._runtime(champion.digest)
        target, window = runtime.manifest.target, runtime.manifest.window
        facts = read_facts(self._engine, self._moment, {symbol, *subjects(window.features, universe=target.symbols)})
        outlook = Outlook.of(facts, read_calendar(self._engine, target.venue), runtime, symbol)
        state = state_at(self._engine, target, symbol, champion, outlook.sessions)
        walk = self._walk(champion).quantiles(outlook.context)[0]
        beside = self._facts(champion, calibrated=True, issued=False) | {"calibration": state.digest}
        _same("origin", origin, outlook.origin)
        return Stated(state.apply(outlook.quantiles), walk, outlook.close, beside)

    def _predicted(self, champion: Champion, asked: dict[str, Any]) -> Stated:
        runtime = self._runtime(champion.digest)
        context = np.array([asked["context"]], dtype=np.float32)[:, -runtime.manifest.window.context :]
        values, walk = runtime.quantiles(context)[0], self._walk(champion).quantiles(context)[0]
        return Stated(values, walk, asked["close"], self._facts(champion, calibrated=False, issued=False))

    def _facts(self, champion: Champion, *, calibrated: bool, issued: bool) -> dict[str, object]:
        model = {"family": "naive", "version": champion.version, "digest": champion.digest}
        decision = champion.decision
        no_skill = not decision["passed"]
        return {
            "model": model,
            "reason": decision["reason"],
            "no_skill": no_skill,
            "calibrated": calibrated,
            "issued": issued,
        }

    def _walk(self, champion: Champion) -> Runtime:
        return self._runtime(champion.decision["walk"])

    def _runtime(self, digest: str) -> Runtime:
        if digest not in self._runtimes:
            self._runtimes[digest] = Runtime(load_artifact(self._engine, digest))
        return self._runtimes[digest]


def _forecast(answer: Answer) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(answer.content)
    if "forecasts" in said:
        (said,) = said["forecasts"]
    return said


def _same(name: str, said: object, expected: object) -> None:
    if said != expected:
        raise ValueError(f"{name} is {said}, not {expected}")


def _near(name: str, said: ArrayLike, expected: Floats) -> None:
    if np.shape(said) != expected.shape:
        raise ValueError(f"{name} has {np.shape(said)}, not {expected.shape}")
    if not np.allclose(said, expected, rtol=TOLERANCE, atol=TOLERANCE):
        raise ValueError(f"{name} is off by {np.max(np.abs(np.asarray(said) - expected)):.1e}")
