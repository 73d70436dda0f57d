"""Run a study: fetch, tune on the validation years, train every cell, score all on the same test years, take apart.

The test years are looked at once for all cells, and that is written down: the gate counts every one of the recipes.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property

import numpy as np

from forecaster.errors import ConfigError
from forecaster.families import AnyFamily
from forecaster.store.challenges import add_looks
from forecaster.windows import Spans
from pipelines.compare import Comparison, compare
from pipelines.engines.base import Crew
from pipelines.home import Home
from pipelines.record import record
from pipelines.scoring import Asked, Stage, score_daily
from pipelines.spaces import Space
from pipelines.study.cells import Way, even, reads_more, train_ways
from pipelines.study.config import Study
from pipelines.study.findings import Findings, draw
from pipelines.study.parts import Cell, Factorial
from pipelines.train import Bench, Walked
from pipelines.tune import tune
from pipelines.workspace import Workspace

Say = Callable[[str], None]


@dataclass(frozen=True)
class Room:
    """One information set: its workspace, and folds on the origins that all sets share."""

    name: str
    workspace: Workspace
    bench: Bench
    folds: tuple[Spans, ...]


@dataclass(frozen=True)
class Compared:
    """One information set's cells, trained and compared."""

    ways: tuple[Way, ...]
    cells: tuple[Cell, ...]
    comparison: Comparison
    run_id: str
    """Of the comparison in the notebook."""


def study(plan: Study, home: Home, now: datetime, crew: Crew, say: Say) -> Findings:
    """Carry out a study; what was trained or tried before is found again.

    Raises:
        ForecasterError: The data cannot be had, or do not reach.
    """
    return Inquiry(plan, home, now, crew, say).findings()


@dataclass(frozen=True)
class Inquiry:
    """A study under way."""

    plan: Study
    home: Home
    now: datetime
    crew: Crew
    say: Say

    def findings(self) -> Findings:
        """Everything in its order."""
        self._fetch()
        blind = self._blind()
        compared = [self._compared(room, self._ways(room, blind)) for room in self.rooms]
        cells = tuple(cell for one in compared for cell in one.cells)
        first = compared[0].comparison
        walk = first.scored[first.baseline].daily
        families = tuple(model.name for model in self.plan.families)
        factorial = Factorial(cells, walk, self.plan.design.sets, families)
        found = Findings.of(
            self._key(compared), self.plan, self.rooms[0].workspace.snapshot, factorial,
            [way for one in compared for way in one.ways], [one.comparison for one in compared], blind,
        )  # fmt: skip
        self.rooms[-1].bench.notebook.add_figures(compared[-1].run_id, {"study": draw(found)}, {})
        return found

    @cached_property
    def rooms(self) -> list[Room]:
        """The information sets, the smallest first; one set of workers for all."""
        spaces = [
            Workspace(self.home, self.plan.shown(name), self.now, crew=self.crew) for name in self.plan.design.sets
        ]
        shared = spaces[0].bench.workers
        folds = even([space.folds for space in spaces])
        return [
            Room(name, space, replace(space.bench, workers=shared), one)
            for name, space, one in zip(self.plan.design.sets, spaces, folds, strict=True)
        ]

    def _fetch(self) -> None:
        data = self.plan.run.data
        fetcher = Workspace(self.home, self.plan.run, self.now).fetcher(os.environ, lambda: self.now)
        for one in fetcher.fetch(data.symbols, data.series):
            self.say(f"fetched   {one.subject}: {one.status}, {one.inserted} new")

    def _blind(self) -> tuple[str, ...]:
        """Families whose answers do not depend on what is added to the first set: one cell says all of them."""
        room, least = self.rooms[-1], len(self.plan.design.channels(self.plan.design.sets[0]))
        ways = [Way.written(room.name, model, self.plan.run.training) for model in self.plan.families]
        _, trained = train_ways(room.bench, room.folds, ways, self.say)
        found = [
            way.family
            for way, walked in zip(ways, trained, strict=True)
            if not reads_more(walked, room.folds[-1], least)
        ]
        for name in found:
            self.say(f"blind     {name} reads nothing beyond {self.plan.design.sets[0]}: it stands there only")
        return tuple(found)

    def _ways(self, room: Room, blind: Sequence[str]) -> list[Way]:
        """The cells of an information set, settings found."""
        seeing = room.name != self.plan.design.sets[0]
        models = [model for model in self.plan.families if not (seeing and model.name in blind)]
        written = [Way.written(room.name, model, self.plan.run.training) for model in models]
        return written + [way for model in models if (way := self._searched(room, model)) is not None]

    def _searched(self, room: Room, model: AnyFamily) -> Way | None:
        """The cell with searched settings; None for a family that has none to search."""
        try:
            Space.of(room.bench.config, model.name)
        except ConfigError:
            return None
        self.say(f"tuning    {model.name} on {room.name}")
        design, folder = self.plan.design, self.home.root / "tunings"
        found = tune(
            room.bench, room.folds[0], model.name, folder, self.say, trials=design.trials, seeds=design.tuning_seeds
        )
        family, training = found.space.settle(found.best.values if found.best else found.space.start)
        return Way.searched(room.name, family, training)

    def _compared(self, room: Room, ways: list[Way]) -> Compared:
        """Cells trained, compared, seen and recorded."""
        self.say(f"training  {len(ways)} ways on {room.name}")
        walk, others = train_ways(room.bench, room.folds, ways, self.say)
        config, workspace = room.bench.config, room.workspace
        comparison = compare([walk, *others], config.baseline.name, room.folds, config.target.kind, room.bench.workers)
        looks = {way.recipe(room.bench).digest: way.model.name for way in ways}
        first, last = (date.fromisoformat(day) for day in (comparison.first, comparison.last))
        add_looks(workspace.engine, config.target.key, looks, first, last, self.now)
        recorded = record(room.bench.notebook, comparison, [walk, *others], workspace.snapshot, self.now)
        cells = tuple(_cell(room, way, walked) for way, walked in zip(ways, others, strict=True))
        return Compared(tuple(ways), cells, comparison, recorded.run_id)

    def _key(self, compared: Sequence[Compared]) -> str:
        return hashlib.sha256("".join(one.comparison.key for one in compared).encode()).hexdigest()


def _cell(room: Room, way: Way, walked: Walked) -> Cell:
    stage, fits = Stage.test(room.folds, room.bench.config.target.kind), walked.seeds or (walked,)
    asked = [Asked(str(number), stage, fit.artifacts) for number, fit in enumerate(fits)]
    found = {one.name: scored.daily for one, scored in room.bench.workers.each(score_daily, asked)}
    return Cell(way.information, way.family, way.tuned, np.stack([found[one.name] for one in asked]))
