"""A workspace: one run file in one home at one moment, with what its verbs share opened when first needed.

mlflow and lightning cost seconds to import; verbs that neither track nor train never wake them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Self

from sqlalchemy import Engine

from forecaster.windows import Spans, Windows, walk
from pipelines.config import RunConfig
from pipelines.engines.base import ALONE, Crew
from pipelines.home import Home
from pipelines.snapshot import Snapshot, load_universe, require_venue, snapshot
from pipelines.sources.base import Surroundings

if TYPE_CHECKING:
    from pipelines.fetch import Fetcher
    from pipelines.tracking import Notebook
    from pipelines.train import Bench, Walked


@dataclass(frozen=True)
class Workspace:
    """What a verb needs to know; nothing here asks the clock."""

    home: Home
    config: RunConfig
    now: datetime
    recorded_only: bool = False
    """Build on nothing of which it is only assumed when it could be known."""
    crew: Crew = ALONE
    """Who trains and scores."""

    def at(self, now: datetime, snapshot: Snapshot | None = None) -> Self:
        """The same at another moment, on the same connections.

        Arguments:
            snapshot: What was frozen then; frozen anew if left out.
        """
        other = replace(self, now=now)
        vars(other)["engine"] = self.engine
        if snapshot is not None:
            vars(other)["snapshot"] = snapshot
        return other

    @cached_property
    def engine(self) -> Engine:
        """The store, brought up to date.

        Raises:
            HomeUnwritable: The home cannot be written.
        """
        return self.home.open_store()

    def fetcher(self, environment: Mapping[str, str], clock: Callable[[], datetime], full: bool = False) -> "Fetcher":
        """What brings the store up to date.

        Arguments:
            environment: Where sources find their secrets.
        """
        from pipelines.fetch import Fetcher

        around = Surroundings(self.config.target.venue, self.home.sources, environment)
        data = self.config.data
        return Fetcher(self.engine, data.bars.open(around), data.macro.open(around), clock, full)

    @cached_property
    def snapshot(self) -> Snapshot:
        """What the store knows now, frozen."""
        require_venue(self.engine, self.config.target, self.now)
        return snapshot(self.engine, self.config.data, self.home.snapshots, self.now, self.recorded_only)

    @cached_property
    def universe(self) -> tuple[Windows, ...]:
        """Windows over the snapshot as it was written, a symbol each."""
        return load_universe(self.home.snapshots, self.snapshot.digest, self.config)

    @cached_property
    def folds(self) -> tuple[Spans, ...]:
        """Training, validation and test origins, one a refit."""
        dates = self.config.split
        return walk(self.universe, dates.validation_from, dates.test_from, dates.test_until, dates.refit_every)

    @property
    def spans(self) -> Spans:
        """The first fold: nothing in its training and validation years is a test year."""
        return self.folds[0]

    @cached_property
    def notebook(self) -> "Notebook":
        """MLflow."""
        from pipelines.tracking import Notebook

        return Notebook(self.home.tracking_uri, self.home.models, self.config.target.key)

    @cached_property
    def bench(self) -> "Bench":
        """What trainings share."""
        from pipelines.train import Bench

        return Bench(
            self.engine, self.notebook, self.config, self.snapshot.digest, self.universe, self.now,
            self.home.checkpoints, self.crew.call(),
        )  # fmt: skip

    def walked(self) -> "list[Walked]":
        """Every model of the run, trained before on every fold.

        Raises:
            NotTrained: Some are not.
        """
        from pipelines.train import require_walk

        return require_walk(self.bench, self.folds)
